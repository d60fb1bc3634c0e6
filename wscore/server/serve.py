"""`serve` and `serve_stream`: a WebSocket server for Trio programs.

Decides what a server is made of, and how it ends: `Server.aclose` drains, cancellation closes at once. What a
connection goes through stands in `admission`, `entrance` and `conversation`, who may come in `limits` and `origin`.
"""

import gc
import ssl
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import trio

from wscore.protocol.checks import check_rate
from wscore.protocol.origin import SitePolicy
from wscore.protocol.prepared import PreparedMessage, prepare
from wscore.server.accept import Listener, accept_from, addresses_of, on_the_reactor, open_listeners
from wscore.server.admission import admission_for
from wscore.server.conversation import Connections, Conversations, Handler
from wscore.server.entrance import Entrance
from wscore.server.farewell import Farewell
from wscore.server.limits import limits_of
from wscore.server.logs import tell_repeats
from wscore.server.pages import Pages
from wscore.server.relief import Relief
from wscore.session.options import Compression, FastProducer, Options, SlowConsumer
from wscore.session.rates import Rate, rate_of
from wscore.session.site.admission import Admission
from wscore.session.site.application import OnRequest
from wscore.session.site.auth import Authorize
from wscore.session.site.forwarded import Proxy, ProxyHeaders, TrustedProxies
from wscore.session.site.limits import AddressLimits, Limits, Place, checked_limit
from wscore.session.site.statistics import ServerStatistics, Survey, Tally
from wscore.transport.choice import check_transport
from wscore.transport.linger import close_now
from wscore.transport.offering import offer_to_all
from wscore.transport.reserve import Reserve
from wscore.transport.sending import Sendable
from wscore.transport.trio_glue import unwrapped
from wscore.transport.websocket import ErrorHook, MessageHook, WebSocket

if TYPE_CHECKING:
    from wscore.server.doorway import Doorway

__all__ = ["Server", "serve", "serve_stream"]

_MINUTE = 60.0
# Seconds that connections have to end after Ctrl-C. Whoever is in a hurry presses it again.
_FAREWELL_TIME = 2.0
# About a millisecond.
_SURVEYED_AT_ONCE = 64


