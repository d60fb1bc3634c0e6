"""What happens on a connection, and what it is told to do: frozen dataclasses, by wsproto's names and fields.

Messages come by the thousand: they have constructors of their own, which leave to the class what it says anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .extensions import Extension
    from .typing import Headers

__all__ = [
    "AcceptConnection",
    "BytesMessage",
    "CloseConnection",
    "Event",
    "Message",
    "Ping",
    "Pong",
    "RejectConnection",
    "RejectData",
    "Request",
    "TextMessage",
]


class Event:
    """The base class of all events."""


@dataclass(frozen=True)
class Request(Event):
    """The request for a WebSocket: to send it as a client, or what came as a server.

    `extensions` are objects where it is sent, and elements of the header field where it came. `extra_headers` are the
    fields but those for which there are attributes; names that came are in lower case.
    """

    host: str
    target: str
    extensions: Sequence[Extension] | Sequence[str] = field(default_factory=list)
    extra_headers: Headers = field(default_factory=list)
    subprotocols: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AcceptConnection(Event):
    """The answer that opens the WebSocket; `extensions` are those that the server supports, or both have agreed on."""

    subprotocol: str | None = None
    extensions: list[Extension] = field(default_factory=list)
    extra_headers: Headers = field(default_factory=list)


@dataclass(frozen=True)
class RejectConnection(Event):
    """The answer that refuses; with `has_body`, `RejectData` follows.

    Headers that are sent with a body should say how it ends, by Content-Length or Transfer-Encoding.
    """

    status_code: int = 400
    headers: Headers = field(default_factory=list)
    has_body: bool = False


@dataclass(frozen=True)
class RejectData(Event):
    """A part of the body of a refusal, the last one with `body_finished`."""

    data: bytes
    body_finished: bool = True


@dataclass(frozen=True)
class CloseConnection(Event):
    """A Close frame; or what broke the connection: a rule that the peer broke (the code that RFC 6455 names), or the
    end of its bytes (1006).

    A Close frame that came is not answered by itself: in the state REMOTE_CLOSING send its `response()`.
    """

    code: int
    reason: str | None = None

    def response(self) -> CloseConnection:
        """The Close frame that answers this one."""
        return CloseConnection(code=self.code, reason=self.reason)


T = TypeVar("T", bytes | bytearray, str)


@dataclass(frozen=True, init=False)
class Message(Event, Generic[T]):
    """A part of a message. `message_finished` marks the last; `frame_finished` the last of its frame, which means
    nothing (RFC 6455 section 5.4).
    """

    data: T
    frame_finished: bool = True
    message_finished: bool = True

    def __init__(self, data: T, frame_finished: bool = True, message_finished: bool = True) -> None:
        attributes = self.__dict__
        attributes["data"] = data
        # The class has the defaults.
        if frame_finished is not True:
            attributes["frame_finished"] = frame_finished
        if message_finished is not True:
            attributes["message_finished"] = message_finished


@dataclass(frozen=True, init=False)
class TextMessage(Message[str]):
    """A part of a text message, `data` is a str."""


@dataclass(frozen=True, init=False)
class BytesMessage(Message[bytearray | bytes]):
    """A part of a binary message, `data` is bytes, or a bytearray or memoryview to send."""


@dataclass(frozen=True)
class Ping(Event):
    """A Ping. It is not answered by itself: send its `response()`."""

    payload: bytes = b""

    def response(self) -> Pong:
        """The Pong that answers it."""
        return Pong(payload=self.payload)


@dataclass(frozen=True)
class Pong(Event):
    """A Pong."""

    payload: bytes = b""
