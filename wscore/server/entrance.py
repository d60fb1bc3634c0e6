"""The way in over streams: which bytes are read and written before there is a WebSocket, and for how long.

Decides that the PROXY protocol header, TLS, the request and the answer together take at most `handshake_timeout`, that
a closing server waits for nobody's request, and what is still said to those who took too long. What is said stands in
`admission`.
"""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from ssl import SSLContext

import trio

from wscore.protocol.handshake import Refuse, Request
from wscore.server.admission import CLOSING, CROWDED, Admission, Visit
from wscore.session.options import Options
from wscore.session.site.application import Answer
from wscore.session.site.limits import Place
from wscore.session.site.refusals import Refusal
from wscore.transport.addresses import addresses_of
from wscore.transport.tls import start_tls
from wscore.transport.trio_glue import unwrapped

__all__ = ["Entrance"]

_RECEIVE_SIZE = 1 << 14
# How long a peer has to take a refusal, whatever is left of the handshake's time.
_FAREWELL_TIME = 2.0
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Entrance:
    """Where the streams of one server come in."""

    def __init__(self, options: Options, admission: Admission, ssl_context: SSLContext | None) -> None:
        self._timeout = options.handshake_timeout
        self._admission = admission
        self._ssl_context = ssl_context
        self._interruptible: set[trio.CancelScope] = set()

    def close(self) -> None:
        """Everybody gets 503, those at once whose request has not come yet."""
        self._admission.close()
        for scope in self._interruptible:
            scope.cancel()

    async def admit(
        self, stream: trio.abc.Stream, place: Place | None = None, remote: object = None
    ) -> tuple[trio.abc.Stream | None, Visit]:
        """Lead one connection in, or tell it why not; the stream to go on with, TLS included, if `visit.opening` says
        that it is a WebSocket now. Else it is to be closed: at once if `visit.is_dropped`, otherwise with patience;
        None if TLS did not come about. `place` is what it occupies, `remote` the peer's address, if that is known.

        Raises only what is no Exception; closes nothing. Cancelled, it is left as it is.
        """
        is_encrypted = self._ssl_context is not None or isinstance(stream, trio.SSLStream)
        local, peer = addresses_of(stream)
        visit = self._admission.visit(local, remote or peer, is_encrypted=is_encrypted, place=place)
        top = None
        try:
            with trio.fail_after(self._timeout):
                await self._read_header(stream, visit, place)
                top = None if visit.is_dropped else await self._encrypt(stream, visit, place)
                if top is not None:
                    await self._respond(top, visit, visit.refusal or await self._receive(top, visit, place))
        except trio.TooSlowError:
            visit.opening = None
            await self._give_up(top, visit)
        except _GONE:
            visit.opening = None
        except Exception:
            visit.ended("error")
            raise
        if visit.opening is None:
            visit.ended()
        return top, visit

    @contextmanager
    def _waiting(self, place: Place | None) -> Iterator[None]:
        """Leave the block when `close` is called, or others need the place."""
        with trio.CancelScope() as scope:
            self._interruptible.add(scope)
            if place is not None:
                place.waits(scope.cancel)
            if self._admission.is_closing:
                scope.cancel()
            try:
                yield
            finally:
                self._interruptible.discard(scope)

    async def _read_header(self, stream: trio.abc.Stream, visit: Visit, place: Place | None) -> None:
        """Read the PROXY protocol header, where there is one, and not a byte more: what follows may be TLS."""
        with self._waiting(place):
            while visit.header is not None and not visit.is_dropped:
                visit.receive_header(await stream.receive_some(visit.header.wanted))
        if visit.header is not None:
            visit.drop(_why_interrupted(place).reason)

    async def _encrypt(self, stream: trio.abc.Stream, visit: Visit, place: Place | None) -> trio.abc.Stream | None:
        """Shake hands on TLS, if that is spoken; None if that failed, or we do not wait. Nothing can be said then."""
        if self._ssl_context is None:
            return stream
        try:
            with self._waiting(place):
                return await start_tls(stream, self._ssl_context, server_side=True)
            visit.ended(_why_interrupted(place).reason)
        except OSError as error:
            visit.tls_failed(error)
        return None

    async def _receive(self, stream: trio.abc.Stream, visit: Visit, place: Place | None) -> Request | Refuse | None:
        """The request; or what is to be said instead; or None, if the peer has gone without a word."""
        with self._waiting(place):
            while data := await stream.receive_some(_RECEIVE_SIZE):
                result = visit.receive(data)
                if result is not None:
                    if place is not None:
                        place.stays()
                    return result
            return visit.receive(b"")
        return _why_interrupted(place)

    async def _respond(self, stream: trio.abc.Stream, visit: Visit, received: Request | Refuse | None) -> None:
        if received is not None and not visit.is_dropped:
            answer = await self._ask(stream, visit, received) if isinstance(received, Request) else received
            await stream.send_all(visit.respond(answer))

    async def _ask(self, stream: trio.abc.Stream, visit: Visit, request: Request) -> Answer:
        answer = self._admission.ask(request)
        return await self._wait(stream, visit, answer) if isinstance(answer, Awaitable) else answer

    async def _wait(self, stream: trio.abc.Stream, visit: Visit, thinking: Awaitable[Answer]) -> Answer:
        """The answer of an application that thinks. If the peer goes meanwhile, it is interrupted, and that is raised:
        its place is given back.
        """
        answer: Answer | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_listen_meanwhile, stream, visit, nursery.cancel_scope)
                answer = await thinking
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise unwrapped(group) from None
        if answer is None:
            raise trio.BrokenResourceError("the peer has gone")
        return answer

    async def _give_up(self, stream: trio.abc.Stream | None, visit: Visit) -> None:
        """The time is over: say so, if something can be said."""
        if visit.header is not None:
            visit.drop("proxy_header")
        elif stream is None:
            visit.tls_failed()
        elif not visit.answered:
            with trio.move_on_after(_FAREWELL_TIME), suppress(*_GONE):
                await self._respond(stream, visit, visit.overdue())


async def _listen_meanwhile(stream: trio.abc.Stream, visit: Visit, thinking: trio.CancelScope) -> None:
    """Take what comes until the end: who sends much, unasked, is read no more."""
    data: bytes | bytearray = b"more"
    while data and not visit.has_enough:
        try:
            data = await stream.receive_some(_RECEIVE_SIZE)
        except _GONE:
            data = b""
        if not visit.receive_meanwhile(data):
            thinking.cancel()


def _why_interrupted(place: Place | None) -> Refusal:
    return CROWDED if place is not None and place.has_given_way else CLOSING
