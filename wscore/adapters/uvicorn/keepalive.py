"""When a connection is pinged, and when the answer is overdue (RFC 6455 section 5.5.2); not what is done then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...codec import new_mask_key

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Keepalive"]


class Keepalive:
    """Calls `ping` with a payload each `interval` seconds, and `overdue` where the Pong takes `timeout` seconds.

    None or 0 for `interval`: never; None for `timeout`: Pongs are not waited for. `overdue` says whether that was the
    end; otherwise the Pong has as much time again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval: float | None,
        timeout: float | None,
        ping: Callable[[bytes], None],
        overdue: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._interval = interval
        self._timeout = timeout
        self._ping = ping
        self._overdue = overdue
        self._payload: bytes | None = None  # of the Ping that waits for its Pong
        self.timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to wait for the next Ping."""
        if self._interval:
            self.timer = self._loop.call_later(self._interval, self._send)

    def stop(self) -> None:
        """Neither ping nor wait any more."""
        self._payload = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def receive_pong(self, payload: bytes) -> None:
        """A Pong has come; only that of the last Ping counts."""
        if payload == self._payload:
            self.stop()
            self.start()

    def _send(self) -> None:
        payload = new_mask_key()
        if self._timeout is None:
            self.start()
        else:
            self._payload = payload
            self._wait(self._timeout)
        self._ping(payload)

    def _wait(self, timeout: float) -> None:
        self.timer = self._loop.call_later(timeout, self._miss, timeout)

    def _miss(self, timeout: float) -> None:
        self.timer = None
        if not self._overdue():
            self._wait(timeout)
