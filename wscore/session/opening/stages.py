"""How far an opening handshake has come: one variable, of which the table in `server` says what leads where."""

from enum import IntEnum

__all__ = ["Stage"]


class Stage(IntEnum):
    """Where a connection is on its way in. From OPEN on the way has ended, and nothing changes any more."""

    HEADER = 0
    """The PROXY protocol header is awaited, and nothing else is to be read."""
    TLS = 1
    """TLS is to come about."""
    HEAD = 2
    """The request is awaited."""
    HOOK = 3
    """The application thinks about its answer."""
    OPEN = 4
    """It is a WebSocket, once the output has left."""
    LINGER = 5
    """To be closed once the output has left, so that the peer can read it (RFC 9112 section 9.6)."""
    CLOSE = 6
    """To be closed at once; of the output only what leaves without waiting."""
    RESET = 7
    """To be closed at once, with a reset: nothing is said to whoever this is."""
