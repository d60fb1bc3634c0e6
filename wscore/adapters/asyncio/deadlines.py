"""When a connection is pinged, and when a peer is given up: all that needs a clock.

Decides what counts as life. While a Pong is awaited, any byte of the peer's does, since a Pong cannot stand within a
frame (RFC 6455 section 5.4); so does what the peer's system takes of what we sent before the Ping. While bytes of ours
wait, for the end, too, each that leaves gives the peer its time anew. What has left is asked of the kernel, where that
tells (`delivery`), since a transport sees little of it, and over TLS nothing. What an end means is `Endpoint`'s.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from wscore.codec import IMPLEMENTATION, CloseCode
from wscore.protocol.timers import Timers

from . import delivery
from .pings import Pings

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from .opening import Opening
    from .options import Options
    from .websocket import WebSocket

if TYPE_CHECKING or IMPLEMENTATION == "pure":
    from .pure_link import TURN_BUDGET, Link
else:
    from .native_link import TURN_BUDGET, Link

__all__ = ["TURN_BUDGET", "Deadlines"]

# After the last byte of ours the peer has so long to end its side, too (RFC 9112 section 9.6).
LINGER_TIME = 2.0
# How often in a time in which something must leave it is looked whether it does.
LOOKS = 4


class Deadlines(Link):
    """The part of a `WebSocket` that the clock runs. Times are seconds of the loop's clock, `inf` is never."""

    __slots__ = (
        "_alarm",
        "_alarm_at",
        "_answer_by",
        "_came",
        "_is_closing",
        "_keepalive",
        "_linger_by",
        "_look_at",
        "_opening",
        "_options",
        "_ping_position",
        "_pings",
        "_progress",
        "_progress_by",
        "_timers",
    )

    def __init__(
        self,
        opening: Opening,
        options: Options,
        on_message: Callable[[WebSocket, str | bytes], object] | None,
        context: Context,
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop, on_message, options.max_receive_queue, context)
        self._opening = opening
        self._options = options
        self._pings = Pings()
        self._keepalive: bytes | None = None  # of our own Ping that waits for its Pong
        self._came = 0  # bytes, when that was last looked at
        self._ping_position: int | None = None  # what is acknowledged when it has left, if that has to be awaited
        self._timers = Timers(None, None, loop.time())
        self._is_closing = False  # nothing more will be said; what was, has `close_timeout` to leave
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._answer_by = self._linger_by = self._look_at = self._progress_by = inf
        self._progress: int = -1

    # When what begins

    def _begin_keepalive(self) -> None:
        self._timers = Timers(self._options.ping_interval, self._options.ping_timeout, self._loop.time())
        self._stop_the_clock()
        self._set_alarm()

    def _begin_closing(self) -> None:
        self._is_closing = True
        self._timers.closing(self._loop.time(), self._options.close_timeout)
        if self._transport is not None and self._waiting():
            self._begin_to_look()
        self._set_alarm()

    def _begin_lingering(self, *, peer_first: bool) -> None:
        self._linger_by = self._timers.close_by if peer_first else self._loop.time() + LINGER_TIME
        self._set_alarm()

    def _begin_refusing(self) -> None:
        """There is no WebSocket, and what was to say has been said."""
        self._timers = Timers(None, None, self._loop.time())
        self._begin_closing()

    def _fell_behind(self) -> None:
        if self._look_at == inf:
            self._begin_to_look()

    def _begin_to_look(self) -> None:
        now = self._loop.time()
        self._progress = self._taken()
        self._progress_by = now + self._options.send_timeout
        self._look_at = now + self._time_between_looks()
        self._set_alarm()

    def _send_ping(self, answer: asyncio.Future[float] | None, payload: bytes | None = None) -> bytes:
        chosen = self._pings.new_payload() if payload is None else payload
        self._connection.ping(chosen)
        self._pings.add(chosen, answer)
        self._output_waits()
        return chosen

    def _pong_came(self, payload: bytes) -> None:
        self._pings.answered(payload)
        if self._keepalive is not None and self._keepalive not in self._pings:
            self._keepalive = self._ping_position = None
            self._timers.answered(self._loop.time())
            self._set_alarm()

    # The alarm

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

    def _stop_the_clock(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look_at_the_clock(self) -> None:
        self._alarm = None
        if self._transport is None:
            return
        now = self._loop.time()
        if now >= self._look_at:
            self._look_at_progress(now)
        if self._linger_by != inf:
            self._look_at_the_end(now)
        elif now < self._timers.close_by:
            self._look_at_an_open_connection(now)
        elif self._connection is None:
            self._opening.expired(self._face)
        else:
            self._break_off()
        self._set_alarm()

    def _look_at_the_end(self, now: float) -> None:
        """What is left to be sent has the time of closing; then the peer has a little more to end its side."""
        if now < min(self._linger_by, self._timers.close_by):
            return
        if now < self._timers.close_by and self._waiting():
            self._linger_by = now + LINGER_TIME
        else:
            self._break_off()

    def _look_at_an_open_connection(self, now: float) -> None:
        if now >= self._answer_by:
            self._read_on()
        if now >= self._timers.pong_by:
            self._look_for_life(now)
        elif self._timers.ping_is_due(now) and self._is_sendable and not self._in_transport():
            # A peer that has not even taken what was sent before would not see a Ping; `send_timeout` is for it.
            self._ping_to_see_life(now)

    # Whether the peer lives

    def _ping_to_see_life(self, now: float) -> None:
        self._ping_position = None
        if self._waiting() and self._acknowledged() is not None:
            # It leaves behind what the kernel has not sent yet.
            self._ping_position = self._taken() + self._waiting()
            self._begin_to_look()
        self._came = self._bytes_received
        self._keepalive = self._send_ping(None)
        self._timers.pinged(now)

    def _look_for_life(self, now: float) -> None:
        """The Pong is late: has the peer been silent for so long, and could it have answered?"""
        if self._bytes_received != self._came or delivery.is_unread(self._transport):
            self._came = self._bytes_received
            self._timers.pinged(now - (delivery.silence(self._transport) or 0.0))
        if now >= self._timers.pong_by:
            self._fail(CloseCode.INTERNAL_ERROR, "a Ping was not answered in time")

    # Whether bytes leave

    def _time_between_looks(self) -> float:
        options = self._options
        least = min(
            options.close_timeout if self._is_closing else options.send_timeout,
            inf if self._ping_position is None else options.ping_timeout or inf,
        )
        return least / LOOKS

    def _look_at_progress(self, now: float) -> None:
        """Break off if bytes have waited for too long without any of them leaving."""
        taken = self._taken()
        if taken != self._progress:
            self._progress = taken
            self._progress_by = now + self._options.send_timeout
            self._note_progress(now)
        elif not self._waiting():
            self._look_at = inf
            return
        elif now >= self._progress_by:
            self._break_off()
        self._look_at = now + self._time_between_looks()

    def _note_progress(self, now: float) -> None:
        if self._is_closing:
            self._timers.close_by = now + self._options.close_timeout
        elif self._ping_position is not None:
            self._timers.pinged(now)
            if self._progress >= self._ping_position:
                self._ping_position = None

    def _waiting(self) -> int:
        """How many bytes have not been taken yet, as far as is known."""
        if self._transport is None:
            return 0
        size: int = self._in_transport()
        return size + (delivery.outstanding(self._transport) or 0)

    def _taken(self) -> int:
        """A number that grows with what the peer's system has taken; where it does not say, with what ours has."""
        acknowledged = self._acknowledged()
        return self._bytes_sent - self._in_transport() if acknowledged is None else acknowledged

    def _acknowledged(self) -> int | None:
        return None if self._transport is None else delivery.acknowledged(self._transport)

    if TYPE_CHECKING:

        @property
        def _face(self) -> WebSocket:
            """What hooks are given."""

        def _fail(self, code: int, reason: str) -> None:
            """Give the connection up."""

        def _break_off(self) -> None:
            """Close at once."""

        def _read_on(self) -> None:
            """Take what was left."""
