"""When messages are sent: three kinds of load, which are not to be confused.

- **window**: each connection has so many messages in flight at any time; each reply is followed by the next message.
- **burst**: each connection sends so many at once, waits for all their replies, and begins again.
- **rate**: so many messages a second over all connections, on a schedule that does not wait for the server.

In the first two a slow server is asked less often: what its users would have waited for is left out of the latencies
("coordinated omission"). With a rate nothing is left out: a message's latency counts from the moment in the schedule,
whenever it went out, and what is due when the time is up is still sent and waited for.

Refuses to know sockets, and when a run begins and ends.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from wscore.cli.bench.line import Line
from wscore.cli.bench.tally import Tally

_SECOND = 1_000_000_000

# What a connection that is behind its schedule sends at a time.
_BATCH_MESSAGES = 1024
_BATCH_BYTES = 1 << 16


class Load(ABC):
    """Decides when a connection sends, and counts how long its replies took."""

    in_a_row = _BATCH_MESSAGES
    """The most messages that are framed, or expected, at a time."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.is_stopped = False

    @abstractmethod
    def opened(self, line: Line) -> None:
        """A connection was opened: it may begin."""

    @abstractmethod
    def replied(self, line: Line, count: int, now: int) -> None:
        """`count` replies have come on a connection, which may have ended with them."""

    def writable(self, line: Line) -> None:  # noqa: B027 - most have nothing to do
        """A connection's socket has taken all that had to wait."""

    def turn(self) -> float:
        """Send what is due; return after how many seconds the next is."""
        return math.inf

    def stop(self) -> None:
        """The time is up: begin nothing new."""
        self.is_stopped = True

    def unsent(self, line: Line) -> int:
        """How many messages of a connection were due before the end, and have not been sent."""
        return 0


class Window(Load):
    """So many messages in flight on each connection, independent of each other."""

    def __init__(self, tally: Tally, in_flight: int) -> None:
        super().__init__(tally)
        self.in_a_row = in_flight

    def opened(self, line: Line) -> None:
        self._send(line, self.in_a_row)

    def replied(self, line: Line, count: int, now: int) -> None:
        self._record(line, count, now)
        self._send(line, count)

    def _send(self, line: Line, count: int) -> None:
        if self.is_stopped or not line.is_open:
            return
        line.put(count)
        line.times.append((self._tally.clock(), count))
        line.flush()

    def _record(self, line: Line, count: int, now: int) -> None:
        while count:
            since, size = line.times.popleft()
            part = min(count, size)
            if size > part:
                line.times.appendleft((since, size - part))
            if since >= self._tally.since:
                self._tally.recent.record(now - since, part)
            count -= part


class Burst(Window):
    """So many messages at once on each connection, and the next when all of them are answered."""

    def replied(self, line: Line, count: int, now: int) -> None:
        self._record(line, count, now)
        if not line.in_flight:
            self._send(line, self.in_a_row)


class Rate(Load):
    """A message every `1 / rate` seconds, from `start` on, by one of `connections` after the other.

    A connection's share of the schedule is an arithmetic progression, so the moment of each message is known from its
    number, and being behind takes no memory. A connection that is not open leaves its places in the schedule empty.
    """

    def __init__(self, tally: Tally, rate: float, connections: int, size: int) -> None:
        super().__init__(tally)
        self._gap = _SECOND / rate
        self._batch = max(1, min(_BATCH_MESSAGES, _BATCH_BYTES // max(size, 1)))
        self._lines: list[Line | None] = [None] * connections
        self._start = tally.clock()
        self._end: int | None = None
        self._next = 0  # the first slot of the schedule that no turn has seen

    def opened(self, line: Line) -> None:
        line.first_slot = self._slots_before(line, self._tally.clock() - 1)
        self._lines[line.number] = line
        self._send_due(line)

    def replied(self, line: Line, count: int, now: int) -> None:
        tally = self._tally
        for number in range(line.answered - count, line.answered):
            due = self._moment(line, number)
            if due >= tally.since:
                tally.recent.record(max(now - due, 0))

    def writable(self, line: Line) -> None:
        self._send_due(line)

    def turn(self) -> float:
        now = self._tally.clock()
        due = self._slots(now)
        # Whose turn has come since the last time; if all have had theirs, each of them once.
        for slot in range(max(self._next, due - len(self._lines)), due):
            line = self._lines[slot % len(self._lines)]
            if line is not None:
                self._send_due(line)
        self._next = due
        if self._end is not None and now >= self._end:
            return math.inf
        return max(self._start + due * self._gap - self._tally.clock(), 0) / _SECOND

    def stop(self) -> None:
        super().stop()
        self._end = self._tally.clock()

    def unsent(self, line: Line) -> int:
        now = self._tally.clock()
        return max(self._slots_before(line, now) - line.first_slot - line.sent, 0)

    def _send_due(self, line: Line) -> None:
        while line.is_open and not line.is_blocked and (due := self.unsent(line)):
            count = min(due, self._batch)
            line.put(count)
            self._record_delays(line, count)
            line.flush()

    def _record_delays(self, line: Line, count: int) -> None:
        tally = self._tally
        now = tally.clock()
        for number in range(line.sent - count, line.sent):
            due = self._moment(line, number)
            if due >= tally.since:
                tally.delays.record(max(now - due, 0))

    def _slots(self, now: int) -> int:
        """How many places of the schedule, from 0 on, have come; none after the end."""
        now = now if self._end is None else min(now, self._end)
        return math.floor((now - self._start) / self._gap) + 1

    def _slots_before(self, line: Line, now: int) -> int:
        """How many of them are this connection's."""
        return max(-(-(self._slots(now) - line.number) // len(self._lines)), 0)

    def _moment(self, line: Line, number: int) -> int:
        """When the connection's message of this number is due."""
        slot = line.number + (line.first_slot + number) * len(self._lines)
        return self._start + int(slot * self._gap)
