"""The opening handshake of one connection, on either side: what a `WebSocket` does before it is one.

Decides when which step of `Handshake` is taken, and what becomes of a connection that is no WebSocket. All rules of the
handshake are the protocol layer's; who may connect is the server's to say.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from wscore.codec import CLIENT, SERVER, DeflatePool
from wscore.protocol.connection import Connection
from wscore.protocol.handshake import Accept, ClientHandshake, HandshakeError, Refuse, Request, ServerHandshake

from .delivery import limit_unsent

if TYPE_CHECKING:
    from collections.abc import Callable

    from wscore.codec import Role
    from wscore.protocol.extensions import DeflateParameters

    from .options import Options
    from .websocket import WebSocket

__all__ = ["ClientOpening", "Opening", "ServerOpening"]


class Opening(ABC):
    """What a `WebSocket` asks until it is open."""

    def __init__(self, role: Role, options: Options, pool: DeflatePool) -> None:
        self._role = role
        self._options = options
        self._pool = pool

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


class ServerOpening(Opening):
    """The server's side.

    `came(ws)` is told of the connection, and says if it is refused whatever it asks for; `judge(ws, request)` says who
    may connect, or is awaited for that, both in the context of the connection; `failed(error)` is told what these
    raise; `left(ws)` is called when the handshake is over, and `gone(ws)` when the transport is.
    """

    def __init__(
        self,
        options: Options,
        pool: DeflatePool,
        handshake: ServerHandshake,
        judge: Callable[[WebSocket, Request], Accept | Refuse | Awaitable[Accept | Refuse]],
        *,
        came: Callable[[WebSocket], Refuse | None],
        failed: Callable[[Exception], object],
        left: Callable[[WebSocket], object],
        gone: Callable[[WebSocket], object],
    ) -> None:
        super().__init__(SERVER, options, pool)
        self._handshake = handshake
        self._judge = judge
        self._refusal: Refuse | None = None
        self._came = came
        self._failed = failed
        self._left = left
        self._gone = gone
        self._thinking: asyncio.Task[Accept | Refuse] | None = None
        self._early = b""  # what has come while it thinks

    def begin(self, ws: WebSocket) -> None:
        """Begin to listen. With TLS its handshake is over by now; if it fails, nobody is told."""
        self._refusal = self._came(ws)
        if ws.transport is not None:
            limit_unsent(ws.transport)

    def receive(self, ws: WebSocket, data: bytes) -> None:
        """Go on with the request, and answer it when it is complete."""
        if self._handshake.status is not None:
            return
        if self._thinking is not None:
            self._receive_meanwhile(ws, data)
            return
        result = self._handshake.receive_data(data)
        if isinstance(result, Refuse):
            self._respond(ws)
        elif result is not None:
            self._ask(ws, result)

    def _receive_meanwhile(self, ws: WebSocket, data: bytes) -> None:
        """What comes early is for the WebSocket. Who sends something, unasked, is read no more; of all others it shows
        when they go.
        """
        if not self._early:
            ws.transport.pause_reading()  # type: ignore[union-attr]
        self._early += data

    def _ask(self, ws: WebSocket, request: Request) -> None:
        ws.request = request
        try:
            answer = self._refusal or ws._context.run(self._judge, ws, request)
        except Exception as error:
            self._failed(error)
            answer = _INTERNAL_ERROR
        if isinstance(answer, Awaitable):
            self._thinking = asyncio.get_running_loop().create_task(_outcome_of(answer), context=ws._context)
            self._thinking.add_done_callback(lambda _: self._decide(ws))
        else:
            self._answer(ws, answer)

    def _decide(self, ws: WebSocket) -> None:
        thinking = self._thinking
        if thinking is None or self._handshake.status is not None or ws.transport is None:
            return
        self._read_on(ws)
        if thinking.cancelled():
            self._answer(ws, _INTERNAL_ERROR)
        elif (error := thinking.exception()) is not None:
            if isinstance(error, Exception):
                self._failed(error)
            self._answer(ws, _INTERNAL_ERROR)
        else:
            self._answer(ws, thinking.result())

    def _read_on(self, ws: WebSocket) -> None:
        if self._early:
            ws.transport.resume_reading()  # type: ignore[union-attr]

    def _answer(self, ws: WebSocket, answer: Accept | Refuse) -> None:
        try:
            self._handshake.answer(answer)
        except Exception as error:
            # Such as the choice of a subprotocol that was not offered.
            self._failed(error)
            answer = _INTERNAL_ERROR
            self._handshake.answer(answer)
        if isinstance(answer, Accept):
            ws.user = answer.user
        self._respond(ws)

    def _respond(self, ws: WebSocket) -> None:
        handshake = self._handshake
        assert ws.transport is not None
        ws.transport.write(handshake.data_to_send())
        self._left(ws)
        if handshake.accepted:
            ws.subprotocol = handshake.subprotocol
            rest = bytes(handshake.rest) + self._early
            # It would be kept, with all that has come so far, as long as the connection.
            self._handshake, self._early = _SPENT, b""
            ws.opened(self._new_connection(handshake.deflate), rest)
        else:
            ws.not_opened()

    def eof(self, ws: WebSocket) -> None:
        """Say what is wrong with half a request."""
        if self._handshake.receive_eof() is not None and ws.transport is not None:
            ws.transport.write(self._handshake.data_to_send())

    def expired(self, ws: WebSocket) -> None:
        """Answer in place of whoever is too slow: the peer, or who is to judge it."""
        if self._thinking is not None:
            thinking, self._thinking = self._thinking, None
            thinking.cancel()
            self._read_on(ws)
            self._answer(ws, Refuse(503, "This took the server too long."))
        else:
            self._answer(ws, Refuse(408, "The request took too long."))

    def lost(self, ws: WebSocket, error: Exception | None) -> None:
        """Forget it."""
        if self._thinking is not None:
            self._thinking.cancel()
        self._left(ws)
        self._gone(ws)


async def _outcome_of(answer: Awaitable[Accept | Refuse]) -> Accept | Refuse:
    return await answer


_SPENT = ServerHandshake()
_INTERNAL_ERROR = Refuse(500, "The server failed to decide about this request.")


class ClientOpening(Opening):
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
