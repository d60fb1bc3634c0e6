"""The way in: what is decided on a connection between its first byte and the WebSocket, or the refusal.

Decides the order and the words: the head of the request, the checks of Host and Origin, the application's
`on_request`, the answer. Whatever goes wrong has an HTTP status. All of it is in steps without I/O, which each
transport takes in its own way: `Visit.receive` until there is something to answer, `Admission.ask`, `Visit.respond`.
It refuses to know how bytes and time pass, how requests are parsed (that is the protocol layer's), what pages say, how
many may come in at once, and what follows.

RFC 6455 section 4.2; RFC 9110 section 15.5.
"""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import TypeAlias

from wscore.codec import SERVER
from wscore.protocol.extensions import DeflateParameters
from wscore.protocol.handshake import Accept, Page, Received, Refuse, Request, ServerHandshake
from wscore.server import pages
from wscore.server.logs import escape, fields, logger
from wscore.server.origin import SitePolicy
from wscore.server.statistics import Tally
from wscore.transport.options import Options
from wscore.transport.records import Opening

__all__ = ["CLOSING", "FULL", "Admission", "Answer", "OnRequest", "Refusal", "Visit"]

Answer: TypeAlias = Accept | Refuse | Page
OnRequest: TypeAlias = Callable[[Request], Answer | Awaitable[Answer]]


class Refusal(Refuse):
    """A refusal of the server's own; `reason` is the word that it is counted under."""

    __slots__ = ("reason",)
    reason: str

    def __init__(self, status: int, sentence: str, reason: str) -> None:
        super().__init__(status, sentence)
        object.__setattr__(self, "reason", reason)


_TOO_SLOW = Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request took too long to come.", "slow_request")
_TOO_LONG = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server took too long to answer.", "slow_answer")
CLOSING = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server is shutting down.", "closing")
FULL = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server has as many connections as it can take.", "full")
_FAILED = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed to answer this request.", "error")


class Admission:
    """What the connections of one server go through.

    `sites` may be set until the first visit. Raises `ValueError` for subprotocols that are none.
    """

    def __init__(
        self,
        options: Options,
        *,
        subprotocols: Sequence[str],
        sites: SitePolicy,
        on_request: OnRequest | None,
        pages: pages.Pages | None,
        tally: Tally,
    ) -> None:
        self._options = options
        self._subprotocols = subprotocols
        self._sites = sites
        self._on_request = on_request or (_accept if pages is None else _accept_or_page)
        self.pages = pages or {}
        self.tally = tally
        self.is_closing = False
        self._new_handshake()

    def close(self) -> None:
        """From now on, everybody gets 503."""
        self.is_closing = True

    def visit(self, local: object, remote: object) -> "Visit":
        """A connection has come in, from `remote` to `local`."""
        return Visit(self, self._new_handshake(), local, remote)

    def _new_handshake(self) -> ServerHandshake:
        options = self._options
        return ServerHandshake(
            SERVER,
            subprotocols=self._subprotocols,
            compression=options.compression,
            max_head_size=options.max_head_size,
            max_headers=options.max_headers,
        )

    def ask(self, request: Request) -> Answer | Awaitable[Answer]:
        """What is to be said to a request; or, if the application wants to think about it, what to await for that.

        Neither raises an `Exception`: if the application fails, that is its error and not the peer's (500).
        """
        objection = self._sites.objection_to(request)
        if objection is not None:
            facts = fields(event="objection", reason=objection.reason)
            logger.warning("refused with 403: %s", objection.log, extra=facts)
            return Refusal(HTTPStatus.FORBIDDEN, objection.sentence, objection.reason)
        try:
            answer = self._on_request(request)
            return self._await(request, answer) if isinstance(answer, Awaitable) else self._checked(answer)
        except Exception:
            return self.failed("on_request", request)

    async def _await(self, request: Request, thinking: Awaitable[Answer]) -> Answer:
        try:
            return self._checked(await thinking)
        except Exception:
            return self.failed("on_request", request)

    def _checked(self, answer: object) -> Answer:
        if not isinstance(answer, Answer):
            raise TypeError(f"on_request must return Accept, Refuse or Page, not {type(answer).__name__}")
        return CLOSING if self.is_closing and isinstance(answer, Accept) else answer

    def failed(self, what: str, request: Request | None) -> Refusal:
        """Log and count the exception that is being handled; what to tell the peer."""
        self.tally.errors += 1
        facts = fields(event="hook_failed", hook=what, path=request and request.path)
        logger.exception("%s to %s failed; it is answered with 500", what, _described(request), extra=facts)
        return _FAILED


