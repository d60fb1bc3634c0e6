"""`ReactorWebSocket`: the reactor's `Link` and the face of a `WebSocket`, in one object.

Decides that what is made for those who wait is made when somebody does: an idle connection owns next to nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context

import trio

from ...codec import CloseCode
from ...protocol.connection import Connection
from ...session.options import Options
from ..pings import Pings
from ..receiving import Inbox
from ..records import Opening
from ..reserve import Reserve
from ..sending import SendLine
from ..stream import log_error
from ..trio_glue import pace_of_this_run
from ..websocket import ErrorHook, MessageHook
from .arrival import Arrival
from .deadlines import Deadlines
from .link import Link, Terms, iterate_fast

__all__ = ["ReactorWebSocket", "open_websocket"]


class ReactorWebSocket(Link, Deadlines):
    """A `WebSocket` whose bytes the reactor moves. `Link.start` and `Link.begin` bring it to life."""

    __slots__ = ()

    def __init__(
        self,
        connection: Connection,
        terms: Terms,
        options: Options,
        opening: Opening,
        on_message: MessageHook | None,
        on_error: ErrorHook,
        reserve: Reserve | None = None,
    ) -> None:
        self._set_up(connection, options, opening, on_message, on_error, reserve)

    @property
    def _inbox(self) -> Inbox:
        assert self.inbox is not None
        return self.inbox

    @property
    def _line(self) -> SendLine:
        if self.line is None:
            self.line = self._new_line()
        return self.line

    def _senders_waiting(self) -> int:
        return 0 if self.line is None else len(self.line)

    @property
    def latency(self) -> float | None:
        """Seconds between the last answered Ping and its Pong; None before the first."""
        return self._latency if self.pings is None else self.pings.latency

    @property
    def _progress(self) -> trio.lowlevel.ParkingLot:
        if self.progress is None:
            self.progress = trio.lowlevel.ParkingLot()
        return self.progress

    @property
    def _pings(self) -> Pings:
        if self.pings is None:
            self.pings = self._new_pings()
            self.pings.latency = self._latency
        return self.pings

    def _forget_pings(self) -> None:
        if self.pings is not None:
            self._latency, self.pings = self.pings.latency, None
            self._connection.expect_pongs(())

    @property
    def _over(self) -> trio.Event:
        if self.over is None:
            self.over = trio.Event()
            if self.is_over:
                self.over.set()
        return self.over


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

        terms = Terms(pace_of_this_run(), copy_context(), at_over, options)
        ws = ReactorWebSocket(connection, terms, options, opening.without_rest(), on_message, on_error)
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
