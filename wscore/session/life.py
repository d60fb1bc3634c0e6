"""A connection's life, without its messages: its phases, what is due, and how it ends.

Decides which phase leads to which, what the peer owes us in each and by when, and when bytes are stuck. Each change of
that stands here. It refuses to know what moves messages, and has no clock.

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

from wscore.codec import SERVER, CloseCode, LocalProtocolError
from wscore.protocol.connection import Connection
from wscore.protocol.events import Close
from wscore.session.ending import Ending
from wscore.session.ends import Awaits, Cause, End, Phase, Wakeup
from wscore.session.options import Options

from .answer import Answer
from .pings import Pings
from .receiving import Receiving
from .sending import Sending

if TYPE_CHECKING:
    from wscore.protocol.events import Event

__all__ = ["DISCARD_LIMIT", "LINGER_TIME", "Life"]

# Once our last byte has arrived, the peer has so long, and so many bytes, to end its side (RFC 9112 section 9.6).
LINGER_TIME = 2.0
DISCARD_LIMIT = 32 << 20

OPEN, BROKEN, CLOSING, DRAINING, CLOSED = Phase
PHASES = tuple(Phase)
NOTHING, PONG, CLOSE, END = Awaits
# What each of the phases waits for once all has left.
WAITS_FOR = (NOTHING, CLOSE, CLOSE, END, NOTHING)
# As plain numbers, since joining flags costs thousands of instructions.
_RECEIVE, _SEND, _PING, _OVER = map(int, (Wakeup.RECEIVE, Wakeup.SEND, Wakeup.PING, Wakeup.OVER))


class Life:
    """What a `Session` builds on. What a connection that idles does not need is made when something needs it: there may
    be a hundred thousand of them.
    """

    __slots__ = (
        "_answer",
        "_discarded",
        "_ending",
        "_phase",
        "_ping_at",
        "_ping_sent",
        "_pings",
        "_receiving",
        "_sending",
        "_wakeups",
        "bytes_sent",
        "connection",
        "in_flight",
        "is_broken",
        "latency",
        "options",
        "resets",
        "shuts_sending",
        "wants_acknowledged",
    )

    def __init__(self, connection: Connection, options: Options, now: float, *, answers_at_once: bool = False) -> None:
        self.connection = connection
        self.options = options
        self._phase: int = OPEN
        self.resets = False
        """Whether the transport is to be closed with a reset: what waits in it is for a peer that takes nothing."""
        self.shuts_sending = False
        """Whether our side of the transport is to be ended, once all was written."""
        self.wants_acknowledged = False
        """Whether `acknowledged` is to be called."""
        self.latency: float | None = None
        """Seconds between the last answered Ping and its Pong; None before the first."""
        self.in_flight = 0
        """How many bytes were taken as output and have not left yet."""
        self.bytes_sent = 0
        self.is_broken = False
        """Whether nothing leaves any more."""
        connection.expect_pongs(())
        if not connection.auto_close:
            raise LocalProtocolError("a session needs auto_close: it says when the peer's Close frame is answered")
        self._receiving = Receiving(connection, options, answers_at_once=answers_at_once)
        self._sending: Sending | None = None  # while bytes are in flight
        self._answer: Answer | None = None  # while the peer owes us one
        self._pings: Pings | None = None
        self._ending: Ending | None = None
        # The Ping of ours that is under way, and when the next is due if there is none.
        self._ping_sent: bytes | None = None
        self._ping_at = inf if options.ping_interval is None else now + options.ping_interval
        self._wakeups = 0
        self._discarded = 0

    @property
    def phase(self) -> Phase:
        """Where it is in its life."""
        return PHASES[self._phase]

    @property
    def end(self) -> End | None:
        """How it ended; None before the end."""
        return None if self._ending is None else self._ending.end

    @property
    def unsent(self) -> int:
        """How many bytes have not left yet."""
        return self.in_flight + self.connection.bytes_to_send

    @property
    def pings(self) -> Pings:
        """Those of ours that are under way, and those that were answered."""
        if self._pings is None:
            self._pings = Pings()
            self.connection.expect_pongs(self._pings)
        return self._pings

    @property
    def pings_under_way(self) -> bool:
        """Whether any Pong is still to come."""
        return self._pings is not None and self._pings.are_under_way

    # What ends it, and what is known of that

    @property
    def ending(self) -> Ending:
        """What becomes of the end, once there is anything to be known of it."""
        if self._ending is None:
            self._ending = Ending()
        return self._ending

    def fail(self, code: int, reason: str = "", cause: Cause = Cause.FAILED) -> None:
        """Give the connection up with `code`, for what only the caller knows. No effect if it is closing already."""
        if self._phase <= BROKEN:
            events = self.connection.fail(code, reason)
            self.ending.failing = cause
            self._conclude(events)

    def give_up(self) -> None:
        """End at once, with a reset. No effect after the end."""
        self._finish(Cause.LIMIT, resets=True)

    def check_sending(self) -> None:
        """Raise why nothing can be sent, if nothing can: as `send` does."""
        if self._phase != OPEN:
            raise self.ending.sending_error()

    def _lose(self, cause: Cause) -> None:
        """No byte will come any more: unless the connection has ended, that is how it ends."""
        if not self.is_broken:
            self.ending.losing = cause
        self._conclude(self.connection.receive_eof())

    def _conclude(self, events: list[Event]) -> None:
        """The `Connection` has come to its one end, if there is an event."""
        for event in events:
            assert isinstance(event, Close)
            self.ending.conclude(event, has_failed=self.connection.defect is not None)
            self._enter(CLOSED if self.is_broken else DRAINING)

    def _finish(self, cause: Cause | None = None, *, resets: bool = False) -> None:
        """The transport is to be closed; that is how the connection ends, unless it has ended."""
        if self._phase == CLOSED:
            return
        self.resets = resets
        if cause is not None:
            self._lose(cause)
        self._enter(CLOSED)

    def _enter(self, phase: int, wakeups: int = _RECEIVE | _SEND | _PING) -> None:
        self._phase = phase
        if phase > BROKEN:
            self._receiving.discard()
        self._ping_at, self._ping_sent = inf, None
        self._owe_nothing()
        if self._pings is not None:
            self._pings.clear()
        self._wakeups |= wakeups
        if phase == CLOSED:
            self._break_off()
            self._wakeups |= _OVER
        if self.is_broken:
            self.connection.data_to_send()

    def _break_off(self) -> None:
        """Nothing leaves any more."""
        self.is_broken = True
        self.in_flight = 0
        self._sending = None

    # What is due

    def _heard(self, now: float) -> None:
        """Something has come, or may come again: if a Pong is awaited, the peer has its time anew."""
        if self._answer is not None and self._answer.awaits == PONG:
            self._answer.restart(now)

    def _left(self, n_left: int, now: float) -> int:
        """Of what is in flight `n_left` bytes are left; how many have gone. ValueError if that cannot be."""
        if not 0 <= n_left <= self.in_flight:
            raise ValueError(f"of {self.in_flight} bytes {n_left} cannot be left")
        left = self.in_flight - n_left
        self.in_flight = n_left
        self.bytes_sent += left
        if not n_left:
            self._sending = None
        elif self._sending is None:
            self._sending = Sending(self._send_timeout(), now)
        elif left:
            self._sending.restart(now)
        return left

    def _send_timeout(self) -> float:
        """After how many seconds bytes are stuck."""
        options = self.options
        return options.send_timeout if self._phase < CLOSING else min(options.send_timeout, options.close_timeout)

    def _is_to_hurry(self) -> bool:
        """Whether bytes may be stuck for longer than they may from now on."""
        return self._phase >= CLOSING and self._sending is not None and self._sending.timeout > self._send_timeout()

    def _awaits(self) -> int:
        return NOTHING if self._answer is None else self._answer.awaits

    def _is_to_wait(self) -> bool:
        """Whether all has left, and what this phase waits for is not waited for yet."""
        return self._phase != OPEN and self._awaits() < WAITS_FOR[self._phase] and not self.unsent

    def _wait_for_the_end(self, now: float) -> None:
        if self._phase != DRAINING:
            self._expect(CLOSE, self.options.close_timeout, now)
        elif self.connection.role is SERVER:
            self.shuts_sending = True
            self._expect(END, LINGER_TIME, now)
        else:
            # The server ends TCP first: its port is not the one that is short (RFC 6455 section 7.1.1).
            self._expect(END, self.options.close_timeout, now)

    def _expect(self, awaits: int, timeout: float | None, now: float) -> None:
        """From now on the peer owes us this."""
        patience = self.options.close_timeout if awaits == END else 0.0
        self._answer = Answer(
            awaits, inf if timeout is None else timeout, now, position=self.bytes_sent, patience=patience
        )

    def _owe_nothing(self) -> None:
        self._answer = None
        self.wants_acknowledged = False

    def _next_answer(self) -> float:
        """When to look whether what the peer owes us is overdue."""
        if self._answer is None or (self._receiving.is_paused and self._answer.awaits == PONG):  # none can come
            return inf
        return self._answer.due

    def _overdue(self, answer: Answer, now: float) -> None:
        """What the peer owes us has not come in time."""
        if answer.awaits == END:
            self._finish(resets=not answer.has_arrived)
            return
        self.ending.was_late(answer, now)
        if answer.awaits == PONG:
            self.fail(CloseCode.INTERNAL_ERROR, "a Ping was not answered in time", Cause.SILENT)
        else:
            self._finish(Cause.UNCLOSED, resets=True)
