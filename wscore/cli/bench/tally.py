"""What is counted while the load runs, and which of it belongs to the measurement.

Decides that: throughput is the replies that came between the two ends of the measurement; latencies are those of the
messages that were sent between them (with a rate: that were to be sent), even if their replies come later. What went
wrong is counted from the first connection to the last, warm-up or not.

Refuses to know who sends, and how results are shown.
"""

import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from wscore.cli.bench.histogram import Histogram
from wscore.protocol.events import Close

_NEVER = 1 << 62  # nanoseconds; later than any clock's
_MOST_KINDS = 50

_K = TypeVar("_K", bound=Hashable)


@dataclass
class Moment:
    """What the counters said at an end of the measurement."""

    time: int
    """On the clock of `time.perf_counter_ns`."""
    cpu: int
    """Nanoseconds of processor time that the process had used, all threads."""
    starved: int | None
    """Nanoseconds that this thread had been ready to run and had no processor; None if the system does not say."""
    answered: int


class Tally:
    """The counters of one run; whoever sees something counts it here."""

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self.clock = clock
        self.since = _NEVER
        """Messages that were sent before have no part in the latencies."""
        self.begin: Moment | None = None
        self.end: Moment | None = None
        self.wrong = 0
        self.unasked = 0
        self.first_wrong: str | None = None
        self.opened = 0
        self.compressed = 0
        self.opening_times = Histogram()
        self.delays = Histogram()
        """How late the generator itself was, for a load with a rate."""
        self.recent = Histogram()
        """Latencies since `latencies` was last called."""
        self._latencies = Histogram()
        self.failures: Counter[str] = Counter()
        self.early_closes: Counter[tuple[int, str, str]] = Counter()

    def begin_measuring(self, answered: int) -> None:
        """The warm-up is over, and so many messages have been answered."""
        self.begin = self._moment(answered)
        self.since = self.begin.time

    def end_measuring(self, answered: int) -> None:
        """The time is up, and so many messages have been answered, warm-up included."""
        self.end = self._moment(answered)

    def latencies(self) -> Histogram:
        """All latencies of the measurement so far."""
        self._latencies.merge(self.recent)
        self.recent = Histogram()
        return self._latencies

    def count_opening(self, nanoseconds: int, compresses: bool) -> None:
        """A connection was opened, in so long."""
        self.opened += 1
        self.compressed += compresses
        self.opening_times.record(nanoseconds)

    def count_failure(self, sentence: str) -> None:
        """A connection could not be opened."""
        _count(self.failures, sentence, "for other reasons")

    def count_early_close(self, close: Close) -> None:
        """A connection ended before its time; of a server's reasons, only so many are kept."""
        key = (close.code, close.reason, close.origin)
        _count(self.early_closes, key, (close.code, "(other reasons)", close.origin))

    def count_wrong(self, message: str | bytes, expected: str | bytes) -> None:
        """A reply is not what was sent."""
        self.wrong += 1
        if self.first_wrong is None:
            self.first_wrong = _difference(message, expected)

    def _moment(self, answered: int) -> Moment:
        return Moment(self.clock(), time.process_time_ns(), _starved(), answered)


def _starved() -> int | None:
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:  # Linux has it
            return int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _count(counter: Counter[_K], kind: _K, other: _K) -> None:
    counter[kind if kind in counter or len(counter) < _MOST_KINDS else other] += 1


def _difference(message: str | bytes, expected: str | bytes) -> str:
    if type(message) is not type(expected):
        sort = {str: "text", bytes: "binary"}
        return f"{sort[type(message)]} came in place of {sort[type(expected)]}"
    came, wanted = (len(each if isinstance(each, bytes) else each.encode()) for each in (message, expected))
    if came != wanted:
        return f"{came} bytes came in place of {wanted}"
    place = next(index for index, pair in enumerate(zip(message, expected, strict=False)) if pair[0] != pair[1])
    return f"of {wanted} bytes, byte {place + 1} is the first that differs"
