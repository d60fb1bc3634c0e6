"""What the transport of one connection is given, asked, and told, and when the loop is to call.

Decides in which portions output is written, what has left, when reading pauses, how our side ends and how all of it,
and when the alarm goes: all of that by what the `Session` says. It refuses to know who is woken, and hooks.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from wscore.codec import IMPLEMENTATION
from wscore.session import Phase

from .alarms import NEVER, alarms_of
from .delivery import Delivery, reset

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

_OPEN, _CLOSED = Phase.OPEN, Phase.CLOSED  # members of an enumeration are slow to find by name
# How often in a time in which something must leave it is looked whether it does.
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
    """The part of a `WebSocket` that drives its transport. Times are seconds of one clock."""

    __slots__ = (
        "_alarm",
        "_alarms",
        "_asked_system",
        "_at_eof",
        "_has_shut",
        "_is_encrypted",
        "_is_paused",
        "_options",
        "_unwritten",
    )

    def __init__(self, options: Options, on_message: Callable[[Any, Any], object] | None, context: Context) -> None:
        Link.__init__(self, asyncio.get_running_loop(), on_message, context)
        self._options = options
        self._at_eof = False
        self._is_paused = False
        self._is_encrypted = False  # by asyncio
        self._has_shut = False  # our side of the transport is ended
        self._unwritten = NOTHING  # what TLS was not given yet
        self._asked_system: Delivery | None = None
        self._alarms = alarms_of(self._loop)
        self._alarm = NEVER

    def _now(self) -> float:
        return self._alarms.now()

    def _take_transport(self, transport: asyncio.Transport) -> None:
        """There is a connection."""
        self._transport = transport
        self._is_encrypted = transport.get_extra_info("ssl_object") is not None
        # It tells when all has left; below TLS "no more than 0 bytes" would be more than there may be.
        transport.set_write_buffer_limits(int(self._is_encrypted), 0)

    def _leave_transport(self) -> None:
        """There is none any more."""
        self._detach()
        self._unwritten = NOTHING
        self._alarms.stop(self)

    # What leaves

    def _give(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self._is_encrypted:
            self._unwritten = memoryview(data)
            self._push()
        else:
            self._transport.write(data)

    def _push(self) -> None:
        """Give TLS a part of what there is to send, as long as it keeps nothing. Below it is another transport, which
        would take whatever TLS has, and tell nobody how much of it has left.
        """
        while self._unwritten and self._transport is not None and not self._transport.get_write_buffer_size():
            part, self._unwritten = self._unwritten[:PART], self._unwritten[PART:]
            self._transport.write(part)
        if not self._unwritten:
            self._unwritten = NOTHING  # what is empty would keep all that it was a part of

    def _in_transport(self) -> int:
        in_transport: int = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return in_transport + len(self._unwritten)

    def _waiting(self, session: PassingSession) -> int:
        """How many bytes of the session's output have not left yet, as far as the transport tells."""
        return min(self._in_transport(), session.in_flight)

    def _left_by_now(self, session: PassingSession) -> int:
        """How many bytes wait, if some have left at all: below TLS, that is what the system says."""
        waiting = self._waiting(session)
        if self._transport is None or not self._is_encrypted:
            return waiting
        return min(waiting, session.in_flight - self._delivery.has_moved())

    def _is_leaving(self) -> bool:
        """Whether something that was said has not arrived, as far as is known."""
        return bool(self._in_transport() or self._delivery.unacknowledged())

    # What the session says

    def _steer(self, session: PassingSession) -> None:
        """What has to do with the transport."""
        transport = self._transport
        if transport is None:
            if session.wants_acknowledged:
                session.acknowledged(None, self._now())  # nobody knows any more
            return
        if session.phase is not _CLOSED:
            if session.shuts_sending and not self._has_shut:
                self._end_sending()
            if session.wants_read == self._is_paused and not self._at_eof and not transport.is_closing():
                self._is_paused = not session.wants_read
                transport.pause_reading() if self._is_paused else transport.resume_reading()
            if session.wants_acknowledged:
                self._tell_acknowledged(session)
        if session.phase is _CLOSED:
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
        now, delivery = self._now(), self._delivery
        if now >= session.deadline and delivery.is_unread and not self._is_paused:
            self._look_soon()  # what has come is told before somebody is late
        else:
            session.acknowledged(delivery.unacknowledged(), now)

    @property
    def _delivery(self) -> Delivery:
        """What the system tells of the transport; made when it is first asked."""
        if self._asked_system is None:
            self._asked_system = Delivery(self._transport, is_encrypted=self._is_encrypted)
        return self._asked_system

    # The alarm

    def _set_alarm(self, session: PassingSession, deadline: float) -> None:
        """Be called at the session's deadline, and to see whether something has left: a transport does not tell."""
        if not session.in_flight:
            self._alarms.set(self, deadline)
        else:
            options = self._options
            is_open = session.phase is _OPEN
            least = options.send_timeout if is_open else min(options.send_timeout, options.close_timeout)
            self._alarms.set(self, min(deadline, self._now() + least / LOOKS), or_before=True)

    if TYPE_CHECKING:

        def _time_is(self) -> None:
            """The alarm goes."""


def plain_socket_of(transport: asyncio.Transport) -> int:
    """The descriptor of the socket that a transport writes to as it is; -1 for any other transport."""
    is_plain = _is_plain(type(transport))  # type: ignore[arg-type]
    fd: int = transport.get_extra_info("socket").fileno() if is_plain else -1
    return fd


@cache
def _is_plain(kind: type[object]) -> bool:
    return (kind.__module__, kind.__qualname__) in _PLAIN
