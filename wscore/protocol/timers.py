"""The deadlines of one connection: when to ping, when a pong is overdue, when a closing handshake has failed.

Decides about times only: it neither sleeps, nor sends, nor reads a clock. Times are seconds of its owner's clock, and
`math.inf` is never.
The pong deadline starts when the Ping has left, and stands still while we have paused reading: a pong that waits behind
messages nobody has fetched is not late (RFC 6455 section 5.5.2 asks for an answer, not for a quick one).
"""

from __future__ import annotations

from math import inf

__all__ = ["Timers"]


class Timers:
    """`interval` and `timeout` of keepalive in seconds, None for off; `now` is the time of creation."""

    __slots__ = ("_interval", "_paused", "_timeout", "_waiting", "close_by", "ping_at", "pong_by")

    def __init__(self, interval: float | None, timeout: float | None, now: float) -> None:
        self._interval = inf if interval is None else interval
        self._timeout = inf if timeout is None else timeout
        self._waiting = False
        self._paused = False
        self.ping_at = now + self._interval
        self.pong_by = inf
        self.close_by = inf

    @property
    def is_paused(self) -> bool:
        """Whether we have stopped reading."""
        return self._paused

    def next(self) -> float:
        """The earliest deadline."""
        due = min(self.pong_by, self.close_by)
        return due if self._waiting else min(due, self.ping_at)

    def ping_is_due(self, now: float) -> bool:
        """Whether to send a Ping now; the next is then an interval away. While one is unanswered, none is due."""
        if self._waiting or now < self.ping_at:
            return False
        self.ping_at = now + self._interval
        return True

    def pinged(self, now: float) -> None:
        """Our Ping has left: its answer is due from now on."""
        self._waiting = True
        self._expect(now)

    def answered(self, now: float) -> None:
        """Its Pong has come, perhaps so late that the next would have been due already."""
        self._waiting = False
        self.pong_by = inf
        if self.ping_at <= now:
            self.ping_at = now + self._interval

    def pause(self) -> None:
        """We stop reading: no answer can reach us."""
        self._paused = True
        self.pong_by = inf

    def resume(self, now: float) -> None:
        """We read again: the answer has its full time, for it may stand behind much else."""
        if self._paused:
            self._paused = False
            self._expect(now)

    def closing(self, now: float, timeout: float) -> None:
        """Our Close frame is on its way: no more pings, and `timeout` seconds for all the rest."""
        self.ping_at = self.pong_by = inf
        self._waiting = False
        self._interval = self._timeout = inf
        self.close_by = min(self.close_by, now + timeout)

    def _expect(self, now: float) -> None:
        if self._waiting and not self._paused:
            self.pong_by = now + self._timeout
