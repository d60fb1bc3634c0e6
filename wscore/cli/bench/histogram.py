"""A histogram with a bounded relative error, after Gil Tene's HdrHistogram: for latencies, whose tails matter.

Decides how exact it is. Values are whole numbers from 0 upwards, without an upper end. Those below 2,048 are kept as
they are; above, each power of two is divided into 1,024 equal steps, so that a value is known to one part in 1,024:
three significant digits. Percentiles give the upper end of a step, never less than what was recorded. Memory grows with
the steps that occur, at most 1,024 for each power of two: nanoseconds up to an hour need 33,000 at the very most.

There is a library for this, hdrhistogram on PyPI. It is kept well, and not used here: to record a value takes version
0.10.8 3.1 us where this takes 0.45 (Python 3.11, one machine), more than all else that a message costs the generator in
a burst; and it wants pbr and setuptools installed, where wscore brings Trio and h11 alone.

Refuses to know what is counted, and in which unit.
"""

from __future__ import annotations

import math
from fractions import Fraction

_STEP_BITS = 10
_EXACT_BITS = _STEP_BITS + 1  # values of so many bits have a counter of their own


class Histogram:
    """How often each value was recorded; `count` values from `minimum` to `maximum`, both exact, 0 without any."""

    __slots__ = ("_counts", "_sum", "count", "maximum", "minimum")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._sum = 0
        self.count = 0
        self.minimum = 0
        self.maximum = 0

    def record(self, value: int, count: int = 1) -> None:
        """Count `value` `count` times. Raises ValueError if it is negative, or if `count` is not positive."""
        if value < 0 or count < 1:
            raise ValueError("a histogram counts values from 0 upwards, each at least once")
        shift = value.bit_length() - _EXACT_BITS
        index = value if shift <= 0 else (shift << _STEP_BITS) + (value >> shift)
        self._counts[index] = self._counts.get(index, 0) + count
        if value > self.maximum:
            self.maximum = value
        if value < self.minimum or not self.count:
            self.minimum = value
        self._sum += value * count
        self.count += count

    def merge(self, other: Histogram) -> None:
        """Count all that `other` has counted; it stays as it is. The result is as exact as each of them."""
        if not other.count:
            return
        for index, count in other._counts.items():
            self._counts[index] = self._counts.get(index, 0) + count
        self.minimum = min(self.minimum, other.minimum) if self.count else other.minimum
        self.maximum = max(self.maximum, other.maximum)
        self._sum += other._sum
        self.count += other.count

    @property
    def mean(self) -> float:
        """The exact mean. Raises ValueError if nothing was recorded."""
        self._check_not_empty()
        return self._sum / self.count

    def percentile(self, percent: float) -> int:
        """The least value that at least `percent` of 100 values do not exceed (nearest rank), rounded up to its step.

        Raises ValueError if nothing was recorded, and for a percentage outside of 0 to 100.
        """
        self._check_not_empty()
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile is from 0 to 100, not {percent!r}")
        # As it was written: 99.9 is no binary number, and 99.9 % of 1,000 values are 999.
        rank = max(1, math.ceil(Fraction(str(percent)) * self.count / 100))
        for index in sorted(self._counts):
            rank -= self._counts[index]
            if rank <= 0:
                return min(_upper_end(index), self.maximum)
        raise AssertionError("the counts do not add up")

    def _check_not_empty(self) -> None:
        if not self.count:
            raise ValueError("nothing was recorded")


def _upper_end(index: int) -> int:
    """The largest value that is counted at this index."""
    shift = (index >> _STEP_BITS) - 1
    if shift <= 0:
        return index
    return ((index - (shift << _STEP_BITS) + 1) << shift) - 1
