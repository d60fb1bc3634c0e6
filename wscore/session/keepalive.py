"""When to ping, so that a peer that has gone is noticed (RFC 6455 section 5.5.2).

Decides that a Ping goes out in each interval, unless one is unanswered. What an overdue answer means is decided
elsewhere.
"""

from __future__ import annotations

from math import inf

__all__ = ["Keepalive"]


class Keepalive:
    """`interval` in seconds, None for never; `now` is the time of the start."""

    __slots__ = ("_interval", "_ping_at", "payload")

    def __init__(self, interval: float | None, now: float) -> None:
        self._interval = inf if interval is None else interval
        self._ping_at = now + self._interval
        self.payload: bytes | None = None
        """That of the Ping under way."""

    @property
    def due(self) -> float:
        """When the next Ping is; inf for never, and while one is under way."""
        return self._ping_at if self.payload is None else inf

    def pinged(self, payload: bytes, now: float) -> None:
        """A Ping goes out."""
        self.payload = payload
        self._ping_at = now + self._interval

    def answered(self, now: float) -> None:
        """Its Pong has come, perhaps so late that the next would have been due already."""
        self.payload = None
        if self._ping_at <= now:
            self._ping_at = now + self._interval

    def stop(self) -> None:
        """No Ping goes out any more."""
        self.payload = None
        self._ping_at = inf