class Visit:
    """One connection on its way in. `opening` says that it is a WebSocket now."""

    __slots__ = ("_admission", "_handshake", "_local", "_remote", "answered", "opening")

    def __init__(self, admission: Admission, handshake: ServerHandshake, local: object, remote: object) -> None:
        self._admission = admission
        self._handshake = handshake
        self._local = local
        self._remote = remote
        self.answered = False
        self.opening: Opening | None = None

    @property
    def deflate(self) -> DeflateParameters | None:
        """What was agreed on about compression."""
        return self._handshake.deflate

    def receive(self, data: Received) -> Request | Refuse | None:
        """Take bytes, b"" for their end; the request, or what is to be said instead, or None for not yet (or, at the
        end, for a peer that has gone without a word).
        """
        return self._handshake.receive_data(data) if data else self._handshake.receive_eof()

    def overdue(self) -> Refuse:
        """What to say when the time is over: whoever kept us waiting, the peer or the application."""
        return _TOO_SLOW if self._handshake.request is None else _TOO_LONG

    def respond(self, answer: Answer) -> bytes:
        """The response, to be sent; refusals are counted. Without `opening` all has been said then."""
        self.answered = True
        output = self._encode(answer)
        if self._handshake.accepted:
            assert isinstance(answer, Accept)
            self.opening = Opening(
                request=self._handshake.request,
                subprotocol=self._handshake.subprotocol,
                user=answer.user,
                local_address=self._local,
                remote_address=self._remote,
                rest=self._handshake.rest,
            )
        return output

    def _encode(self, answer: Answer) -> bytes:
        admission, handshake = self._admission, self._handshake
        reason = _reason_of(answer, handshake)
        try:
            if isinstance(answer, Page):
                admission.tally.pages += 1
                return pages.answer(handshake.received, admission.pages)
            if handshake.status is None:
                handshake.answer(answer)
        except Exception:
            failed = admission.failed("the answer", handshake.request)
            handshake.answer(failed)
            reason = failed.reason
        if handshake.status is not None and not handshake.accepted:
            self._count_refusal(handshake.status, reason)
        return handshake.data_to_send()

    def _count_refusal(self, status: int, reason: str) -> None:
        tally = self._admission.tally
        tally.refusals[status] += 1
        tally.reasons[reason] += 1
        request, peer = self._handshake.request, escape(str(self._remote))
        facts = fields(event="refused", status=status, reason=reason, path=request and request.path, remote=peer)
        logger.info("refused with %d: %s from %s", status, _described(request), peer, extra=facts)


def _reason_of(answer: Answer, handshake: ServerHandshake) -> str:
    """The word to count this answer under, should it be a refusal."""
    if isinstance(answer, Refusal):
        return answer.reason
    if handshake.status is not None:
        return "malformed"  # the handshake has refused a request that breaks a rule of HTTP or RFC 6455
    return "application" if isinstance(answer, Refuse) else "no_upgrade"


def _accept(request: Request) -> Answer:
    return Accept()


def _accept_or_page(request: Request) -> Answer:
    return Accept() if request.is_upgrade else Page()


def _described(request: Request | None) -> str:
    # The query may hold a token.
    return "a request" if request is None else escape(f"{request.method} {request.path}")
