"""`SessionWebSocket`: the calls of a `WebSocket` over a `Session`.

Decides what waits, when a call gives way to other tasks, who may send, and which of Trio's errors an end becomes.
Everything about a connection's life is the session's; what is promised to callers stands in `websocket`. It refuses to
know how bytes move: whoever moves them implements the hooks at the end.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import enable_ki_protection

from ..codec import CloseCode, Piece
from ..codec.errors import MESSAGE_TOO_BIG
from ..protocol.prepared import PreparedMessage
from ..session import Empty, Phase, Session, Wakeup
from ..session import errors as ends
from ..session.counts import Statistics, statistics_of
from ..session.ends import Cause, End
from .errors import ClosedHere, ConnectionClosed, ConnectionLost, is_an_end
from .receiving import Receiver
from .records import Incoming, Opening
from .reserve import QUANTUM, Reserve
from .sending import Sendable, SendLine, weight_of
from .websocket import ErrorHook, WebSocket

__all__ = ["SessionWebSocket"]

_OPEN, _DRAINING = Phase.OPEN, Phase.DRAINING
_RECEIVE, _SEND, _PING = (int(wakeup) for wakeup in (Wakeup.RECEIVE, Wakeup.SEND, Wakeup.PING))


def error_of(error: ends.ConnectionEnded) -> Exception:
    """What callers get for what the session raises."""
    end = error.end
    if isinstance(error, ends.ConnectionClosed):
        return ConnectionClosed(end.code, end.reason, end.by_peer)
    if isinstance(error, ends.ConnectionLost):
        return ConnectionLost(end.code, end.reason, end)
    return ClosedHere("this WebSocket was closed by aclose")


class SessionWebSocket(WebSocket):
    """A `WebSocket` whose state is a `Session`'s. What it has beside that is in `STATE`, and where it is stored is the
    transport's to say; what is for those who wait is made when somebody does.
    """

    if not TYPE_CHECKING:  # mypy does not know attributes that a subclass stores
        __slots__ = ()

    STATE = (
        "_ended",
        "_failed",
        "_handed_over",
        "_held",
        "_is_held_back",
        "_opening",
        "_pingers",
        "_receiver",
        "_reserve",
        "_room_to_ping",
        "_senders",
        "_session",
    )
    _session: Session
    _opening: Opening
    _failed: bool
    _handed_over: int
    """How many messages `on_message` got."""
    _reserve: Reserve | None
    _held: int
    """Of what it holds, how much the reserve was told."""
    _is_held_back: bool
    """Whether it does not read since the connections of the server hold too much."""
    _receiver: Receiver | None
    _senders: SendLine | None
    _pingers: dict[bytes, _Ping] | None
    _room_to_ping: trio.lowlevel.ParkingLot | None
    _ended: trio.Event | None
    # Beside that; each connection has its own, or not.
    _on_error: ErrorHook
    _is_over: bool

    @property
    def _inbox(self) -> Receiver:
        if self._receiver is None:
            self._receiver = Receiver(
                self._options.max_message_size,
                self._manners,
                fetch=self._fetch,
                too_big=partial(self._fail, *MESSAGE_TOO_BIG, Cause.LIMIT),
            )
        return self._receiver

    @property
    def _line(self) -> SendLine:
        if self._senders is None:
            self._senders = SendLine(self._unsent, self._options.max_send_buffer)
        return self._senders

    @property
    def _over(self) -> trio.Event:
        if self._ended is None:
            self._ended = trio.Event()
            if self._is_over:
                self._ended.set()
        return self._ended

    # What is known

    @property
    def latency(self) -> float | None:
        return self._session.latency

    @property
    def end(self) -> End | None:
        return self._session.end

    def statistics(self) -> Statistics:
        return statistics_of(
            self._session,
            failed=self._failed,
            senders_waiting=0 if self._senders is None else len(self._senders),
            messages_received=None if self._on_message is None else self._handed_over,
        )

    # Receiving

    def _fetch(self) -> str | bytes | Piece | Empty:
        session = self._session
        try:
            item = session.receive()
        except ends.ConnectionEnded as error:
            raise error_of(error) from None
        if self._held > 2 * session.receive_queue[1]:
            self._account()
        if not session.wants_read:
            # There may be room again, or nothing left that the peer's Close frame has to wait for.
            self._look()
        return item

    # Sending

    @enable_ki_protection
    async def send(self, message: Sendable, *, compress: bool | None = None) -> None:
        await self._manners.enter()
        if self._goes_at_once(message, compress) or not self._is_to_wait:
            await self._manners.leave()
        else:
            await self._wait_in_line(message, partial(self._add_later, message, compress))

    @enable_ki_protection
    def send_nowait(self, message: Sendable, *, compress: bool | None = None) -> bool:
        self._manners.stay_in_thread()
        was_open = self._session.phase is _OPEN
        try:
            return self._goes_at_once(message, compress)
        except ConnectionLost:
            if was_open:  # there was no room, and `slow_consumer` has closed it
                return False
            raise

    def _goes_at_once(self, message: Sendable, compress: bool | None) -> bool:
        """Send it if nobody is before it and there is room; else `slow_consumer` decides, unless a message in fragments
        is what it waits for.
        """
        if self._senders is None or self._senders.is_idle:
            return self._add(message, compress)
        self._check_sending()
        weight_of(message)
        if not self._line.is_held:
            self._told(self._session.refuse)
        return False

    @property
    def _is_to_wait(self) -> bool:
        return self._options.slow_consumer == "wait" or self._line.is_held

    def _add(self, message: Sendable, compress: bool | None) -> bool:
        try:
            has_room = self._session.send(message, compress)
        except ends.ConnectionEnded as error:
            self._look()  # `slow_consumer` may have closed it just now
            raise error_of(error) from None
        if has_room:
            self._output_waits()
        return has_room

    def _add_later(self, message: Sendable, compress: bool | None) -> None:
        self._add(message, compress)

    @enable_ki_protection
    async def _send_fragment(self, data: Sendable, fin: bool, compress: bool | None, message: object) -> None:
        await self._manners.enter()
        self._check_sending()
        add = partial(self._add_fragment, data, fin, compress, message)
        if self._line.goes_at_once(weight_of(data), message):
            add()
            await self._manners.leave()
        else:
            await self._wait_in_line(data, add, message)

    def _add_fragment(self, data: Sendable, fin: bool, compress: bool | None, message: object) -> None:
        if isinstance(data, PreparedMessage):
            raise TypeError("a prepared message is whole: send it with send")
        try:
            self._session.send_fragment(data, fin=fin, compress=compress)
        except ends.ConnectionEnded as error:
            raise error_of(error) from None
        self._line.hold(message)
        self._output_waits()

    async def _wait_in_line(self, message: Sendable, add: Callable[[], None], holder: object = None) -> None:
        weight = weight_of(message)
        with self._waiting():
            await self._line.wait(weight, add, holder)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """One more waits for room."""
        self._session.senders_waiting += 1
        try:
            yield
        finally:
            self._session.senders_waiting -= 1
            if not self._session.wants_read:
                self._look()  # the peer's Close frame may have waited for this

    @enable_ki_protection
    async def ping(self, payload: bytes | bytearray | memoryview | None = None) -> float:
        await self._manners.enter()
        given = None if payload is None else memoryview(payload).tobytes()
        self._check_sending()
        while self._session.unsent > self._options.max_send_buffer:
            if self._room_to_ping is None:
                self._room_to_ping = trio.lowlevel.ParkingLot()
            with self._waiting():
                await self._room_to_ping.park()
            self._check_sending()
        key = self._session.ping(given)
        if self._pingers is None:
            self._pingers = {}
        pingers = self._pingers
        ping = pingers[key] = _Ping()
        self._output_waits()
        try:
            await ping.done.wait()
        finally:
            if pingers.get(key) is ping:
                del pingers[key]
                self._session.pings.forget(key)
            if not pingers:
                self._pingers = None
        if ping.seconds is None:
            raise self._why_shut()
        return ping.seconds

    # Closing

    @enable_ki_protection
    async def aclose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        self._manners.stay_in_thread()
        self._session.close(code, reason)
        self._session.forget()
        self._forget_pieces()
        self._look()
        try:
            await self._over.wait()
        except BaseException:
            self.abort()
            with trio.CancelScope(shield=True):
                await self._over.wait()
            raise

    @enable_ki_protection
    def close_nowait(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        self._manners.stay_in_thread()
        if self._session.close(code, reason):
            self._look()

    @enable_ki_protection
    def abort(self) -> None:
        self._manners.stay_in_thread()
        self._session.abort()
        self._look()

    # For servers

    @property
    def _is_shut(self) -> bool:
        return self._session.phase is not _OPEN

    def _fail(self, code: int, reason: str, cause: Cause = Cause.FAILED) -> None:
        self._session.fail(code, reason, cause)
        self._look()

    def _handler_failed(self, error: Exception) -> None:
        if self._is_shut and is_an_end(error):
            return
        self._failed = True
        self._fail(CloseCode.INTERNAL_ERROR, "")
        self._on_error(self, error)

    def _run_short(self) -> None:
        self._session.run_short()
        self._forget_pieces()
        self._account()
        self._look()

    def _give_up(self) -> None:
        if self._session.phase < _DRAINING or self._session.unsent:
            self._session.give_up()
            self._look()

    def _message_under_way(self) -> Incoming | None:
        session = self._session
        kept = 0 if session.end is not None else session.connection.bytes_kept
        return Incoming(session.messages_received, kept, not session.wants_read) if kept else None

    # For whoever moves the bytes

    def _wake(self, wakeups: int) -> None:
        """Wake who waits for what has happened."""
        if wakeups & _RECEIVE and self._receiver is not None:
            self._receiver.wake()
        if wakeups & _SEND:
            if self._senders is not None:
                if self._is_shut:
                    self._senders.fail(self._why_shut)
                else:
                    self._senders.advance()
            if self._room_to_ping is not None:
                self._room_to_ping.unpark_all()
        if wakeups & _PING and self._pingers is not None:
            self._answer_pings(self._pingers)

    def _answer_pings(self, pingers: dict[bytes, _Ping]) -> None:
        answered = self._session.pings.answered
        for key in [key for key in pingers if key in answered or self._is_shut]:
            ping = pingers.pop(key)
            ping.seconds = answered.pop(key, None)
            ping.done.set()

    def _forget_pieces(self) -> None:
        if self._receiver is not None:
            self._receiver.forget()

    def _account(self) -> None:
        """Tell the reserve what this connection holds, if that has changed by much."""
        if self._reserve is not None:
            self._session.held_below = self._undecrypted()
            held = self._session.held
            if abs(held - self._held) >= QUANTUM:
                change, self._held = held - self._held, held
                self._reserve.change(change)

    def _mind_the_reserve(self) -> None:
        """Do not read while the connections of the server hold too much together."""
        is_short = self._held >= QUANTUM and self._reserve is not None and self._reserve.must_wait(self, self._held)
        if is_short is not self._is_held_back:
            self._is_held_back = is_short
            self._session.hold_back(is_short, trio.current_time())
            self._look()

    def _leave_reserve(self) -> None:
        if self._reserve is not None:
            reserve, self._reserve = self._reserve, None
            reserve.leave(self, self._held)

    def _check_sending(self) -> None:
        self._told(self._session.check_sending)

    def _told(self, call: Callable[[], None]) -> None:
        try:
            call()
        except ends.ConnectionEnded as error:
            self._look()
            raise error_of(error) from None

    def _why_shut(self) -> Exception:
        try:
            self._session.check_sending()
        except ends.ConnectionEnded as error:
            return error_of(error)
        raise AssertionError("it is open")

    def _unsent(self) -> int:
        return self._session.unsent

    @abstractmethod
    def _look(self) -> None:
        """Do what the session wants: to be called after each call of it that may have changed that."""

    @abstractmethod
    def _output_waits(self) -> None:
        """There is output, and nothing else has changed."""

    @abstractmethod
    def _undecrypted(self) -> int:
        """How many bytes have come that the session was not told."""

    @abstractmethod
    def _input_has_room(self) -> None:
        """The connections of the server do not hold too much any more."""


class _Ping:
    """One that somebody waits for; `seconds` is None if no answer will come."""

    __slots__ = ("done", "seconds")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.seconds: float | None = None
