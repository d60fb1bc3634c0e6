"""How a `WebSocket` says that it has ended: in order, or not.

`ConnectionClosed` is the end that `async for` hides, `ConnectionLost` everything else. Misuse is `LocalProtocolError`,
`TypeError` or `ValueError`. Which code goes with which end is for the protocol layer (RFC 6455 sections 7.1.5, 7.4),
and which error with which end the session's.
"""

from wscore.session import errors
from wscore.session.errors import Closed, Lost

__all__ = ["ConnectionClosed", "ConnectionLost", "of_session"]


class ConnectionClosed(Closed, EOFError):
    """A Close frame has ended the connection; no message follows.

    `code` and `reason` are those of the Close frame that came first: the peer's if `by_peer`, else ours, sent by
    `aclose`, by `close_nowait`, or because the server closes. 1005 means that the peer's frame had no code.
    """


class ConnectionLost(Lost, ConnectionError):
    """The connection ended in disorder, or cannot carry what was asked.

    `code` is 1006 if the bytes ended without a Close frame, the peer's code if it has closed and cannot be sent to any
    more, or the code with which this side gave the connection up: 1002 for a broken rule, 1009 for a message above the
    limit, 1011 for a peer that answers no Ping, and so on. `reason` is the sentence that went with it, often empty.
    `end` says why, with numbers; None if nobody knows.
    """


def of_session(error: errors.ConnectionEnded) -> ConnectionClosed | ConnectionLost:
    """What the session says, in asyncio's words. After our own `aclose` or `abort` nobody need be told of a loss."""
    if isinstance(error, errors.ConnectionLost):
        return ConnectionLost(error.code, error.reason, error.end)
    return ConnectionClosed(error.code, error.reason, error.by_peer)
