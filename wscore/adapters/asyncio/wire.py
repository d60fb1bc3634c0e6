"""What the transport of one connection is given, asked, and told, and when the loop is to call.

Decides in which portions output is written, what has left, when reading pauses, how our side ends and how all of it,
and when the alarm goes: all of that by what the `Session` says. It refuses to know who is woken, and hooks.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from wscore.codec import IMPLEMENTATION
from wscore.session import Phase

from .delivery import Delivery, is_unread, reset

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from wscore.session import PassingSession

    from .options import Options

if TYPE_CHECKING or IMPLEMENTATION == "pure":
    from .pure_link import Link
else:
    from .native_link import Link

__all__ = ["Wire", "plain_socket_of"]

# How often in a time in which something must leave it is looked whether it does: a transport does not tell.
LOOKS = 4

# TLS is given so much at a time.
PART = 1 << 16
NOTHING = memoryview(b"")

# The transports that own a plain socket, to which the compiled Link may write itself.
_PLAIN = {
    *(("uvloop.loop", "TCPTransport"), ("uvloop.loop", "UnixTransport")),
    ("asyncio.selector_events", "_SelectorSocketTransport"),
}


class Wire(Link):
    """The part of a `WebSocket` that drives its transport. Times are seconds of one clock, `inf` is never."""

    __slots__ = (
        "_alarm",
        "_alarm_at",
        "_at_eof",
        "_delivery",
        "_give_up_at",
        "_has_shut",
        "_is_paused",
        "_options",
        "_unwritten",
    )

    def __init__(self, options: Options, on_message: Callable[[Any, Any], object] | None, context: Context) -> None:
        super().__init__(asyncio.get_running_loop(), on_message, context)
        self._options = options
        self._at_eof = False
        self._is_paused = False
        self._has_shut = False  # our side of the transport is ended
        self._unwritten = NOTHING  # what TLS was not given yet
        self._delivery: Delivery | None = None
        self._give_up_at = inf  # while there is no session
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf

    def _now(self) -> float:
        # libuv's time stands still within a turn, and is counted in milliseconds.
        return self._loop.time() if isinstance(self._loop, asyncio.BaseEventLoop) else monotonic()

    def _take_transport(self, transport: asyncio.Transport) -> None:
        """There is a connection."""
        self._transport = transport
        # It tells when all has left; below TLS "no more than 0 bytes" would be more than there may be.
        transport.set_write_buffer_limits(0 if transport.get_extra_info("ssl_object") is None else 1, 0)

    def _leave_transport(self) -> None:
        """There is none any more."""
        self._detach()
        self._unwritten = NOTHING
        self._stop_the_clock()

    # What leaves

    def _give(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self._transport.get_extra_info("ssl_object") is None:
            self._transport.write(data)
        else:
            self._unwritten = memoryview(data)
            self._push()

    def _push(self) -> None:
        """Give TLS a part of what there is to send, as long as it keeps nothing. Below it is another transport, which
        would take whatever TLS has, and tell nobody how much of it has left.
        """
        while self._unwritten and self._transport is not None and not self._transport.get_write_buffer_size():
            part, self._unwritten = self._unwritten[:PART], self._unwritten[PART:]
            self._transport.write(part)
        if not self._unwritten:
            self._unwritten = NOTHING  # what is empty would keep all that it was a part of

    def _flush_session(self) -> None:
        session = self._session
        if session is not None and not session.in_flight:
            data = session.output()
            if data:
                self._give(data)
                session.sent(self._waiting(session), self._now())

    def _in_transport(self) -> int:
        in_transport: int = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return in_transport + len(self._unwritten)

    def _waiting(self, session: PassingSession) -> int:
        """How many bytes of the session's output have not left yet, as far as the transport tells."""
        return min(self._in_transport(), session.in_flight)

    def _left_by_now(self, session: PassingSession) -> int:
        """How many bytes wait, if some have left at all: below TLS, that is what the system says."""
        waiting = self._waiting(session)
        if self._transport is None or self._transport.get_extra_info("ssl_object") is None:
            return waiting
        if self._delivery is None:
            self._delivery = Delivery()
        return min(waiting, session.in_flight - self._delivery.has_moved(self._transport))

    def _is_leaving(self) -> bool:
        """Whether something that was said has not arrived, as far as is known."""
        return bool(self._in_transport() or Delivery().unacknowledged(self._transport))

    # What the session says

    def _steer(self, session: PassingSession) -> None:
        """What has to do with the transport."""
        transport = self._transport
        if transport is None:
            return
        if session.phase is not Phase.CLOSED:
            if session.shuts_sending and not self._has_shut:
                self._end_sending()
            if session.wants_read == self._is_paused and not self._at_eof and not transport.is_closing():
                self._is_paused = not session.wants_read
                transport.pause_reading() if self._is_paused else transport.resume_reading()
            if session.wants_acknowledged:
                self._tell_acknowledged(session)
        if session.phase is Phase.CLOSED:
            self._close_transport(session)

    def _end_sending(self) -> None:
        """Say that nothing follows: to the peer, what comes is still read. TLS has no such end, but for both sides."""
        self._has_shut = True
        if self._transport.can_write_eof():
            with suppress(OSError):
                self._transport.write_eof()
        else:
            self._transport.close()

    def _close_transport(self, session: PassingSession) -> None:
        if session.resets:
            reset(self._transport)
        elif self._at_eof and not self._transport.get_write_buffer_size():
            self._transport.close()
        else:
            self._transport.abort()

    def _tell_acknowledged(self, session: PassingSession) -> None:
        transport = self._transport
        if is_unread(transport) and not self._is_paused:
            self._look_soon()  # what has come is told first
            return
        if self._delivery is None:
            self._delivery = Delivery()
        session.acknowledged(self._delivery.unacknowledged(transport), self._now())

    # The alarm

    def _set_alarm(self) -> None:
        """Be called at the next deadline. An alarm that comes too early sets the next one."""
        at = self._give_up_at if self._session is None else self._deadline(self._session)
        if at == inf:
            return
        if self._alarm is not None:
            if self._alarm_at <= at:
                return
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._loop.call_at(at, self._look_at_the_clock)

    def _deadline(self, session: PassingSession) -> float:
        """When to tell the time, or how much has left, which else is only told when nothing waits any more."""
        if not session.in_flight:
            return session.deadline
        options = self._options
        least = (
            options.send_timeout if session.phase is Phase.OPEN else min(options.send_timeout, options.close_timeout)
        )
        return min(session.deadline, self._now() + least / LOOKS)

    def _stop_the_clock(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    if TYPE_CHECKING:

        def _look_at_the_clock(self) -> None:
            """The alarm goes."""


def plain_socket_of(transport: asyncio.Transport) -> int:
    """The descriptor of the socket that a transport writes to as it is; -1 for any other transport."""
    kind = type(transport)
    if (kind.__module__, kind.__qualname__) not in _PLAIN:
        return -1
    fd: int = transport.get_extra_info("socket").fileno()
    return fd
