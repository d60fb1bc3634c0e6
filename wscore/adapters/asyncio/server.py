"""`Server`: a protocol factory for `loop.create_server`, with what concerns more than one connection.

Decides who may connect, how many at once, and how all of them are closed. Where it listens, TLS included, is asyncio's:
`serve` passes that on. What all connections together hold in memory is not counted here: `max_connections` times the
limits of one is the bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence, Set
from contextvars import copy_context
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from wscore.codec import CloseCode, DeflatePool
from wscore.protocol.checks import check_size
from wscore.protocol.handshake import Accept, Refuse, Request
from wscore.protocol.origin import SitePolicy, is_loopback
from wscore.session.site.admission import Admission
from wscore.session.site.limits import MAX_TURNED_AWAY, default_max_connections
from wscore.session.site.logs import log_loss
from wscore.session.site.refusals import Refusal
from wscore.session.site.statistics import ServerStatistics, Tally

from .delivery import limit_accepted, limit_unsent
from .listening import listen
from .logs import log_error, watch_repeats
from .opening import Accepting, Entrance
from .options import Options
from .websocket import WebSocket

if TYPE_CHECKING:
    from wscore.session.site.application import Answer, OnRequest

    from .endpoint import CloseHook, ErrorHook, MessageHook, OpenHook

__all__ = ["Server", "serve"]

Handler: TypeAlias = Callable[[WebSocket], Awaitable[object]]
RequestHook: TypeAlias = Callable[[Request], "Accept | Refuse | Awaitable[Accept | Refuse]"]

_FULL = Refusal(503, "The server is full.", "full", {"Retry-After": "10"})


class Server:
    """Makes the protocols of one server: `await loop.create_server(Server(handler), host, port)`.

    `handler(ws)` runs as a task for each connection; when it returns, the connection is closed with 1000, and when it
    raises, with 1011. Or there are only callbacks, which must not wait: `on_open(ws)`, `on_message(ws, message)`, and
    `on_close(ws, code, reason)`, which is called once for each connection that was open. What they raise closes with
    1011, too, and goes to `on_error(ws, error)`, by default into the log "wscore".

    `on_request(request)`, or what it returns, if that is awaitable, says who may connect: `wscore.Accept` or
    `wscore.Refuse`. Before that, browsers may connect only from pages of the same host and port, unless
    `allowed_origins` names others, by patterns such as `https://*.example.org`, too, and what comes over the loopback
    interface must have named a loopback host or what the server is bound to, unless `allowed_hosts` names others: else
    a page could reach this server by DNS rebinding. `request.client` is who has sent it.

    `max_connections` (the limit of open files less 64) and `max_handshakes` count at this server; above, 32 peers at
    once get 503 when they have said what they want, and the others no answer. Connections whose TLS handshake is not
    over are asyncio's, and not counted.
    All code of the application for one connection runs in that connection's own copy of the context in which this was
    made: what one sets in context variables is never seen by another.

    All other keywords are those of `Options`. Raises `ValueError` or `TypeError` for what makes no sense.
    """

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        on_open: OpenHook | None = None,
        on_message: MessageHook | None = None,
        on_close: CloseHook | None = None,
        on_error: ErrorHook = log_error,
        on_request: RequestHook | None = None,
        subprotocols: Sequence[str] = (),
        allowed_origins: Iterable[str] | None = None,
        allowed_hosts: Iterable[str] | None = None,
        max_connections: int | None = None,
        max_handshakes: int = 1024,
        **options: Any,
    ) -> None:
        if handler is not None and on_message is not None:
            raise ValueError("messages go either to a handler or to on_message")
        if handler is None and on_message is None and on_open is None:
            raise ValueError("give a handler, or on_message: nobody would read the messages")
        self._options = Options(**options)
        self._max_connections = default_max_connections() if max_connections is None else max_connections
        check_size("max_connections", self._max_connections)
        check_size("max_handshakes", max_handshakes)
        self._max_handshakes = max_handshakes
        self._handler = handler
        self._hooks = {"on_open": on_open, "on_message": on_message, "on_close": on_close, "on_error": on_error}
        self._context = copy_context()
        self._new_policy = partial(SitePolicy, allowed_origins, allowed_hosts)
        self._policy = self._new_policy()
        self._admission = Admission(
            self._options,
            subprotocols=tuple(subprotocols),
            sites=self._policy,
            sites_at=self._policy_at,
            on_request=None if on_request is None else _for_websockets(on_request),
            tally=Tally(),
            date=partial(formatdate, usegmt=True),
        )
        self._listening: asyncio.Server | None = None
        self._is_limited = False  # by the socket that listens, what is accepted may leave unsent
        self._everybody: set[WebSocket] = set()
        self._shaking_hands: set[WebSocket] = set()
        self._over: set[WebSocket] = set()  # those of everybody that were counted, and have not left yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._closers: set[asyncio.Task[None]] = set()  # those of the tasks that wait in `aclose`
        self._entrance = Entrance(
            self._options,
            DeflatePool(),
            self._admission,
            came=self._count,
            left=self._shaking_hands.discard,
            over=self._ended,
            lost=self._forget,
        )
        self._closing = asyncio.Event()
        self._somebody_left = asyncio.Event()

    def __call__(self) -> WebSocket:
        """Make the protocol of one more connection."""
        return WebSocket(
            Accepting(self._entrance),
            self._options,
            self._context.copy(),
            start=self._start,
            **self._hooks,  # type: ignore[arg-type]
        )

    # What is known

    @property
    def addresses(self) -> list[Any]:
        """Where it listens, as `socket.getsockname` has it; empty for a server that `serve` did not start."""
        return [] if self._listening is None else [sock.getsockname() for sock in self._listening.sockets]

    @property
    def connections(self) -> Collection[WebSocket]:
        """The connections that have become WebSockets, and are open or closing."""
        return {ws for ws in self._everybody if ws.is_websocket}

    def statistics(self) -> ServerStatistics:
        """What was counted until now, of the connections that are open and of those that were."""
        going_on = (ws for ws in self.connections if ws not in self._over)
        return self._admission.tally.snapshot(going_on, len(self._shaking_hands))

    # Closing

    async def aclose(self, timeout: float = 10.0) -> None:
        """Accept no more, close all connections with 1001, and wait until they and the handlers are gone.

        After `timeout` seconds what is left is cut, its handlers are cancelled. Cancelled, that happens at once. In a
        handler, it does not wait for that handler, nor for others that close the server as well.
        """
        self._closing.set()
        self._admission.close()
        if self._listening is not None:
            self._listening.close()
        for ws in tuple(self._everybody):
            ws.close_nowait(CloseCode.GOING_AWAY)
        for ws in tuple(self._shaking_hands):
            ws._opening.turn_away()
        task = asyncio.current_task()
        closers = {each for each in self._tasks if each is task}
        self._closers |= closers
        self._somebody_left.set()
        try:
            await self._wait_for_all(timeout, self._closers if closers else set())
        finally:
            self._closers -= closers

    async def serve_forever(self) -> None:
        """Wait until the server is closed. Cancelled, it closes as `aclose` does, and waits for that."""
        try:
            await self._closing.wait()
        finally:
            await self.aclose()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _wait_for_all(self, timeout: float, but: Set[asyncio.Task[None]]) -> None:
        """Wait until all connections and tasks are gone, `but` these tasks; cut what then is left."""
        try:
            async with asyncio.timeout(timeout):
                await self._until_gone(but)
        except TimeoutError:
            self._cut(but)
            await self._until_gone(but)
        except asyncio.CancelledError:
            self._cut(but)
            raise

    async def _until_gone(self, but: Set[asyncio.Task[None]]) -> None:
        while self._everybody or not self._tasks <= but:
            self._somebody_left.clear()
            await self._somebody_left.wait()

    def _cut(self, but: Set[asyncio.Task[None]]) -> None:
        for ws in tuple(self._everybody):
            ws.abort()
        for task in self._tasks - but:
            task.cancel()

    # Connections

    def _count(self, ws: WebSocket) -> Refusal | None:
        """One more has come; why it is refused, whatever it asks for."""
        excess = max(
            len(self._everybody) - self._max_connections + 1, len(self._shaking_hands) - self._max_handshakes + 1
        )
        self._everybody.add(ws)
        self._shaking_hands.add(ws)
        if not self._is_limited and ws.transport is not None:
            limit_unsent(ws.transport.get_extra_info("socket"))
        if excess > MAX_TURNED_AWAY:
            ws.abort()
        return _FULL if excess > 0 else None

    def _policy_at(self, local: object) -> SitePolicy:
        """Of a server that `serve` did not start, only those addresses are known to which connections come."""
        if not is_loopback(local):
            return self._policy
        policy = self._new_policy()
        policy.bind([local])
        return policy

    def _start(self, ws: WebSocket) -> None:
        if self._handler is not None:
            loop = asyncio.get_running_loop()
            task = loop.create_task(self._converse(self._handler, ws), context=ws._context)
            self._tasks.add(task)
            task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._somebody_left.set()

    async def _converse(self, handler: Handler, ws: WebSocket) -> None:
        try:
            await handler(ws)
            ws.close_nowait()
        except Exception as error:
            ws._handler_failed(error)
        except BaseException:
            ws.abort()
            raise

    def _ended(self, ws: WebSocket) -> None:
        self._admission.tally.ended(ws)
        log_loss(ws)
        watch_repeats()
        if ws in self._everybody:
            self._over.add(ws)

    def _forget(self, ws: WebSocket) -> None:
        self._everybody.discard(ws)
        self._over.discard(ws)
        self._somebody_left.set()


async def serve(
    handler: Handler | None = None,
    host: str | None = None,
    port: int | None = None,
    *,
    sock: Any = None,
    ssl: Any = None,
    backlog: int = 1024,
    ssl_handshake_timeout: float | None = None,
    reuse_port: bool | None = None,
    **options: Any,
) -> Server:
    """Start a `Server(handler, **options)` and return it; `async with await serve(...) as server` closes it at the end.

    Where and how it listens is said as for `loop.create_server`: `host` and `port`, or a bound `sock`, and a TLS
    context `ssl`, whose handshake may take `ssl_handshake_timeout` seconds, by default `handshake_timeout`. Port 0
    is one that the system chooses, the same on all addresses of `host`.

    Raises `OSError` where it cannot listen, and as `Server`. Cancelled, it does not listen.
    """
    server = Server(handler, **options)
    if ssl is not None and ssl_handshake_timeout is None:
        ssl_handshake_timeout = server._options.handshake_timeout
    server._listening = listening = await listen(
        server,
        host,
        port,
        sock=sock,
        ssl=ssl,
        backlog=backlog,
        ssl_handshake_timeout=ssl_handshake_timeout,
        reuse_port=reuse_port,
        start_serving=False,
    )
    server._is_limited = limit_accepted(listening.sockets)
    try:
        server._policy.bind(server.addresses, host if isinstance(host, str) else None)
        server._admission.sites_at = None
        await listening.start_serving()
    except BaseException:
        listening.close()
        raise
    return server


def _for_websockets(on_request: RequestHook) -> OnRequest:
    """A hook that is asked about requests for WebSockets alone: there is nothing else here."""

    def ask(request: Request) -> Answer | Awaitable[Answer]:
        return on_request(request) if request.is_upgrade else Accept()

    return ask
