"""The opening handshake of either end over HTTP/1.1 (RFC 6455 section 4), by wsproto's rules and words.

Decides whether a request asks for a WebSocket and whether an answer opens it; heads are read by the protocol layer,
which is stricter than h11, and bounded. h11 is loaded only where a refusal is to be sent or read, for the sake of
bodies; the name of the class is wsproto's.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from wscore.codec import LocalProtocolError as CodecLocalProtocolError
from wscore.protocol.head import (
    DEFAULT_MAX_HEAD_SIZE,
    HeadError,
    HeadReader,
    RequestHead,
    ResponseHead,
    parse_request_head,
    parse_response_head,
)
from wscore.protocol.headers import encode_headers, sendable_headers
from wscore.protocol.request import check_upgrade, encode_accept
from wscore.protocol.response import check_switch

from .connection import Connection, ConnectionState, ConnectionType
from .events import AcceptConnection, Event, RejectConnection, RejectData, Request
from .extensions import Extension
from .utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token, generate_nonce

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from wscore.protocol.headers import Headers as TextHeaders

    from .limits import Limits
    from .refusals import Refusal
    from .typing import Headers

__all__ = [
    "WEBSOCKET_UPGRADE",
    "WEBSOCKET_VERSION",
    "H11Handshake",
    "client_extensions_handshake",
    "server_extensions_handshake",
]

WEBSOCKET_VERSION = b"13"
WEBSOCKET_UPGRADE = b"websocket"

# What has an attribute of its own in the event.
_IN_REQUEST = frozenset({"host", "sec-websocket-extensions", "sec-websocket-protocol"})
_IN_ANSWER = frozenset(
    {"connection", "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol", "upgrade"}
)


class H11Handshake:
    """The opening handshake of one connection; `limits` are passed on to the `Connection` that it ends with."""

    def __init__(self, connection_type: ConnectionType, *, limits: Limits | None = None) -> None:
        self.client = connection_type is ConnectionType.CLIENT
        self._type = connection_type
        self._limits = limits
        self._state = ConnectionState.CONNECTING
        self._connection: Connection | None = None
        self._events: deque[Event] = deque()
        self._reader = HeadReader(DEFAULT_MAX_HEAD_SIZE, of_response=self.client)
        self._request: Request | None = None
        self._nonce = b""
        self._early = bytearray()  # what a client sends before it has the answer
        self._refusal: Refusal | None = None

    @property
    def state(self) -> ConnectionState:
        """CONNECTING, then OPEN; or REJECTING while a refusal has a body to come, then CLOSED."""
        return self._state

    @property
    def connection(self) -> Connection | None:
        """The connection, once it is open."""
        return self._connection

    def initiate_upgrade_connection(self, headers: Headers, path: bytes | str) -> None:
        """As a server, take a request that somebody else has read. Raises RemoteProtocolError as `receive_data`."""
        if self.client:
            raise LocalProtocolError("Cannot initiate an upgrade connection when acting as the client")
        head = f"GET {_text(path)} HTTP/1.1\r\n{encode_headers(_sendable(headers))}\r\n"
        self.receive_data(head.encode("latin-1"))

    def send(self, event: Event) -> bytes:
        """The bytes of an event. Raises LocalProtocolError where it may not be sent now; nothing is sent then."""
        if isinstance(event, Request):
            return self._send_request(event)
        if isinstance(event, AcceptConnection):
            return self._accept(event)
        if isinstance(event, RejectConnection):
            return self._reject(event)
        if isinstance(event, RejectData):
            return self._reject_data(event)
        raise LocalProtocolError(f"Event {event} cannot be sent during the handshake")

    def receive_data(self, data: bytes | None) -> None:
        """Take what came from the peer, None or nothing for the end of it; `events` has what it means.

        Raises RemoteProtocolError for a broken rule; its `event_hint` is what to answer.
        """
        if self._connection is not None:
            self._connection.receive_data(data)
        elif self._refusal is not None:
            self._receive_refusal(data or b"")
        elif not data:
            self._receive_eof()
        elif self._request is not None and not self.client:
            self._keep_early(data)
        else:
            self._receive_head(data)

    def events(self) -> Iterator[Event]:
        """What has happened."""
        while self._events:
            yield self._events.popleft()

    def _receive_head(self, data: bytes) -> None:
        try:
            raw = self._reader.feed(data)
            if raw is None:
                return
            if not self.client:
                self._receive_request(parse_request_head(raw))
            else:
                self._receive_answer(parse_response_head(raw))
        except HeadError as error:
            raise _broken("Bad HTTP message", error.status) from error

    def _receive_eof(self) -> None:
        if self.client or (self._reader.received and self._request is None):
            raise _broken("Bad HTTP message")

    # As a server

    def _receive_request(self, head: RequestHead) -> None:
        headers = head.headers
        _check_request(head)
        try:
            # What RFC 6455 section 4.2.1 asks for besides.
            check_upgrade(head.method, head.http_version, headers)
        except HeadError as error:
            raise _broken(error.sentence, error.status) from None
        try:
            self._request = Request(
                host=headers.get_all("host")[0].encode("latin-1").decode("idna"),
                target=head.target,
                extensions=_elements(headers, "sec-websocket-extensions"),
                extra_headers=_others(headers, _IN_REQUEST),
                subprotocols=_elements(headers, "sec-websocket-protocol"),
            )
        except UnicodeError as error:
            raise _broken("Bad HTTP message") from error
        self._nonce = headers.get_all("sec-websocket-key")[0].encode("latin-1")
        self._events.append(self._request)
        self._keep_early(self._reader.rest)

    def _keep_early(self, data: bytes) -> None:
        """Frames that come before the answer, which a client must not send, but is not punished for."""
        self._early += data
        if len(self._early) > DEFAULT_MAX_HEAD_SIZE:
            raise _broken("Too much came before the handshake was complete")

    def _accept(self, event: AcceptConnection) -> bytes:
        request = self._request
        if self.client or request is None or self._state is not ConnectionState.CONNECTING:
            raise LocalProtocolError("There is no request that waits for an answer")
        if event.subprotocol is not None and event.subprotocol not in request.subprotocols:
            raise LocalProtocolError(f"unexpected subprotocol {event.subprotocol}")
        headers = _sendable(event.extra_headers)
        accepts = server_extensions_handshake(cast("Sequence[str]", request.extensions), event.extensions)
        answer = encode_accept(
            self._nonce.decode("latin-1"), event.subprotocol, None if accepts is None else accepts.decode(), headers
        )
        self._open(event.extensions, bytes(self._early))
        return answer

    def _open(self, extensions: list[Extension], rest: bytes) -> None:
        self._connection = Connection(self._type, extensions, rest, limits=self._limits)
        self._state = ConnectionState.OPEN

    def _reject(self, event: RejectConnection) -> bytes:
        if self._state is not ConnectionState.CONNECTING or self.client:
            raise LocalProtocolError(f"Connection cannot be rejected in state {self.state}")
        from .refusals import SentRefusal

        self._refusal = refusal = SentRefusal(bytes(self._reader.received))
        data = refusal.head(event)
        self._state = ConnectionState.REJECTING if event.has_body else ConnectionState.CLOSED
        return data

    def _reject_data(self, event: RejectData) -> bytes:
        from .refusals import SentRefusal

        if self._state is not ConnectionState.REJECTING or not isinstance(self._refusal, SentRefusal):
            raise LocalProtocolError(f"Cannot send rejection data in state {self.state}")
        data = self._refusal.body(event)
        if event.body_finished:
            self._state = ConnectionState.CLOSED
        return data

    # As a client

    def _send_request(self, request: Request) -> bytes:
        if not self.client or self._request is not None:
            raise LocalProtocolError("A request is sent once, by a client")
        if not request.target.isascii() or not request.target.isprintable() or " " in (request.target or " "):
            raise LocalProtocolError("The target of a request is ASCII without spaces")
        nonce = generate_nonce()
        head = {
            "Host": _encoded_host(request.host),
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": nonce.decode("ascii"),
            "Sec-WebSocket-Version": "13",
        }
        if request.subprotocols:
            head["Sec-WebSocket-Protocol"] = ", ".join(request.subprotocols)
        offers = _offers(cast("Sequence[Extension]", request.extensions))
        if offers:
            head["Sec-WebSocket-Extensions"] = offers
        fields = _sendable([*head.items(), *request.extra_headers])
        self._request, self._nonce = request, nonce
        return f"GET {request.target} HTTP/1.1\r\n{encode_headers(fields)}\r\n".encode("latin-1")

    def _receive_answer(self, head: ResponseHead) -> None:
        if self._request is None:
            raise _broken("Bad HTTP message")
        if head.status == 101:
            self._events.append(self._switch(head, self._request))
            return
        from .refusals import ReceivedRefusal

        self._refusal = ReceivedRefusal()
        self._receive_refusal(bytes(self._reader.received))

    def _switch(self, head: ResponseHead, request: Request) -> AcceptConnection:
        headers = head.headers
        subprotocol = headers.get("sec-websocket-protocol")
        _check_tokens(headers)
        if headers.get_all("sec-websocket-accept") != [generate_accept_token(self._nonce).decode()]:
            raise _broken("Bad accept token")
        if subprotocol is not None and subprotocol not in request.subprotocols:
            raise _broken(f"unrecognized subprotocol {subprotocol}")
        try:
            # What RFC 6455 section 4.1 asks for besides.
            check_switch(head, self._nonce.decode(), request.subprotocols)
            accepted = _elements(headers, "sec-websocket-extensions")
        except ValueError as error:
            raise _broken(str(error)) from None
        extensions = client_extensions_handshake(accepted, cast("Sequence[Extension]", request.extensions))
        self._open(extensions, self._reader.rest)
        return AcceptConnection(subprotocol, extensions, _others(headers, _IN_ANSWER))

    def _receive_refusal(self, data: bytes) -> None:
        from .refusals import ReceivedRefusal

        if isinstance(self._refusal, ReceivedRefusal):
            self._events.extend(self._refusal.receive(data))
            self._state = ConnectionState.CLOSED if self._refusal.complete else ConnectionState.REJECTING

    def __repr__(self) -> str:
        return f"{type(self).__name__}(client={self.client}, state={self.state})"


def server_extensions_handshake(requested: Iterable[str], supported: Sequence[Extension]) -> bytes | None:
    """As a server, let the supported extensions accept what is requested: the value of the answer's header field, None
    where nothing was accepted. Of several offers of one extension the first that is accepted counts.
    """
    accepted: dict[str, bool | str | None] = {}
    for offer in requested:
        name = offer.split(";", 1)[0].strip()
        for extension in supported:
            if extension.name == name and not _is_wanted(accepted.get(name)):
                accepted[name] = extension.accept(offer)
    return _extension_list(accepted).encode("ascii") or None


def client_extensions_handshake(accepted: Iterable[str], supported: Sequence[Extension]) -> list[Extension]:
    """As a client, the extensions that the server accepted. Raises RemoteProtocolError for one that was not offered, or
    that was accepted with parameters that make no sense.
    """
    agreed = []
    for accept in accepted:
        name = accept.split(";", 1)[0].strip()
        extension = next((each for each in supported if each.name == name), None)
        if extension is None:
            raise _broken(f"unrecognized extension {name}")
        try:
            extension.finalize(accept)
        except ValueError as error:
            raise _broken(f"extension {name} has bad parameters: {error}") from None
        agreed.append(extension)
    return agreed


def _encoded_host(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise LocalProtocolError(f"The host of a request is a name for DNS: {error}") from None


def _offers(extensions: Sequence[Extension]) -> str:
    return _extension_list({extension.name: extension.offer() for extension in extensions})


def _extension_list(extensions: Mapping[str, bool | str | None]) -> str:
    """The value of the header field; each extension has parameters, True for none, or what says to go without."""
    wanted = {name: parameters for name, parameters in extensions.items() if _is_wanted(parameters)}
    return ", ".join(name if given in (True, "") else f"{name}; {given}" for name, given in wanted.items())


def _is_wanted(parameters: bool | str | None) -> bool:
    return parameters is not None and parameters is not False


def _check_request(head: RequestHead) -> None:
    """Name what is missing as wsproto does, in its order."""
    headers = head.headers
    version = headers.get("sec-websocket-version")
    if head.method != "GET":
        raise _broken("Request method must be GET")
    if not headers.has_token("connection", "upgrade"):
        raise _broken("Missing header, 'Connection: Upgrade'")
    if version != "13":
        hint = RejectConnection(426 if version else 400, [(b"Sec-WebSocket-Version", WEBSOCKET_VERSION)])
        raise RemoteProtocolError("Missing header, 'Sec-WebSocket-Version'", event_hint=hint)
    if "sec-websocket-key" not in headers:
        raise _broken("Missing header, 'Sec-WebSocket-Key'")
    _check_tokens(headers)
    if "host" not in headers:
        raise _broken("Missing header, 'Host'")


def _check_tokens(headers: TextHeaders) -> None:
    if not headers.has_token("connection", "upgrade"):
        raise _broken("Missing header, 'Connection: Upgrade'")
    if (headers.get("upgrade") or "").lower() != "websocket":
        raise _broken("Missing header, 'Upgrade: websocket'")


def _broken(sentence: str, status: int = 400) -> RemoteProtocolError:
    return RemoteProtocolError(sentence, event_hint=RejectConnection(status))


def _elements(headers: TextHeaders, name: str) -> list[str]:
    """The elements of a list that may be spread over several fields. Raises UnicodeError for what is not ASCII."""
    values = headers.get_all(name)
    [value.encode("ascii") for value in values]
    return [element.strip() for value in values for element in value.split(",")]


def _others(headers: TextHeaders, known: frozenset[str]) -> Headers:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers if name not in known]


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else bytes(value).decode("latin-1")


def _sendable(headers: Iterable[tuple[bytes | str, bytes | str]]) -> TextHeaders:
    """Fields that cannot smuggle in another line. Raises LocalProtocolError."""
    try:
        return sendable_headers([(_text(name), _text(value)) for name, value in headers])
    except CodecLocalProtocolError as error:
        raise LocalProtocolError(str(error)) from None
