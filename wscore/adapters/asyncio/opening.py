"""The opening handshake of one connection, on either side: what a `WebSocket` does before it is one.

Decides how what an opening asks for is done on a transport of asyncio's. What happens in which order on a server, and
what is said, stands in `session.opening`; all rules of the handshake are the protocol layer's.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from wscore.codec import SERVER, DeflatePool
from wscore.protocol.handshake import HandshakeError, Request
from wscore.session.opening import ClientOpening, Driver, ServerOpening
from wscore.session.site.refusals import FAILED

from .logs import watch_repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from wscore.session.opening import Opening as Settled
    from wscore.session.site.admission import Admission
    from wscore.session.site.application import Answer
    from wscore.session.site.refusals import Refusal

    from .options import Options
    from .websocket import WebSocket

__all__ = ["Accepting", "Connecting", "Entrance", "Opening"]


class Opening(ABC):
    """What a `WebSocket` asks until it is open."""

    __slots__ = ()

    @property
    def request(self) -> Request | None:
        """The peer's request, on a server; None before it has come."""
        return None

    def turn_away(self) -> None:  # noqa: B027 - a client's is nobody's to turn away
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

    def over(self, ws: WebSocket) -> None:  # noqa: B027 - a client's end is told to who uses it
        """What was opened has ended."""

    @abstractmethod
    def lost(self, ws: WebSocket, error: Exception | None) -> None:
        """The transport is gone, now or later."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """What the connections of one server have in common on their way in; `admission` says who may connect.

    `came(ws)` is told of a connection, and says what it is refused with, whatever it asks for; `left(ws)` is called
    when its handshake is over, `over(ws)` when the WebSocket is, and `lost(ws)` when the transport is.
    """

    options: Options
    pool: DeflatePool
    admission: Admission
    came: Callable[[WebSocket], Refusal | None]
    left: Callable[[WebSocket], object]
    over: Callable[[WebSocket], object]
    lost: Callable[[WebSocket], object]


class Accepting(Driver, Opening):
    """The server's side: the driver of a `ServerOpening`."""

    __slots__ = ("_entrance", "_settled", "_thinking", "_ws")

    def __init__(self, entrance: Entrance) -> None:
        Driver.__init__(self)
        self._entrance = entrance
        self._ws: WebSocket | None = None  # while the handshake is under way
        self._settled: Settled | None = None
        self._thinking: asyncio.Task[Answer] | None = None

    @property
    def request(self) -> Request | None:
        """The request, made when it is first asked for."""
        if self._settled is not None:
            return self._settled.request
        return None if self.opening is None else self.opening.request

    # What the endpoint tells

    def begin(self, ws: WebSocket) -> None:
        """Begin to listen. With TLS its handshake is over by now; if it fails, nobody is told."""
        entrance, transport = self._entrance, ws.transport
        verdict = entrance.came(ws)
        if transport is None or transport.is_closing():
            return
        self._ws = ws
        admission = entrance.admission
        local = None if admission.sites_at is None else ws.local_address
        tls, context = ws._is_encrypted, ws._context
        # The clock is the endpoint's.
        self.start(
            ServerOpening(admission, local, ws.remote_address, 0.0, is_encrypted=tls, verdict=verdict, context=context)
        )

    def receive(self, ws: WebSocket, data: bytes) -> None:
        """Go on with the request, and answer it when it is complete."""
        self.received(data)

    def eof(self, ws: WebSocket) -> None:
        """Say what is wrong with half a request."""
        self.received(b"")

    def expired(self, ws: WebSocket) -> None:
        """Answer in place of whoever is too slow: the peer, or who is to judge it."""
        self.tell(ServerOpening.time_is, inf)

    def over(self, ws: WebSocket) -> None:
        """Count it, and say why, if it was lost."""
        self._entrance.over(ws)

    def lost(self, ws: WebSocket, error: Exception | None) -> None:
        """Forget it."""
        self.gone()
        self._ws = None
        self._entrance.left(ws)
        self._entrance.lost(ws)

    # What is to be done

    def open(self, opening: ServerOpening) -> None:
        assert opening.opened is not None
        ws = self._leave(opening.output())
        self._settled = opening.opened.without_rest()
        self._entrance.admission.tally.accepted += 1
        ws.user, ws.subprotocol = self._settled.user, self._settled.subprotocol
        options, pool = self._entrance.options, self._entrance.pool
        ws.opened(options.new_connection(SERVER, pool, opening.deflate), opening.opened.rest)

    def say_last(self, output: bytes) -> None:
        watch_repeats()
        self._leave(output).not_opened()

    def close(self, output: bytes) -> None:
        watch_repeats()
        self._leave(output).abort()

    def reset(self) -> None:
        self.close(b"")

    def _leave(self, output: bytes) -> WebSocket:
        """The handshake is over."""
        ws, self._ws = self._ws, None
        assert ws is not None
        assert ws.transport is not None
        ws.transport.write(output)
        self._entrance.left(ws)
        return ws

    def start_tls(self, rest: bytes) -> None:
        raise AssertionError("TLS is asyncio's")

    def think(self, thinking: Awaitable[Answer]) -> None:
        assert self._ws is not None
        self._thinking = asyncio.get_running_loop().create_task(_outcome_of(thinking), context=self._ws._context)
        self._thinking.add_done_callback(self._decide)

    def _decide(self, task: asyncio.Task[Answer]) -> None:
        is_answer = not task.cancelled() and task.exception() is None
        self.tell(ServerOpening.answered, task.result() if is_answer else FAILED)

    def stop_thinking(self) -> None:
        if self._thinking is not None:
            self._thinking.cancel()
            if self._ws is not None and self._ws.transport is not None:
                self._ws.transport.resume_reading()

    def pause(self) -> None:
        assert self._ws is not None
        assert self._ws.transport is not None
        self._ws.transport.pause_reading()


async def _outcome_of(answer: Awaitable[Answer]) -> Answer:
    return await answer


class Connecting(Opening):
    """The client's side; `done` is a future that gets the open `WebSocket`, or why there is none."""

    def __init__(
        self, options: Options, pool: DeflatePool, opening: ClientOpening, done: asyncio.Future[WebSocket]
    ) -> None:
        self._options = options
        self._pool = pool
        self._opening = opening
        self._done = done

    def begin(self, ws: WebSocket) -> None:
        """Send the request."""
        assert ws.transport is not None
        ws.transport.write(self._opening.request())

    def receive(self, ws: WebSocket, data: bytes) -> None:
        """Go on with the answer; it may be the end, b"": a refusal may end without saying how long it is."""
        if self._done.done():
            return
        opening = self._opening
        try:
            is_open = opening.received(data)
        except HandshakeError as error:
            self._fail(ws, error)
            return
        if is_open:
            settled = opening.opened()
            ws.response, ws.subprotocol = settled.response, settled.subprotocol
            ws.opened(opening.new_connection(self._options, self._pool), settled.rest)
            self._done.set_result(ws)

    def eof(self, ws: WebSocket) -> None:
        """The server sends no more."""
        self.receive(ws, b"")

    def expired(self, ws: WebSocket) -> None:
        """Give up."""
        self._fail(ws, self._opening.failure(TimeoutError("the server took too long for the opening handshake")))

    def lost(self, ws: WebSocket, error: Exception | None) -> None:
        """Say why, if nobody was told."""
        if not self._done.done():
            self._done.set_exception(self._opening.failure(error))

    def _fail(self, ws: WebSocket, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)
        ws.abort()
