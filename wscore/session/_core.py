"""`Session`: one life of a connection after its opening handshake, without I/O; every transport is a pump around it.

Decides all about a connection that needs time, queues or limits: who may send, when to ping, which deadline is next,
how it ends. The rules of RFC 6455 are `Connection`'s. It refuses to know sockets, tasks, event loops and clocks: times
are seconds of any clock that never goes back.

The phases, and what leads from one to the next:

    phase     what happens                            next      output       then waits for             wakes
    OPEN      close                                   CLOSING   Close frame  -                          all
              the peer's Close frame, once what came  DRAINING  its answer   -                          all
              before could be answered
              the end of its bytes, once what came    DRAINING  -            -                          all
              before could be answered
              a broken rule, a limit, silence, fail   DRAINING  Close frame  -                          all
              cannot_send                             BROKEN    -            close, for close_timeout   SEND, PING
    BROKEN    close                                   CLOSING   -            close, for close_timeout   all
              any end                                 CLOSED    -            -                          all
    CLOSING   all has left                            -         -            close, for close_timeout   -
              the peer's Close frame, or its bytes    DRAINING  -            -                          all
              end without one
              nothing in time                         CLOSED    resets       -                          all
    DRAINING  all has left: a server shuts sending    -         -            end, for LINGER_TIME,      -
                                                                             a client for close_timeout
              the peer's end, nothing in time, or     CLOSED    -            -                          OVER
              DISCARD_LIMIT bytes for nobody
    any       broken, abort                           CLOSED    -            -                          all
              nothing leaves for send_timeout, from   CLOSED    resets       -                          all
              CLOSING on for close_timeout at most
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from wscore.codec import SERVER, CloseCode, LocalProtocolError, Piece, new_mask_key
from wscore.protocol.connection import Connection
from wscore.protocol.events import Close, Event, Pong
from wscore.session.ending import Ending
from wscore.session.ends import EMPTY, WAKEUPS, Awaits, Cause, Empty, End, Phase, Wakeup
from wscore.session.options import Options

from .answer import Answer
from .keepalive import Keepalive
from .pings import Pings
from .queue import size_of
from .receiving import Receiving
from .sending import FRAME_HEADER, Sending

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from wscore.protocol.prepared import PreparedMessage

__all__ = ["DISCARD_LIMIT", "LINGER_TIME", "Session"]

# Once our last byte has arrived, the peer has so long, and so many bytes, to end its side (RFC 9112 section 9.6).
LINGER_TIME = 2.0
DISCARD_LIMIT = 32 << 20

OPEN, BROKEN, CLOSING, DRAINING, CLOSED = Phase
_NOTHING, _PONG, _CLOSE, _END = Awaits  # members of an enumeration are slow to find by name
_WAITS_FOR = (_NOTHING, _CLOSE, _CLOSE, _END, _NOTHING)  # by phase, once all has left
# As plain numbers, since joining flags costs thousands of instructions.
_RECEIVE, _SEND, _PING, _OVER = map(int, (Wakeup.RECEIVE, Wakeup.SEND, Wakeup.PING, Wakeup.OVER))


class Session:
    """One life of a connection: `connection` after its opening handshake, under `options`, from the time `now` on.

    A pump tells it what happened (`received`, `received_eof`, `broken`, `sent`, `cannot_send`, `time_is`,
    `acknowledged`, each with the time), the user what is wanted (`receive`, `send`, `ping`, `close`, `abort`). After
    every call the pump looks, in this order, at `output`, `shuts_sending`, `wants_read`, `wants_acknowledged`,
    `wakeups`, `deadline`, and `phase`: once that is CLOSED, it closes the transport.

    With `answers_at_once` each message goes to a hook that may answer it at once: no more is read than its answers have
    room for. The pump hands over, after RECEIVE, as long as the session `has_room_for_answer`. Calls from inside of
    what a pump calls, hooks say, change the state and do nothing else. Not for use from several threads at once. Raises
    LocalProtocolError for a connection without `auto_pong` or `auto_close`.
    """

    __slots__ = (
        "_answer", "_discarded", "_ending", "_keepalive", "_receiving", "_sending", "_wakeups",
        "bytes_received", "connection", "held_below", "messages_dropped", "messages_sent", "options", "phase",
        "pings", "resets", "senders_waiting", "shuts_sending", "wants_acknowledged",
    )  # fmt: skip

    def __init__(self, connection: Connection, options: Options, now: float, *, answers_at_once: bool = False) -> None:
        self.connection = connection
        self.options = options
        self.phase = OPEN
        self.resets = False
        """Whether the transport is to be closed with a reset: what waits in it is for a peer that takes nothing."""
        self.shuts_sending = False
        """Whether our side of the transport is to be ended, once all was written."""
        self.wants_acknowledged = False
        """Whether `acknowledged` is to be called."""
        self.pings = Pings()
        connection.expect_pongs(self.pings)
        if not connection.auto_close:
            raise LocalProtocolError("a session needs auto_close: it says when the peer's Close frame is answered")
        self.senders_waiting = 0
        """How many callers wait until there is room to send: the pump's to count."""
        self.held_below = 0
        """Bytes that have come and were not told yet, undecrypted ones say: the pump's to tell, for `held`."""
        self.messages_sent = self.messages_dropped = self.bytes_received = 0
        self._sending = Sending(options.send_timeout)
        self._receiving = Receiving(connection, options, answers_at_once=answers_at_once)
        self._keepalive = Keepalive(options.ping_interval, now)
        self._answer, self._ending = Answer(), Ending()
        self._wakeups = 0
        self._discarded = 0

    # What happened

    def received(self, data: Buffer, now: float) -> None:
        """Bytes have come from the peer. They may be told whatever `wants_read` says; none are lost."""
        size = memoryview(data).nbytes
        self.bytes_received += size
        if size and self._answer.awaits is _PONG:
            self._answer.restart(now)  # whatever comes shows that the peer lives
        if self.phase < DRAINING:
            self._handle(self._receiving.take(data, now, self.unsent), now)
        else:
            self._discarded += size
            if self._discarded >= DISCARD_LIMIT:
                self._finish()
        self._settle(now)

    def received_eof(self, now: float) -> None:
        """The peer sends no more."""
        self._receiving.end(now)
        self._settle(now)

    def broken(self, now: float, cause: Cause = Cause.RESET) -> None:
        """The transport is broken both ways: nothing comes, and nothing leaves. `cause` is ABORT if we did it."""
        self._finish(Cause.EOF if self._receiving.at_eof else cause)

    def sent(self, n_left: int, now: float) -> None:
        """Of all the `output` there was, `n_left` bytes have not been written yet. ValueError if that cannot be."""
        left = self._sending.sent(n_left, now)
        if not n_left:
            self.pings.left(now)
            if self._answer.awaits is _NOTHING and self.pings.has_left(self._keepalive.payload):
                self._expect(_PONG, self.options.ping_timeout, now)
        if left and self.senders_waiting:
            self._wakeups |= _SEND
        if left and self._receiving.answers_at_once and self._receiving.queue:
            self._wakeups |= _RECEIVE
        self._settle(now)

    def cannot_send(self, now: float) -> None:
        """Nothing leaves any more. The peer may have said why before it went: what comes is still read."""
        self._sending.breaks()
        self._receiving.expect_no_answer()
        if not self._receiving.at_eof:
            self._ending.losing = Cause.RESET
        self.connection.data_to_send()
        if self.phase is OPEN:
            self._enter(BROKEN, _SEND | _PING)
        self._settle(now)

    def acknowledged(self, n_unacknowledged: int | None, now: float) -> None:
        """So many of the bytes that were `sent` the system still has; None if nobody knows."""
        self.wants_acknowledged = False
        if self._answer.acknowledged(self.bytes_sent - (n_unacknowledged or 0), now):
            self._overdue(now)

    def time_is(self, now: float) -> None:
        """Do what is due."""
        if self.phase is CLOSED:
            return
        if self._sending.is_over(now):
            self._ending.was_late(self._sending, now)
            self._finish(Cause.STUCK, resets=True)
            return
        self._receiving.time_is(now)
        if now >= self._keepalive.due:
            self._keepalive.pinged(self.ping(), now)
        self._settle(now)
        if now >= self._next_answer() and self._answer.is_over(now):
            self.wants_acknowledged = True

    def hold_back(self, is_held_back: bool, now: float) -> None:
        """Read no more, or read on, for reasons of the caller's: all connections together hold too much, say."""
        self._receiving.hold_back(is_held_back, now)
        self._settle(now)

    # What the user wants

    def receive(self) -> str | bytes | Piece | Empty:
        """The next message (`Piece` with `pieces=True`), or EMPTY: then ask again after RECEIVE.

        Raises `ConnectionClosed` after the peer's Close frame or our own, `ConnectionLost` after any other end, once
        all that came before was received, and `ConnectionEnded` after `forget` and `abort`.
        """
        if self._receiving.queue:
            return self._receiving.queue.get()
        error = self._ending.receiving_error()
        if error is not None:
            raise error
        self._receiving.is_answered = True
        return EMPTY

    def has_room_for_answer(self) -> bool:
        """Whether an answer as large as the next message would fit: who calls a hook with each message asks before."""
        return not self._receiving.queue or self.fits(size_of(self._receiving.queue.first()))

    def fits(self, size: int) -> bool:
        """Whether a message of `size` bytes may be sent now: it fits below `max_send_buffer`, or nothing waits."""
        return not self.unsent or self.unsent + size + FRAME_HEADER <= self.options.max_send_buffer

    def send(self, message: str | Buffer | PreparedMessage, compress: bool | None = None) -> bool:
        """Put one message into the output; whether there was room. If not, nothing was sent: with
        `slow_consumer="wait"` ask again after SEND, with "drop" it is counted and gone, with "close" this closes with
        1013 and raises.

        Raises `ConnectionLost` once the connection has ended or is closing, `ConnectionEnded` after `forget` and
        `abort`, LocalProtocolError, TypeError and UnicodeEncodeError as `Connection.send`.
        """
        self.check_sending()
        if self.unsent and not self.fits(size_of(message)):
            self.refuse()
            return False
        self.connection.send(message, compress)
        self.messages_sent += 1
        return True

    def send_fragment(self, data: str | Buffer, *, fin: bool, compress: bool | None = None) -> bool:
        """The next fragment of a message (RFC 6455 section 5.4); whether there was room. Raises as `send`."""
        self.check_sending()
        if self.unsent and not self.fits(size_of(data)):
            return False
        self.connection.send_fragment(data, fin=fin, compress=compress)
        self.messages_sent += fin
        return True

    def ping(self, payload: bytes | None = None) -> bytes:
        """Send a Ping of at most 125 bytes, None for some that the peer cannot foresee; what `pings.answered` will know
        it by. Raises LocalProtocolError for a longer payload and for one that is under way; else as `send`.
        """
        self.check_sending()
        key = new_mask_key() + new_mask_key() if payload is None else payload
        self.pings.check_new(key)
        self.connection.ping(key)
        self.pings.add(key)
        return key

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> bool:
        """Begin the closing handshake, as `Connection.close`; what has come is still received, what comes is not.
        False, and nothing has happened, if the connection is closing or has ended already.
        """
        if self.phase > BROKEN:
            return False
        self.connection.close(code, reason)
        self._ending.say(CloseCode.NO_STATUS if code is None else code, reason, Cause.CLOSE)
        self._enter(CLOSING)
        return True

    def forget(self) -> None:
        """Nothing is wanted any more: what was not received is thrown away. To be called after `close`."""
        self._ending.forgot = True
        self._receiving.queue.clear()

    def fail(self, code: int, reason: str = "", cause: Cause = Cause.FAILED) -> None:
        """Give the connection up with `code`, for what only the caller knows. No effect if it is closing already."""
        if self.phase <= BROKEN:
            events = self.connection.fail(code, reason)
            self._ending.failing = cause
            self._conclude(events)

    def abort(self) -> None:
        """End at once, without a closing handshake. No effect after the end."""
        if self.phase is not CLOSED:
            self._ending.say(CloseCode.ABNORMAL, "", Cause.ABORT)
            self.forget()
            self._finish(Cause.ABORT)

    def give_up(self) -> None:
        """End at once, with a reset. No effect after the end."""
        self._finish(Cause.LIMIT, resets=True)

    def run_short(self) -> None:
        """Memory is short: close with 1013, at once where what waits to be sent would stay, and forget what came."""
        stays = self.phase > BROKEN or self.unsent > self.held // 2
        self.fail(CloseCode.TRY_AGAIN_LATER, "the server is short of memory", Cause.LIMIT)
        self._receiving.queue.clear()
        if stays and (self.phase < DRAINING or self.unsent):
            self.give_up()

    # What the pump is to do

    def output(self) -> bytes:
        """All that is to be written, in this order; b"" for nothing. Then `sent` is to be called, even if nothing of it
        could be written.
        """
        data = self.connection.data_to_send()
        if not data or self._sending.is_broken:
            return b""
        self.pings.taken()
        self._sending.taken(len(data))
        return data

    @property
    def wants_read(self) -> bool:
        """Whether the pump is to read."""
        return not (self._receiving.is_paused or self._receiving.at_eof or self.phase is CLOSED)

    @property
    def wants_write(self) -> bool:
        """Whether there is output, and nothing is on its way out after which the pump will fetch it anyway."""
        return self.connection.bytes_to_send > 0 and not self._sending.in_flight

    @property
    def deadline(self) -> float:
        """When to call `time_is` next, unless something else happens before; what has come is told first. inf for
        never, -inf for at once: also while it `wants_write`, so that nobody sleeps who has overlooked that.
        """
        if self.phase is CLOSED:
            return inf
        if self.wants_write or self._may_go_on(-inf) or self._is_to_wait() or self._is_to_hurry():
            return -inf
        return min(self._sending.due, self._receiving.deadline, self._next_answer(), self._keepalive.due)

    def wakeups(self) -> Wakeup:
        """Whom to wake since this was asked last."""
        wakeups, self._wakeups = self._wakeups, 0
        return WAKEUPS[wakeups]

    # How it is

    @property
    def end(self) -> End | None:
        """How it ended; None before the end."""
        return self._ending.end

    @property
    def unsent(self) -> int:
        """How many bytes have not left yet."""
        return self._sending.in_flight + self.connection.bytes_to_send

    @property
    def bytes_sent(self) -> int:
        """How many have left."""
        return self._sending.bytes_sent

    @property
    def messages_received(self) -> int:
        """How many have come, whether or not they were fetched."""
        return self._receiving.messages

    @property
    def receive_queue(self) -> tuple[int, int]:
        """How many messages or pieces wait to be received, and what they weigh in bytes."""
        return len(self._receiving.queue), self._receiving.queue.size

    @property
    def held(self) -> int:
        """How many bytes wait to be received, to be complete, and to be sent."""
        return self._receiving.queue.size + self._receiving.bytes_kept + self.unsent + self.held_below

    # Inside

    def _handle(self, events: list[Event], now: float) -> None:
        if self._receiving.queue:
            self._wakeups |= _RECEIVE
        for event in events:
            if isinstance(event, Close):
                self._conclude([event])
            elif isinstance(event, Pong) and self.pings.pong(event.payload, now):
                self._wakeups |= _PING
                self._ponged(now)
        if self._receiving.is_too_fast:
            self.fail(CloseCode.POLICY_VIOLATION, "too much was sent in too short a time", Cause.LIMIT)

    def _ponged(self, now: float) -> None:
        payload = self._keepalive.payload
        if payload is not None and payload not in self.pings:
            self.pings.forget(payload)
            self._keepalive.answered(now)
            self._answer.stop()
            self.wants_acknowledged = False

    def _settle(self, now: float) -> None:
        """Do what no other call will come for."""
        if self._may_go_on(now):
            self._go_on(now)
        if self._is_to_hurry():
            self._sending.hurry(self.options.close_timeout, now)
        if self.phase is DRAINING and not self.unsent and (self._receiving.at_eof or self._sending.is_broken):
            self._finish()
        elif self._is_to_wait():
            self._wait_for_the_end(now)

    def _may_go_on(self, now: float) -> bool:
        return self._receiving.is_paused and self._receiving.may_go_on(now, is_answering=self.senders_waiting > 0)

    def _go_on(self, now: float) -> None:
        """Take what was left of what was read before, as far as there is room; then let the pump read on, or end."""
        had_rest = self._receiving.has_rest
        self._handle(self._receiving.go_on(now, self.unsent), now)
        if self._receiving.at_eof and self.phase < DRAINING and not (had_rest and self._receiving.is_paused):
            self._lose(Cause.EOF)
        if not self._receiving.is_paused and self._answer.awaits is _PONG:
            self._answer.restart(now)  # it may stand behind much else that comes only now

    def _is_to_hurry(self) -> bool:
        """Whether bytes may be stuck for longer than they may from now on."""
        return self.phase >= CLOSING and self._sending.timeout > self.options.close_timeout

    def _is_to_wait(self) -> bool:
        """Whether all has left, and what this phase waits for is not waited for yet."""
        return self._answer.awaits < _WAITS_FOR[self.phase] and not self.unsent

    def _wait_for_the_end(self, now: float) -> None:
        if self.phase is not DRAINING:
            self._expect(_CLOSE, self.options.close_timeout, now)
        elif self.connection.role is SERVER:
            self.shuts_sending = True
            self._expect(_END, LINGER_TIME, now)
        else:
            # The server ends TCP first: its port is not the one that is short (RFC 6455 section 7.1.1).
            self._expect(_END, self.options.close_timeout, now)

    def _expect(self, awaits: Awaits, timeout: float | None, now: float) -> None:
        """From now on the peer owes us this."""
        patience = self.options.close_timeout if awaits is _END else 0.0
        self._answer.expect(
            awaits, inf if timeout is None else timeout, now, position=self.bytes_sent, patience=patience
        )

    def _next_answer(self) -> float:
        is_suspended = self._receiving.is_paused and self._answer.awaits is _PONG  # none can come
        return inf if is_suspended else self._answer.due

    def _overdue(self, now: float) -> None:
        """What the peer owes us has not come in time."""
        if self._answer.awaits is _END:
            self._finish(resets=not self._answer.has_arrived)
            return
        self._ending.was_late(self._answer, now)
        if self._answer.awaits is _PONG:
            self.fail(CloseCode.INTERNAL_ERROR, "a Ping was not answered in time", Cause.SILENT)
            self._settle(now)
        else:
            self._finish(Cause.UNCLOSED, resets=True)

    def check_sending(self) -> None:
        """Raise why nothing can be sent, if nothing can: as `send` does."""
        if self.phase is not OPEN:
            raise self._ending.sending_error()

    def refuse(self) -> None:
        """There is no room for a message: do as `slow_consumer` says. Raises as `send`."""
        if self.options.slow_consumer == "drop":
            self.messages_dropped += 1
        elif self.options.slow_consumer == "close":
            self.fail(CloseCode.TRY_AGAIN_LATER, "the peer receives too slowly", Cause.LIMIT)
            self.check_sending()

    # Ends

    def _lose(self, cause: Cause) -> None:
        """No byte will come any more: unless the connection has ended, that is how it ends."""
        if not self._sending.is_broken:
            self._ending.losing = cause
        self._conclude(self.connection.receive_eof())

    def _conclude(self, events: list[Event]) -> None:
        """The `Connection` has come to its one end, if there is an event."""
        for event in events:
            assert isinstance(event, Close)
            self._ending.conclude(event, has_failed=self.connection.defect is not None)
            self._enter(CLOSED if self._sending.is_broken else DRAINING)

    def _finish(self, cause: Cause | None = None, *, resets: bool = False) -> None:
        """The transport is to be closed; that is how the connection ends, unless it has ended."""
        if self.phase is CLOSED:
            return
        self.resets = resets
        if cause is not None:
            self._lose(cause)
        self._enter(CLOSED)

    def _enter(self, phase: Phase, wakeups: int = _RECEIVE | _SEND | _PING) -> None:
        self.phase = phase
        if phase > BROKEN:
            self._receiving.discard()
        self._keepalive.stop()
        self._answer.stop()
        self.wants_acknowledged = False
        self.pings.clear()
        self._wakeups |= wakeups
        if phase is CLOSED:
            self._sending.breaks()
            self._wakeups |= _OVER
        if self._sending.is_broken:
            self.connection.data_to_send()