async def serve(
    handler: Handler | None = None,
    host: str | None = None,
    port: int | None = None,
    *,
    on_message: MessageHook | None = None,
    on_error: ErrorHook | None = None,
    authorize: Authorize | None = None,
    on_request: OnRequest | None = None,
    pages: Pages | None = None,
    listeners: Sequence[Listener] | None = None,
    ssl_context: ssl.SSLContext | None = None,
    transport: Literal["auto", "reactor", "stream"] = "auto",
    subprotocols: Sequence[str] = (),
    compression: Compression | None = None,
    compression_threshold: int | None = None,
    pieces: bool = False,
    max_message_size: int = 1 << 20,
    max_fragments: int = 4096,
    max_head_size: int = 16 << 10,
    max_headers: int = 128,
    handshake_timeout: float = 10.0,
    max_handshakes: int = 1024,
    max_connections: int | None = None,
    max_connections_per_address: int | None = None,
    connection_rate: Rate | float | None = None,
    connection_rate_per_address: Rate | float | None = None,
    message_rate: Rate | float | None = None,
    byte_rate: Rate | float | None = None,
    fast_producer: FastProducer = "pause",
    max_receive_queue: int = 1 << 20,
    max_send_buffer: int = 1 << 20,
    max_total_buffers: int = 256 << 20,
    min_message_rate: float | None = 8192.0,
    slow_consumer: SlowConsumer = "wait",
    send_timeout: float = 30.0,
    ping_interval: float | None = 20.0,
    ping_timeout: float | None = 20.0,
    close_timeout: float = 10.0,
    allowed_origins: Iterable[str] | None = None,
    allowed_hosts: Iterable[str] | None = None,
    trusted_proxies: Iterable[Proxy] | str = (),
    proxy_headers: ProxyHeaders | None = None,
    proxy_protocol: bool = False,
    strict_checkpoints: bool = False,
    gc_freeze: bool = False,
    task_status: trio.TaskStatus["Server"] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve WebSockets (RFC 6455) until cancelled, or until `Server.aclose`; `nursery.start` returns the `Server`.

    For each connection `await handler(ws)` runs in a task of its own; when it returns, the connection is closed with
    1000. Or else `on_message(ws, message)` is called for each message; it must not wait, and may send with
    `ws.send_nowait`. An Exception out of either closes that connection with 1011, and goes to `on_error(ws, error)`,
    which by default logs it to the logger "wscore". All of it, hooks included, runs in one copy of the context in which
    `serve` was called, each connection's own.

    Where: `host` and `port` (host None: every interface; port 0: the system chooses), or `listeners`, which are closed
    in the end. With `ssl_context`, everything is TLS.

    Who: `authorize(request)` returns, or is awaited to return, `Accept(user=...)` or `Refuse`; `wscore.server.auth` has
    hooks for passwords and tokens. Then `on_request(request)`, which finds the user as `request.user`, says `Accept`,
    `Refuse` or `Page` in the same way; without it, every WebSocket is accepted. `Page` answers with one of `pages`,
    which map paths to functions that return a `wscore.server.pages.Document`; for pages nobody is asked who he is, but
    by `on_request`. `subprotocols` are ours, our favourite first. A browser may connect from pages of
    the same host and port, over TLS only from those that came by TLS, too, and of `allowed_origins`, as it sends them
    (`["https://example.org"]`) or patterns (`https://*.example.org`, `http://localhost:*`, `*`). On a server that is
    bound to loopback alone, Host must be localhost, 127.0.0.1, [::1], what it is bound to, or one of `allowed_hosts`;
    on others `allowed_hosts`, if given, are all that is served.

    Behind proxies: `trusted_proxies` are networks ("10.0.0.0/8"), or "unix" for Unix sockets. What they say of the
    client's address, scheme and host counts (`ws.remote_address`, `request.client`), in X-Forwarded-For, -Proto and
    -Host or, with `proxy_headers="forwarded"`, in Forwarded (RFC 7239); nobody else's word does. With `proxy_protocol`,
    connections from them begin with a PROXY protocol header, version 1 or 2; without it they are dropped. Then headers
    count only if `proxy_headers` says which, and only from whom the PROXY header names, if that is a trusted proxy.

    How much: sizes are bytes, times seconds. A message is at most `max_message_size` (1009) in `max_fragments` (1008),
    a request at most `max_head_size` with `max_headers` (431, 414), opened within `handshake_timeout`, TLS included
    (408). Where there is no room, the one that has waited longest for its peer's request, if for half a second or more,
    gives way to the next (503); otherwise accepting pauses while `max_handshakes` are under way, and above
    `max_connections` (by default the limit of open files less 64, for all servers of this Trio run together) some are
    refused with 503, and the others not accepted. Above `connection_rate` (a number a second, or a `wscore.Rate`)
    accepting pauses. From one address (of IPv6, the first 64 bits) there are at most `max_connections_per_address`, and
    no more in a second than `connection_rate_per_address` (429, or no answer if there are many). From one connection
    come no more messages in a second, Pings included, than `message_rate`, and no more bytes than `byte_rate`: above,
    `fast_producer` says whether reading pauses, or the connection is closed with 1008. None of these is limited by
    default. `max_receive_queue` is what waits for `receive` before reading pauses, `max_send_buffer` what waits to be
    sent before `slow_consumer` decides: "wait", "drop" the message, or "close" with 1013. Bytes of which none leaves
    for `send_timeout` reset the connection. A Ping goes out every `ping_interval` and is answered within `ping_timeout`
    (1011); None switches either off. The closing handshake takes at most `close_timeout`. When all that waits to be
    received and to be sent exceeds `max_total_buffers`, connections that hold more than their share of it stop reading,
    new ones get 503 (pages do not), and until nine tenths are held, those are closed with 1013 whose messages come too
    slowly, then of the address that holds most the connections that hold most. While more than half is held, a message
    must come at `min_message_rate` bytes a second, on average and after its first 30 seconds, not counting time in
    which we did not read (1013); None lets it take its time.

    `compression` is None, "takeover", "shared" or "dedicated" (RFC 7692), for messages from `compression_threshold` on.
    `pieces=True` lets `receive_pieces` read messages that are larger than memory.

    `transport` is "auto", "reactor" or "stream": compiled code moves the bytes of sockets, or Trio's streams do; all
    else is the same on both. "auto" is the reactor where the codec is compiled, the system has epoll or kqueue, and all
    listeners are sockets. A call of `ws` that need not wait yields to other tasks only once in 2 milliseconds; with
    `strict_checkpoints` every call does, as Trio's own do. `gc_freeze` exempts what exists at the start from garbage
    collection.

    Raises `OSError` if it cannot listen; `ValueError`, `TypeError` or `LocalProtocolError` for arguments that make no
    sense; and what is no Exception, as a handler raised it. Cancelled, it closes all connections at once; Ctrl-C
    closes them with 1001 first, for which they have 2 seconds.
    """
    check_transport(transport)
    options = Options(
        compression=compression,
        compression_threshold=compression_threshold,
        pieces=pieces,
        max_message_size=max_message_size,
        max_fragments=max_fragments,
        max_head_size=max_head_size,
        max_headers=max_headers,
        handshake_timeout=handshake_timeout,
        message_rate=message_rate,
        byte_rate=byte_rate,
        fast_producer=fast_producer,
        max_receive_queue=max_receive_queue,
        max_send_buffer=max_send_buffer,
        slow_consumer=slow_consumer,
        send_timeout=send_timeout,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
        strict_checkpoints=strict_checkpoints,
    )
    tally = Tally()
    reserve = Reserve(checked_limit("max_total_buffers", max_total_buffers))
    check_rate("min_message_rate", min_message_rate)
    sites = SitePolicy(allowed_origins, allowed_hosts)
    admission = admission_for(
        options,
        subprotocols=subprotocols,
        sites=sites,
        on_request=on_request,
        documents=pages,
        tally=tally,
        authorize=authorize,
        proxies=TrustedProxies(trusted_proxies, proxy_headers, proxy_protocol=proxy_protocol),
        proxy_protocol=proxy_protocol,
        buffers=reserve,
    )
    entrance = Entrance(admission, ssl_context)
    conversations = Conversations(
        options, entrance, tally, handler=handler, on_message=on_message, on_error=on_error, reserve=reserve
    )
    limits = limits_of(
        max_connections,
        max_handshakes,
        rate=rate_of("connection_rate", connection_rate),
        addresses=AddressLimits(
            max_connections_per_address, rate_of("connection_rate_per_address", connection_rate_per_address)
        ),
    )
    opened = await open_listeners(host, port, listeners)
    try:
        relief = Relief(reserve, limits, conversations.websockets, min_message_rate)
        server = Server(opened, conversations, limits, tally, relief)
        if on_the_reactor(transport, opened):
            server.use_reactor(options, admission, ssl_context)
        sites.bind(server.addresses, host)
    except BaseException:
        for listener in opened if listeners is None else ():
            await close_now(listener)
        raise
    await server._run(gc_freeze, task_status)


async def serve_stream(
    handler: Handler | None,
    stream: trio.abc.Stream,
    *,
    on_message: MessageHook | None = None,
    on_error: ErrorHook | None = None,
    authorize: Authorize | None = None,
    on_request: OnRequest | None = None,
    pages: Pages | None = None,
    ssl_context: ssl.SSLContext | None = None,
    subprotocols: Sequence[str] = (),
    compression: Compression | None = None,
    compression_threshold: int | None = None,
    pieces: bool = False,
    max_message_size: int = 1 << 20,
    max_fragments: int = 4096,
    max_head_size: int = 16 << 10,
    max_headers: int = 128,
    handshake_timeout: float = 10.0,
    message_rate: Rate | float | None = None,
    byte_rate: Rate | float | None = None,
    fast_producer: FastProducer = "pause",
    max_receive_queue: int = 1 << 20,
    max_send_buffer: int = 1 << 20,
    slow_consumer: SlowConsumer = "wait",
    send_timeout: float = 30.0,
    ping_interval: float | None = 20.0,
    ping_timeout: float | None = 20.0,
    close_timeout: float = 10.0,
    allowed_origins: Iterable[str] | None = None,
    allowed_hosts: Iterable[str] | None = None,
    trusted_proxies: Iterable[Proxy] | str = (),
    proxy_headers: ProxyHeaders | None = None,
    proxy_protocol: bool = False,
    strict_checkpoints: bool = False,
) -> None:
    """Serve the one connection on `stream`, on which nothing was read or written yet, and close it.

    Everything is as in `serve`, but that no Host is refused unless `allowed_hosts` are given. Returns when the stream
    is closed, whatever came of it. Cancelled, it closes it at once.
    """
    options = Options(
        compression=compression,
        compression_threshold=compression_threshold,
        pieces=pieces,
        max_message_size=max_message_size,
        max_fragments=max_fragments,
        max_head_size=max_head_size,
        max_headers=max_headers,
        handshake_timeout=handshake_timeout,
        message_rate=message_rate,
        byte_rate=byte_rate,
        fast_producer=fast_producer,
        max_receive_queue=max_receive_queue,
        max_send_buffer=max_send_buffer,
        slow_consumer=slow_consumer,
        send_timeout=send_timeout,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
        strict_checkpoints=strict_checkpoints,
    )
    tally = Tally()
    admission = admission_for(
        options,
        subprotocols=subprotocols,
        sites=SitePolicy(allowed_origins, allowed_hosts),
        on_request=on_request,
        documents=pages,
        tally=tally,
        authorize=authorize,
        proxies=TrustedProxies(trusted_proxies, proxy_headers, proxy_protocol=proxy_protocol),
        proxy_protocol=proxy_protocol,
    )
    entrance = Entrance(admission, ssl_context)
    conversations = Conversations(options, entrance, tally, handler=handler, on_message=on_message, on_error=on_error)
    await conversations.hold(stream)


class Server:
    """A running server, as `await nursery.start(wscore.serve, ...)` returns it."""

    def __init__(
        self, listeners: Sequence[Listener], conversations: Conversations, limits: Limits, tally: Tally, relief: Relief
    ) -> None:
        self._listeners = listeners
        self._conversations = conversations
        self._limits = limits
        self._tally = tally
        self._relief = relief
        self._addresses = tuple(addresses_of(listeners))
        self._connections = Connections(conversations.websockets)
        self._accepting = trio.CancelScope()
        self._everything = trio.CancelScope()
        self._farewell = Farewell(self._count)
        self._ended = trio.Event()
        self._failure: BaseException | None = None
        self._doorway: Doorway | None = None

    def use_reactor(self, options: Options, admission: Admission, ssl_context: ssl.SSLContext | None) -> None:
        """Let the reactor move the bytes; all listeners are sockets."""
        from wscore.server.doorway import Doorway

        parts = self._conversations, self._limits, self._farewell
        self._doorway = Doorway(options, admission, *parts, ssl_context, self._fail)

    def _count(self) -> int:
        return self._conversations.streams if self._doorway is None else self._doorway.count

    @property
    def addresses(self) -> tuple[object, ...]:
        """Where it listens: what `getsockname` says of each listening socket."""
        return self._addresses

    @property
    def connections(self) -> Collection[WebSocket]:
        """A view of the WebSockets that are open now."""
        return self._connections

    def broadcast(self, message: Sendable, to: Iterable[WebSocket] | None = None) -> int:
        """Send `message` to all connections, or those in `to`, without waiting for any; return how many took it.

        It is framed, and compressed, once. A connection whose send buffer has no room for it goes without (or is closed
        with 1013, as `slow_consumer` says), one that is closing or lost is passed over. Raises TypeError or
        UnicodeEncodeError for what cannot be sent.
        """
        prepared = message if isinstance(message, PreparedMessage) else prepare(message)
        return offer_to_all(self._connections if to is None else to, prepared)

    async def aclose(self, *, drain: float = 10.0) -> None:
        """Stop: accept no more, close every connection with 1001, wait, and let `serve` return.

        Connections, and their handlers, have `drain` seconds to end; what is left then is reset, and its handler
        cancelled. Called again, it waits for its own time. Cancelled, the rest is cut off at once. In a handler or a
        hook of this server it does not wait for that, nor for others that close the server: it returns when all else
        has ended, and `serve` returns when they have, too. If it takes longer than `drain`, they are cancelled as well.
        """
        self._accepting.cancel()
        self._conversations.close()
        task = self._farewell.task_of_connection()
        has_ended = False
        try:
            with trio.move_on_after(drain):
                await (self._ended.wait() if task is None else self._farewell.others_gone(task))
                has_ended = True
        finally:
            if not has_ended:
                self._cut_off()
        if task is None:
            await self._ended.wait()
        else:
            await trio.lowlevel.checkpoint()

    def _cut_off(self) -> None:
        self._conversations.reset()
        if self._doorway is not None:
            self._doorway.reset()
        self._everything.cancel()

    def statistics(self) -> ServerStatistics:
        """Counts as they are now."""
        return self._tally.snapshot(self._connections, self._limits.handshakes)

    async def survey(self) -> ServerStatistics:
        """The same, but other tasks get their turn in between: going through thousands of connections takes a while.

        Nothing is counted twice or left out that was open at the beginning. Cancelled, nothing has happened.
        """
        survey = Survey(self._tally, self._limits.handshakes)
        for number, ws in enumerate(self._connections):
            if number % _SURVEYED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
            survey.add(ws)
        await trio.lowlevel.checkpoint()
        return survey.result()

    async def _run(self, gc_freeze: bool, task_status: trio.TaskStatus["Server"]) -> None:
        """Serve until the end. What counts is raised as it is, never in a nursery's group."""
        failure: BaseException | None = None
        try:
            with self._everything:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._look_after)
                    await self._accept_all(gc_freeze, task_status)
                    nursery.cancel_scope.cancel()
        except BaseException as error:
            failure = unwrapped(error)
        finally:
            for listener in self._listeners:
                await close_now(listener)
            self._ended.set()
        failure = self._failure or failure
        if failure is not None:
            raise failure

    async def _accept_all(self, gc_freeze: bool, task_status: trio.TaskStatus["Server"]) -> None:
        if gc_freeze:
            gc.collect()
            gc.freeze()
        if self._doorway is None:
            await self._accept_streams(task_status)
            return
        for listener in self._listeners:
            assert isinstance(listener, trio.SocketListener)
            self._doorway.listen(listener)
        task_status.started(self)
        await self._doorway.run(self._listening())

    async def _look_after(self) -> None:
        """What is done beside the connections; Ctrl-C may come there, too."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._relief.run)
                nursery.start_soon(_tell_repeats)
        except BaseException as error:
            if isinstance(unwrapped(error), trio.Cancelled):
                raise
            self._fail(error)

    async def _accept_streams(self, task_status: trio.TaskStatus["Server"]) -> None:
        async with trio.open_nursery() as nursery:
            self._farewell.nursery = nursery

            def take(stream: trio.abc.Stream, remote: object) -> None:
                nursery.start_soon(self._hold, stream, self._limits.enter(), remote)

            task_status.started(self)
            with self._listening():
                async with trio.open_nursery() as accepting:
                    for listener in self._listeners:
                        accepting.start_soon(accept_from, listener, self._limits, take)

    async def _hold(self, stream: trio.abc.Stream, place: Place, remote: object) -> None:
        try:
            await self._conversations.hold(stream, place, remote)
        except BaseException as error:
            if isinstance(unwrapped(error), trio.Cancelled):
                raise
            self._fail(error)
        finally:
            place.leave()
            self._farewell.somebody_left()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """The time in which connections are accepted: until `aclose`, an error, or Ctrl-C."""
        try:
            with self._accepting:
                yield
        except BaseException as error:
            if not isinstance(unwrapped(error), KeyboardInterrupt):
                raise
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if isinstance(unwrapped(error), KeyboardInterrupt) and self._failure is None:
            # As `aclose`; once more, and all is cut off.
            self._failure = unwrapped(error)
            self._accepting.cancel()
            self._conversations.close()
            self._everything.deadline = trio.current_time() + _FAREWELL_TIME
            return
        # Kept out of the nursery, so that a group which a handler raised is not taken for the nursery's.
        self._failure = self._failure or error
        self._everything.cancel()


async def _tell_repeats() -> None:
    """What peers have brought about again and again, once a minute."""
    while True:
        await trio.sleep(_MINUTE)
        tell_repeats(time.time())
