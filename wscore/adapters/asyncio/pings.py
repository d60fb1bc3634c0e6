"""Pings that wait for their Pongs (RFC 6455 sections 5.5.2 and 5.5.3).

Decides which Pong answers which Ping, and how long that took. When to ping, and what an overdue answer means, is
decided elsewhere.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from wscore.codec import new_mask_key

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Container

__all__ = ["Pings"]


class Pings:
    """The Pings under way, in the order they were sent, by payload; `latency` is that of the last one answered."""

    __slots__ = ("_pending", "latency")

    def __init__(self) -> None:
        self._pending: dict[bytes, tuple[asyncio.Future[float] | None, float]] = {}
        self.latency: float | None = None

    def __contains__(self, payload: object) -> bool:
        return payload in self._pending

    @property
    def payloads(self) -> Container[bytes]:
        """Those that a Pong may answer, as they are at any time."""
        return self._pending

    def new_payload(self) -> bytes:
        """A payload that the peer cannot foresee: it cannot answer before it was asked."""
        return new_mask_key() + new_mask_key()

    def add(self, payload: bytes, answer: asyncio.Future[float] | None) -> None:
        """A Ping with `payload` is about to leave. `answer` gets the seconds that its Pong takes."""
        self._pending.pop(payload, None)
        self._pending[payload] = (answer, perf_counter())

    def answered(self, payload: bytes) -> None:
        """A Pong has come. A peer may answer only the newest of several Pings; a Pong nobody asked for is nothing."""
        if payload not in self._pending:
            return
        now = perf_counter()
        for each in list(self._pending):
            answer, left_at = self._pending.pop(each)
            self.latency = now - left_at
            if answer is not None and not answer.done():
                answer.set_result(self.latency)
            if each == payload:
                return

    def is_awaited(self, payload: bytes) -> bool:
        """Whether somebody waits for the Pong with this payload."""
        answer, _ = self._pending.get(payload, (None, 0.0))
        return answer is not None and not answer.done()

    def fail(self, error: Exception) -> None:
        """No answer will come any more."""
        for answer, _ in self._pending.values():
            if answer is not None and not answer.done():
                answer.set_exception(error)
        self._pending.clear()
