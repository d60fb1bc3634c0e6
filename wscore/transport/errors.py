"""How a `WebSocket` says that it has ended.

Two classes, by what the caller can do: `ConnectionClosed` is the orderly end that `async for` hides, `ConnectionLost`
everything else. Use after one's own `aclose()` is `trio.ClosedResourceError`, as on every Trio resource (`ClosedHere`,
so that a handler whose connection another task has closed is not taken for one that fails), and misuse is
`LocalProtocolError`, `TypeError` or `ValueError`. Which code goes with which end is decided by the protocol layer
(RFC 6455 sections 7.1.5 and 7.4).
"""

import trio

from ..session.errors import Closed, Lost

__all__ = ["ClosedHere", "ConnectionClosed", "ConnectionLost", "is_an_end"]


class ConnectionClosed(Closed, trio.EndOfChannel):
    """The closing handshake has ended the connection; no message follows.

    `code` and `reason` are those of the Close frame that came first: the peer's if `by_peer`, else ours (this process
    is shutting down, or another task called `close_nowait`). 1005 means that the peer's frame had no code.
    """


class ConnectionLost(Lost, trio.BrokenResourceError):
    """The connection ended in disorder, or cannot carry what was asked.

    `code` is 1006 if the bytes ended without a Close frame, the peer's code if it has closed and cannot be sent to any
    more, or the code with which this side gave the connection up: 1002 for a broken rule, 1009 for a message above the
    limit, 1011 for a peer that answers no Ping, and so on. `reason` is the sentence that went with it, often empty.
    `end` says why, with numbers; None if nobody knows.
    """


class ClosedHere(trio.ClosedResourceError):
    """This side has closed the connection by `aclose` or `abort`, and wants nothing more of it."""


_ENDS = ConnectionClosed, ConnectionLost, ClosedHere


def is_an_end(error: Exception) -> bool:
    """Whether it says no more than that a connection has ended; a handler with a nursery raises groups."""
    if isinstance(error, ExceptionGroup):
        return error.split(_ENDS)[1] is None
    return isinstance(error, _ENDS)
