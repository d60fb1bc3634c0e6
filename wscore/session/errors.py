"""How a session says that it has ended: one family of exceptions, without any event loop's.

Each face has classes of its own that are these, too, so that one `except` catches all.
"""

from __future__ import annotations

from .ends import End

__all__ = ["ConnectionClosed", "ConnectionEnded", "ConnectionLost"]


class ConnectionEnded(Exception):
    """The connection has ended; by itself: it is used after our own `close` that wanted nothing more, or `abort`."""

    def __init__(self, end: End) -> None:
        super().__init__(end)
        self.end = end

    @property
    def code(self) -> int:
        """RFC 6455 section 7.4; 1006 without a Close frame, 1005 for one without a code."""
        return self.end.code

    @property
    def reason(self) -> str:
        """What went with it; the peer may have chosen it."""
        return self.end.reason

    @property
    def by_peer(self) -> bool:
        """Whether the peer's Close frame came first."""
        return self.end.by_peer

    def __str__(self) -> str:
        return str(self.end)


class ConnectionClosed(ConnectionEnded):
    """A closing handshake has ended the connection, or is about to; no message follows."""


class ConnectionLost(ConnectionEnded):
    """The connection ended in disorder, or cannot carry what was asked."""
