"""`ReactorWebSocket`: the reactor's `Link` and the face of a `WebSocket`, in one object; and how a client has one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context

import trio

from ...codec import CloseCode
from ...protocol.connection import Connection
from ...session.options import Options
from ..records import Opening
from ..session_face import SessionWebSocket
from ..stream import log_error
from ..trio_glue import pace_of_this_run
from ..websocket import ErrorHook, MessageHook
from .arrival import Arrival
from .link import Link, Terms, iterate_fast

__all__ = ["ReactorWebSocket", "open_websocket"]


class ReactorWebSocket(Link, SessionWebSocket):
    """A `WebSocket` whose bytes the reactor moves. `Link.start` and `Link.begin` bring it to life."""

    __slots__ = ()


iterate_fast(ReactorWebSocket)


@asynccontextmanager
async def open_websocket(
    arrival: Arrival,
    connection: Connection,
    options: Options,
    opening: Opening,
    *,
    on_message: MessageHook | None = None,
    on_error: ErrorHook = log_error,
) -> AsyncIterator[ReactorWebSocket]:
    """Run `connection` over the socket of `arrival`, after the opening handshake, for the time of the block.

    As `transport.stream.open_websocket`; cancelled, the socket is closed at once.
    """
    if on_message is not None and options.pieces:
        raise ValueError("on_message wants whole messages: leave pieces off")
    error: Exception | None = None
    with trio.CancelScope() as block:

        def at_over(over: Link, _place: None) -> None:
            if over.crash is not None:
                block.cancel()

        terms = Terms(pace_of_this_run(), copy_context(), at_over, options, on_message, on_error)
        ws = ReactorWebSocket(connection, terms, opening.without_rest())
        ws.start(arrival)
        try:
            ws.begin(opening.rest)
            yield ws
            await ws.aclose()
        except Exception as raised:
            error = raised
            ws._fail(CloseCode.INTERNAL_ERROR, "")
            # The error that is under way counts more.
            with suppress(trio.Cancelled):
                await ws.wait_closed()
        finally:
            ws.abort()
    # What has ended the connection counts more than what that looked like.
    if ws.crash is not None:
        raise ws.crash
    if error is not None:
        raise error
