"""Pings that wait for their Pongs (RFC 6455 sections 5.5.2 and 5.5.3).

Decides which Pong answers which Ping, and how long that took. When to ping, and what an overdue answer means, is
decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection

import trio

from ..codec import new_mask_key

__all__ = ["PendingPing", "Pings"]


class PendingPing:
    """One Ping: `left_at` once it is known to have left, `seconds` once it was answered; `done` is set then, and at
    the end.
    """

    __slots__ = ("_added_at", "done", "left_at", "seconds")

    def __init__(self, now: float) -> None:
        self.done = trio.Event()
        self._added_at = now
        self.left_at: float | None = None
        self.seconds: float | None = None

    def answer(self, now: float) -> None:
        """The Pong has come: perhaps before we have learnt that the Ping has left."""
        self.seconds = now - (self._added_at if self.left_at is None else self.left_at)
        self.done.set()


class Pings:
    """The Pings under way, in the order they were sent, by payload."""

    __slots__ = ("_pending", "latency")

    def __init__(self) -> None:
        self._pending: dict[bytes, PendingPing] = {}
        self.latency: float | None = None

    def __contains__(self, payload: object) -> bool:
        return payload in self._pending

    @property
    def payloads(self) -> Collection[bytes]:
        """Those that a Pong may answer, as they are at any time."""
        return self._pending

    def new_payload(self) -> bytes:
        """A payload that the peer cannot foresee: it cannot answer before it was asked."""
        return new_mask_key() + new_mask_key()

    def add(self, payload: bytes, now: float) -> PendingPing:
        """A Ping with `payload` is about to be sent."""
        ping = self._pending[payload] = PendingPing(now)
        return ping

    def forget(self, payload: bytes) -> None:
        """Nobody waits for its answer any more."""
        self._pending.pop(payload, None)

    def left(self, now: float) -> list[bytes]:
        """All Pings so far are on the wire; the payloads of those that were not before."""
        new = [payload for payload, ping in self._pending.items() if ping.left_at is None]
        for payload in new:
            self._pending[payload].left_at = now
        return new

    def answered(self, payload: bytes, now: float) -> list[PendingPing]:
        """A Pong has come: which Pings it answers. A peer may answer only the newest of several (section 5.5.3).

        Nothing for a Pong that nobody asked for.
        """
        if payload not in self._pending:
            return []
        answered = []
        while payload in self._pending:
            ping = self._pending.pop(next(iter(self._pending)))
            ping.answer(now)
            answered.append(ping)
        self.latency = answered[-1].seconds
        return answered

    def fail(self) -> None:
        """No answer will come any more."""
        for ping in self._pending.values():
            ping.done.set()
        self._pending.clear()
