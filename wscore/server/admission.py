"""The way in: what happens on a connection between its first byte and the WebSocket, or the refusal.

Decides the order and the words: TLS, the head of the request, the checks of Host and Origin, the application's
`on_request`, the answer; all of it in `handshake_timeout`. Whatever goes wrong has an HTTP status, unless TLS never
came about. It refuses to know how requests are parsed (that is the protocol layer's), what pages say, how many may come
in at once, and what follows.

RFC 6455 section 4.2; RFC 9110 section 15.5.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from ssl import SSLContext
from typing import TypeAlias

import trio

from wscore.codec import SERVER
from wscore.protocol.handshake import Accept, Page, Refuse, Request, ServerHandshake
from wscore.server import pages
from wscore.server.logs import escape, logger
from wscore.server.origin import SitePolicy
from wscore.server.statistics import Tally
from wscore.transport.addresses import addresses_of
from wscore.transport.options import Options
from wscore.transport.records import Opening
from wscore.transport.tls import start_tls

__all__ = ["Admission", "Answer", "OnRequest", "Visit"]

Answer: TypeAlias = Accept | Refuse | Page
OnRequest: TypeAlias = Callable[[Request], Answer | Awaitable[Answer]]

_RECEIVE_SIZE = 1 << 14
# How long a peer has to take a refusal, whatever is left of the handshake's time.
_FAREWELL_TIME = 2.0
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)

_TOO_SLOW = Refuse(HTTPStatus.REQUEST_TIMEOUT, "The request took too long to come.")
_TOO_LONG = Refuse(HTTPStatus.SERVICE_UNAVAILABLE, "The server took too long to answer.")
_CLOSING = Refuse(HTTPStatus.SERVICE_UNAVAILABLE, "The server is shutting down.")
_FULL = Refuse(HTTPStatus.SERVICE_UNAVAILABLE, "The server has as many connections as it can take.")
_FAILED = Refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed to answer this request.")


class Visit:
    """One connection on its way in. Afterwards, `stream` is the one to go on with, TLS included.

    `opening` says that it is a WebSocket now; without, all has been said, and the stream is to be closed with patience.
    """

    __slots__ = ("answered", "encrypted", "handshake", "opening", "stream")

    def __init__(self, stream: trio.abc.Stream, handshake: ServerHandshake) -> None:
        self.stream = stream
        self.handshake = handshake
        self.encrypted = False
        self.answered = False
        self.opening: Opening | None = None


class Admission:
    """What the connections of one server go through.

    `sites` may be set until the first visit. Raises `ValueError` for subprotocols that are none.
    """

    def __init__(
        self,
        options: Options,
        *,
        ssl_context: SSLContext | None,
        subprotocols: Sequence[str],
        sites: SitePolicy,
        on_request: OnRequest | None,
        pages: pages.Pages | None,
        tally: Tally,
    ) -> None:
        self._options = options
        self._ssl_context = ssl_context
        self._subprotocols = subprotocols
        self._sites = sites
        self._on_request = on_request or (_accept if pages is None else _accept_or_page)
        self._pages = pages or {}
        self._tally = tally
        self._is_closing = False
        self._interruptible: set[trio.CancelScope] = set()
        self._new_handshake()

    def close(self) -> None:
        """From now on, everybody gets 503, those at once whose request has not come yet."""
        self._is_closing = True
        for scope in self._interruptible:
            scope.cancel()

    async def admit(self, stream: trio.abc.Stream, *, server_is_full: bool = False) -> Visit:
        """Lead one connection in, or tell it why not. Raises only what is no Exception; closes nothing."""
        visit = Visit(stream, self._new_handshake())
        try:
            with trio.fail_after(self._options.handshake_timeout):
                if await self._encrypt(visit):
                    answer = _FULL if server_is_full else await self._receive(visit)
                    await self._respond(visit, answer)
        except trio.TooSlowError:
            await self._give_up(visit)
        except _GONE:
            pass
        return visit

    def _new_handshake(self) -> ServerHandshake:
        options = self._options
        return ServerHandshake(
            SERVER,
            subprotocols=self._subprotocols,
            compression=options.compression,
            max_head_size=options.max_head_size,
            max_headers=options.max_headers,
        )

    @contextmanager
    def _until_closing(self) -> Iterator[None]:
        """Leave the block when `close` is called."""
        with trio.CancelScope() as scope:
            self._interruptible.add(scope)
            if self._is_closing:
                scope.cancel()
            try:
                yield
            finally:
                self._interruptible.discard(scope)

    async def _encrypt(self, visit: Visit) -> bool:
        """Shake hands on TLS, where there is TLS; whether that succeeded. Without, there is no way to say anything."""
        if self._ssl_context is not None:
            try:
                with self._until_closing():
                    visit.stream = await start_tls(visit.stream, self._ssl_context, server_side=True)
                    visit.encrypted = True
            except OSError as error:
                self._tally.tls_failures += 1
                logger.info("a TLS handshake failed: %s", escape(str(error)))
        return visit.encrypted or self._ssl_context is None

    async def _receive(self, visit: Visit) -> Request | Refuse | None:
        """The request; or what is to be said instead; or None, if the peer has gone without a word."""
        with self._until_closing():
            while data := await visit.stream.receive_some(_RECEIVE_SIZE):
                result = visit.handshake.receive_data(data)
                if result is not None:
                    return result
            return visit.handshake.receive_eof()
        return _CLOSING

    async def _respond(self, visit: Visit, received: Request | Refuse | None) -> None:
        answer = await self._judge(received) if isinstance(received, Request) else received
        if answer is None:
            return
        output = self._encode(visit, answer)
        visit.answered = True
        await visit.stream.send_all(output)
        if visit.handshake.accepted:
            assert isinstance(answer, Accept)
            visit.opening = _opening_of(visit, answer)

    async def _judge(self, request: Request) -> Answer:
        objection = self._sites.objection_to(request)
        if objection is not None:
            logger.warning("refused with 403: %s", objection.log)
            return Refuse(HTTPStatus.FORBIDDEN, objection.sentence)
        answer = await self._ask(request)
        return _CLOSING if self._is_closing and isinstance(answer, Accept) else answer

    async def _ask(self, request: Request) -> Answer:
        """What the application says; if it fails, that is its error and not the peer's."""
        try:
            answer = self._on_request(request)
            if isinstance(answer, Awaitable):
                answer = await answer
            if not isinstance(answer, Answer):
                raise TypeError(f"on_request must return Accept, Refuse or Page, not {type(answer).__name__}")
        except Exception:
            return self._failed("on_request", request)
        return answer

    def _encode(self, visit: Visit, answer: Answer) -> bytes:
        """The response; those that refuse are counted."""
        handshake = visit.handshake
        try:
            if isinstance(answer, Page):
                self._tally.pages += 1
                return pages.answer(handshake.received, self._pages)
            if handshake.status is None:
                handshake.answer(answer)
        except Exception:
            handshake.answer(self._failed("the answer", handshake.request))
        if handshake.status is not None and not handshake.accepted:
            self._count_refusal(visit, handshake.status)
        return handshake.data_to_send()

    def _failed(self, what: str, request: Request | None) -> Refuse:
        self._tally.errors += 1
        logger.exception("%s to %s failed; it is answered with 500", what, _described(request))
        return _FAILED

    def _count_refusal(self, visit: Visit, status: int) -> None:
        self._tally.refusals[status] += 1
        _, remote = addresses_of(visit.stream)
        logger.info("refused with %d: %s from %s", status, _described(visit.handshake.request), escape(str(remote)))

    async def _give_up(self, visit: Visit) -> None:
        """The time is over: say so, if something can be said."""
        if self._ssl_context is not None and not visit.encrypted:
            self._tally.tls_failures += 1
        elif not visit.answered:
            with trio.move_on_after(_FAREWELL_TIME), suppress(*_GONE):
                await self._respond(visit, _TOO_SLOW if visit.handshake.request is None else _TOO_LONG)


def _accept(request: Request) -> Answer:
    return Accept()


def _accept_or_page(request: Request) -> Answer:
    return Accept() if request.is_upgrade else Page()


def _opening_of(visit: Visit, answer: Accept) -> Opening:
    handshake = visit.handshake
    local, remote = addresses_of(visit.stream)
    return Opening(
        request=handshake.request,
        subprotocol=handshake.subprotocol,
        user=answer.user,
        local_address=local,
        remote_address=remote,
        rest=handshake.rest,
    )


def _described(request: Request | None) -> str:
    # The query may hold a token.
    return "a request" if request is None else escape(f"{request.method} {request.path}")
