"""The way in: what is decided on a connection between its first byte and the WebSocket, or the refusal.

Decides the order and the words: the PROXY protocol header, the limits of the client's address, the head of the
request, the checks of Host and Origin, the application's `authorize` and `on_request`, the answer. Whatever goes wrong
has an HTTP status, but for what gets no answer at all. All of it is in steps without I/O, which each transport takes in
its own way: `Visit.receive_header` where there is a `header`, `Visit.receive` until there is something to answer,
`Admission.ask`, `Visit.respond`. It refuses to know how bytes and time pass, how requests are parsed (that is the
protocol layer's), what pages say, how many may come in at once, and what follows.

RFC 6455 section 4.2; RFC 9110 section 15.5.
"""

import ssl
from collections.abc import Awaitable, Sequence
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from math import ceil

from wscore.codec import SERVER
from wscore.protocol.extensions import DeflateParameters
from wscore.protocol.handshake import Accept, Page, Received, Refuse, Request, ServerHandshake
from wscore.protocol.origin import SitePolicy
from wscore.protocol.request import Client, tell_client
from wscore.server import pages
from wscore.server.logs import escape, fields, logger
from wscore.session.logs import place_of
from wscore.session.options import Options
from wscore.session.site.application import Answer, Application, OnRequest, described
from wscore.session.site.auth import Authorize
from wscore.session.site.forwarded import TrustedProxies
from wscore.session.site.limits import Place
from wscore.session.site.proxy_protocol import ProxyHeader, ProxyHeaderError, is_same_end
from wscore.session.site.refusals import Refusal
from wscore.session.site.statistics import Tally
from wscore.transport.calling import interruptible
from wscore.transport.records import Opening
from wscore.transport.reserve import Reserve

__all__ = ["CLOSING", "CROWDED", "FULL", "Admission", "Answer", "OnRequest", "Refusal", "Visit"]

_TOO_SLOW = Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request took too long to come.", "slow_request")
_TOO_LONG = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server took too long to answer.", "slow_answer")
CLOSING = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server is shutting down.", "closing")
FULL = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server has as many connections as it can take.", "full")
CROWDED = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Too many others are waiting to connect.", "crowded")
_SHORT = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server is short of memory.", "memory")
_WELCOME = Accept()
_DATE = partial(formatdate, usegmt=True)
# What OpenSSL and Python take for a TLS handshake that is under way, measured: 43 kB before the first byte, and a
# record of 16 KiB that is not complete.
TLS_HANDSHAKE = 64 << 10
_CROWDED = "There are too many connections from this address."


