"""What happens with every message, in pure Python: from the transport to the user, and from the user to the transport.

Decides where messages go, to `on_message` or to who receives, and when output is handed to the transport: once at the
end of whatever came together, else once per turn of the loop, and whenever 64 KiB have gathered. It refuses to know
handshakes, deadlines and ends: those are the `Session`'s, which says when nothing `is_plain` but messages. Then these
are read and written here, and it is told how many there were as soon as anybody asks it for anything.
`native_link` is the compiled twin, which also sends to a plain socket itself, if nothing waits in the transport.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wscore.codec import Stop
from wscore.session import EMPTY, Phase
from wscore.session.queue import size_of
from wscore.session.receiving import TURN_BUDGET
from wscore.session.sending import FRAME_HEADER

from .memory import long_read, receive_memory

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

    from typing_extensions import Buffer

    from wscore.protocol.prepared import PreparedMessage
    from wscore.session import PassingSession

__all__ = ["Link"]

_OPEN = Phase.OPEN  # members of an enumeration are slow to find by name
# Output is handed on in the middle of a turn once so much has gathered.
GATHERED = 1 << 16


class Link:
    """The part of a `WebSocket` that runs once per message or per read."""

    __slots__ = (
        "_asked",
        "_at",
        "_came",
        "_context",
        "_is_held",
        "_is_inside",
        "_is_plain",
        "_life",
        "_long_read",
        "_look_is_due",
        "_loop",
        "_memory",
        "_on_message",
        "_read",
        "_received",
        "_receiver",
        "_said",
        "_sent",
        "_transport",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_message: Callable[[Any, Any], object] | None,
        context: Context,
    ) -> None:
        self._loop = loop
        self._context = context  # in which all code of users runs
        self._memory = receive_memory(loop)
        self._long_read = long_read(loop)
        self._on_message = on_message
        self._transport: Any = None
        self._life: Any = None  # the session, as it was told
        self._is_held = False  # messages that come have to wait for `on_message`
        self._is_inside = False  # of what the loop has called: what is said leaves at the end of that
        self._look_is_due = False  # in this turn of the loop
        self._receiver: asyncio.Future[None] | None = None
        # What the session was not told yet, while it is plain.
        self._is_plain = False
        self._received = self._came = self._sent = self._said = 0
        self._read: list[Any] = []  # messages, of which those from `_at` on nobody has received yet
        self._at = 0
        self._asked: bool | None = None  # whether somebody has, and there was none

    def _attach(self, session: PassingSession, fd: int) -> None:
        """Frames may come and go from now on. `fd` is the plain socket below, -1 if there is none to write to."""
        self._life = session

    def _detach(self) -> None:
        """The transport is gone."""
        self._transport = None

    @property
    def _session(self) -> PassingSession | None:
        """The session, told of all that has passed; whatever is done to it, messages are no more all there is."""
        if self._is_plain:
            self._tell()
        session: PassingSession | None = self._life
        return session

    def _tell(self) -> None:
        self._is_plain = False
        self._life.passed(
            received=self._received,
            came=self._came,
            sent=self._sent,
            said=self._said,
            waiting=self._read[self._at :],
            is_answered=self._asked,
        )
        self._received = self._came = self._sent = self._said = 0
        self._read, self._at, self._asked = [], 0, None

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
        if self._life is None:
            self._receive_outside(bytes(data))
        elif not self._is_inside and self._at == len(self._read) and (self._is_plain or self._life.is_plain):
            self._is_plain = True
            self._pass(data)
        else:
            session = self._session
            assert session is not None
            session.received(data, self._now())
            self._look()

    def _pass(self, data: Buffer) -> None:
        """Read messages, and let them be received; the session does what else there is to do."""
        messages: list[Any] = []
        connection, budget = self._life.connection, self._budget()
        offset = connection.reader.read(data, messages, budget)
        stop = connection.reader.stop
        self._received += memoryview(data).nbytes
        self._came += len(messages)
        if messages:
            self._deliver(messages)
        if stop is not Stop.NEED_DATA:
            self._session.read_on(memoryview(data)[offset:], budget, self._now())  # type: ignore[union-attr]
        if self._is_plain:
            self._flush()
        else:
            self._look()

    def _budget(self) -> int:
        """How much may be read in one go: what a turn may take, and there is room for, as answers too."""
        options = self._life.options
        room: int = options.max_receive_queue if self._on_message is None else options.max_send_buffer
        return min(room, TURN_BUDGET)

    def _deliver(self, messages: list[Any]) -> None:
        """Let messages be received."""
        self._read, self._at, self._asked = messages, 0, False
        if self._on_message is None:
            self._wake_receiver()
            return
        self._is_inside = True
        try:
            for message in messages:
                if self._is_held or not self._is_plain or not self._fits(message):
                    break
                self._at += 1
                self._call(message)
        finally:
            self._is_inside = False
        if self._is_plain:
            self._has_handed_over()

    def _has_handed_over(self) -> None:
        """What was read has gone to `on_message`, or has to wait."""
        if self._at < len(self._read):
            self._tell()
        else:
            self._read, self._at, self._asked = [], 0, True

    def _next_read(self) -> Any:
        """The next message that nobody has received yet; there is one."""
        message = self._read[self._at]
        self._at += 1
        if self._at == len(self._read):
            self._read, self._at = [], 0
        return message

    def _wake_receiver(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)
            if self._is_plain or self._life.phase is _OPEN:
                self._look_soon()  # what it sends in its next step leaves right after it

    def _hand_over(self) -> None:
        """Call `on_message` with what has come, unless that has to wait: until asked for, or for room for an answer."""
        session = self._session
        assert session is not None
        while not self._is_held and self._may_receive(session):
            message = session.receive()
            if message is EMPTY:
                return
            self._call(message)

    def _may_receive(self, session: PassingSession) -> bool:
        """Whether there is room for an answer; after the end, whether there is anything left."""
        return session.has_room_for_answer() if session.phase is _OPEN else session.receive_queue[0] > 0

    def _call(self, message: Any) -> None:
        self._context.run(_call_in_context, self, message)
        if self._has_gathered():
            self._flush()

    def _next_message(self) -> Any:
        """The next message, or EMPTY. Raises as `receive`."""
        if self._is_plain:
            if self._at < len(self._read):
                return self._next_read()
            self._asked = True
            return EMPTY
        return self._receive_from_session()

    # Sending

    def send_nowait(self, message: str | Buffer | PreparedMessage, compress: bool | None = None) -> bool:
        """As `send`, without waiting: whether there was room. If not, nothing was sent, and `slow_consumer` decides
        whether the connection goes on. It goes before those who wait in `send`, where there is room.

        Raises as `send`.
        """
        if self._is_plain and self._fits(message):
            self._life.connection.send(message, compress)
            self._said += 1
            self._has_said()
            return True
        return self._send_by_session(message, compress)

    def _send_at_once(self, message: str | Buffer | PreparedMessage, compress: bool | None) -> bool:
        """Send, if that need not wait for room, or for others to have their turn; whether so. Raises as `send`."""
        if self._is_plain and not self._has_gathered() and self._fits(message):
            self._life.connection.send(message, compress)
            self._said += 1
            if not self._is_inside:
                self._look_soon()
            return True
        return self._send_at_once_by_session(message, compress)

    def _fits(self, message: Any) -> bool:
        """Whether there is room for a message, or for an answer as large, while the session is plain."""
        unsent: int = self._life.connection.bytes_to_send
        return not unsent or unsent + size_of(message) + FRAME_HEADER <= self._life.options.max_send_buffer

    def _has_gathered(self) -> bool:
        """Whether there is so much output that it should not wait for the end of this turn."""
        return self._life is not None and self._life.connection.bytes_to_send >= GATHERED

    def _has_said(self) -> None:
        """There may be output, which leaves at the end of this read or of this turn of the loop; now, if it is much."""
        if not self._is_inside:
            self._look_soon()
            if self._has_gathered():
                self._flush()

    def _look_soon(self) -> None:
        """In a moment: whoever calls this may be called by what it does, and others are to have their turn."""
        if not self._look_is_due:
            self._look_is_due = True
            self._loop.call_soon(self._look_now)

    def _look_now(self) -> None:
        self._look_is_due = False
        if self._is_plain:
            self._flush()
        elif self._life is not None:
            self._look_in_turn()

    def _flush(self) -> None:
        """Hand to the transport what there is to send, once all has left that it was given before."""
        if not self._is_plain:
            self._flush_session()
            return
        data = self._life.connection.data_to_send()
        if data:
            self._give(data)
            self._sent += len(data)
            left = self._in_transport()
            if left:
                self._fell_behind(min(left, len(data)))

    def _flush_session(self) -> None:
        session = self._life
        if session is not None and not session.in_flight:
            data = session.output()
            if data:
                self._give(data)
                session.sent(self._waiting(session), self._now())

    def _fell_behind(self, left: int) -> None:
        self._sent -= left
        self._session.fell_behind(left, self._now())  # type: ignore[union-attr]
        self._look_soon()

    if TYPE_CHECKING:

        def _now(self) -> float:
            """The time, for the session."""

        def _look(self) -> None:
            """Do what the session says, after a call."""

        def _look_in_turn(self) -> None:
            """The same, in a turn of its own."""

        def _give(self, data: bytes) -> None:
            """Give it to the transport."""

        def _in_transport(self) -> int:
            """How many bytes have not left yet that the transport was given."""

        def _waiting(self, session: PassingSession) -> int:
            """How many bytes of the session's output have not left yet, as far as the transport tells."""

        def _receive_from_session(self) -> Any:
            """What `_next_message` does where the session is not plain."""

        def _send_by_session(self, message: Any, compress: bool | None) -> bool:
            """What `send_nowait` does where the session is not plain, or has no room."""

        def _send_at_once_by_session(self, message: Any, compress: bool | None) -> bool:
            """The same for `_send_at_once`."""

        def _receive_outside(self, data: bytes) -> None:
            """Bytes have come that are no frames: of the opening handshake, or after a refusal."""

        def _end_turn(self) -> None:
            """So much has come that others have their turn before more is read."""

        def _handler_failed(self, error: Exception) -> None:
            """`on_message` has raised, and its context is still entered."""


def _call_in_context(link: Link, message: Any) -> None:
    try:
        link._on_message(link, message)  # type: ignore[misc]
    except Exception as error:
        link._handler_failed(error)
