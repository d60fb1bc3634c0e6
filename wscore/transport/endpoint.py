"""One end of a connection, as transports see it: what has happened, and what that means for those who wait.

For the reactor, as long as it has no `Session`. Decides how a connection ends, from whichever side, and which error
that is for whom, and who is told. Calls of users stand in `endpoint_face`, which builds on this. It refuses to know how
bytes move: a transport's class stores the attributes that are named here, calls `_set_up`, reports what happens to the
methods under "what has happened", and implements the hooks at the end.

RFC 6455 sections 5.5 and 7.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import enable_ki_protection

from ..codec import CloseCode, Piece, weight
from ..codec.errors import MESSAGE_TOO_BIG
from ..protocol.connection import Connection, State
from ..protocol.events import Close, Event, Pong
from ..session.options import Options
from ..session.rates import Throttle
from .errors import ConnectionClosed, ConnectionLost, is_an_end
from .pings import Pings
from .receiving import Inbox
from .records import Opening
from .reserve import QUANTUM, Reserve
from .sending import SendLine
from .trio_glue import Manners, manners_of_this_run

if TYPE_CHECKING:
    from .websocket import ErrorHook, MessageHook, WebSocket

__all__ = ["Endpoint"]


class Endpoint:
    """What happens to one connection. Where its attributes are stored is the transport's to say."""

    if not TYPE_CHECKING:  # mypy does not know attributes that a subclass stores
        __slots__ = ()

    _connection: Connection
    _options: Options
    _opening: Opening
    _manners: Manners
    _on_message: MessageHook | None
    _on_error: ErrorHook
    # The end: by our aclose, by our close_nowait, and as the protocol sees it.
    _closed_here: bool
    _leaving: tuple[int, str] | None
    _end: Close | None
    _has_reset: bool
    _failed: bool
    _sending_broke: bool
    _throttle: Throttle | None
    # What all connections of the server hold, and how much of it this one has told it.
    _reserve: Reserve | None
    _held: int
    _messages_received: int
    _messages_sent: int
    _messages_dropped: int
    _bytes_received: int
    _bytes_sent: int

    if TYPE_CHECKING:
        # Those who wait; a transport may put off making these until somebody does.
        @property
        def _inbox(self) -> Inbox: ...
        @property
        def _line(self) -> SendLine: ...
        @property
        def _progress(self) -> trio.lowlevel.ParkingLot: ...
        @property
        def _pings(self) -> Pings: ...
        @property
        def _over(self) -> trio.Event: ...

    def _set_up(
        self,
        connection: Connection,
        options: Options,
        opening: Opening,
        on_message: MessageHook | None,
        on_error: ErrorHook,
        reserve: Reserve | None = None,
    ) -> None:
        self._connection = connection
        connection.expect_pongs(())
        self._options = options
        self._opening = opening
        self._on_message = on_message
        self._on_error = on_error
        self._manners = manners_of_this_run(options.strict_checkpoints)
        self._begin_keepalive()
        self._throttle = options.new_throttle()
        self._reserve = reserve
        self._held = 0
        if reserve is not None:
            reserve.join()
        self._sending_broke = False
        self._closed_here = False
        self._leaving = None
        self._end = None
        self._has_reset = False
        self._failed = False
        self._messages_received = self._messages_sent = self._messages_dropped = 0
        self._bytes_received = self._bytes_sent = 0

    def _new_inbox(self) -> Inbox:
        return Inbox(
            self._options.max_receive_queue,
            self._options.max_message_size,
            self._manners,
            check=self._check_receiving,
            has_room=self._input_has_room,
            too_big=partial(self._fail, *MESSAGE_TOO_BIG),
        )

    def _new_pings(self) -> Pings:
        pings = Pings()
        self._connection.expect_pongs(pings.payloads)
        return pings

    def _new_line(self) -> SendLine:
        return SendLine(self._unsent, self._options.max_send_buffer)

    # What callers may do now

    def _check_receiving(self) -> None:
        if self._closed_here:
            raise trio.ClosedResourceError("this WebSocket was closed by aclose")
        if self._leaving is not None:
            raise ConnectionClosed(*self._leaving, by_peer=False)
        if self._end is None:
            return
        if self._end.origin == "peer":
            raise ConnectionClosed(self._end.code, self._end.reason, by_peer=True)
        raise ConnectionLost(self._end.code, self._end.reason)

    def _refuse_to_wait(self) -> None:
        if self._options.slow_consumer == "drop":
            self._messages_dropped += 1
        else:
            self._fail(CloseCode.TRY_AGAIN_LATER, "the peer receives too slowly")

    def _senders_waiting(self) -> int:
        return len(self._line)

    def _check_sending(self) -> None:
        error = self._sending_error()
        if error is not None:
            raise error

    @property
    def _is_shut(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._closed_here or self._leaving is not None or self._end is not None or self._sending_broke

    def _sending_error(self) -> Exception | None:
        if self._closed_here:
            return trio.ClosedResourceError("this WebSocket was closed by aclose")
        if self._leaving is not None:
            return ConnectionLost(*self._leaving)
        if self._end is not None:
            return ConnectionLost(self._end.code, self._end.reason)
        if self._sending_broke:
            return ConnectionLost(CloseCode.ABNORMAL, "")
        return None

    def _why_shut(self) -> Exception:
        error = self._sending_error()
        assert error is not None
        return error

    # Ends

    def _start_closing(self, code: int, reason: str) -> bool:
        """Send our Close frame, if none has been sent or received."""
        if self._connection.state is not State.OPEN:
            return False
        self._connection.close(code, reason)
        return True

    def _fail(self, code: int, reason: str) -> None:
        """Give the connection up, for a reason that the protocol layer cannot see."""
        if self._connection.state is State.OPEN:
            for event in self._connection.fail(code, reason):
                self._deliver(event)

    def _shut(self) -> None:
        """Nothing can be sent any more: tell everybody who waits, and let the transport go on without them."""
        if self._discards:
            self._connection.discard_messages()
        self._send_away()
        self._input_has_room()
        self._closing_begins()
        self._output_waits()

    def _lose(self) -> None:
        """No byte will come any more: unless the connection has ended, that is how it ends."""
        for event in self._connection.receive_eof():
            self._deliver(event)

    @enable_ki_protection
    def _end_unanswered(self) -> None:
        """Nothing can be sent any more: an end that has waited for answers takes effect, so that its code is known."""
        if self._connection.is_ending:
            for event in self._connection.receive_data(b""):
                self._deliver(event)

    def _handler_failed(self, error: Exception) -> None:
        """The handler or `on_message` raised: close with 1011, unless that only says that the connection has ended."""
        if self._sending_error() is not None and is_an_end(error):
            return
        self._failed = True
        self._fail(CloseCode.INTERNAL_ERROR, "")
        self._on_error(self._face, error)

    # For transports: what has happened

    def _charge(self, throttle: Throttle, messages: int, size: int) -> float:
        """So much has come; return for how many seconds nothing more is to be taken. It may be the end, too."""
        now = trio.current_time()
        debt = throttle.charge(now, messages, size)
        if self._discards:
            return 0.0
        if throttle.is_strict and debt:
            self._fail(CloseCode.POLICY_VIOLATION, "too much was sent in too short a time")
        return 0.0 if throttle.is_strict else throttle.wait(now)

    def _count(self, throttle: Throttle, events: Iterable[Event]) -> int:
        """How much of what has come counts for a rate of messages: Pings and Pongs do, events or not."""
        before, throttle.controls = throttle.controls, self._connection.reader.controls
        return throttle.controls - before + sum(map(_is_whole, events))

    def _account(self) -> None:
        """Tell the reserve what this connection holds, if that has changed by much."""
        if self._reserve is not None:
            held = self._holds()
            if abs(held - self._held) >= QUANTUM:
                change, self._held = held - self._held, held
                self._reserve.change(change)

    def _holds(self) -> int:
        """How many bytes wait to be received, to be complete, and to be sent."""
        return self._receive_queue()[1] + self._connection.bytes_kept + self._unsent()

    def _is_short(self) -> bool:
        """Whether nothing may be read because the connections of the server hold too much together."""
        return self._held >= QUANTUM and self._reserve is not None and self._reserve.must_wait(self, self._held)

    def _leave_reserve(self) -> None:
        if self._reserve is not None:
            reserve, self._reserve = self._reserve, None
            reserve.leave(self, self._held)

    def _run_short(self) -> None:
        """The server has no memory to spare, and this connection is to give back what it holds: close with 1013.

        What waits to be sent would stay for as long as the peer likes: then the end is a reset.
        """
        stays = self._connection.state is not State.OPEN or self._unsent() > self._held // 2
        self._fail(CloseCode.TRY_AGAIN_LATER, "the server is short of memory")
        self._forget_received()
        if stays:
            self._give_up()
        self._account()

    def _budget_by_rate(self, throttle: Throttle) -> int | None:
        """A budget with which no more messages are read than may be taken now: none weighs less than an empty one."""
        allowance = None if self._discards else throttle.allowance(trio.current_time())
        return None if allowance is None else allowance * weight(0)

    @property
    def _discards(self) -> bool:
        """Whether messages that still come are for nobody."""
        return self._closed_here or self._leaving is not None or self._end is not None

    def _deliver(self, event: Event) -> None:
        """Take one event of the connection."""
        if isinstance(event, str | bytes | Piece):
            if not self._discards:
                self._messages_received += not isinstance(event, Piece) or event.last
                self._inbox.put(event)
        elif isinstance(event, Pong):
            self._ponged(event.payload)
        elif isinstance(event, Close):
            self._end = event
            self._shut()

    def _has_written(self) -> None:
        """Bytes have left."""
        self._line.advance()
        self._progress.unpark_all()

    def _has_said_all(self) -> bool:
        return self._has_reset or (self._connection.state is State.CLOSED and not self._unsent())

    # For transports to implement

    @property
    @abstractmethod
    def _is_paused(self) -> bool:
        """Whether we have stopped reading for a while."""

    @abstractmethod
    def _begin_keepalive(self) -> None:
        """The connection begins."""

    @abstractmethod
    def _ponged(self, payload: bytes) -> None:
        """A Pong has come that somebody waits for."""

    @property
    @abstractmethod
    def _face(self) -> WebSocket:
        """What hooks are given: this connection as users know it."""

    @abstractmethod
    def _unsent(self) -> int:
        """How many bytes have not left yet."""

    @abstractmethod
    def _receive_queue(self) -> tuple[int, int]:
        """How many messages or pieces wait to be received, and what they weigh."""

    @abstractmethod
    def _forget_received(self) -> None:
        """Throw those away."""

    @abstractmethod
    def _send_away(self) -> None:
        """Tell everybody who waits for something on this connection that it will not come."""

    @abstractmethod
    def _output_waits(self) -> None:
        """The connection has bytes to send."""

    @abstractmethod
    def _input_has_room(self) -> None:
        """Reading may go on if it has paused."""

    @abstractmethod
    def _deadline_changed(self) -> None:
        """It may be earlier than it was."""

    @abstractmethod
    def _closing_begins(self) -> None:
        """A Close frame is out, in either direction, or the connection is lost: the end must not take for ever."""

    @abstractmethod
    def _give_up(self) -> None:
        """The peer takes nothing, or does not close: end with a reset, unless all has been said."""

    @abstractmethod
    def _cut(self) -> None:
        """Close at once, and set `_over`."""


def _is_whole(event: Event) -> bool:
    """Whether it is a message, or the last piece of one."""
    return event.last if isinstance(event, Piece) else isinstance(event, str | bytes)
