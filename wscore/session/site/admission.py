"""What all connections of one server have in common on their way in: the hooks, the rules, and what is counted.

Decides what a request is answered: the checks of Host and Origin, the application's `authorize` and `on_request`; who
is a proxy, and whether there is memory for one more. The order of it all, of one connection, is `session.opening`'s.
"""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Protocol

from wscore.codec import SERVER
from wscore.protocol.handshake import Accept, Page, Request, ServerHandshake
from wscore.protocol.head import RequestHead
from wscore.protocol.origin import Objection, SitePolicy
from wscore.session.site.application import Answer, Application, OnRequest
from wscore.session.site.auth import Authorize
from wscore.session.site.forwarded import TrustedProxies
from wscore.session.site.logs import fields, logger
from wscore.session.site.refusals import CLOSING, Refusal
from wscore.session.site.statistics import Tally

__all__ = ["Admission", "Buffers", "HandshakeOptions"]

_WELCOME = Accept()


class HandshakeOptions(Protocol):
    """The options of a connection, as far as its opening is concerned."""

    @property
    def compression(self) -> str | None: ...
    @property
    def max_head_size(self) -> int: ...
    @property
    def max_headers(self) -> int: ...
    @property
    def handshake_timeout(self) -> float: ...


class Buffers(Protocol):
    """What all connections of a server hold together."""

    @property
    def is_over(self) -> bool:
        """Whether that is too much."""

    def change_by_handshake(self, by: int) -> None:
        """A connection that is no WebSocket yet holds so many bytes more, or less."""


class Admission:
    """What the connections of one server go through.

    `sites` may be set until the first comes; `sites_at(local)` are the rules for connections to an address, where these
    differ: without it nobody need know to which address a connection has come. `page` writes the answer to a request
    for which a hook says `Page`, given the bytes that have come; with `has_pages` that is what is said without a hook,
    too. `date` is that of refusals.
    Raises `ValueError` for subprotocols that are none, and for a PROXY protocol header that nobody is trusted to send.
    """

    def __init__(
        self,
        options: HandshakeOptions,
        *,
        sites: SitePolicy,
        tally: Tally,
        date: Callable[[], str],
        subprotocols: Sequence[str] = (),
        sites_at: Callable[[object], SitePolicy] | None = None,
        authorize: Authorize | None = None,
        on_request: OnRequest | None = None,
        page: Callable[[bytes], bytes] | None = None,
        has_pages: bool = False,
        proxies: TrustedProxies | None = None,
        proxy_protocol: bool = False,
        buffers: Buffers | None = None,
    ) -> None:
        self._options = options
        self._subprotocols = subprotocols
        self._sites = sites
        self.sites_at = sites_at
        self._date = date
        self.has_hooks = has_pages or authorize is not None or on_request is not None
        if on_request is None:
            on_request = _accept_or_page if has_pages else _accept
        self.application = Application(authorize, on_request, tally)
        self._page = page
        self.tally = tally
        self.proxies = proxies or None
        self.proxy_protocol = proxy_protocol
        self._buffers = buffers
        self.is_closing = False
        self.handshake_timeout = options.handshake_timeout
        self.max_early = options.max_head_size
        self.new_handshake()
        if proxy_protocol and self.proxies is None:
            raise ValueError("proxy_protocol needs trusted_proxies: only they may say who the client is")

    def close(self) -> None:
        """From now on, everybody gets 503."""
        self.is_closing = True

    def new_handshake(self) -> ServerHandshake:
        """The handshake of one more connection."""
        options = self._options
        return ServerHandshake(
            SERVER,
            subprotocols=self._subprotocols,
            compression=options.compression,
            max_head_size=options.max_head_size,
            max_headers=options.max_headers,
            date=self._date,
        )

    @property
    def is_short(self) -> bool:
        """Whether there is no memory for another connection."""
        return self._buffers is not None and self._buffers.is_over

    def hold(self, size: int) -> None:
        """A connection that is no WebSocket yet holds so many bytes more, or less."""
        if self._buffers is not None:
            self._buffers.change_by_handshake(size)

    def trusts(self, address: object) -> bool:
        """Whether that is a proxy, which speaks for others."""
        return self.proxies is not None and self.proxies.trusts(address)

    def is_of_others(self, address: object) -> bool:
        """Whether that is a proxy whose word in the headers of a request counts."""
        return self.proxies is not None and self.proxies.speaks_for_others(address)

    # What is answered

    def answer_at_once(
        self, head: RequestHead, local: object, *, is_upgrade: bool, over_tls: bool, used_host: str | None
    ) -> Answer:
        """What is to be said to a request where there are no hooks, so that it need not be made for them."""
        origins = head.fields.get_all("origin") if is_upgrade else ()
        objection = self._sites_of(local).objection(head.host, origins, over_tls=over_tls, used_host=used_host)
        return self._unless_closing(_WELCOME) if objection is None else _refused_for(objection)

    def ask(self, request: Request, local: object) -> Answer | Awaitable[Answer]:
        """What is to be said to a request; or, if the application wants to think about it, what to await for that.

        Neither raises an `Exception`: if the application fails, that is its error and not the peer's (500).
        """
        objection = self._sites_of(local).objection_to(request)
        if objection is not None:
            return _refused_for(objection)
        answer = self.application.ask(request)
        return self._await(answer) if isinstance(answer, Awaitable) else self._unless_closing(answer)

    def page(self, received: bytes) -> bytes:
        """The answer to a request for a page. Raises what the page raises."""
        if self._page is None:
            raise TypeError("on_request must return Accept or Refuse: there are no pages here")
        self.tally.pages += 1
        return self._page(received)

    def _sites_of(self, local: object) -> SitePolicy:
        return self._sites if self.sites_at is None else self.sites_at(local)

    async def _await(self, thinking: Awaitable[Answer]) -> Answer:
        return self._unless_closing(await thinking)

    def _unless_closing(self, answer: Answer) -> Answer:
        return CLOSING if self.is_closing and isinstance(answer, Accept) else answer


def _refused_for(objection: Objection) -> Refusal:
    facts = fields(kind=f"objection: {objection.reason}", event="objection", reason=objection.reason)
    logger.warning("refused with 403: %s", objection.log, extra=facts)
    return Refusal(HTTPStatus.FORBIDDEN, objection.sentence, objection.reason)


def _accept(request: Request) -> Answer:
    return _WELCOME


def _accept_or_page(request: Request) -> Answer:
    return _WELCOME if request.is_upgrade else Page()
