"""One connection over an asyncio transport, as the event loop sees it: what has happened, and what that means.

Decides when reading pauses and goes on, how a connection ends, from whichever side, and which error that is for whom.
Calls of users stand in `websocket`, which builds on this; deadlines stand in `deadlines`, and what runs with every
message in the `Link` below; all rules of RFC 6455 are `Connection`'s. Sections 5.5 and 7.

All code of users runs in one context of the connection's own, whoever has made the loop call. Hooks are never called
from within a call of the user's: what that ends is told to `on_close` in the next turn of the loop.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any

from wscore.codec import CLIENT, CloseCode
from wscore.protocol.connection import State
from wscore.protocol.events import Close, Pong

from .deadlines import TURN_BUDGET, Deadlines
from .errors import ConnectionClosed, ConnectionLost
from .logs import log_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import TypeAlias

    from wscore.protocol.connection import Connection
    from wscore.protocol.events import Event
    from wscore.protocol.handshake import Request, Response

    from .opening import Opening
    from .options import Options
    from .websocket import WebSocket

    OpenHook: TypeAlias = Callable[[WebSocket], object]
    MessageHook: TypeAlias = Callable[[WebSocket, str | bytes], object]
    CloseHook: TypeAlias = Callable[[WebSocket, int, str], object]
    ErrorHook: TypeAlias = Callable[[WebSocket, Exception], object]

__all__ = ["CloseHook", "Endpoint", "ErrorHook", "MessageHook", "OpenHook"]

# uvloop counts what waits in its transports with an `int` of C.
_MOST_IN_TRANSPORT = (1 << 31) - 1

# The part of `close_timeout` that answers may take before a Close frame is answered: the peer waits for that, too.
PATIENCE = 0.5
# So many bytes are thrown away of a peer that does not end its side after our end (RFC 9112 section 9.6).
DISCARD_LIMIT = 32 << 20

# The transports that own a plain socket, to which the compiled Link may write itself.
_PLAIN = {
    *(("uvloop.loop", "TCPTransport"), ("uvloop.loop", "UnixTransport")),
    ("asyncio.selector_events", "_SelectorSocketTransport"),
}


class Endpoint(Deadlines, asyncio.BufferedProtocol):
    """What the protocol of an asyncio transport does about one connection."""

    __slots__ = (
        "__weakref__",
        "_at_eof",
        "_closed_here",
        "_discarded",
        "_end",
        "_is_lingering",
        "_is_paused",
        "_leaving",
        "_messages_dropped",
        "_on_close",
        "_on_error",
        "_on_open",
        "_over",
        "_reads_on_soon",
        "_start",
        "response",
        "subprotocol",
        "user",
    )

    def __init__(
        self,
        opening: Opening,
        options: Options,
        context: Context,
        *,
        start: OpenHook | None = None,
        on_open: OpenHook | None = None,
        on_message: MessageHook | None = None,
        on_close: CloseHook | None = None,
        on_error: ErrorHook = log_error,
    ) -> None:
        super().__init__(opening, options, on_message, context)
        self._start = start  # what follows `on_open`, outside of the context
        self._on_open = on_open
        self._on_close = on_close
        self._on_error = on_error
        self.response: Response | None = None
        self.subprotocol: str | None = None
        self.user: Any = None
        self._end: Close | None = None
        self._leaving: tuple[int, str] | None = None
        self._closed_here = False
        self._at_eof = False
        self._is_paused = False
        self._is_lingering = False
        self._reads_on_soon = False
        self._discarded = 0
        self._over: asyncio.Future[None] | None = None
        self._messages_dropped = 0

    @property
    def _face(self) -> WebSocket:
        """What hooks are given: this connection as users know it."""
        return self  # type: ignore[return-value]

    @property
    def request(self) -> Request | None:
        """The peer's opening request, on a server; else None."""
        return self._opening.request

    # What callers may do now

    def _check_receiving(self) -> None:
        if self._leaving is not None:
            raise ConnectionClosed(*self._leaving, by_peer=False)
        if self._end is None:
            return
        if self._end.origin == "peer":
            raise ConnectionClosed(self._end.code, self._end.reason, by_peer=True)
        raise ConnectionLost(self._end.code, self._end.reason)

    def _refuse_sending(self) -> None:
        raise self._sending_error()

    def _sending_error(self) -> Exception:
        if self._closed_here and self._leaving is not None:
            return ConnectionClosed(*self._leaving, by_peer=False)
        if self._leaving is not None:
            return ConnectionLost(*self._leaving)
        if self._end is not None:
            return ConnectionLost(self._end.code, self._end.reason)
        return ConnectionLost(CloseCode.ABNORMAL, "")

    def _has_no_room(self) -> None:
        if self._options.slow_consumer == "drop":
            self._messages_dropped += 1
        elif self._options.slow_consumer == "close":
            self._fail(CloseCode.TRY_AGAIN_LATER, "the peer receives too slowly")

    def _next_turn(self) -> None:
        """Let the first in line send, if there is room or if it shall learn that there is nothing to wait for."""
        if self._line and not (self._writing_is_paused and self._is_sendable) and not self._line[0].done():
            self._line[0].set_result(None)

    # Ends

    def _fail(self, code: int, reason: str) -> None:
        """Give the connection up, for a reason that the protocol layer cannot see."""
        if self._connection.state is State.OPEN:
            for event in self._connection.fail(code, reason):
                self._handle(event)

    def _lose(self) -> None:
        """No byte will come any more: unless the connection has ended, that is how it ends."""
        if self._connection is not None:
            for event in self._connection.receive_eof():
                self._handle(event)

    def _handler_failed(self, error: Exception) -> None:
        """A handler or a hook raised: close with 1011, unless that only says that the connection has ended.

        To be called in the connection's context, as the hook was.
        """
        if not self._is_sendable and _is_an_end(error):
            return
        self._fail(CloseCode.INTERNAL_ERROR, "")
        self._on_error(self._face, error)

    def _stop_sending(self) -> None:
        """Nothing can be sent any more, and nothing of what comes is for anybody: tell those who wait."""
        self._is_sendable = False
        self._is_deaf = True
        self._connection.discard_messages()
        self._next_turn()
        self._pings.fail(self._sending_error())
        self._wake_receiver()

    def _take_end(self, end: Close) -> None:
        """The connection has ended: say what there is to say, linger, and tell the user."""
        if self._end is not None:
            return
        self._end = end
        self._stop_sending()
        self._leave(politely=end.origin != "lost")
        self._begin_closing()
        if self._on_close is not None:
            self._loop.call_soon(self._call_on_close, end, context=self._context)

    def _call_on_close(self, end: Close) -> None:
        try:
            self._on_close(self._face, end.code, end.reason)  # type: ignore[misc]
        except Exception as error:
            self._on_error(self._face, error)

    def _leave(self, *, politely: bool) -> None:
        """Send what is left, end our side, and read on until the peer has ended its own."""
        if self._connection is not None:
            self._flush()
        self._is_open = False
        transport = self._transport
        if transport is None:
            return
        if self._is_paused:
            self._resume()
        # A client lets its server be the first to end (RFC 6455 section 7.1.1).
        peer_first = politely and self._connection is not None and self._connection.role is CLIENT
        if peer_first:
            self._is_lingering = True
        elif politely and transport.can_write_eof():
            self._is_lingering = True
            with suppress(OSError):
                transport.write_eof()
        else:
            transport.close()
        self._begin_lingering(peer_first=peer_first)

    def _break_off(self) -> None:
        """Close at once: from now on nothing is delivered or sent, of what has come or was to go, either."""
        transport = self._transport
        if transport is None:
            return
        if self._connection is not None:
            self._detach()
            self._queue.clear()
            self._queued = 0
            self._lose()
        transport.abort()

    # Events of the connection

    def _handle(self, event: Event) -> None:
        if isinstance(event, Close):
            self._take_end(event)
        elif isinstance(event, Pong):
            self._pong_came(event.payload)

    # Flow control

    def _pause(self) -> None:
        """Read no more for now. Our own deadline for a Pong stands still."""
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._timers.pause()
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._is_paused = False
        self._answer_by = inf
        self._timers.resume(self._loop.time())
        self._set_alarm()
        self._transport.resume_reading()

    def _end_turn(self) -> None:
        if self._is_open or self._is_lingering:
            self._pause()
            self._read_on_soon()

    def _rest_waits(self) -> None:
        self._pause()
        if self._connection.is_ending:
            self._read_on()
        else:
            self._read_on_soon()

    def _read_on_soon(self) -> None:
        """In a moment: whoever calls this may be called by what it does, and others are to have their turn."""
        if not self._reads_on_soon:
            self._reads_on_soon = True
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        """Take what was left, as far as there is room for it now and a turn allows; then read."""
        self._reads_on_soon = False
        if not self._is_open:
            if self._is_lingering and self._is_paused and self._transport is not None:
                self._resume()
            return
        was_due, self._flush_is_due = self._flush_is_due, True
        try:
            self._hand_over_queue()
            if self._connection.has_rest and self._may_take_rest():
                self._deliver(self._connection.receive_data(b"", self._budget()))
            if self._connection.has_pongs:
                self._output_waits()
        finally:
            self._flush_is_due = was_due
        self._flush()
        if not self._is_open:
            return
        if self._may_hand_over() or (self._connection.has_rest and self._may_take_rest()):
            self._read_on_soon()
        elif self._connection.has_rest or self._must_wait():
            return
        elif self._at_eof:
            self._lose()
        elif self._is_paused:
            self._resume()

    def _may_hand_over(self) -> bool:
        """Whether something waits for `on_message` that may go there, or nowhere."""
        if self._on_message is None or not self._queue:
            return False
        return self._is_deaf or not (self._is_held or self._writing_is_paused)

    def _hand_over_queue(self) -> None:
        """Give to `on_message` what waits for it, a turn's worth."""
        least = self._queued - TURN_BUDGET
        while self._may_hand_over() and self._queued > least:
            message = self._pop()
            if not self._is_deaf:
                self._call(message)

    def _must_wait(self) -> bool:
        """Whether messages that come would be too many."""
        if self._is_deaf:
            return False
        return self._queued >= self._max_queue if self._on_message is None else bool(self._queue)

    def _may_take_rest(self) -> bool:
        if not self._connection.is_ending or self._is_deaf:
            return not self._must_wait()
        # Before a Close frame, or what the peer did wrong, takes effect, what came before may be answered.
        if not self._queue:
            return True
        now = self._loop.time()
        if self._answer_by == inf:
            self._answer_by = now + self._options.close_timeout * PATIENCE
            self._set_alarm()
        return now >= self._answer_by

    # What asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """For asyncio: there is a connection; the opening handshake begins."""
        self._transport = transport
        size = min(self._options.max_send_buffer, _MOST_IN_TRANSPORT)
        transport.set_write_buffer_limits(size, size // 2)
        self._timers.closing(self._loop.time(), self._options.handshake_timeout)
        self._opening.begin(self._face)
        self._set_alarm()

    def opened(self, connection: Connection, rest: bytes) -> None:
        """For the opening handshake: it has succeeded, and `rest` came behind it."""
        connection.expect_pongs(self._pings.payloads)
        self._attach(connection, self._transport, _plain_socket_of(self._transport))
        self._begin_keepalive()
        if (self._on_open is None or self._context.run(self._call_on_open)) and self._start is not None:
            self._start(self._face)
        if rest:
            self._take(rest)

    def _call_on_open(self) -> bool:
        """Whether it has not failed."""
        try:
            self._on_open(self._face)  # type: ignore[misc]
        except Exception as error:
            self._handler_failed(error)
            return False
        return True

    def not_opened(self) -> None:
        """For the opening handshake: there will be no WebSocket; all has been said that there was to say."""
        self._leave(politely=True)
        self._begin_refusing()

    def _receive_outside(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self._is_lingering or self._end is not None:
            self._discarded += len(data)
            if self._discarded > DISCARD_LIMIT:
                self._transport.abort()
        else:
            self._opening.receive(self._face, data)

    def eof_received(self) -> bool:
        """For asyncio: the peer sends no more. We go on sending only if something is left to be answered."""
        if self._connection is None:
            self._opening.eof(self._face)
        elif self._is_open and (self._connection.has_rest or self._must_wait()):
            self._at_eof = True
            return bool(self._transport.can_write_eof())
        elif self._is_open:
            self._lose()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """For asyncio: the transport is closed."""
        self._detach()
        self._stop_the_clock()
        self._is_held = self._writing_is_paused = False
        while self._may_hand_over():
            self._hand_over_queue()
        self._lose()
        self._opening.lost(self._face, exc)
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def pause_writing(self) -> None:
        """For asyncio: more than `max_send_buffer` bytes wait."""
        self._writing_is_paused = True

    def resume_writing(self) -> None:
        """For asyncio: less than half as many do."""
        self._writing_is_paused = False
        self._next_turn()
        if self._on_message is not None and self._is_paused:
            self._read_on_soon()


def _is_an_end(error: Exception) -> bool:
    """Whether it says no more than that a connection has ended; a handler with a group of tasks raises groups."""
    if isinstance(error, ExceptionGroup):
        return error.split((ConnectionClosed, ConnectionLost))[1] is None
    return isinstance(error, ConnectionClosed | ConnectionLost)


def _plain_socket_of(transport: asyncio.Transport) -> int:
    kind = type(transport)
    if (kind.__module__, kind.__qualname__) not in _PLAIN:
        return -1
    fd: int = transport.get_extra_info("socket").fileno()
    return fd