class Admission:
    """What the connections of one server go through.

    `sites` may be set until the first visit. Raises `ValueError` for subprotocols that are none, and for a PROXY
    protocol header that nobody is trusted to send.
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
        authorize: Authorize | None = None,
        proxies: TrustedProxies | None = None,
        proxy_protocol: bool = False,
        reserve: Reserve | None = None,
    ) -> None:
        self._options = options
        self._subprotocols = subprotocols
        self._sites = sites
        self.has_hooks = bool(pages) or authorize is not None or on_request is not None
        if on_request is None:
            on_request = _accept if pages is None else _accept_or_page
        authorize = None if authorize is None else interruptible(authorize)
        self.application = Application(authorize, interruptible(on_request), tally)
        self.pages = pages or {}
        self.tally = tally
        self.proxies = proxies or None
        self.proxy_protocol = proxy_protocol
        self._reserve = reserve
        self.is_closing = False
        self.max_early = options.max_head_size
        self._new_handshake()
        if proxy_protocol and self.proxies is None:
            raise ValueError("proxy_protocol needs trusted_proxies: only they may say who the client is")

    def close(self) -> None:
        """From now on, everybody gets 503."""
        self.is_closing = True

    def visit(
        self, local: object, remote: object, *, is_encrypted: bool = False, place: Place | None = None
    ) -> "Visit":
        """A connection has come in, from `remote` to `local`; `place` is what it occupies."""
        return Visit(self, self._new_handshake(), local, remote, is_encrypted, place)

    def _new_handshake(self) -> ServerHandshake:
        options = self._options
        return ServerHandshake(
            SERVER,
            subprotocols=self._subprotocols,
            compression=options.compression,
            max_head_size=options.max_head_size,
            max_headers=options.max_headers,
            date=_DATE,
        )

    @property
    def is_short(self) -> bool:
        """Whether there is no memory for another connection."""
        return self._reserve is not None and self._reserve.is_over

    def hold(self, size: int) -> None:
        """A connection that is no WebSocket yet holds so many bytes more, or less."""
        if self._reserve is not None:
            self._reserve.change_by_handshake(size)

    def trusts(self, address: object) -> bool:
        """Whether that is a proxy, which speaks for others."""
        return self.proxies is not None and self.proxies.trusts(address)

    def is_of_others(self, address: object) -> bool:
        """Whether that is a proxy whose word in the headers of a request counts."""
        return self.proxies is not None and self.proxies.speaks_for_others(address)

    def ask(self, request: Request) -> Answer | Awaitable[Answer]:
        """What is to be said to a request; or, if the application wants to think about it, what to await for that.

        Neither raises an `Exception`: if the application fails, that is its error and not the peer's (500).
        """
        objection = self._sites.objection_to(request)
        if objection is not None:
            facts = fields(kind=f"objection: {objection.reason}", event="objection", reason=objection.reason)
            logger.warning("refused with 403: %s", objection.log, extra=facts)
            return Refusal(HTTPStatus.FORBIDDEN, objection.sentence, objection.reason)
        answer = self.application.ask(request)
        return self._await(answer) if isinstance(answer, Awaitable) else self._unless_closing(answer)

    async def _await(self, thinking: Awaitable[Answer]) -> Answer:
        return self._unless_closing(await thinking)

    def _unless_closing(self, answer: Answer) -> Answer:
        return CLOSING if self.is_closing and isinstance(answer, Accept) else answer


class Visit:
    """One connection on its way in. `opening` says that it is a WebSocket now.

    `header`, if there is one, is to be read before all else, TLS included: `receive_header`. `refusal`, if there is
    one, is to be said without listening. If `is_dropped`, nothing is to be said: the connection is to be closed at
    once. The two may come with the header or the request, too. `is_probe` says that the header has named nobody, and
    nothing followed: so a balancer looks whether we are there.
    """

    __slots__ = (
        "_admission",
        "_early",
        "_handshake",
        "_has_reason",
        "_held",
        "_is_encrypted",
        "_is_named",
        "_local",
        "_place",
        "_remote",
        "answered",
        "header",
        "is_dropped",
        "is_probe",
        "opening",
        "refusal",
    )

    def __init__(
        self,
        admission: Admission,
        handshake: ServerHandshake,
        local: object,
        remote: object,
        is_encrypted: bool,
        place: Place | None,
    ) -> None:
        self._admission = admission
        self._handshake = handshake
        self._local = local
        self._remote = remote
        self._is_encrypted = is_encrypted
        self._place = place
        self._has_reason = False
        self._is_named = False  # by a PROXY protocol header
        self._early = b""
        self._held = 0
        if is_encrypted:
            self._held = TLS_HANDSHAKE
            admission.hold(TLS_HANDSHAKE)
        self.is_probe = False
        self.answered = False
        self.opening: Opening | None = None
        self.is_dropped = False
        self.header = ProxyHeader() if admission.proxy_protocol and admission.trusts(remote) else None
        self.refusal = FULL if place is not None and place.is_above else None
        if place is not None and self.header is None:
            self._claim(place)

    @property
    def deflate(self) -> DeflateParameters | None:
        """What was agreed on about compression."""
        return self._handshake.deflate

    def receive_header(self, data: Received) -> bytes | None:
        """Take bytes of the PROXY protocol header, b"" for their end; what came behind it once it is complete, else
        None. What is no header gets no answer; a peer that goes without a word has only looked whether we are there.
        """
        assert self.header is not None
        try:
            if not data:
                self.header.receive_eof()
                self.is_dropped = True
                return None
            endpoints = self.header.receive_data(data)
        except ProxyHeaderError as error:
            peer = place_of(self._remote)
            facts = fields(kind="dropped: proxy_header", event="dropped", reason="proxy_header", remote=peer)
            logger.warning("dropped: %s It came from %s", error, peer, extra=facts)
            self.drop("proxy_header")
            return None
        if endpoints is None:
            return None
        rest, self.header = self.header.rest, None
        if endpoints.source is not None and not is_same_end(endpoints.source, self._remote):
            self._remote, self._local, by_tls = endpoints
            self._is_encrypted = self._is_encrypted or by_tls
            self._is_named = True
        self.is_probe = not self._is_named
        if self._place is not None:
            self._claim(self._place)
        return rest

    def receive(self, data: Received) -> Request | Refuse | None:
        """Take bytes, b"" for their end; the request, or what is to be said instead, or None for not yet (or, at the
        end, for a peer that has gone without a word).
        """
        self.is_probe = self.is_probe and not data
        result = self._handshake.receive_data(data) if data else self._handshake.receive_eof()
        if not isinstance(result, Request):
            return result
        client = Client(self._remote, "https" if self._is_encrypted else "http")
        if self._admission.proxies is not None:
            client = self._admission.proxies.client_of(client, result.headers)
            self._remote = client.address
        tell_client(result, client)
        if self._place is not None:
            self._claim(self._place)
        # Pages need no buffers; a health check that is refused would take the server away from everybody.
        return self.refusal or (_SHORT if self._admission.is_short and result.is_upgrade else result)

    def receive_meanwhile(self, data: Received) -> bool:
        """Take bytes that come while the application thinks, b"" for their end; whether to go on.

        What comes early is for the WebSocket. Whoever wanted one and sends no more has gone; a page can still be read.
        """
        self._early += data
        return bool(data) or self._handshake.request is None or not self._handshake.request.is_upgrade

    @property
    def has_enough(self) -> bool:
        """Whether so much has come early that no more is to be read, though nobody is noticed to go then."""
        return len(self._early) >= self._admission.max_early

    def overdue(self) -> Refuse:
        """What to say when the time is over: whoever kept us waiting, the peer or the application. Nothing, if that was
        a `header`.
        """
        return _TOO_SLOW if self._handshake.request is None else _TOO_LONG

    def drop(self, reason: str) -> None:
        """Say nothing more."""
        if not self.is_dropped:
            self.is_dropped = True
            self.ended(reason)

    def tls_failed(self, error: OSError | None = None) -> None:
        """TLS did not come about: by an error, or within its time."""
        if self.is_probe and isinstance(error, ConnectionError | ssl.SSLEOFError):
            self.ended()
            return
        self._has_reason = True
        self._admission.tally.tls_failures += 1
        if error is not None:
            facts = fields(kind="tls_failed", event="tls_failed")
            logger.info("a TLS handshake failed: %s", escape(str(error)), extra=facts)

    def ended(self, reason: str = "gone") -> None:
        """The connection is closed, or about to be, and no WebSocket; by default because the peer has gone before it
        had its answer. Only the first reason counts, a refusal among them; a probe is none.
        """
        if self._held:
            self._release()
        if not self._has_reason:
            self._has_reason = True
            self._admission.tally.dropped[reason] += not self.is_probe

    def _release(self) -> None:
        """The handshake is over, or about to be."""
        self._admission.hold(-self._held)
        self._held = 0

    def _claim(self, place: Place) -> None:
        """Hold the client to the limits of its address, once it is known: proxies have those of others."""
        admission, remote = self._admission, self._remote
        if admission.is_of_others(remote) if self._is_named else admission.trusts(remote):
            return
        excess, self._place = place.claim(self._remote), None
        if excess is not None and not excess.is_told:
            self.drop(excess.reason)
        elif excess is not None and self.refusal is None:
            headers = {"Retry-After": str(ceil(excess.retry_after))}
            self.refusal = Refusal(HTTPStatus.TOO_MANY_REQUESTS, _CROWDED, excess.reason, headers)

    def respond(self, answer: Answer) -> bytes:
        """The response, to be sent; refusals are counted. Without `opening` all has been said then."""
        self.answered = True
        output = self._encode(answer)
        self._has_reason = not self._handshake.accepted
        if self._handshake.accepted:
            assert isinstance(answer, Accept)
            if self._held:
                self._release()
            self.opening = Opening(
                request=self._handshake.request,
                subprotocol=self._handshake.subprotocol,
                user=answer.user,
                local_address=self._local,
                remote_address=self._remote,
                rest=self._handshake.rest + self._early if self._early else self._handshake.rest,
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
            failed = admission.application.failed("the answer", handshake.request)
            handshake.answer(failed)
            reason = failed.reason
        if handshake.status is not None and not handshake.accepted:
            self._count_refusal(handshake.status, reason)
        return handshake.data_to_send()

    def _count_refusal(self, status: int, reason: str) -> None:
        tally = self._admission.tally
        tally.refusals[status] += 1
        tally.reasons[reason] += 1
        request, peer = self._handshake.request, place_of(self._remote)
        path = request and request.path
        facts = fields(
            kind=f"refused: {status} {reason}", event="refused", status=status, reason=reason, path=path, remote=peer
        )
        logger.info("refused with %d: %s from %s", status, described(request), peer, extra=facts)


def _reason_of(answer: Answer, handshake: ServerHandshake) -> str:
    """The word to count this answer under, should it be a refusal."""
    if isinstance(answer, Refusal):
        return answer.reason
    if handshake.status is not None:
        return "malformed"  # the handshake has refused a request that breaks a rule of HTTP or RFC 6455
    return "application" if isinstance(answer, Refuse) else "no_upgrade"


def _accept(request: Request) -> Answer:
    return _WELCOME


def _accept_or_page(request: Request) -> Answer:
    return _WELCOME if request.is_upgrade else Page()
