"""What is due on one connection of the reactor: Pings, what the peer owes us, and bytes of ours that do not leave.

Decides about no time itself: these rules are the session's (`session.keepalive`, `session.answer`, `session.sending`),
the same for every transport; here they are told what the reactor sees. An idle connection owns the rule about Pings
alone; the others are there while the peer owes something, or bytes wait. It refuses to know how anybody is woken in
time: `Link` is, and asks.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from trio import current_time

from ...codec import CloseCode
from ...session.answer import Answer
from ...session.ends import Awaits
from ...session.keepalive import Keepalive
from ...session.sending import Sending
from ..endpoint_face import EndpointWebSocket
from ..linger import LINGER_TIME

__all__ = ["Deadlines"]


class Deadlines(EndpointWebSocket):
    """The part of a `WebSocket` on the reactor that needs a clock, Trio's."""

    if not TYPE_CHECKING:  # mypy does not know attributes that a subclass stores
        __slots__ = ()

    _schedule: Keepalive
    _answer: Answer | None
    _sending: Sending | None

    # What has happened

    def _begin_keepalive(self) -> None:
        self._schedule = Keepalive(self._options.ping_interval, current_time())
        self._answer = None
        self._sending = None

    def _stop_keepalive(self) -> None:
        """A Close frame is out, in either direction, or the connection is lost: what is owed from now on is the end."""
        self._schedule.stop()
        awaits = Awaits.NOTHING if self._answer is None else self._answer.awaits
        if awaits is Awaits.PONG or (awaits is Awaits.CLOSE and self._end is not None):
            self._answer = None
        if self._sending is not None:
            self._hurry(self._sending, current_time())

    def _heard(self) -> None:
        """Something has come, or may come again: if a Pong is awaited, the peer has its time anew."""
        if self._answer is not None and self._answer.awaits is Awaits.PONG:
            self._answer.restart(current_time())

    def _ponged(self, payload: bytes) -> None:
        now = current_time()
        self._pings.answered(payload, now)
        ours = self._schedule.payload
        if ours is not None and ours not in self._pings:
            self._schedule.answered(now)
            self._answer = None
            self._deadline_changed()
        if not self._pings.payloads:
            self._forget_pings()

    def _has_flushed(self) -> None:
        """There is nothing left to be sent. While there always is more, its leaving shows that the peer is there."""
        if self._schedule.payload in self._pings.left(current_time()):
            self._expect(Awaits.PONG, self._options.ping_timeout)

    def _bytes_wait(self, n_left: int, n_waiting: int) -> None:
        """Of what waits for the system to take it `n_left` bytes have left, and `n_waiting` have not."""
        now = current_time()
        if self._sending is None:
            self._sending = Sending(self._options.send_timeout)
            if self._is_shut:
                self._hurry(self._sending, now)
        self._sending.taken(n_left + n_waiting - self._sending.in_flight)
        self._sending.sent(n_waiting, now)
        if not n_waiting:
            self._sending = None

    def _hurry(self, sending: Sending, now: float) -> None:
        if self._options.close_timeout < self._options.send_timeout:
            sending.hurry(self._options.close_timeout, now)

    # What is to come

    def _expect(self, awaits: Awaits, timeout: float | None, patience: float = 0.0) -> None:
        """The peer owes us this, for all that has left so far."""
        if timeout is not None:
            now = current_time()
            self._answer = Answer()
            self._answer.expect(awaits, timeout, now, position=self._bytes_sent, patience=patience)
            self._is_overdue(self._answer, now)
            self._deadline_changed()

    def _expect_close(self) -> None:
        self._expect(Awaits.CLOSE, self._options.close_timeout)

    def _expect_end(self, peer_first: bool) -> None:
        """All has been said: the peer has to end its side, before us or after us."""
        patience = self._options.close_timeout
        self._expect(Awaits.END, patience if peer_first else LINGER_TIME, patience)

    def _is_overdue(self, answer: Answer, now: float) -> bool:
        return answer.acknowledged(self._bytes_sent - self._unacknowledged(), now)

    # Times

    def _next_deadline(self) -> float:
        """When to look at the clock."""
        due = min(self._schedule.due, self._answer_due)
        return due if self._sending is None else min(due, self._sending.due)

    @property
    def _answer_due(self) -> float:
        if self._answer is None or (self._is_paused and self._answer.awaits is Awaits.PONG):  # none can come
            return inf
        return self._answer.due

    def _look_at_the_clock(self) -> None:
        """Do what is due: a Ping, or giving up a peer that takes nothing, does not answer, or does not end."""
        now = current_time()
        if self._sending is not None and self._sending.is_over(now):
            self._give_up()
            return
        if now >= self._schedule.due:
            self._send_keepalive(now)
        answer = self._answer
        if answer is not None and now >= self._answer_due and answer.is_over(now) and self._is_overdue(answer, now):
            self._give_up_waiting(answer)

    def _send_keepalive(self, now: float) -> None:
        payload = self._pings.new_payload()
        self._pings.add(payload, now)
        self._connection.ping(payload)
        self._schedule.pinged(payload, now)
        self._output_waits()

    def _give_up_waiting(self, answer: Answer) -> None:
        if answer.awaits is Awaits.PONG:
            self._fail(CloseCode.INTERNAL_ERROR, "a Ping was not answered in time")
        elif answer.awaits is Awaits.END and answer.has_arrived:
            self._cut()
        else:
            self._end_with_reset()

    if TYPE_CHECKING:

        def _forget_pings(self) -> None:
            """None is under way: hold no memory for them."""

        def _unacknowledged(self) -> int:
            """How many of the bytes that have left the peer's system does not have yet, as far as is known."""

        def _end_with_reset(self) -> None:
            """Close at once, so that what the system still has is forgotten."""
