"""The deadlines of one connection: when to ping, when a pong is overdue, when a closing handshake has failed.

Decides about times only: it neither sleeps, nor sends, nor reads a clock. Times are seconds of its owner's clock, and
`math.inf` is never.
The pong deadline starts when the Ping has left, and stands still while we have paused reading: a pong that waits behind
messages nobody has fetched is not late (RFC 6455 section 5.5.2 asks for an answer, not for a quick one). Nor is one
that cannot be sent before a long frame has ended: for whoever tells how many bytes have come (`is_silent`), they are
life.
"""

from __future__ import annotations

from math import inf

__all__ = ["Timers"]

# How often in `timeout` it is looked whether bytes come, while a Pong is awaited.
LOOKS = 4


class Timers:
    """`interval` and `timeout` of keepalive in seconds, None for off; `now` is the time of creation."""

    __slots__ = (
        "_heard_at",
        "_interval",
        "_paused",
        "_received",
        "_timeout",
        "_waiting",
        "close_by",
        "ping_at",
        "pong_by",
    )

    def __init__(self, interval: float | None, timeout: float | None, now: float) -> None:
        self._interval = inf if interval is None else interval
        self._timeout = inf if timeout is None else timeout
        self._waiting = False
        self._paused = False
        self._received: int | None = None  # bytes of the peer's in all, when a look was last taken; None: nobody says
        self._heard_at = now
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

    def pinged(self, now: float, received: int | None = None) -> None:
        """Our Ping has left: its answer is due from now on. Who tells how many bytes were `received` so far is to ask
        `is_silent` at `pong_by`.
        """
        self._waiting = True
        self._received = received
        self._expect(now)

    def is_silent(self, received: int, now: float) -> bool:
        """At `pong_by`: whether nothing has come for the whole of `timeout`; `received` is how many bytes have in all.
        Else it is to be asked again at the new `pong_by`.
        """
        if received != self._received:
            self._received = received
            self._heard_at = now
        self._look_again(now)
        return now >= self._heard_at + self._timeout

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
            self._heard_at = now
            self._look_again(now)

    def _look_again(self, now: float) -> None:
        silent_at = self._heard_at + self._timeout
        self.pong_by = silent_at if self._received is None else min(now + self._timeout / LOOKS, silent_at)
