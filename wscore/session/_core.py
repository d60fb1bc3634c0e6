"""`Session`: one life of a connection after its opening handshake, without I/O; every transport is a pump around it.

Decides what comes of each call, of the pump's and of the user's: who may send, what is received, when to ping. The
phases and the end are `life`'s, the rules of RFC 6455 `Connection`'s. It refuses to know sockets, tasks, event loops
and clocks: times are seconds of any clock that never goes back.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from wscore.codec import CloseCode, Piece, new_mask_key
from wscore.protocol.connection import Connection
from wscore.protocol.events import Close, Event, Pong
from wscore.session.ends import EMPTY, WAKEUPS, Awaits, Cause, Empty, Phase, Wakeup
from wscore.session.options import Options

from .life import DISCARD_LIMIT, LINGER_TIME, Life
from .queue import size_of
from .sending import FRAME_HEADER

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from wscore.protocol.prepared import PreparedMessage

    from .pings import Pings

__all__ = ["DISCARD_LIMIT", "LINGER_TIME", "Session"]

OPEN, BROKEN, CLOSING, DRAINING, CLOSED = Phase
NOTHING, PONG, CLOSE, END = Awaits
# As plain numbers, since joining flags costs thousands of instructions.
_RECEIVE, _SEND, _PING = map(int, (Wakeup.RECEIVE, Wakeup.SEND, Wakeup.PING))


class Session(Life):
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

    __slots__ = ("_has_refused", "bytes_received", "held_below", "messages_dropped", "messages_sent", "senders_waiting")

    def __init__(self, connection: Connection, options: Options, now: float, *, answers_at_once: bool = False) -> None:
        super().__init__(connection, options, now, answers_at_once=answers_at_once)
        self.senders_waiting = 0
        """How many callers wait in line until there is room to send: for a pump that has a line, to count."""
        self._has_refused = False  # for want of room, and has not said since that there is some
        self.held_below = 0
        """Bytes that have come and were not told yet, undecrypted ones say: the pump's to tell, for `held`."""
        self.messages_sent = self.messages_dropped = self.bytes_received = 0

    # What happened

    def received(self, data: Buffer, now: float) -> None:
        """Bytes have come from the peer. They may be told whatever `wants_read` says; none are lost."""
        size = memoryview(data).nbytes
        self.bytes_received += size
        if size:
            self._heard(now)  # whatever comes shows that the peer lives
        if self._phase < DRAINING:
            self._handle(self._receiving.take(data, now, self.unsent), now)
        else:
            self._discarded += size
            if self._discarded >= DISCARD_LIMIT:
                self._finish()
        self._settle(now)

    def read_on(self, data: Buffer, budget: int, now: float) -> None:
        """For a pump that calls the Reader itself, which has stopped, and not for want of data: `data` is what follows,
        `budget` what it was given.
        """
        if self._phase < DRAINING:
            self._handle(self._receiving.read_on(data, budget, now), now)
        self._settle(now)

    def received_eof(self, now: float) -> None:
        """The peer sends no more."""
        if self._phase < DRAINING:
            self._receiving.end(now)
        else:
            self._receiving.at_eof = True
        self._settle(now)

    def broken(self, now: float, cause: Cause = Cause.RESET) -> None:
        """The transport is broken both ways: nothing comes, and nothing leaves. `cause` is ABORT if we did it."""
        self._finish(Cause.EOF if self._receiving.at_eof else cause)

    def sent(self, n_left: int, now: float) -> None:
        """Of all the `output` there was, `n_left` bytes have not been written yet. ValueError if that cannot be."""
        left = 0 if self.is_broken else self._left(n_left, now)
        if self._pings is not None and not n_left:
            self._pings.left(now)
            # While there always is more to send, its leaving shows that the peer is there.
            if self._answer is None and not self.unsent and self._pings.has_left(self._ping_sent):
                self._expect(PONG, self.options.ping_timeout, now)
        if left and (self.senders_waiting or self._has_refused):
            self._has_refused = False
            self._wakeups |= _SEND
        if left and self._receiving.answers_at_once and self._receiving.size:
            self._wakeups |= _RECEIVE
        self._settle(now)

    def cannot_send(self, now: float) -> None:
        """Nothing leaves any more. The peer may have said why before it went: what comes is still read."""
        self._break_off()
        self._receiving.expect_no_answer()
        if not self._receiving.at_eof:
            self.ending.losing = Cause.RESET
        self.connection.data_to_send()
        if self._phase == OPEN:
            self._enter(BROKEN, _SEND | _PING)
        self._settle(now)

    def acknowledged(self, n_unacknowledged: int | None, now: float) -> None:
        """So many of the bytes that were `sent` the system still has; None if nobody knows."""
        self.wants_acknowledged = False
        answer = self._answer
        if answer is not None and answer.acknowledged(self.bytes_sent - (n_unacknowledged or 0), now):
            self._overdue(answer, now)
            self._settle(now)

    def time_is(self, now: float) -> None:
        """Do what is due."""
        if self._phase == CLOSED:
            return
        if self._sending is not None and self._sending.is_over(now):
            self.ending.was_late(self._sending, now)
            self._finish(Cause.STUCK, resets=True)
            return
        self._receiving.time_is(now)
        if now >= self._next_ping():
            self._ping_sent = self.ping()
            self._ping_at = self._next_ping_after(now)
        self._settle(now)
        if self._answer is not None and now >= self._next_answer() and self._answer.is_over(now):
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
        if self._receiving.size:
            message: str | bytes | Piece = self._receiving.get()
            return message
        error = None if self._ending is None else self._ending.receiving_error()
        if error is not None:
            raise error
        self._receiving.is_answered = True
        return EMPTY

    def has_room_for_answer(self) -> bool:
        """Whether an answer as large as the next message would fit: who calls a hook with each message asks before."""
        return not self._receiving.size or self.fits(size_of(self._receiving.first()))

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
            self._has_refused = True
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

    def forget_answers(self) -> None:
        """Nobody waits for the Pongs that have come."""
        if self._pings is not None:
            self._pings.answered.clear()
            self._leave_pings(self._pings)

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> bool:
        """Begin the closing handshake, as `Connection.close`; what has come is still received, what comes is not.
        False, and nothing has happened, if the connection is closing or has ended already.
        """
        if self._phase > BROKEN:
            return False
        self.connection.close(code, reason)
        self.ending.say(CloseCode.NO_STATUS if code is None else code, reason, Cause.CLOSE)
        self._enter(CLOSING)
        return True

    def forget(self) -> None:
        """Nothing is wanted any more: what was not received is thrown away. To be called after `close`."""
        self.ending.forgot = True
        self._receiving.clear()

    def abort(self) -> None:
        """End at once, without a closing handshake. No effect after the end."""
        if self._phase != CLOSED:
            self.ending.say(CloseCode.ABNORMAL, "", Cause.ABORT)
            self.forget()
            self._finish(Cause.ABORT)

    def run_short(self) -> None:
        """Memory is short: close with 1013, at once where what waits to be sent would stay, and forget what came."""
        stays = self._phase > BROKEN or self.unsent > self.held // 2
        self.fail(CloseCode.TRY_AGAIN_LATER, "the server is short of memory", Cause.LIMIT)
        self._receiving.clear()
        if stays and (self._phase < DRAINING or self.unsent):
            self.give_up()

    # What the pump is to do

    def output(self) -> bytes:
        """All that is to be written, in this order; b"" for nothing. Then `sent` is to be called, even if nothing of it
        could be written.
        """
        data = self.connection.data_to_send()
        if not data or self.is_broken:
            return b""
        self.taken(len(data))
        return data

    def taken(self, size: int) -> None:
        """All that there was to be written was taken: so many bytes more than `sent` knows of."""
        if self._pings is not None:
            self._pings.taken()
        self.in_flight += size

    @property
    def wants_read(self) -> bool:
        """Whether the pump is to read."""
        return not (self._receiving.is_paused or self._receiving.at_eof or self._phase == CLOSED)

    @property
    def wants_write(self) -> bool:
        """Whether there is output, and nothing is on its way out after which the pump will fetch it anyway."""
        return not self.in_flight and self.connection.bytes_to_send > 0

    @property
    def deadline(self) -> float:
        """When to call `time_is` next, unless something else happens before; what has come is told first. inf for
        never, -inf for at once: also while it `wants_write`, so that nobody sleeps who has overlooked that.
        """
        if self._phase == CLOSED:
            return inf
        if self.wants_write or self._may_go_on(-inf) or self._is_to_wait() or self._is_to_hurry():
            return -inf
        stuck = inf if self._sending is None else self._sending.due
        return min(stuck, self._receiving.deadline, self._next_answer(), self._next_ping())

    def wakeups(self) -> Wakeup:
        """Whom to wake since this was asked last."""
        wakeups, self._wakeups = self._wakeups, 0
        return WAKEUPS[wakeups]

    # How it is

    @property
    def messages_received(self) -> int:
        """How many have come, whether or not they were fetched."""
        return self._receiving.messages

    @property
    def receive_queue(self) -> tuple[int, int]:
        """How many messages or pieces wait to be received, and what they weigh in bytes."""
        return len(self._receiving), self._receiving.size

    @property
    def held(self) -> int:
        """How many bytes wait to be received, to be complete, and to be sent."""
        return self._receiving.size + self._receiving.bytes_kept + self.unsent + self.held_below

    # Inside

    def _handle(self, events: list[Event], now: float) -> None:
        if self._receiving.size:
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
        pings, ours = self.pings, self._ping_sent
        self.latency = pings.latency
        if ours is not None and ours not in pings:
            pings.forget(ours)
            self._ping_sent = None
            if self._ping_at <= now:  # it has come so late that the next would have been due already
                self._ping_at = self._next_ping_after(now)
            self._owe_nothing()
        self._leave_pings(pings)

    def _leave_pings(self, pings: Pings) -> None:
        """Hold no memory for them, if there is nothing to be known any more."""
        if pings.are_done:
            self._pings = None
            self.connection.expect_pongs(())

    def _next_ping(self) -> float:
        """When a Ping is due, so that a peer that has gone is noticed (RFC 6455 section 5.5.2): one in each interval,
        unless one is unanswered.
        """
        return inf if self._ping_sent is not None else self._ping_at

    def _next_ping_after(self, now: float) -> float:
        assert self.options.ping_interval is not None
        return now + self.options.ping_interval

    def _settle(self, now: float) -> None:
        """Do what no other call will come for."""
        if self._may_go_on(now):
            self._go_on(now)
        if self._sending is not None and self._is_to_hurry():
            self._sending.hurry(self.options.close_timeout, now)
        if self._phase == DRAINING and not self.unsent and (self._receiving.at_eof or self.is_broken):
            self._finish()
        elif self._is_to_wait():
            self._wait_for_the_end(now)

    def _may_go_on(self, now: float) -> bool:
        if not self._receiving.is_paused:
            return False
        # What was refused has had its chance once nothing is in its way: some pumps send it without a word to us.
        is_answering = self.senders_waiting > 0 or (self._has_refused and self.unsent > 0)
        return self._receiving.may_go_on(now, is_answering=is_answering)

    def _go_on(self, now: float) -> None:
        """Take what was left of what was read before, as far as there is room; then let the pump read on, or end."""
        had_rest = self._receiving.has_rest
        self._handle(self._receiving.go_on(now, self.unsent), now)
        if self._receiving.at_eof and self._phase < DRAINING and not (had_rest and self._receiving.is_paused):
            self._lose(Cause.EOF)
        if not self._receiving.is_paused:
            self._heard(now)  # a Pong may stand behind much else that comes only now

    def refuse(self) -> None:
        """There is no room for a message: do as `slow_consumer` says. Raises as `send`."""
        if self.options.slow_consumer == "drop":
            self.messages_dropped += 1
        elif self.options.slow_consumer == "close":
            self.fail(CloseCode.TRY_AGAIN_LATER, "the peer receives too slowly", Cause.LIMIT)
            self.check_sending()
        else:
            self._has_refused = True
