"""The way in on the reactor, and the life of its connections: what `entrance` and `conversation` are for streams.

Decides when a step of `admission` is taken, and when a task begins: for a handler, once there is a WebSocket, and for
an `on_request` that is awaited; never otherwise. All of it together takes at most `handshake_timeout`, TLS included.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from math import inf
from socket import socket
from ssl import SSLContext
from typing import TypeVar

import trio

from wscore.codec import SERVER
from wscore.protocol.handshake import Request
from wscore.server.accept import Exhaustion
from wscore.server.admission import CLOSING, CROWDED, Admission
from wscore.server.conversation import Conversations
from wscore.server.farewell import Farewell
from wscore.session.options import Options
from wscore.session.site.application import Answer
from wscore.session.site.limits import Limits, Place, Settled
from wscore.transport.calling import adopt
from wscore.transport.reactor.arrival import Arrival, Listening
from wscore.transport.reactor.link import Terms
from wscore.transport.reactor.running import reactor_of_this_run
from wscore.transport.reactor.websocket import ReactorWebSocket
from wscore.transport.reactor.wire import Tls
from wscore.transport.records import Opening
from wscore.transport.stream import new_connection
from wscore.transport.trio_glue import unwrapped

__all__ = ["Doorway"]

T = TypeVar("T")
R = TypeVar("R")


class Doorway:
    """Where the connections of one server come in; `fail` is called with what ends the server."""

    def __init__(
        self,
        options: Options,
        admission: Admission,
        conversations: Conversations,
        limits: Limits,
        farewell: Farewell,
        ssl_context: SSLContext | None,
        fail: Callable[[BaseException], object],
    ) -> None:
        self.options = options
        self.admission = admission
        self.conversations = conversations
        self.limits = limits
        self.farewell = farewell
        self.ssl_context = ssl_context
        self.fail = fail
        self.guests: set[Guest] = set()
        self._running = reactor_of_this_run()
        self._context = copy_context()
        self._terms = Terms(self._running.pace, self._context, self._leave, options)
        self._exhaustion = Exhaustion()
        self._listening: list[Listening] = []
        self._listeners: list[trio.SocketListener] = []
        self._nursery: trio.Nursery | None = None
        self._is_slowed_down = False

    def listen(self, listener: trio.SocketListener) -> None:
        """Accept from what `listener` listens on; it is closed when no more is accepted."""

        def take(fd: int, remote: object) -> None:
            self._take(socket(family, kind, protocol, fileno=fd), remote)

        sock = listener.socket
        family, kind, protocol = sock.family, sock.type, sock.proto
        listening = Listening(
            self._running.reactor,
            socket(family, kind, protocol, fileno=os.dup(sock.fileno())),
            take=take,
            is_full=self._is_full,
            exhausted=self._exhaustion.pause,
            at_failure=self.fail,
        )
        self._listening.append(listening)
        self._listeners.append(listener)

    async def run(self, accepting: AbstractContextManager[object]) -> None:
        """Accept until what is done in `accepting` is cancelled, and wait until all connections have ended. Cancelled,
        they are cut.
        """
        with self.limits.watched(self._go_on):
            try:
                async with trio.open_nursery() as self._nursery:
                    self.farewell.nursery = self._nursery
                    try:
                        await self._take_in(accepting)
                    finally:
                        # Before the nursery closes, in which whoever comes in may start a task.
                        self._stop_listening()
                        self._cut()
            finally:
                self._cut()

    async def _take_in(self, accepting: AbstractContextManager[object]) -> None:
        with accepting:
            async with trio.open_nursery() as open_ones:
                for listener, listening in zip(self._listeners, self._listening, strict=True):
                    open_ones.start_soon(_until_closed, listener, listening)
        self._stop_listening()
        self.close()
        await self.farewell.all_gone()

    @property
    def count(self) -> int:
        """How many connections there are, opening, open or with a handler that has not ended."""
        return len(self.guests) + len(self.conversations.websockets)

    def close(self) -> None:
        """Tell those whose request has not come that we are closing."""
        for guest in tuple(self.guests):
            if guest.waits_for_request:
                guest.turn_away()

    def reset(self) -> None:
        """Reset all connections: the peers had their time."""
        for guest in tuple(self.guests):
            self.admission.tally.resets += 1
            guest.visit.ended("closing")
            guest.arrival.cut()
        for ws in tuple(self.conversations.websockets):
            ws._give_up()

    def _is_full(self) -> bool:
        """Whether accepting has to pause, for want of room or because of the rate."""
        wait = self.limits.until_room()
        if 0 < wait < inf and not self._is_slowed_down:
            self._is_slowed_down = True
            self.start_task(self._go_on_after, wait)
        return wait > 0

    async def _go_on_after(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self._is_slowed_down = False
        self._go_on()

    def _go_on(self) -> None:
        for listening in self._listening:
            listening.go_on()

    def _stop_listening(self) -> None:
        for listening in self._listening:
            listening.close()
        for listener in self._listeners:
            listener.socket.close()

    def _cut(self) -> None:
        for guest in tuple(self.guests):
            guest.visit.ended("closing")
            guest.arrival.close()
        for ws in tuple(self.conversations.websockets):
            ws.abort()

    def _take(self, sock: socket, remote: object) -> None:
        place = self.limits.enter()
        try:
            guest = Guest(self, sock, place, remote)
        except BaseException as error:
            # What goes wrong with one connection is no reason to accept no more.
            sock.close()
            place.leave()
            self.crashed(error)
        else:
            guest.attempt(guest.begin)

    def start_task(self, function: Callable[..., Awaitable[object]], *arguments: object) -> None:
        """Start a task that lives no longer than the server, in a copy of the context of whoever called `serve`."""
        assert self._nursery is not None
        self._context.run(self._nursery.start_soon, function, *arguments)

    def new_context(self) -> Context | None:
        """A context for the hooks of one connection; None if there are none."""
        return self._context.copy() if self.admission.has_hooks else None

    def arrive(self, guest: "Guest", sock: socket) -> Arrival:
        """Let the reactor have the socket of a guest."""
        tls = None if guest.visit.header is not None else self.new_tls()
        arrival = Arrival(self._running.reactor, sock.fileno(), tls, guest)
        sock.detach()
        self.guests.add(guest)
        return arrival

    def new_tls(self) -> Tls | None:
        """Our end of TLS, if that is spoken."""
        return None if self.ssl_context is None else Tls(self.ssl_context, True)

    def leave(self, guest: "Guest") -> None:
        """This guest is gone, or has become a WebSocket."""
        self.guests.discard(guest)
        self.farewell.somebody_left()

    def welcome(self, guest: "Guest", opening: Opening) -> None:
        """The opening handshake has succeeded: let the conversation begin."""
        conversations = self.conversations
        connection = new_connection(SERVER, self.options, guest.visit.deflate)
        hooks = conversations.on_message, conversations.report, conversations.reserve
        ws = ReactorWebSocket(connection, self._terms, self.options, opening, *hooks)
        ws.start(guest.arrival, guest.place.settled(), guest.context)
        conversations.enter(ws)
        self.leave(guest)
        if conversations.has_handler:
            self.start_task(self._converse, ws, guest.context)
        ws.begin(opening.rest)

    def _leave(self, ws: ReactorWebSocket, place: Settled) -> None:
        """It is closed."""
        place.leave()
        if ws.crash is not None:
            self.crashed(ws.crash)
        if not self.conversations.has_handler:
            self._forget(ws)

    async def _converse(self, ws: ReactorWebSocket, context: Context | None) -> None:
        try:
            if context is not None:
                await adopt(context)
            await self.conversations.handle(ws)
        except BaseException as error:
            if isinstance(unwrapped(error), trio.Cancelled):
                raise
            self.crashed(error)
        finally:
            ws.abort()
            self._forget(ws)

    def _forget(self, ws: ReactorWebSocket) -> None:
        self.conversations.leave(ws)
        self.farewell.somebody_left()

    def crashed(self, error: BaseException) -> None:
        """A connection has ended with this. If the whole reactor has, so does the server."""
        if error is self._running.reactor.crash:
            self.fail(error)
            return
        try:
            self.conversations.contain(error)
        except BaseException as fatal:
            self.fail(fatal)


class Guest:
    """One connection on its way in."""

    __slots__ = ("_doorway", "_thinking", "arrival", "context", "place", "visit", "waits_for_request")

    def __init__(self, doorway: Doorway, sock: socket, place: Place, remote: object) -> None:
        self._doorway = doorway
        self._thinking: trio.CancelScope | None = None
        self.context = doorway.new_context()
        self.place = place
        is_encrypted = doorway.ssl_context is not None
        self.visit = doorway.admission.visit(sock.getsockname(), remote, is_encrypted=is_encrypted, place=place)
        self.waits_for_request = True
        try:
            self.arrival = doorway.arrive(self, sock)
        except BaseException:
            self.visit.ended("error")  # nobody else will
            raise

    def attempt(self, step: Callable[..., object], *arguments: object) -> None:
        """Take a step that the reactor has not asked for; should it fail, that ends this connection only."""
        try:
            step(*arguments)
        except BaseException as error:
            self.failed(error)
            self.arrival.close()

    def begin(self) -> None:
        """Start the clock, and say what is to be said without listening."""
        self.arrival.call_at(trio.current_time() + self._doorway.options.handshake_timeout)
        self.place.waits(self.give_way)
        if self.visit.header is None and self.arrival.is_encrypted is None:
            self._say_at_once()
        elif self.visit.is_dropped:
            self.arrival.cut()

    def received(self, data: bytes) -> None:
        """Go on with the PROXY protocol header, if there is one, then with the request."""
        if self.visit.header is not None:
            rest = self.visit.receive_header(data)
            if self.visit.is_dropped:
                self.arrival.cut()
            elif rest is not None:
                self._go_on_with(rest)
            return
        if self._thinking is not None:
            self._receive_meanwhile(data)
            return
        result = self.visit.refusal or self.visit.receive(data)
        if self.visit.is_dropped:
            self.arrival.cut()
            return
        if result is None:
            if not data:
                self.arrival.close()
            return
        self.waits_for_request = False
        self.place.stays()
        answer = self._in_context(self._doorway.admission.ask, result) if isinstance(result, Request) else result
        if isinstance(answer, Awaitable):
            self._thinking = trio.CancelScope()
            self._doorway.start_task(self._think, answer, self._thinking)
        else:
            self.respond(answer)

    def _receive_meanwhile(self, data: bytes) -> None:
        """The application thinks. Who goes now gives its place back; who sends much, unasked, is read no more."""
        if not self.visit.receive_meanwhile(data):
            self.arrival.close()
        elif self.visit.has_enough:
            self.arrival.pause()

    def _go_on_with(self, rest: bytes) -> None:
        """The header is complete, and this came behind it."""
        tls = self._doorway.new_tls()
        if tls is not None:
            self.arrival.start_tls(tls, rest)
        elif not self._say_at_once() and rest:
            self.received(rest)

    def _say_at_once(self) -> bool:
        """What is to be said without listening; whether there is anything."""
        if self.visit.is_dropped:
            self.arrival.cut()
        elif self.visit.refusal is not None:
            self.waits_for_request = False
            self.respond(self.visit.refusal)
        return self.visit.is_dropped or self.visit.refusal is not None

    async def _think(self, answer: Awaitable[Answer], thinking: trio.CancelScope) -> None:
        with thinking:
            said = await self._await_in_context(answer)
            if not thinking.cancel_called:
                self.attempt(self.respond, said)

    async def _await_in_context(self, answer: Awaitable[Answer]) -> Answer:
        assert self.context is not None  # somebody thinks: there are hooks
        between = trio.lowlevel.current_task().context
        await adopt(self.context)
        said = await answer
        # What comes now may call hooks, for which the context is entered.
        await adopt(between)
        return said

    def _in_context(self, function: Callable[[T], R], argument: T) -> R:
        """Call what may call the application's hooks."""
        return function(argument) if self.context is None else self.context.run(function, argument)

    def respond(self, answer: Answer) -> None:
        """Say what there is to say, and become a WebSocket or leave."""
        output = self._in_context(self.visit.respond, answer)
        if self.visit.opening is None:
            self.place.opened()
            self.arrival.say_last(output)
        else:
            self.arrival.say(output)
            if self.arrival.fd >= 0:
                self._doorway.welcome(self, self.visit.opening)

    def turn_away(self) -> None:
        """The server closes, and waits for no request."""
        if self.visit.header is not None:
            self._drop("closing")
        elif self.arrival.is_encrypted is False:
            self.visit.ended("closing")
            self.arrival.close()
        else:
            self.waits_for_request = False
            self.respond(CLOSING)

    def expired(self) -> None:
        """The time is over: say so, if something can be said."""
        if self.visit.header is not None:
            self._drop("proxy_header")
        elif self.arrival.is_encrypted is False:
            self.visit.tls_failed()
            self.arrival.close()
        elif not self.visit.answered:
            if self._thinking is not None:
                self._thinking.cancel()
            self.respond(self.visit.overdue())

    def give_way(self) -> None:
        """Others need the place: it has had its time. What can be said in one go is said."""
        if self.visit.header is not None or self.arrival.is_encrypted is False:
            self._drop(CROWDED.reason)
        elif not self.visit.answered:
            self.arrival.say(self.visit.respond(CROWDED))
            self.arrival.close()

    def _drop(self, reason: str) -> None:
        self.visit.drop(reason)
        self.arrival.cut()

    def tls_failed(self, error: OSError) -> None:
        """There is no way to say anything."""
        self.place.opened()
        self.visit.tls_failed(error)

    def closed(self) -> None:
        """The socket is closed, and has not become a WebSocket."""
        if self._thinking is not None:
            self._thinking.cancel()
        self.visit.ended()
        self.place.leave()
        self._doorway.leave(self)

    def failed(self, error: BaseException) -> None:
        """One of these steps has raised."""
        self.visit.ended("error")
        self._doorway.crashed(error)


async def _until_closed(listener: trio.SocketListener, listening: Listening) -> None:
    """Let `listening` end if somebody else closes the listener: a listening socket can never be written to."""
    try:
        await trio.lowlevel.wait_writable(listener.socket)
    except trio.ClosedResourceError:
        listening.close()
