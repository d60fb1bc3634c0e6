"""One connection over an asyncio transport, as the event loop sees it: a pump around a `Session`.

Decides who is woken, when it looks again, and what is told to hooks. How the transport is driven stands in the `Wire`
below, what happens with every message in the `Link` below that, calls of users in `websocket`, which builds on this.
All that has to do with the life of the connection, its deadlines and its end, is the `Session`'s, and all rules of
RFC 6455 are `Connection`'s.

All code of users runs in one context of the connection's own, whoever has made the loop call. Hooks are never called
from within a call of the user's: what that brings about is told in the next turn of the loop.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

from wscore.codec import CloseCode
from wscore.session import DISCARD_LIMIT, LINGER_TIME, Cause, ConnectionEnded, PassingSession, Phase, Wakeup
from wscore.session.queue import size_of

from .errors import ConnectionClosed, ConnectionLost, of_session
from .logs import log_error
from .wire import Wire, plain_socket_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import TypeAlias

    from wscore.protocol.connection import Connection
    from wscore.protocol.handshake import Request, Response

    from .opening import Opening
    from .options import Options
    from .websocket import WebSocket

    OpenHook: TypeAlias = Callable[[WebSocket], object]
    MessageHook: TypeAlias = Callable[[WebSocket, str | bytes], object]
    CloseHook: TypeAlias = Callable[[WebSocket, int, str], object]
    ErrorHook: TypeAlias = Callable[[WebSocket, Exception], object]

__all__ = ["CloseHook", "Endpoint", "ErrorHook", "MessageHook", "OpenHook"]


# Members of an enumeration are slow to find by name, and flags to join: thousands of instructions.
_OPEN, _CLOSED = Phase.OPEN, Phase.CLOSED
_RECEIVE, _SEND, _PING, _OVER = map(int, (Wakeup.RECEIVE, Wakeup.SEND, Wakeup.PING, Wakeup.OVER))


class Endpoint(Wire, asyncio.BufferedProtocol):
    """What the protocol of an asyncio transport does about one connection."""

    __slots__ = (
        "__weakref__",
        "_answers",
        "_discarded",
        "_line",
        "_on_close",
        "_on_error",
        "_on_open",
        "_opening",
        "_over",
        "_refused_until",
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
        Wire.__init__(self, options, on_message, context)
        self._opening = opening
        self._start = start  # what follows `on_open`, outside of the context
        self._on_open = on_open
        self._on_close = on_close  # until it has been told
        self._on_error = on_error
        self.response: Response | None = None
        self.subprotocol: str | None = None
        self.user: Any = None
        self._refused_until = -inf  # there is no WebSocket, all has been said, and until then it may leave
        self._discarded = 0
        self._line: list[asyncio.Future[None]] | None = None  # those who wait to send, once somebody has
        self._answers: dict[bytes, asyncio.Future[float]] | None = None  # those who wait for Pongs
        self._over: asyncio.Future[None] | None = None

    @property
    def _face(self) -> WebSocket:
        """What hooks are given: this connection as users know it."""
        return self  # type: ignore[return-value]

    @property
    def request(self) -> Request | None:
        """The peer's opening request, on a server; else None."""
        return self._opening.request

    # What asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """For asyncio: there is a connection; the opening handshake begins."""
        self._take_transport(transport)
        self._alarms.set(self, self._now() + self._options.handshake_timeout)
        self._opening.begin(self._face)

    def opened(self, connection: Connection, rest: bytes) -> None:
        """For the opening handshake: it has succeeded, and `rest` came behind it."""
        now = self._now()
        session = PassingSession(connection, self._options, now, answers_at_once=self._on_message is not None)
        self._attach(session, plain_socket_of(self._transport))
        if (left := self._in_transport()) > 0:
            session.fell_behind(left, now)  # the answer to the opening handshake
        self._set_alarm(session, session.deadline)
        if (self._on_open is None or self._context.run(self._call_on_open)) and self._start is not None:
            self._start(self._face)
        if rest:
            self._take(rest)

    def not_opened(self) -> None:
        """For the opening handshake: there will be no WebSocket; all has been said that there was to say."""
        if self._transport is not None:
            now = self._now()
            self._refused_until = now + self._options.close_timeout
            self._alarms.set(self, now + LINGER_TIME)
            self._end_sending()

    def eof_received(self) -> bool:
        """For asyncio: the peer sends no more. We go on sending only if something is left to be answered."""
        if self._session is None:
            self._opening.eof(self._face)
            return False
        self._at_eof = True
        now, may_answer = self._now(), bool(self._transport.can_write_eof())
        self._session.received_eof(now)
        if not may_answer:
            self._session.cannot_send(now)  # TLS of asyncio's ends both sides at once
        self._look()
        return may_answer and self._session.phase is not _CLOSED

    def connection_lost(self, exc: Exception | None) -> None:
        """For asyncio: the transport is closed."""
        self._leave_transport()
        if self._session is not None:
            self._tell_lost(self._session, exc)
        self._opening.lost(self._face, exc)
        if self._session is None or self._session.phase is _CLOSED:
            self._tell_over()

    def _tell_lost(self, session: PassingSession, exc: Exception | None) -> None:
        if session.phase is _CLOSED and not (self._is_held or self._look_is_due):
            return  # that was seen, and told
        now = self._now()
        if exc is None:
            session.received_eof(now)
            session.cannot_send(now)
        else:
            session.broken(now)
        if session.end is None or session.end.cause is not Cause.FAILED:
            self._is_held = False
        self._look()

    def pause_writing(self) -> None:
        """For asyncio: something waits in the transport. How much, the session is told when it was written."""

    def resume_writing(self) -> None:
        """For asyncio: nothing waits any more."""
        session = self._session
        if session is not None:
            self._push()
            session.sent(self._waiting(session), self._now())
            self._look_soon()

    def _receive_outside(self, data: bytes) -> None:
        if self._refused_until == -inf:
            self._opening.receive(self._face, data)
            return
        self._discarded += len(data)
        if self._discarded > DISCARD_LIMIT:
            self._transport.abort()

    def _end_turn(self) -> None:
        if self._session is not None and self._transport is not None and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
            self._look_soon()

    # What the session says

    def _look(self) -> None:
        """Do what the session says, in the order of its contract; what is still to be done then, in the next turn."""
        session = self._session
        if session is None or self._is_inside:
            return
        woken = int(session.wakeups())
        if woken & _PING and not self._answers:
            session.forget_answers()
        if session.is_plain and not (self._is_paused or self._answers or woken & ~_PING):
            # A Pong, say: there is nothing to look at but the time.
            deadline = session.deadline
            if deadline != -inf:
                self._set_alarm(session, deadline)
                self._is_plain = True
                return
        self._is_inside = True
        try:
            if self._on_message is not None and (woken & _RECEIVE or session.receive_queue[0]):
                self._hand_over()
            if session.phase is not _CLOSED:
                self._flush()
                if not session.wants_read and session.deadline == -inf:
                    session.time_is(self._now())
            self._steer(session)
            self._wake(session, woken | int(session.wakeups()))
            if self._on_close is not None and session.end is not None:
                self._tell_end(self._on_close, session)
        finally:
            self._is_inside = False
        if session.phase is _CLOSED:
            self._alarms.stop(self)
        elif (deadline := session.deadline) == -inf or self._may_hand_over(session):
            self._look_soon()
        else:
            self._set_alarm(session, deadline)
            self._is_plain = session.is_plain

    def _may_hand_over(self, session: PassingSession) -> bool:
        """Whether something waits for `on_message` that need not wait any more: what was sent has left at once."""
        if self._on_message is None or self._is_held or not session.receive_queue[0]:
            return False
        return session.phase is not _OPEN or session.has_room_for_answer()

    def _look_in_turn(self) -> None:
        session = self._session
        if session is not None:
            self._flush()
            if session.deadline == -inf:
                session.time_is(self._now())
            self._look()

    def _wake(self, session: PassingSession, wakeups: int) -> None:
        if wakeups & _RECEIVE:
            self._wake_receiver()
        if wakeups & _SEND and self._line:
            self._next_turn()
        if wakeups & _PING and self._answers:
            self._tell_answers(session)
        if wakeups & _OVER:
            self._opening.over(self._face)
            if self._transport is None:
                self._tell_over()

    def _tell_over(self) -> None:
        """The transport is gone, and the session knows how it has ended."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _next_turn(self) -> None:
        """Let the first in line look whether there is room, or learn that there is nothing to wait for."""
        if self._line and not self._line[0].done():
            self._line[0].set_result(None)

    def _tell_answers(self, session: PassingSession) -> None:
        answered = session.pings.answered
        for key, answer in (self._answers or {}).items():
            if answer.done():
                continue
            if key in answered:
                answer.set_result(answered[key])
            elif key not in session.pings:
                answer.set_exception(self._sending_error())
        answered.clear()

    def _tell_end(self, hook: CloseHook, session: PassingSession) -> None:
        """Call `on_close`, once, when all was handed over that came before the end."""
        if not self._may_hand_over(session):
            self._on_close = None
            self._loop.call_soon(self._call_on_close, hook, context=self._context)

    # Hooks

    def _call_on_open(self) -> bool:
        """Whether it has not failed."""
        try:
            self._on_open(self._face)  # type: ignore[misc]
        except Exception as error:
            self._handler_failed(error)
            return False
        return True

    def _call_on_close(self, hook: CloseHook) -> None:
        assert self._life is not None
        end = self._life.end
        try:
            hook(self._face, end.code, end.reason)
        except Exception as error:
            self._on_error(self._face, error)

    def _handler_failed(self, error: Exception) -> None:
        """A handler or a hook raised: close with 1011, unless that only says that the connection has ended.

        To be called in the connection's context, as the hook was.
        """
        session = self._session
        assert session is not None
        if session.phase is not _OPEN and _is_an_end(error):
            return
        session.fail(CloseCode.INTERNAL_ERROR)
        self._is_held = True
        self._act()
        self._on_error(self._face, error)

    # What callers may do now, where messages are not all there is

    def _receive_from_session(self) -> Any:
        session = self._session
        assert session is not None
        try:
            message = session.receive()
        except ConnectionEnded as error:
            raise of_session(error) from None
        if not session.wants_read and session.deadline == -inf:
            self._look_soon()
        return message

    def _send_by_session(self, message: Any, compress: bool | None) -> bool:
        session = self._session
        if session is None:
            raise self._sending_error()
        was_open = session.phase is _OPEN
        try:
            was_sent = session.send(message, compress)
        except ConnectionEnded as error:
            if not was_open:
                raise of_session(error) from None
            was_sent = False  # that has closed it
        self._has_said()
        return was_sent

    def _send_at_once_by_session(self, message: Any, compress: bool | None) -> bool:
        session = self._opened_session()
        if self._has_gathered() or (session.unsent and not session.fits(size_of(message))):
            return False
        session.send(message, compress)
        if not self._is_inside:
            self._look_soon()
        return True

    def _opened_session(self) -> PassingSession:
        """Raises why nothing can be sent, if nothing can."""
        session = self._session
        if session is None or session.phase is not _OPEN:
            raise self._sending_error()
        return session

    def _act(self) -> None:
        """The user has ended the connection, in its way: let that be seen at once, and told in the next turn."""
        session = self._session
        if not self._is_inside and session is not None:
            self._flush()
            if session.phase is _CLOSED and self._transport is not None:
                self._close_transport(session)
            self._look_soon()

    def _sending_error(self) -> Exception:
        """Why nothing can be sent."""
        if self._session is not None:
            try:
                self._session.check_sending()
            except ConnectionEnded as error:
                return of_session(error)
        return ConnectionLost(CloseCode.ABNORMAL, "")

    # The alarm

    def _time_is(self) -> None:
        session = self._session
        if session is None:
            self._give_up()
            return
        now = self._now()
        if session.in_flight:
            session.sent(self._left_by_now(session), now)
        session.time_is(now)
        self._look()

    def _give_up(self) -> None:
        """There is no WebSocket in time; or the peer of one that was refused has not ended its side."""
        if self._transport is None:
            return
        now = self._now()
        if self._refused_until == -inf:
            self._opening.expired(self._face)
        elif now < self._refused_until and self._is_leaving():
            self._alarms.set(self, now + LINGER_TIME)
        else:
            self._transport.abort()


def _is_an_end(error: Exception) -> bool:
    """Whether it says no more than that a connection has ended; a handler with a group of tasks raises groups."""
    if isinstance(error, ExceptionGroup):
        return error.split((ConnectionClosed, ConnectionLost))[1] is None
    return isinstance(error, ConnectionClosed | ConnectionLost)
