"""One connection over an asyncio transport, as the event loop sees it: what has happened, and what that means.

Decides when reading pauses and goes on, how a connection ends, from whichever side, which error that is for whom, when
to ping and when a peer is given up. Calls of users stand in `websocket`, which builds on this; what runs with every
message stands in the `Link` below; all rules of RFC 6455 are `Connection`'s. Sections 5.5 and 7.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any

from wscore.codec import IMPLEMENTATION, CloseCode
from wscore.protocol.connection import State
from wscore.protocol.events import Close, Ping, Pong
from wscore.protocol.timers import Timers
from wscore.session.logs import of_peer, repeats

from .errors import ConnectionClosed, ConnectionLost
from .pings import Pings

if TYPE_CHECKING:
    from collections.abc import Callable
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

if TYPE_CHECKING or IMPLEMENTATION == "pure":
    from .pure_link import Link
else:
    from .native_link import Link

__all__ = ["CloseHook", "Endpoint", "ErrorHook", "MessageHook", "OpenHook", "log_error"]

# After the last byte of ours the peer has so long, and so many bytes, to end its side, too (RFC 9112 section 9.6).
LINGER_TIME = 2.0
DISCARD_LIMIT = 32 << 20
# uvloop counts what waits in its transports with an `int` of C.
_MOST_IN_TRANSPORT = (1 << 31) - 1

# The part of `close_timeout` that answers may take before a Close frame is answered: the peer waits for that, too.
PATIENCE = 0.5
# How often in `send_timeout` it is looked whether bytes leave.
LOOKS = 4

# The transports that own a plain socket, to which the compiled Link may write itself.
_PLAIN = {
    *(("uvloop.loop", "TCPTransport"), ("uvloop.loop", "UnixTransport")),
    ("asyncio.selector_events", "_SelectorSocketTransport"),
}

logger = logging.getLogger("wscore")
logger.addFilter(repeats)


def log_error(ws: WebSocket, error: Exception) -> None:
    """What becomes of the exception of a handler or hook if nobody says otherwise."""
    logger.error(
        "the handler of a connection failed; it is closed with 1011", exc_info=error, extra=of_peer("handler_failed")
    )


class Endpoint(Link, asyncio.BufferedProtocol):
    """What the protocol of an asyncio transport does about one connection."""

    __slots__ = (
        "__weakref__",
        "_alarm",
        "_alarm_at",
        "_answer_by",
        "_at_eof",
        "_at_open",
        "_closed_here",
        "_discarded",
        "_end",
        "_is_lingering",
        "_is_paused",
        "_keepalive",
        "_leaving",
        "_linger_by",
        "_look_at",
        "_messages_dropped",
        "_on_close",
        "_on_error",
        "_on_open",
        "_opening",
        "_options",
        "_over",
        "_pings",
        "_progress",
        "_progress_by",
        "_timers",
        "request",
        "response",
        "subprotocol",
        "user",
    )

    def __init__(
        self,
        opening: Opening,
        options: Options,
        *,
        on_open: OpenHook | None = None,
        on_message: MessageHook | None = None,
        on_close: CloseHook | None = None,
        on_error: ErrorHook = log_error,
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop, on_message, options.max_receive_queue)
        self._opening = opening
        self._options = options
        self._on_open = on_open
        self._on_close = on_close
        self._on_error = on_error
        self.request: Request | None = None
        self.response: Response | None = None
        self.subprotocol: str | None = None
        self.user: Any = None
        self._end: Close | None = None
        self._leaving: tuple[int, str] | None = None
        self._closed_here = False
        self._at_eof = False
        self._is_paused = False
        self._is_lingering = False
        self._discarded = 0
        self._over: asyncio.Future[None] | None = None
        self._pings = Pings()
        self._keepalive: bytes | None = None
        self._messages_dropped = 0
        self._timers = Timers(None, None, loop.time())
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._answer_by = self._linger_by = self._look_at = self._progress_by = inf
        self._progress = 0

    @property
    def _face(self) -> WebSocket:
        """What hooks are given: this connection as users know it."""
        return self  # type: ignore[return-value]

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
        """A handler or a hook raised: close with 1011, unless that only says that the connection has ended."""
        if not self._is_sendable and _is_an_end(error):
            return
        self._fail(CloseCode.INTERNAL_ERROR, "")
        self._on_error(self._face, error)

    def _stop_sending(self) -> None:
        """Nothing can be sent any more, and nothing of what comes is for anybody: tell those who wait."""
        self._is_sendable = False
        self._is_deaf = True
        self._next_turn()
        self._pings.fail(self._sending_error())
        self._wake_receiver()

    def _begin_closing(self) -> None:
        self._timers.closing(self._loop.time(), self._options.close_timeout)
        self._set_alarm()

    def _take_end(self, end: Close) -> None:
        """The connection has ended: say what there is to say, linger, and tell the user."""
        self._end = end
        self._stop_sending()
        self._begin_closing()
        self._leave(politely=end.origin != "lost")
        if self._on_close is not None:
            try:
                self._on_close(self._face, end.code, end.reason)
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
        if politely and transport.can_write_eof():
            self._is_lingering = True
            with suppress(OSError):
                transport.write_eof()
        else:
            transport.close()
        self._linger_by = self._loop.time() + LINGER_TIME
        self._set_alarm()

    # Events of the connection

    def _handle(self, event: Event) -> None:
        if isinstance(event, Close):
            self._take_end(event)
        elif isinstance(event, Pong):
            self._pings.answered(event.payload)
            if self._keepalive is not None and self._keepalive not in self._pings:
                self._keepalive = None
                self._timers.answered(self._loop.time())
                self._set_alarm()
        elif isinstance(event, Ping):
            self._output_waits()

    def _send_ping(self, answer: asyncio.Future[float] | None) -> bytes:
        payload = self._pings.add(answer)
        self._connection.ping(payload)
        self._output_waits()
        return payload

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

    def _read_on_soon(self) -> None:
        """In a moment: whoever calls this may be called by what it does."""
        self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        """Take what was left, as far as there is room for it now; then read."""
        if not self._is_open:
            return
        was_due, self._flush_is_due = self._flush_is_due, True
        try:
            self._hand_over_queue()
            while self._connection.has_rest and self._may_take_rest():
                self._deliver(self._connection.receive_data(b"", self._budget()))
        finally:
            self._flush_is_due = was_due
        self._flush()
        if not self._is_open or self._connection.has_rest or self._must_wait():
            return
        if self._at_eof:
            self._lose()
        elif self._is_paused:
            self._resume()

    def _hand_over_queue(self) -> None:
        """Give to `on_message` what waits for it."""
        while self._on_message is not None and self._queue:
            if (self._is_held or self._writing_is_paused) and not self._is_deaf:
                return
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

    # Deadlines

    def _set_alarm(self) -> None:
        """Be called at the next deadline. An alarm that comes too early sets the next one."""
        at = min(self._timers.next(), self._answer_by, self._linger_by, self._look_at)
        if at == inf or self._transport is None:
            return
        if self._alarm is not None:
            if self._alarm_at <= at:
                return
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._loop.call_at(at, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._alarm = None
        now = self._loop.time()
        if self._linger_by != inf:
            self._look_at_the_end(now)
        elif now < self._timers.close_by:
            self._look_at_an_open_connection(now)
        elif self._connection is None:
            self._opening.expired(self._face)
        else:
            self._transport.abort()
        self._set_alarm()

    def _look_at_the_end(self, now: float) -> None:
        """What is left to be sent has the time of closing; then the peer has a little more to end its side."""
        if now < self._linger_by:
            return
        if self._in_transport() and now < self._timers.close_by:
            self._linger_by = self._timers.close_by
        else:
            self._transport.abort()

    def _look_at_an_open_connection(self, now: float) -> None:
        if now >= self._look_at:
            self._look_at_progress(now)
        if now >= self._answer_by:
            self._read_on()
        if now >= self._timers.pong_by:
            self._fail(CloseCode.INTERNAL_ERROR, "a Ping was not answered in time")
        elif self._timers.ping_is_due(now) and self._is_sendable and not self._in_transport():
            # A peer that has not even taken what was sent before would not see a Ping; `send_timeout` is for it.
            self._keepalive = self._send_ping(None)
            self._timers.pinged(now)

    def _fell_behind(self) -> None:
        if self._look_at == inf:
            now = self._loop.time()
            self._progress_by = now + self._options.send_timeout
            self._look_at = now + self._options.send_timeout / LOOKS
            self._progress = -1
            self._set_alarm()

    def _look_at_progress(self, now: float) -> None:
        """Break off if bytes have waited in the transport for too long without any of them leaving."""
        waiting = self._in_transport()
        left = self._bytes_sent - waiting
        if not waiting:
            self._look_at = inf
            return
        if left != self._progress:
            self._progress = left
            self._progress_by = now + self._options.send_timeout
        elif now >= self._progress_by:
            self._transport.abort()
        self._look_at = now + self._options.send_timeout / LOOKS

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
        options, now = self._options, self._loop.time()
        self._timers = Timers(options.ping_interval, options.ping_timeout, now)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._attach(connection, self._transport, _plain_socket_of(self._transport))
        self._set_alarm()
        if self._on_open is not None:
            try:
                self._on_open(self._face)
            except Exception as error:
                self._handler_failed(error)
        if rest:
            self._take(rest)

    def not_opened(self) -> None:
        """For the opening handshake: there will be no WebSocket; all has been said that there was to say."""
        self._timers = Timers(None, None, self._loop.time())
        self._begin_closing()
        self._leave(politely=True)

    def _receive_outside(self, data: bytes) -> None:
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
        if self._alarm is not None:
            self._alarm.cancel()
        self._is_held = self._writing_is_paused = False
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
