"""One message for many connections at once, none of which is waited for.

Decides that whoever has no room goes without, as `slow_consumer` says, and that those that are closing or lost are
passed over. What a message costs each connection is the transports'.
"""

from __future__ import annotations

from collections.abc import Iterable

import trio

from ..protocol.prepared import PreparedMessage
from .errors import ConnectionLost
from .reactor import AVAILABLE
from .websocket import WebSocket

__all__ = ["offer", "offer_to_all"]


def offer(ws: WebSocket, message: PreparedMessage) -> bool:
    """`ws.send_nowait`; False, too, if the connection is closing or lost."""
    if ws._is_shut:
        return False
    try:
        return ws.send_nowait(message)
    except (ConnectionLost, trio.ClosedResourceError):
        return False


def offer_to_all(websockets: Iterable[WebSocket], message: PreparedMessage) -> int:
    """`offer` to each of `websockets`; how many took it."""
    if AVAILABLE:
        # Where there is a reactor, its own connections take what is framed once.
        from .reactor.link import offer_to_all as offer_framed

        return offer_framed(websockets, message)
    return sum(offer(ws, message) for ws in websockets)
