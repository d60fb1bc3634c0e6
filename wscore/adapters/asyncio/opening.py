"""The opening handshake of one connection, on either side: what a `WebSocket` does before it is one.

Decides how what an opening asks for is done on a transport of asyncio's. What happens in which order on a server, and
what is said, stands in `session.opening`; all rules of the handshake are the protocol layer's.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from math import inf
from typing import TYPE_CHECKING

from wscore.codec import CLIENT, SERVER, DeflatePool
from wscore.protocol.connection import Connection
from wscore.protocol.handshake import ClientHandshake, HandshakeError, Request
from wscore.session.opening import ServerOpening, Stage
from wscore.session.site.refusals import FAILED

from .delivery import limit_unsent
from .logs import watch_repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from wscore.codec import Role
    from wscore.protocol.extensions import DeflateParameters
    from wscore.session.opening import Opening as Settled
    from wscore.session.site.admission import Admission
    from wscore.session.site.application import Answer
    from wscore.session.site.refusals import Refusal

    from .options import Options
    from .websocket import WebSocket

__all__ = ["Accepting", "Connecting", "Opening"]


class Opening(ABC):
    """What a `WebSocket` asks until it is open."""

    def __init__(self, role: Role, options: Options, pool: DeflatePool) -> None:
        self._role = role
        self._options = options
        self._pool = pool

    @property
    def request(self) -> Request | None:
        """The peer's request, on a server; None before it has come."""
        return None

    def turn_away(self, ws: WebSocket) -> None:  # noqa: B027 - a client's is nobody's to turn away
        """The server closes."""

    @abstractmethod
    def begin(self, ws: WebSocket) -> None:
        """The transport is there."""

    @abstractmethod
    def receive(self, ws: WebSocket, data: bytes) -> None:
        """Bytes have come."""

    @abstractmethod
    def eof(self, ws: WebSocket) -> None:
        """The peer sends no more; the transport closes by itself."""

    @abstractmethod
    def expired(self, ws: WebSocket) -> None:
        """It has taken too long."""

    @abstractmethod
    def lost(self, ws: WebSocket, error: Exception | None) -> None:
        """The transport is gone, now or later."""

    def _new_connection(self, deflate: DeflateParameters | None) -> Connection:
        options = self._options
        return Connection(
            self._role,
            max_message_size=options.max_message_size,
            max_fragments=options.max_fragments,
            compression=options.compression,
            compression_threshold=options.compression_threshold,
            compression_pool=self._pool,
            deflate=deflate,
        )


