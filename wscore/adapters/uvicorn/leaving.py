"""How a transport is left: what is still to be written goes out first, and a peer that takes nothing is given up.

Knows nothing of WebSocket. The times are in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["Leaving"]

# So long we read and discard, so that the last words of ours are not lost in a reset (RFC 9112 section 9.6).
LINGER = 2.0
# In so long a time a peer must have read something of what is left.
STALLED = 5.0


class Leaving:
    """The end of one transport."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self.timer: asyncio.TimerHandle | None = None

    def linger(self) -> None:
        """Say that nothing follows, and close when the peer has done so, or after a while. Until then data may come."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.timer = self._loop.call_later(LINGER, self.close)

    def close(self) -> None:
        """Close as soon as all is written; reading ends at once."""
        self.stop()
        self._transport.close()
        self.timer = self._loop.call_later(STALLED, self._abort_if_stalled, None)

    def stop(self) -> None:
        """The transport is gone."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _abort_if_stalled(self, before: int | None) -> None:
        unsent = self._transport.get_write_buffer_size()
        if before is not None and unsent >= before:
            self._transport.abort()
        else:
            self.timer = self._loop.call_later(STALLED, self._abort_if_stalled, unsent)
