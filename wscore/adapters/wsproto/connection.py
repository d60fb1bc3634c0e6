"""The states of a connection after the opening handshake, by wsproto's rules.

Decides what may be sent in which state. Nothing is answered by itself: Pings and Close frames are the caller's to
answer, with `event.response()`. A state changes when its event is taken, not when its bytes come.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from wscore.codec import Piece, encode_frame

from .events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from .frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed
from .utilities import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .engines import Item
    from .extensions import Extension
    from .limits import Limits

__all__ = ["CLIENT", "SERVER", "Connection", "ConnectionState", "ConnectionType"]


class ConnectionState(Enum):
    """Where a connection is between its handshakes."""

    CONNECTING = 0
    OPEN = 1
    REMOTE_CLOSING = 2
    LOCAL_CLOSING = 3
    CLOSED = 4
    REJECTING = 5


class ConnectionType(Enum):
    """Which end of the connection this is."""

    CLIENT = 1
    SERVER = 2


CLIENT = ConnectionType.CLIENT
SERVER = ConnectionType.SERVER

# Members of an enumeration are slow to find by name.
_OPEN, _LOCAL_CLOSING = ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING
_REMOTE_CLOSING, _CLOSED = ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED
_TEXT, _BINARY = Opcode.TEXT.value, Opcode.BINARY.value


class Connection:
    """One end of an open WebSocket, without I/O.

    `extensions` are those that were agreed on, `trailing_data` what came behind the opening handshake. `limits`, which
    wsproto does not have, bind the messages that come; without, the process's default.
    """

    def __init__(
        self,
        connection_type: ConnectionType,
        extensions: list[Extension] | None = None,
        trailing_data: bytes = b"",
        *,
        limits: Limits | None = None,
    ) -> None:
        self.client = connection_type is ConnectionType.CLIENT
        self._events: deque[Event] = deque()
        self._proto = FrameProtocol(self.client, extensions or [], limits=limits)
        self._engine = self._proto.engine
        self._state = _OPEN
        # Whether a whole message may be sent, and becomes one frame as it is: neither masked nor compressed, nor inside
        # of another.
        self._is_plain = self._may_be_plain = not self.client and not self._proto.extensions
        self.receive_data(trailing_data)

    @property
    def state(self) -> ConnectionState:
        """Where the connection is."""
        return self._state

    def send(self, event: Event) -> bytes:
        """The bytes of an event. Raises LocalProtocolError where it may not be sent in this state, and for a close code
        that nobody may send; TypeError and ValueError as the methods of `FrameProtocol`. Nothing is sent then.
        """
        if self._is_plain and (type(event) is TextMessage or type(event) is BytesMessage) and event.message_finished:
            data = event.data
            if type(data) is bytes:
                return encode_frame(_BINARY, data)
            if type(data) is str:
                return encode_frame(_TEXT, data)
        if self._state is _OPEN:
            if isinstance(event, Message):
                return self._send_message(event.data, event.message_finished)
            if isinstance(event, Ping):
                return self._engine.control(Opcode.PING, event.payload)
            if isinstance(event, Pong):
                return self._engine.control(Opcode.PONG, event.payload)
        if isinstance(event, CloseConnection) and self._state in (_OPEN, _REMOTE_CLOSING):
            return self._close(event)
        raise LocalProtocolError(f"Event {event} cannot be sent in state {self.state}.")

    def _send_message(self, data: bytes | bytearray | str, finished: bool) -> bytes:
        frame = self._engine.data(data, finished)
        self._is_plain = self._may_be_plain and finished
        return frame

    def _close(self, event: CloseConnection) -> bytes:
        try:
            frame = self._proto.close(event.code, event.reason)
        except ValueError as error:
            raise LocalProtocolError(str(error)) from None
        self._leave_open(_LOCAL_CLOSING if self._state is _OPEN else _CLOSED)
        return frame

    def _leave_open(self, state: ConnectionState) -> None:
        self._state = state
        self._is_plain = False

    def receive_data(self, data: bytes | None) -> None:
        """Take what came from the peer, None for the end of it; `events` has what it means.

        What comes behind the peer's Close frame is ignored. Raises LocalProtocolError once the connection is closed.
        """
        if data is None:
            self._events.append(CloseConnection(CloseReason.ABNORMAL_CLOSURE))
            self._leave_open(_CLOSED)
        elif self._state is _CLOSED:
            raise LocalProtocolError("Connection already closed.")
        elif self._state is not _REMOTE_CLOSING:
            self._engine.feed(data)

    def events(self) -> Iterator[Event]:
        """What has happened, as far as the caller goes on; what it leaves comes with the next call."""
        pending, engine = self._events, self._engine
        while pending:
            yield pending.popleft()
        items = engine.items
        while items or engine.read_on():
            item = items.pop()
            if type(item) is str:
                yield TextMessage(item)
            elif type(item) is bytes:
                yield BytesMessage(item)
            else:
                yield self._event(item)

    def _event(self, item: Item) -> Event:
        if isinstance(item, Piece):
            return _message(item.data, item.ends_frame, item.last)
        if isinstance(item, ParseFailed):
            return CloseConnection(code=item.code, reason=str(item))
        assert isinstance(item, Frame)
        payload = item.payload
        if isinstance(payload, tuple):
            self._leave_open(_CLOSED if self._state is _LOCAL_CLOSING else _REMOTE_CLOSING)
            return CloseConnection(*payload)
        if item.opcode.iscontrol():
            assert isinstance(payload, bytes)
            return Ping(payload) if item.opcode is Opcode.PING else Pong(payload)
        return _message(payload, item.frame_finished, item.message_finished)


def _message(data: str | bytes, frame_finished: bool, message_finished: bool) -> Event:
    if isinstance(data, str):
        return TextMessage(data, frame_finished, message_finished)
    return BytesMessage(data, frame_finished, message_finished)
