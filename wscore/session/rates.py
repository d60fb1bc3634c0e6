"""How often: rates, and the token buckets that hold somebody to them.

A bucket holds `burst` tokens, and gets `per_second` more in a second until it is full. Whoever wants something takes
tokens. What has not been done yet is refused while they are missing (`take`); what has come already is charged, and
whoever sent it waits until the debt is paid (`charge`).

A bucket is one number, the time at which it is full again, so it costs nothing while nobody looks. No clock is in here:
the time in seconds is the caller's, and only goes forward. What is counted, and what becomes of those who exceed their
rate, is decided elsewhere.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

__all__ = ["Bucket", "Rate", "Throttle", "rate_of"]

# Times are far from zero, so differences of theirs are a little off; nobody is refused for that.
_EPSILON = 1e-9
# More messages than any read brings: what is left of a rate beyond means nothing, and may be too much to count with.
_MOST_AT_ONCE = 1 << 32


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` in the long run, and up to `burst` at once: by default what a second brings, and at least 1.

    Raises `ValueError` unless both are finite, `per_second` more than 0 and `burst` at least 1, and `TypeError` for
    what is no number.
    """

    per_second: float
    burst: float = 0.0

    def __post_init__(self) -> None:
        _check("a rate", self.per_second)
        _check("the burst of a rate", self.burst)
        if self.per_second <= 0:
            raise ValueError(f"a rate must be more than 0 in a second, not {self.per_second!r}")
        if not self.burst:
            object.__setattr__(self, "burst", max(self.per_second, 1.0))
        if self.burst < 1:
            raise ValueError(f"the burst of a rate must be at least 1, not {self.burst!r}")
        if self.span == math.inf:
            raise ValueError(f"a rate must bring its burst in a time that can be told, not {self.per_second!r}")

    @property
    def span(self) -> float:
        """The seconds in which an empty bucket fills."""
        return self.burst / self.per_second

    def after(self, full_at: float, count: float = 1.0) -> float:
        """When a bucket is full again out of which `count` more are taken; `full_at` is not before now."""
        return full_at + count / self.per_second

    def debt(self, full_at: float, now: float) -> float:
        """How many seconds a bucket that is full at `full_at` has less than no tokens; 0.0 if it has any."""
        wait = full_at - now - self.span
        return wait if wait > _EPSILON else 0.0


def _check(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number, not {value!r}")
    if not abs(value) <= sys.float_info.max:  # an int may be larger, and NaN is not
        raise ValueError(f"{what} must be finite, not {value!r}")


def rate_of(name: str, value: Rate | float | None) -> Rate | None:
    """What is meant by an option: a `Rate`, a number of so many a second, or None for no limit.

    Raises `ValueError` or `TypeError` that names the option.
    """
    if value is None or isinstance(value, Rate):
        return value
    try:
        return Rate(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}; give a number or wscore.Rate(per_second, burst), or None") from None


class Bucket:
    """One bucket, full at first."""

    __slots__ = ("_credit", "_full_at", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_at = -math.inf
        self._credit = 0.0

    def take(self, now: float, count: float = 1.0) -> float:
        """Take `count` tokens and return 0.0; or, if there are fewer, none, and return the seconds until there are.

        More than the burst there will never be: `math.inf`.
        """
        wait = self.wait(now, count)
        if not wait:
            self.charge(now, count)
        return wait

    def wait(self, now: float, count: float = 1.0) -> float:
        """The seconds until `count` tokens are there, and nothing is taken; 0.0 if they are."""
        wait = self._rate.debt(self._rate.after(self._now_or_later(now), count), now)
        return math.inf if wait and count > self._rate.burst else wait

    def charge(self, now: float, count: float = 1.0) -> float:
        """Take `count` tokens whether they are there or not; return the seconds of debt, 0.0 for none."""
        self._settle(self._rate.after(self._now_or_later(now), count), now)
        return self.debt(now)

    def tokens(self, now: float) -> float:
        """How many tokens there are; less than 0 for a debt."""
        return (now + self._rate.span - self._now_or_later(now)) * self._rate.per_second

    def debt(self, now: float) -> float:
        """The seconds until the debt is paid; 0.0 if there is none."""
        return self._rate.debt(self._full_at, now)

    def excuse(self, now: float, seconds: float) -> None:
        """For so long nothing was looked at, until now, through no fault of whoever is held to the rate.

        What has piled up meanwhile comes at once: the tokens of that time that there was no room for are kept on top of
        the burst, until they are taken.
        """
        self._credit = min(self._credit + seconds, max(0.0, now - self._full_at))

    def _now_or_later(self, now: float) -> float:
        return max(self._full_at, now - self._credit)

    def _settle(self, full_at: float, now: float) -> None:
        self._full_at = full_at
        self._credit = min(self._credit, max(0.0, now - full_at))


class Throttle:
    """What one connection may send: messages, control frames included, and bytes as on the wire. None: any number.

    With `is_strict` whoever exceeds a rate is to be stopped, else to be slowed down: `slow_until` is for whoever does
    that to keep, as is `controls`, how many Pings and Pongs have been charged.
    """

    __slots__ = ("_bytes", "_messages", "_paused_at", "controls", "is_strict", "slow_until")

    def __init__(self, messages: Rate | None, size: Rate | None, *, is_strict: bool = False) -> None:
        self._messages = None if messages is None else Bucket(messages)
        self._bytes = None if size is None else Bucket(size)
        self._paused_at = 0.0
        self.is_strict = is_strict
        self.slow_until = math.inf
        self.controls = 0

    def charge(self, now: float, messages: int, size: int) -> float:
        """So much has come; how many seconds that is too much for, 0.0 for none."""
        debt = 0.0 if self._messages is None else self._messages.charge(now, messages)
        return debt if self._bytes is None else max(debt, self._bytes.charge(now, size))

    def wait(self, now: float) -> float:
        """The seconds until something more may come, if only a message of a byte."""
        wait = 0.0 if self._messages is None else self._messages.wait(now)
        return wait if self._bytes is None else max(wait, self._bytes.wait(now))

    def allowance(self, now: float) -> int | None:
        """How many messages may be taken now, at least 1; None for any number, as when too many are to be noticed."""
        if self._messages is None or self.is_strict:
            return None
        return max(int(min(self._messages.tokens(now), _MOST_AT_ONCE) + _EPSILON), 1)

    def pause(self, now: float) -> None:
        """From now on we do not read."""
        self._paused_at = now

    def excuse(self, now: float) -> None:
        """We did not read since `pause` or the last excuse, until now."""
        for bucket in (self._messages, self._bytes):
            if bucket is not None:
                bucket.excuse(now, now - self._paused_at)
        self._paused_at = now
