"""The way in on the reactor, and the life of its connections: what `entrance` and `conversation` are for streams.

Decides when a task begins: for a handler, once there is a WebSocket, and for a hook that is awaited; never otherwise.
What happens in which order, what is said and how long it may take stands in `session.opening`.
"""

import os
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from math import inf
from socket import socket

import trio

from wscore.codec import SERVER
from wscore.server.accept import Exhaustion
from wscore.server.conversation import Conversations
from wscore.server.farewell import Farewell
from wscore.session.opening import ServerOpening, Stage
from wscore.session.options import Options
from wscore.session.site.admission import Admission
from wscore.session.site.application import Answer
from wscore.session.site.limits import Limits, Place, Settled
from wscore.transport.calling import adopt
from wscore.transport.reactor.arrival import Arrival, Listening
from wscore.transport.reactor.link import Terms
from wscore.transport.reactor.running import reactor_of_this_run
from wscore.transport.reactor.websocket import ReactorWebSocket
from wscore.transport.reactor.wire import Tls
from wscore.transport.stream import new_connection
from wscore.transport.trio_glue import unwrapped

__all__ = ["Doorway"]


class Doorway:
    """Where the connections of one server come in; `fail` is called with what ends the server."""

    def __init__(
        self,
        options: Options,
        admission: Admission,
        conversations: Conversations,
        limits: Limits,
        farewell: Farewell,
        ssl_context: ssl.SSLContext | None,
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
            guest.turn_away()

    def reset(self) -> None:
        """Reset all connections: the peers had their time."""
        for guest in tuple(self.guests):
            self.admission.tally.resets += 1
            guest.opening.closed("closing")
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
            guest.opening.closed("closing")
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
        tls = self.new_tls() if guest.opening.stage is Stage.TLS else None
        arrival = Arrival(self._running.reactor, sock.fileno(), tls, guest)
        sock.detach()
        self.guests.add(guest)
        return arrival

    def new_tls(self) -> Tls:
        """Our end of TLS."""
        assert self.ssl_context is not None
        return Tls(self.ssl_context, True)

    def leave(self, guest: "Guest") -> None:
        """This guest is gone, or has become a WebSocket."""
        self.guests.discard(guest)
        self.farewell.somebody_left()

    def welcome(self, guest: "Guest") -> None:
        """The opening handshake has succeeded: let the conversation begin."""
        conversations, opening = self.conversations, guest.opening
        assert opening.opened is not None
        connection = new_connection(SERVER, self.options, opening.deflate)
        hooks = conversations.on_message, conversations.report, conversations.reserve
        ws = ReactorWebSocket(connection, self._terms, self.options, opening.opened, *hooks)
        ws.start(guest.arrival, guest.place.settled(), opening.context)
        conversations.enter(ws)
        self.leave(guest)
        if conversations.has_handler:
            self.start_task(self._converse, ws, opening.context)
        ws.begin(opening.opened.rest)

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
    """One connection on its way in: the driver of a `ServerOpening` on the reactor."""

    __slots__ = ("_doorway", "_thinking", "arrival", "opening", "place")

    def __init__(self, doorway: Doorway, sock: socket, place: Place, remote: object) -> None:
        self._doorway = doorway
        self._thinking: trio.CancelScope | None = None
        self.place = place
        self.opening = ServerOpening(
            doorway.admission,
            sock.getsockname(),
            remote,
            trio.current_time(),
            speaks_tls=doorway.ssl_context is not None,
            place=place,
            context=doorway.new_context(),
        )
        try:
            self.arrival = doorway.arrive(self, sock)
        except BaseException:
            self.opening.closed("error")  # nobody else will
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
        self.arrival.call_at(self.opening.deadline)
        self.place.waits(self.give_way)
        self.act()

    def act(self) -> None:
        """Do what the opening asks for."""
        opening, arrival = self.opening, self.arrival
        stage = opening.stage
        if stage is Stage.OPEN:
            arrival.say(opening.output())
            if arrival.fd >= 0:
                self._doorway.welcome(self)
        elif stage is Stage.LINGER:
            arrival.say_last(opening.output())
        elif stage is Stage.CLOSE:
            arrival.say(opening.output())
            arrival.close()
        elif stage is Stage.RESET:
            arrival.cut()
        elif stage is Stage.TLS and arrival.is_encrypted is None:
            arrival.start_tls(self._doorway.new_tls(), opening.rest)
        elif stage is Stage.HOOK:
            self._think()
        if stage >= Stage.OPEN and self._thinking is not None:
            self._thinking.cancel()

    def _think(self) -> None:
        """Let the application think, in a task; who sends much meanwhile, unasked, is read no more."""
        thinking = self.opening.thinking
        if self._thinking is None and thinking is not None:
            self._thinking = trio.CancelScope()
            self._doorway.start_task(self._answer, thinking, self._thinking)
        if not self.opening.wants_read:
            self.arrival.pause()

    async def _answer(self, thinking: Awaitable[Answer], scope: trio.CancelScope) -> None:
        with scope:
            answer = await self._await_in_context(thinking)
            if not scope.cancel_called:
                self._thinking = None
                self.attempt(self._tell, self.opening.answered, answer)

    async def _await_in_context(self, thinking: Awaitable[Answer]) -> Answer:
        assert self.opening.context is not None  # somebody thinks: there are hooks
        between = trio.lowlevel.current_task().context
        await adopt(self.opening.context)
        answer = await thinking
        # What comes now may call hooks, for which the context is entered.
        await adopt(between)
        return answer

    def _tell(self, what: Callable[..., object], *arguments: object) -> None:
        before = self.opening.stage
        what(*arguments)
        if self.opening.stage is not before or before is Stage.HOOK:
            self.act()

    # What others want

    def turn_away(self) -> None:
        """The server closes."""
        self._tell(self.opening.turn_away)

    def give_way(self) -> None:
        """Others need the place."""
        self._tell(self.opening.give_way)

    # What the reactor tells

    def received(self, data: bytes) -> None:
        """Bytes have come; b"" for their end."""
        if data:
            self._tell(self.opening.received, data)
        else:
            self._tell(self.opening.received_eof)

    def tls_is_up(self) -> None:
        """TLS has come about."""
        self._tell(self.opening.tls_is_up)

    def tls_failed(self, error: OSError) -> None:
        """There is no way to say anything; the arrival lingers."""
        self.opening.tls_failed(error, at_end=isinstance(error, ConnectionError | ssl.SSLEOFError))

    def expired(self) -> None:
        """The deadline has come."""
        self._tell(self.opening.time_is, trio.current_time())

    def closed(self) -> None:
        """The socket is closed, and has not become a WebSocket."""
        if self._thinking is not None:
            self._thinking.cancel()
        self.opening.closed()
        self.place.leave()
        self._doorway.leave(self)

    def failed(self, error: BaseException) -> None:
        """One of these steps has raised."""
        self.opening.closed("error")
        self._doorway.crashed(error)


async def _until_closed(listener: trio.SocketListener, listening: Listening) -> None:
    """Let `listening` end if somebody else closes the listener: a listening socket can never be written to."""
    try:
        await trio.lowlevel.wait_writable(listener.socket)
    except trio.ClosedResourceError:
        listening.close()
