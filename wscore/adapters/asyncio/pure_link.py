"""What happens with every message, in pure Python: from the transport to the user, and from the user to the transport.

Decides where messages go, to `on_message` or into the queue of `receive`, when that has to wait, how much of what comes
is taken in one turn of the loop, and when output is handed to the transport: once at the end of whatever came together,
else once per turn of the loop, and whenever 64 KiB have gathered. It refuses to know handshakes, deadlines and ends:
those are the `WebSocket`'s, which builds on this.
`native_link` is the compiled twin, which also sends to a plain socket itself, if nothing waits in the transport.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from wscore.codec import weight

from .memory import long_read, receive_memory

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

    from typing_extensions import Buffer

    from wscore.protocol.connection import Connection
    from wscore.protocol.events import Event
    from wscore.protocol.prepared import PreparedMessage

__all__ = ["TURN_BUDGET", "Link"]

# Output is handed on in the middle of a turn once so much has gathered.
GATHERED = 1 << 16
# So much is taken from one connection in a turn of the loop, counted as the receive queue counts, and one message.
TURN_BUDGET = 1 << 18


class Link:
    """The part of a `WebSocket` that runs once per message or per read."""

    __slots__ = (
        "_bytes_received",
        "_bytes_sent",
        "_connection",
        "_context",
        "_flush_is_due",
        "_is_behind",
        "_is_deaf",
        "_is_held",
        "_is_open",
        "_is_sendable",
        "_line",
        "_long_read",
        "_loop",
        "_max_queue",
        "_memory",
        "_messages_received",
        "_messages_sent",
        "_on_message",
        "_queue",
        "_queued",
        "_receiver",
        "_transport",
        "_writing_is_paused",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_message: Callable[[Any, str | bytes], object] | None,
        max_queue: int,
        context: Context,
    ) -> None:
        self._loop = loop
        self._context = context  # in which all code of users runs
        self._memory = receive_memory(loop)
        self._long_read = long_read(loop)
        self._on_message = on_message
        self._max_queue = max_queue
        self._transport: Any = None
        self._connection: Any = None
        self._is_open = False  # what comes are frames
        self._is_sendable = False
        self._is_deaf = False  # messages that come are for nobody
        self._is_held = False  # messages that come have to wait for `on_message`
        self._is_behind = False  # the transport was given bytes that have not been seen to leave
        self._writing_is_paused = False
        self._flush_is_due = False  # it comes by itself: at the end of this read, or in this turn of the loop
        self._line: list[asyncio.Future[None]] = []  # those who wait to send
        self._queue: deque[str | bytes] = deque()
        self._queued = 0  # what they weigh
        self._receiver: asyncio.Future[None] | None = None
        self._messages_received = self._messages_sent = 0
        self._bytes_received = self._bytes_sent = 0

    def _attach(self, connection: Connection, transport: asyncio.Transport, fd: int) -> None:
        """Frames may come and go from now on. `fd` is the plain socket below, -1 if there is none to write to."""
        self._connection = connection
        self._transport = transport
        self._is_open = self._is_sendable = True
        if self._in_transport():
            self._fell_behind()

    def _detach(self) -> None:
        """The transport is gone."""
        self._is_open = self._is_sendable = False
        self._transport = None

    # Receiving

    def get_buffer(self, sizehint: int) -> memoryview:
        """For asyncio: where the next bytes go."""
        return self._memory

    def buffer_updated(self, nbytes: int) -> None:
        """For asyncio: `nbytes` have come."""
        self._take(self._memory[:nbytes])
        if nbytes >= self._long_read:
            self._end_turn()

    def _take(self, data: Buffer) -> None:
        """Take bytes from the network."""
        if not self._is_open:
            self._receive_outside(bytes(data))
            return
        self._bytes_received += memoryview(data).nbytes
        was_due, self._flush_is_due = self._flush_is_due, True
        try:
            self._deliver(self._connection.receive_data(data, self._budget()))
        finally:
            self._flush_is_due = was_due
        self._flush()
        if self._connection.has_rest:
            self._rest_waits()

    def _budget(self) -> int:
        return TURN_BUDGET if self._is_deaf else min(TURN_BUDGET, self._max_queue - self._queued)

    def _deliver(self, events: list[Event]) -> None:
        if self._on_message is None:
            self._keep(events)
            return
        for event in events:
            if isinstance(event, str | bytes):
                self._hand_over(event)
            else:
                self._handle(event)

    def _keep(self, events: list[Event]) -> None:
        """Put messages where `receive` finds them, and pause reading if there are too many."""
        for event in events:
            if not isinstance(event, str | bytes):
                self._handle(event)
            elif not self._is_deaf:
                self._put(event)
                self._messages_received += 1
        if self._queue and self._receiver is not None:
            self._wake_receiver()
        if self._queued >= self._max_queue:
            self._pause()

    def _put(self, message: str | bytes) -> None:
        self._queue.append(message)
        self._queued += _weight_of(message)

    def _pop(self) -> str | bytes:
        message = self._queue.popleft()
        self._queued -= _weight_of(message)
        return message

    def _wake_receiver(self) -> None:
        """What the receiver sends in its next step leaves right after it: in the same turn of the loop."""
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)
            self._output_waits()

    def _hand_over(self, message: str | bytes) -> None:
        """Call `on_message`, unless that has to wait: until asked for, or for room for an answer."""
        if self._is_deaf:
            return
        if self._is_held or self._queue or self._writing_is_paused:
            self._put(message)
            self._pause()
            return
        self._call(message)

    def _call(self, message: str | bytes) -> None:
        self._messages_received += 1
        self._context.run(_call_in_context, self, message)

    # Sending

    def send_nowait(self, message: str | Buffer | PreparedMessage, compress: bool | None = None) -> bool:
        """As `send`, without waiting: whether there was room. If not, nothing was sent, and `slow_consumer` decides
        whether the connection goes on. It goes before those who wait in `send`, where there is room.

        Raises as `send`.
        """
        if not self._is_sendable:
            self._refuse_sending()
        if self._writing_is_paused:
            self._has_no_room()
            return False
        self._add(message, compress)
        if self._has_gathered():
            self._flush()
        return True

    def _add(self, message: str | Buffer | PreparedMessage, compress: bool | None) -> None:
        self._connection.send(message, compress)
        self._messages_sent += 1
        self._output_waits()

    def _has_gathered(self) -> bool:
        """Whether there is so much output that it should not wait for the end of this turn."""
        return bool(self._connection.bytes_to_send >= GATHERED)

    def _output_waits(self) -> None:
        """The connection has something to send, which leaves at the end of this read or of this turn of the loop."""
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flush_is_due = False
        self._flush()

    def _flush(self) -> None:
        """Hand to the transport what there is to send."""
        if self._transport is None or not self._connection.bytes_to_send:
            return
        data = self._connection.data_to_send()
        self._bytes_sent += len(data)
        self._transport.write(data)
        if not self._is_behind:
            self._is_behind = True
            self._fell_behind()

    def _in_transport(self) -> int:
        """How many bytes have not left yet that the transport was given."""
        size: int = 0 if self._transport is None else self._transport.get_write_buffer_size()
        self._is_behind = size > 0
        return size

    if TYPE_CHECKING:

        def _receive_outside(self, data: bytes) -> None:
            """Bytes have come that are no frames: of the opening handshake, or after the end."""

        def _handle(self, event: Event) -> None:
            """Take what is no message."""

        def _handler_failed(self, error: Exception) -> None:
            """`on_message` has raised, and its context is still entered."""

        def _pause(self) -> None:
            """Read no more for now."""

        def _rest_waits(self) -> None:
            """Something was left: take it as soon as there is room, at the earliest in the next turn; then read on."""

        def _end_turn(self) -> None:
            """So much has come that others have their turn before more is read."""

        def _refuse_sending(self) -> None:
            """Raise why nothing can be sent."""

        def _has_no_room(self) -> None:
            """A message was not taken."""

        def _fell_behind(self) -> None:
            """The transport keeps bytes that the system did not take at once: see that they leave in time."""


def _call_in_context(link: Link, message: str | bytes) -> None:
    try:
        link._on_message(link, message)  # type: ignore[misc]
    except Exception as error:
        link._handler_failed(error)


def _weight_of(message: str | bytes) -> int:
    if isinstance(message, str) and not message.isascii():
        return weight(len(message.encode()))
    return weight(len(message))
