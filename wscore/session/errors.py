"""How a session says that it has ended: one family of exceptions, without any event loop's.

Each face has classes of its own, which are errors of its event loop, too; what those say is `Closed`'s and `Lost`'s.
"""

from __future__ import annotations

from .ends import End

__all__ = ["Closed", "ConnectionClosed", "ConnectionEnded", "ConnectionLost", "Lost"]


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


class Closed:
    """What the faces' own errors say of an orderly end; to be inherited before the loop's."""

    def __init__(self, code: int, reason: str, by_peer: bool) -> None:
        super().__init__(int(code), reason, by_peer)  # type: ignore[call-arg]
        self.code = int(code)
        self.reason = reason
        self.by_peer = by_peer

    def __str__(self) -> str:
        side = "the peer" if self.by_peer else "this side"
        return f"{side} closed the connection with {_said(self.code, self.reason)}"


class Lost:
    """The same of any other end; `end` is None if nobody knows it."""

    def __init__(self, code: int, reason: str, end: End | None = None) -> None:
        super().__init__(int(code), reason)  # type: ignore[call-arg]
        self.code = int(code)
        self.reason = reason
        self.end = end

    def __str__(self) -> str:
        return f"the connection is gone: {self.end or _said(self.code, self.reason)}"


def _said(code: int, reason: str) -> str:
    """The code, and the reason as a literal: a peer chose it, so it must not reach a terminal as it is."""
    return f"{code} {reason!a}" if reason else str(code)