class Accepting(Opening):
    """The server's side: the driver of a `ServerOpening`, of which `admission` says who may connect.

    `came(ws)` is told of the connection, and says what it is refused with, whatever it asks for; `left(ws)` is called
    when the handshake is over, and `gone(ws)` when the transport is.
    """

    def __init__(
        self,
        options: Options,
        pool: DeflatePool,
        admission: Admission,
        *,
        came: Callable[[WebSocket], Refusal | None],
        left: Callable[[WebSocket], object],
        gone: Callable[[WebSocket], object],
    ) -> None:
        super().__init__(SERVER, options, pool)
        self._admission = admission
        self._came = came
        self._left = left
        self._gone = gone
        self._opening: ServerOpening | None = None  # while it is under way
        self._settled: Settled | None = None
        self._thinking: asyncio.Task[Answer] | None = None

    @property
    def request(self) -> Request | None:
        """The request, made when it is first asked for."""
        if self._settled is not None:
            return self._settled.request
        return None if self._opening is None else self._opening.request

    def begin(self, ws: WebSocket) -> None:
        """Begin to listen. With TLS its handshake is over by now; if it fails, nobody is told."""
        verdict = self._came(ws)
        transport = ws.transport
        if transport is None or transport.is_closing():
            return
        limit_unsent(transport)
        self._opening = ServerOpening(
            self._admission,
            ws.local_address,
            ws.remote_address,
            0.0,  # the clock is the endpoint's
            is_encrypted=transport.get_extra_info("ssl_object") is not None,
            verdict=verdict,
            context=ws._context,
        )
        self._act(ws)

    def receive(self, ws: WebSocket, data: bytes) -> None:
        """Go on with the request, and answer it when it is complete."""
        if self._opening is not None:
            self._opening.received(data)
            self._act(ws)

    def eof(self, ws: WebSocket) -> None:
        """Say what is wrong with half a request."""
        if self._opening is not None:
            self._opening.received_eof()
            self._act(ws)

    def expired(self, ws: WebSocket) -> None:
        """Answer in place of whoever is too slow: the peer, or who is to judge it."""
        if self._opening is not None:
            self._opening.time_is(inf)
            self._act(ws)

    def turn_away(self, ws: WebSocket) -> None:
        """The server closes, and waits for nobody's request."""
        if self._opening is not None:
            self._opening.turn_away()
            self._act(ws)

    def lost(self, ws: WebSocket, error: Exception | None) -> None:
        """Forget it."""
        if self._opening is not None:
            self._opening.closed()
            self._act(ws)
        self._left(ws)
        self._gone(ws)

    def _act(self, ws: WebSocket) -> None:
        """Do what the opening asks for."""
        opening = self._opening
        assert opening is not None
        if opening.stage is Stage.HOOK:
            self._think(ws, opening)
        elif opening.stage >= Stage.OPEN:
            self._opening = None
            self._stop_thinking(ws)
            if ws.transport is not None:
                self._end(ws, opening)
            watch_repeats()

    def _end(self, ws: WebSocket, opening: ServerOpening) -> None:
        assert ws.transport is not None
        ws.transport.write(opening.output())
        self._left(ws)
        if opening.opened is not None:
            self._settled = opening.opened.without_rest()
            ws.user, ws.subprotocol = self._settled.user, self._settled.subprotocol
            ws.opened(self._new_connection(opening.deflate), opening.opened.rest)
        elif opening.stage is Stage.LINGER:
            ws.not_opened()
        else:
            ws.abort()

    def _think(self, ws: WebSocket, opening: ServerOpening) -> None:
        """Let the application think; who sends much meanwhile, unasked, is read no more."""
        if self._thinking is None and opening.thinking is not None:
            loop = asyncio.get_running_loop()
            self._thinking = loop.create_task(_outcome_of(opening.thinking), context=ws._context)
            self._thinking.add_done_callback(lambda task: self._decide(ws, task))
        if not opening.wants_read and ws.transport is not None:
            ws.transport.pause_reading()

    def _decide(self, ws: WebSocket, task: asyncio.Task[Answer]) -> None:
        is_answer = not task.cancelled() and task.exception() is None
        if self._opening is not None:
            self._opening.answered(task.result() if is_answer else FAILED)
            self._act(ws)

    def _stop_thinking(self, ws: WebSocket) -> None:
        if self._thinking is not None:
            self._thinking.cancel()
            self._thinking = None
            if ws.transport is not None:
                ws.transport.resume_reading()


async def _outcome_of(answer: Awaitable[Answer]) -> Answer:
    return await answer


class Connecting(Opening):
    """The client's side; `done` is a future that gets the open `WebSocket`, or why there is none."""

    def __init__(
        self, options: Options, pool: DeflatePool, handshake: ClientHandshake, done: asyncio.Future[WebSocket]
    ) -> None:
        super().__init__(CLIENT, options, pool)
        self._handshake = handshake
        self._done = done

    def begin(self, ws: WebSocket) -> None:
        """Send the request."""
        assert ws.transport is not None
        ws.transport.write(self._handshake.data_to_send())

    def receive(self, ws: WebSocket, data: bytes) -> None:
        """Go on with the answer."""
        if self._done.done():
            return
        try:
            response = self._handshake.receive_data(data)
        except HandshakeError as error:
            self._fail(ws, error)
            return
        if response is not None:
            ws.response = response
            ws.subprotocol = self._handshake.subprotocol
            ws.opened(self._new_connection(self._handshake.deflate), bytes(self._handshake.rest))
            self._done.set_result(ws)

    def eof(self, ws: WebSocket) -> None:
        """A refusal may end without saying how long it is."""
        if not self._done.done():
            try:
                self._handshake.receive_eof()
            except HandshakeError as error:
                self._fail(ws, error)

    def expired(self, ws: WebSocket) -> None:
        """Give up; if the server has refused, and its answer does not end, that is known all the same."""
        self._fail(ws, self._refusal() or TimeoutError("the server took too long for the opening handshake"))

    def lost(self, ws: WebSocket, error: Exception | None) -> None:
        """Say why, if nobody was told."""
        if not self._done.done():
            lost = error or ConnectionResetError("the server broke off during the opening handshake")
            self._done.set_exception(self._refusal() or lost)

    def _refusal(self) -> HandshakeError | None:
        try:
            self._handshake.receive_eof()
        except HandshakeError as error:
            return error if error.response is not None else None
        return None

    def _fail(self, ws: WebSocket, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)
        ws.abort()
