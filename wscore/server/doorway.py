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
from wscore.session.opening import Driver, ServerOpening, Stage
from wscore.session.options import Options
from wscore.session.site.admission import Admission
from wscore.session.site.application import Answer
from wscore.session.site.limits import Limits, Place, Settled
from wscore.transport.calling import adopt, await_in
from wscore.transport.reactor.arrival import Arrival, Listening
from wscore.transport.reactor.link import Terms
from wscore.transport.reactor.running import reactor_of_this_run
from wscore.transport.reactor.websocket import ReactorWebSocket
from wscore.transport.reactor.wire import Tls
from wscore.transport.stream import new_connection
from wscore.transport.tls import peer_has_gone
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
        hooks = conversations.on_message, conversations.report, conversations.reserve
        self._terms = Terms(self._running.pace, self._context, self._leave, options, *hooks)
        self._exhaustion = Exhaustion()
        self._listening: list[Listening] = []
        self._listeners: list[trio.SocketListener] = []
        self._nursery: trio.Nursery | None = None
        self._is_slowed_down = False

    def listen(self, listener: trio.SocketListener) -> None:
        """Accept from what `listener` listens on; it is closed when no more is accepted."""

        sock = listener.socket
        listening = Listening(
            self._running.reactor,
            socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno())),
            take=self._take,
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
            guest.gone("closing")
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
            guest.gone("closing")
            guest.arrival.close()
        for ws in tuple(self.conversations.websockets):
            ws.abort()

    def _take(self, fd: int, local: object, remote: object) -> None:
        place = self.limits.enter()
        try:
            guest = self._guest_on(fd, local, remote, place)
        except BaseException as error:
            # What goes wrong with one connection is no reason to accept no more.
            os.close(fd)
            place.leave()
            self.crashed(error)
        else:
            guest.attempt(guest.begin)

    def _guest_on(self, fd: int, local: object, remote: object, place: Place) -> "Guest":
        speaks_tls = self.ssl_context is not None
        opening = ServerOpening(
            self.admission,
            local,
            remote,
            trio.current_time(),
            speaks_tls=speaks_tls,
            place=place,
            context=self.new_context(),
        )
        guest = Guest(self, opening, place)
        try:
            tls = self.new_tls() if opening.stage is Stage.TLS else None
            guest.arrival = Arrival(self._running.reactor, fd, tls, guest)
        except BaseException:
            guest.gone("error")  # nobody else will say so
            raise
        self.guests.add(guest)
        return guest

    def start_task(self, function: Callable[..., Awaitable[object]], *arguments: object) -> None:
        """Start a task that lives no longer than the server, in a copy of the context of whoever called `serve`."""
        assert self._nursery is not None
        self._context.run(self._nursery.start_soon, function, *arguments)

    def new_context(self) -> Context | None:
        """A context for the hooks of one connection; None if there are none."""
        return self._context.copy() if self.admission.has_hooks else None

    def new_tls(self) -> Tls:
        """Our end of TLS."""
        assert self.ssl_context is not None
        return Tls(self.ssl_context, True)

    def leave(self, guest: "Guest") -> None:
        """This guest is gone, or has become a WebSocket."""
        self.guests.discard(guest)
        self.farewell.somebody_left()

    def welcome(self, guest: "Guest", opening: ServerOpening) -> None:
        """The opening handshake has succeeded: let the conversation begin."""
        conversations = self.conversations
        assert opening.opened is not None
        connection = new_connection(SERVER, self.options, opening.deflate)
        ws = ReactorWebSocket(connection, self._terms, opening.opened)
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


class Guest(Driver):
    """One connection on its way in: the driver of its opening on the reactor."""

    __slots__ = ("_doorway", "_thinking", "arrival", "place")

    arrival: Arrival

    def __init__(self, doorway: Doorway, opening: ServerOpening, place: Place) -> None:
        super().__init__()
        self._doorway = doorway
        self._thinking: trio.CancelScope | None = None
        self.opening = opening
        self.place = place

    def attempt(self, step: Callable[..., object], *arguments: object) -> None:
        """Take a step that the reactor has not asked for; should it fail, that ends this connection only."""
        try:
            step(*arguments)
        except BaseException as error:
            self.failed(error)
            self.arrival.close()

    def begin(self) -> None:
        """Start the clock, and say what is to be said without listening."""
        assert self.opening is not None
        self.arrival.call_at(self.opening.deadline)
        self.place.waits(self.give_way)
        self.start(self.opening)

    # What is to be done

    def open(self, opening: ServerOpening) -> None:
        self.arrival.say(opening.output())
        if self.arrival.fd >= 0:
            self._doorway.welcome(self, opening)

    def say_last(self, output: bytes) -> None:
        self.arrival.say_last(output)

    def close(self, output: bytes) -> None:
        self.arrival.say(output)
        self.arrival.close()

    def reset(self) -> None:
        self.arrival.cut()

    def start_tls(self, rest: bytes) -> None:
        if self.arrival.is_encrypted is None:
            self.arrival.start_tls(self._doorway.new_tls(), rest)

    def think(self, thinking: Awaitable[Answer]) -> None:
        self._thinking = trio.CancelScope()
        self._doorway.start_task(self._answer, thinking, self._thinking)

    async def _answer(self, thinking: Awaitable[Answer], scope: trio.CancelScope) -> None:
        assert self.opening is not None
        assert self.opening.context is not None  # somebody thinks: there are hooks
        with scope:
            answer = await await_in(self.opening.context, thinking)
            if not scope.cancel_called:
                self.attempt(self.tell, ServerOpening.answered, answer)

    def stop_thinking(self) -> None:
        if self._thinking is not None:
            self._thinking.cancel()

    def pause(self) -> None:
        self.arrival.pause()

    # What the reactor tells, beside `received`

    def tls_is_up(self) -> None:
        """TLS has come about."""
        self.tell(ServerOpening.tls_is_up)

    def tls_failed(self, error: OSError) -> None:
        """There is no way to say anything; the arrival lingers."""
        assert self.opening is not None
        self.opening.tls_failed(error, at_end=peer_has_gone(error))

    def expired(self) -> None:
        """The deadline has come."""
        self.tell(ServerOpening.time_is, trio.current_time())

    def closed(self) -> None:
        """The socket is closed, and has not become a WebSocket."""
        self.gone()
        self.place.leave()
        self._doorway.leave(self)

    def failed(self, error: BaseException) -> None:
        """One of these steps has raised."""
        self.gone("error")
        self._doorway.crashed(error)


async def _until_closed(listener: trio.SocketListener, listening: Listening) -> None:
    """Let `listening` end if somebody else closes the listener: a listening socket can never be written to."""
    try:
        await trio.lowlevel.wait_writable(listener.socket)
    except trio.ClosedResourceError:
        listening.close()
