"""`ServerOpening`: a connection of a server from its first byte to the WebSocket or the refusal, without I/O.

Decides the order: the PROXY protocol header, TLS or not, the limits of the client's address, the head of the request,
the checks of Host and Origin, the application's hooks, the answer; how long all of it may take, and how a connection is
closed that is no WebSocket. What is said to whom, and how it is counted, is its `Admission`'s; how requests are parsed
is the protocol layer's. It refuses to know sockets, tasks, TLS and clocks.

The stages, and what leads from one to the next; where there is no reason, nothing is counted but a peer that has gone:

    stage    what happens                                     next     output      counted as
    HEADER   a good header                                    TLS, or HEAD where none is spoken
             no header; or the time is over                   RESET    -           dropped: proxy_header
             the end before any byte (a look at us)           RESET    -           dropped: gone
             the server closes; others need the place         RESET    -           dropped: closing; crowded
             too many from the client, who is not told        RESET    -           dropped: address_...
    TLS      it is up                                         HEAD     -           -
             it has failed                                    LINGER   -           a failure of TLS
             the time is over                                 CLOSE    -           a failure of TLS
             the server closes                                CLOSE    -           dropped: closing
             others need the place                            RESET    -           dropped: crowded
    HEAD     the server is full, or closes; too many from     LINGER   refusal     refused: full; closing; address_...
               the client
             a bad head, or one that ends too early           LINGER   refusal     refused: malformed
             a good one, and a hook thinks                    HOOK     -           -
             a good one, else                                 OPEN, LINGER  answer refused: why
             the end without a word                           CLOSE    -           dropped: gone
             the time is over                                 LINGER   refusal     refused: slow_request
             others need the place                            CLOSE    refusal     refused: crowded
             too many from the client, who is not told        RESET    -           dropped: address_...
    HOOK     the answer                                       OPEN, LINGER  answer refused: why
             the end, of who wants a WebSocket                CLOSE    -           dropped: gone
             the time is over                                 LINGER   refusal     refused: slow_answer
    any of these: the connection breaks                       CLOSE    -           dropped: gone

RFC 6455 section 4.2; RFC 9110 section 15.5.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from math import inf
from typing import Any, TypeVar

from ...protocol.extensions import DeflateParameters
from ...protocol.handshake import Accept, Page, Received, Refuse, Request, ServerHandshake
from ...protocol.head import RequestHead
from ...protocol.request import Client, tell_client
from ..logs import escape, place_of
from ..site.admission import Admission
from ..site.application import Answer, described
from ..site.limits import Place
from ..site.logs import fields, logger
from ..site.proxy_protocol import ProxyHeader, ProxyHeaderError, is_same_end
from ..site.refusals import CLOSING, CROWDED, FULL, SHORT, TOO_LONG, TOO_SLOW, Refusal, too_many
from .facts import KeptRequest, Opening
from .stages import Stage

__all__ = ["RECEIVE_SIZE", "TLS_HANDSHAKE", "ServerOpening"]

# What OpenSSL and Python take for a TLS handshake that is under way, measured: 43 kB before the first byte, and a
# record of 16 KiB that is not complete.
TLS_HANDSHAKE = 64 << 10
RECEIVE_SIZE = 1 << 14
"""As much as is to be read at once, unless `most` is less."""

HEADER, TLS, HEAD, HOOK, OPEN, LINGER, CLOSE, RESET = Stage
_R = TypeVar("_R")


class ServerOpening:
    """One connection that has come in at the time `now`, from `remote` to `local`, as `getpeername` has them.

    A driver tells it what happened (`received`, `received_eof`, `tls_is_up`, `tls_failed`, `answered`, `time_is`,
    `turn_away`, `give_way`, `closed`), and looks after every call at `output`, then at `stage`: at TLS it is to speak
    it, beginning with `rest`; at HOOK to await the `question`, in `context`, and give the outcome to `answered`, or
    cancel it when the stage is another; at OPEN there is a WebSocket, and `opened` says what was settled. At the later
    stages it closes the connection. Until OPEN it calls `time_is` at the `deadline`. `Driver` does so for a loop that
    calls back.

    With `speaks_tls` the driver is to do TLS; `is_encrypted` says that it is done below. `place` is what the connection
    occupies: the driver has it `leave`. `verdict` is said to any request that could be read. The hooks run in
    `context`; None: where the calls come from. Raises nothing but what is no Exception, as a hook raised it.
    """

    __slots__ = (
        "_admission",
        "_at_eof",
        "_early",
        "_handshake",
        "_has_reason",
        "_header",
        "_held",
        "_host",
        "_is_named",
        "_is_probe",
        "_local",
        "_output",
        "_place",
        "_refusal",
        "_remote",
        "_scheme",
        "_speaks_tls",
        "_thinking",
        "_unclaimed",
        "_verdict",
        "context",
        "deadline",
        "opened",
        "rest",
        "stage",
    )

    def __init__(
        self,
        admission: Admission,
        local: object,
        remote: object,
        now: float,
        *,
        speaks_tls: bool = False,
        is_encrypted: bool = False,
        place: Place | None = None,
        verdict: Refusal | None = None,
        context: Context | None = None,
    ) -> None:
        self._admission = admission
        self._local = local
        self._remote = remote
        self._speaks_tls = speaks_tls
        self._scheme = "https" if speaks_tls or is_encrypted else "http"
        self._host: str | None = None  # that the client has used, if a proxy tells another
        self._place = self._unclaimed = place
        self._refusal = FULL if place is not None and place.is_above else None
        self._verdict = verdict
        self._handshake: ServerHandshake | None = None
        self._header: ProxyHeader | None = None
        self._is_named = False  # by a header of the PROXY protocol
        self._is_probe = False  # one that has named nobody, and nothing followed: so a balancer looks whether we live
        self._has_reason = False  # that is counted
        self._held = 0
        self._early = b""
        self._at_eof = False
        self._output = b""
        self.rest = b""
        self.context = context
        self._thinking: Awaitable[Answer] | None = None
        self.opened: Opening | None = None
        self.deadline = now + admission.handshake_timeout
        self.stage = HEADER
        if speaks_tls or is_encrypted:
            self._held = TLS_HANDSHAKE
            admission.hold(TLS_HANDSHAKE)
        if admission.proxy_protocol and admission.trusts(remote):
            self._header = ProxyHeader()
        else:
            self._claim()
            self._begin()

    # What is to be done

    def output(self) -> bytes:
        """What is to be sent now; it is handed out once."""
        output, self._output = self._output, b""
        return output

    def question(self) -> Awaitable[Answer] | None:
        """What an application wants to be awaited for its answer; it is handed out once."""
        thinking, self._thinking = self._thinking, None
        return thinking

    @property
    def wants_read(self) -> bool:
        """Whether bytes are to be read. Who sends much before it has its answer is read no more for so long."""
        if self.stage is HOOK:
            return not self._at_eof and len(self._early) < self._admission.max_early
        return self.stage <= HEAD

    @property
    def most(self) -> int:
        """How many bytes may be read at once: of those behind a PROXY protocol header none, which may be of TLS."""
        return RECEIVE_SIZE if self._header is None else self._header.wanted

    @property
    def deflate(self) -> DeflateParameters | None:
        """What was agreed on about compression."""
        return None if self._handshake is None else self._handshake.deflate

    # What happened

    def received(self, data: Received) -> None:
        """Bytes have come, without TLS."""
        if self.stage is HEAD:
            self._is_probe = False
            self._take(self._started().receive_head(data))
        elif self.stage is HEADER:
            self._take_header(data)
        elif self.stage is HOOK:
            self._early += data  # for the WebSocket

    def received_eof(self) -> None:
        """The peer sends no more."""
        self._at_eof = True
        if self.stage is HEADER:
            self._end_header()
        elif self.stage is HEAD:
            refusal = None if self._handshake is None else self._handshake.receive_eof()
            if refusal is None:
                self._end(CLOSE)
            else:
                self._respond(refusal)
        elif self.stage is HOOK and self._started().is_upgrade:
            # A page can still be read.
            self._end(CLOSE)

    def tls_is_up(self) -> None:
        """The TLS handshake has succeeded."""
        if self.stage is TLS:
            self._begin_head()

    def tls_failed(self, error: Exception, *, at_end: bool = False) -> None:
        """It has failed; `at_end` if no more than that the peer has gone: so a balancer looks whether we are there."""
        if self.stage is not TLS:
            return
        if at_end and self._is_probe:
            self._end(LINGER)
            return
        self._count_tls_failure()
        facts = fields(kind="tls_failed", event="tls_failed")
        logger.info("a TLS handshake failed: %s", escape(str(error)), extra=facts)
        self._end(LINGER)

    def answered(self, answer: Answer) -> None:
        """The outcome of the `question`. It is of no use any more if the stage is another by now."""
        if self.stage is HOOK:
            self._respond(answer)

    def time_is(self, now: float) -> None:
        """So late it is: at the `deadline`, whoever has kept us waiting is told, if something can be said."""
        if now < self.deadline:
            return
        if self.stage is HEADER:
            self._drop("proxy_header")
        elif self.stage is TLS:
            self._count_tls_failure()
            self._end(CLOSE)
        elif self.stage is HEAD:
            self._respond(TOO_SLOW)
        elif self.stage is HOOK:
            self._respond(TOO_LONG)

    def turn_away(self) -> None:
        """The server closes, and waits for nobody's request; answers that the application gives it can still say."""
        if self.stage is HEADER:
            self._drop(CLOSING.reason)
        elif self.stage is TLS:
            self._end(CLOSE, CLOSING.reason)
        elif self.stage is HEAD:
            self._respond(CLOSING)

    def give_way(self) -> None:
        """Others need the place: it has had its time. What can be said in one go is said."""
        if self.stage < HEAD:
            self._drop(CROWDED.reason)
        elif self.stage is HEAD:
            self._respond(CROWDED)
            self.stage = CLOSE

    def closed(self, reason: str = "gone") -> None:
        """The connection is closed, or broken, and has not become a WebSocket; by default because the peer has gone.
        Only the first reason counts, a refusal among them; a probe is none.
        """
        self._end(CLOSE if self.stage <= OPEN else self.stage, reason)

    # The PROXY protocol header

    def _take_header(self, data: Received) -> None:
        """What is no header gets no answer."""
        assert self._header is not None
        try:
            endpoints = self._header.receive_data(data)
        except ProxyHeaderError as error:
            self._bad_header(error)
            return
        if endpoints is None:
            return
        rest, self._header = self._header.rest, None
        if endpoints.source is not None and not is_same_end(endpoints.source, self._remote):
            self._remote, self._local, by_tls = endpoints
            self._scheme = "https" if by_tls else self._scheme
            self._is_named = True
        self._is_probe = not self._is_named
        self._claim()
        self._begin(rest)

    def _end_header(self) -> None:
        """A peer that goes without a word has only looked whether we are there."""
        assert self._header is not None
        try:
            self._header.receive_eof()
        except ProxyHeaderError as error:
            self._bad_header(error)
        else:
            self._end(RESET)

    def _bad_header(self, error: ProxyHeaderError) -> None:
        peer = place_of(self._remote)
        facts = fields(kind="dropped: proxy_header", event="dropped", reason="proxy_header", remote=peer)
        logger.warning("dropped: %s It came from %s", error, peer, extra=facts)
        self._drop("proxy_header")

    # The request

    def _begin(self, rest: bytes = b"") -> None:
        """There is no header, or it is complete, and `rest` came behind it."""
        if self.stage is RESET:
            return
        if self._speaks_tls:
            self.stage, self.rest = TLS, rest
            return
        self._begin_head()
        if rest:
            self.received(rest)

    def _begin_head(self) -> None:
        self.stage = HEAD
        if self._refusal is not None:
            self._respond(self._refusal)
        elif self._admission.is_closing:
            self._respond(CLOSING)

    def _started(self) -> ServerHandshake:
        if self._handshake is None:
            self._handshake = self._admission.new_handshake()
        return self._handshake

    def _take(self, received: RequestHead | Refuse | None) -> None:
        """The request, or what is to be said instead, or not yet."""
        if received is None:
            return
        if self._place is not None:
            self._place.stays()
        if isinstance(received, RequestHead):
            self._decide(received)
        else:
            self._respond(received)

    def _decide(self, head: RequestHead) -> None:
        """Find out who asks, and what to say."""
        admission, handshake = self._admission, self._started()
        if admission.is_of_others(self._remote):
            assert admission.proxies is not None
            client = Client(self._remote, self._scheme)
            self._remote, self._scheme, self._host = admission.proxies.client_of(client, head.headers)
        self._claim()
        if self.stage is RESET:
            return
        refusal = self._refusal or self._verdict
        if refusal is not None:
            self._respond(refusal)
        elif admission.is_short and handshake.is_upgrade:
            # Pages need no buffers; a health check that is refused would take the server away from everybody.
            self._respond(SHORT)
        elif admission.has_hooks:
            self._ask()
        else:
            answer = admission.answer_at_once(
                head,
                self._local,
                is_upgrade=handshake.is_upgrade,
                over_tls=self._scheme == "https",
                used_host=self._host,
            )
            self._respond(answer)

    def _ask(self) -> None:
        self.stage = HOOK  # at once: a hook may close the server, or this connection
        answer = self._call(self._admission.ask, self.request, self._local)
        if isinstance(answer, Awaitable):
            self._thinking = answer
        else:
            self.answered(answer)

    @property
    def request(self) -> Request | None:
        """The request with its client, made when it is first asked for; None as long as none has come."""
        request = None if self._handshake is None else self._handshake.request
        if request is not None and request.client is None:
            tell_client(request, Client(self._remote, self._scheme, self._host))
        return request

    def _claim(self) -> None:
        """Hold the client to the limits of its address, once it is known: proxies have those of others."""
        place, admission, remote = self._unclaimed, self._admission, self._remote
        if place is None or (admission.is_of_others(remote) if self._is_named else admission.trusts(remote)):
            return
        self._unclaimed = None
        excess = place.claim(remote)
        if excess is not None and not excess.is_told:
            self._drop(excess.reason)
        elif excess is not None and self._refusal is None:
            self._refusal = too_many(excess)

    def _call(self, function: Callable[..., _R], *arguments: Any) -> _R:
        """Call what may call the application's hooks."""
        return function(*arguments) if self.context is None else self.context.run(function, *arguments)

    # The answer

    def _respond(self, answer: Answer) -> None:
        """Say what there is to say, and become a WebSocket or leave."""
        self.stage = LINGER  # pages may close the server meanwhile
        handshake = self._started()
        self._output = self._encode(handshake, answer)
        if handshake.accepted:
            assert isinstance(answer, Accept)
            self._open(handshake, answer.user)
        else:
            self._end(LINGER)

    def _encode(self, handshake: ServerHandshake, answer: Answer) -> bytes:
        admission = self._admission
        reason = _reason_of(answer, handshake)
        try:
            if isinstance(answer, Page):
                self._has_reason = True
                return self._call(admission.page, handshake.received)
            if handshake.status is None:
                handshake.answer(answer)
        except Exception:
            failed = admission.application.failed("the answer", self.request)
            handshake.answer(failed)
            reason = failed.reason
        if not handshake.accepted:
            self._count_refusal(handshake.status or 0, reason)
        return handshake.data_to_send()

    def _open(self, handshake: ServerHandshake, user: object) -> None:
        self._leave_the_handshakes()
        # With hooks the request has been made; without them it may never be asked for.
        has_request = self._admission.has_hooks
        self.opened = Opening(
            request=self.request if has_request else KeptRequest(handshake.raw_head, self._scheme, self._host),
            subprotocol=handshake.subprotocol,
            user=user,
            local_address=self._local,
            remote_address=self._remote,
            rest=handshake.rest + self._early if self._early else handshake.rest,
        )
        self.stage, self.deadline = OPEN, inf

    def _count_refusal(self, status: int, reason: str) -> None:
        self._has_reason = True
        tally = self._admission.tally
        tally.refusals[status] += 1
        tally.reasons[reason] += 1
        request, peer = self.request, place_of(self._remote)
        path = request and request.path
        facts = fields(
            kind=f"refused: {status} {reason}", event="refused", status=status, reason=reason, path=path, remote=peer
        )
        logger.info("refused with %d: %s from %s", status, described(request), peer, extra=facts)

    # The end

    def _drop(self, reason: str) -> None:
        """Say nothing more."""
        self._end(RESET, reason)

    def _end(self, stage: Stage, reason: str = "gone") -> None:
        self.stage, self.deadline = stage, inf
        self._leave_the_handshakes()
        if not self._has_reason:
            self._has_reason = True
            self._admission.tally.dropped[reason] += not self._is_probe

    def _count_tls_failure(self) -> None:
        self._has_reason = True
        self._admission.tally.tls_failures += 1

    def _leave_the_handshakes(self) -> None:
        """It is none any more: it has ended, or is about to."""
        if self._place is not None:
            self._place.opened()
        if self._held:
            self._admission.hold(-self._held)
            self._held = 0


def _reason_of(answer: Answer, handshake: ServerHandshake) -> str:
    """The word to count this answer under, should it be a refusal."""
    if isinstance(answer, Refusal):
        return answer.reason
    if handshake.status is not None:
        return "malformed"  # the handshake has refused a request that breaks a rule of HTTP or RFC 6455
    return "application" if isinstance(answer, Refuse) else "no_upgrade"
