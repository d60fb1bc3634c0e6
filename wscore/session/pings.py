"""Pings that wait for their Pongs (RFC 6455 sections 5.5.2 and 5.5.3).

Decides which Pong answers which Ping, and how long that took. When to ping, and what an overdue answer means, is
decided elsewhere.
"""

from __future__ import annotations

from math import inf

from wscore.codec import LocalProtocolError

__all__ = ["Pings"]

# Where a Ping is, in place of the time at which it left.
_QUEUED, _TAKEN = -inf, inf


class Pings:
    """The Pings under way, in the order they were sent, by payload."""

    __slots__ = ("_pending", "answered", "latency")

    def __init__(self) -> None:
        self._pending: dict[bytes, float] = {}
        self.answered: dict[bytes, float] = {}
        """Those whose Pong has come and that nobody has taken yet, and the seconds in between."""
        self.latency: float | None = None

    def __contains__(self, payload: object) -> bool:
        return payload in self._pending

    @property
    def are_under_way(self) -> bool:
        """Whether any Pong is still to come."""
        return bool(self._pending)

    @property
    def are_done(self) -> bool:
        """Whether no Pong is to come, and no answer is left to be taken."""
        return not (self._pending or self.answered)

    def check_new(self, payload: bytes) -> None:
        """Raise LocalProtocolError if a Ping with the same payload is under way."""
        if payload in self._pending:
            raise LocalProtocolError("a Ping with this payload is under way: take another, or none")

    def add(self, payload: bytes) -> None:
        """A Ping with `payload` is in the output."""
        self.answered.pop(payload, None)
        self._pending[payload] = _QUEUED

    def forget(self, payload: bytes) -> None:
        """Nobody waits for its answer any more."""
        self._pending.pop(payload, None)
        self.answered.pop(payload, None)

    def taken(self) -> None:
        """The output was taken, to be written."""
        self._move(_QUEUED, _TAKEN)

    def left(self, now: float) -> None:
        """All that was taken has left."""
        self._move(_TAKEN, now)

    def has_left(self, payload: bytes | None) -> bool:
        """Whether this one is on its way."""
        return payload is not None and abs(self._pending.get(payload, inf)) != inf

    def pong(self, payload: bytes, now: float) -> bool:
        """A Pong has come; whether anybody asked. A peer may answer only the newest of several (section 5.5.3)."""
        if payload not in self._pending:
            return False
        while payload in self._pending:
            first = next(iter(self._pending))
            left_at = self._pending.pop(first)
            # It may come before we have learnt that the Ping has left.
            self.answered[first] = self.latency = 0.0 if abs(left_at) == inf else now - left_at
        return True

    def clear(self) -> None:
        """No answer will come any more."""
        self._pending.clear()

    def _move(self, before: float, after: float) -> None:
        for payload, where in self._pending.items():
            if where == before:
                self._pending[payload] = after
