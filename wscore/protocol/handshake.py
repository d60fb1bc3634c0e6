"""The opening handshake, both sides, as a machine without I/O and without a clock (RFC 6455 section 4).

::

    server   receive_data ... -> Request -> answer(Accept | Refuse) -> data_to_send, then `accepted`, `rest`
                              -> Refuse  (the request was bad; the refusal is in data_to_send already)
    client   data_to_send, receive_data ... -> Response of status 101, then `rest`
                                            -> HandshakeError

It ends by handing over `rest`, the bytes behind the head, and what was agreed: `subprotocol` and `deflate`. Whoever
did the HTTP part otherwise starts at `Connection` and needs nothing from here. The deadline for a handshake is the
transport's.

A client must not send frames before it has the answer, but is not punished for it: they are the `rest`. It is no
longer than what one `receive_data` brought.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, overload

from ..codec.errors import LocalProtocolError
from ..codec.opcodes import Role
from .extensions import DeflateParameters, check_policy, deflate_offer
from .head import (
    DEFAULT_MAX_HEAD_SIZE,
    DEFAULT_MAX_HEADERS,
    HeadError,
    HeadReader,
    RequestHead,
    ResponseHead,
    parse_request_head,
    parse_response_head,
)
from .headers import Headers, HeadersLike, own_subprotocols, sendable_headers
from .request import (
    Accept,
    Page,
    Refuse,
    Request,
    asks_for_websocket,
    check_offers,
    check_upgrade,
    encode_accept,
    encode_refuse,
    offered_subprotocols,
    select_subprotocol,
)
from .response import (
    REQUEST_RESERVED,
    BodyReader,
    HandshakeError,
    Response,
    basic_authorization,
    check_extensions,
    check_switch,
    encode_request,
    first_line,
    new_key,
    refusal,
)
from .uri import Uri, parse_uri

__all__ = [
    "Accept",
    "ClientHandshake",
    "Handshake",
    "HandshakeError",
    "Headers",
    "HeadersLike",
    "Page",
    "Refuse",
    "Request",
    "Response",
    "ServerHandshake",
    "select_subprotocol",
]

Received = bytes | bytearray | memoryview

# Interim responses (RFC 9110 section 15.2) that a client skips; 100 and 103 are all there are.
_MAX_INTERIM_RESPONSES = 8


class Handshake:
    """`Handshake(SERVER, ...)` is a `ServerHandshake`, `Handshake(CLIENT, url, ...)` a `ClientHandshake`."""

    __slots__ = ("_compression", "_max_head_size", "_max_headers", "_output", "_reader", "deflate", "subprotocol")

    # What was agreed: the parameters of permessage-deflate, and the subprotocol; None for none.
    deflate: DeflateParameters | None
    subprotocol: str | None

    @overload
    def __new__(
        cls,
        role: Literal[Role.SERVER] = ...,
        *,
        subprotocols: Sequence[str] = ...,
        compression: str | None = ...,
        max_head_size: int = ...,
        max_headers: int = ...,
        date: Callable[[], str] | None = ...,
    ) -> "ServerHandshake": ...
    @overload
    def __new__(
        cls,
        role: Literal[Role.CLIENT],
        url: str | Uri,
        *,
        subprotocols: Sequence[str] = ...,
        headers: HeadersLike = ...,
        compression: str | None = ...,
        max_head_size: int = ...,
        max_headers: int = ...,
    ) -> "ClientHandshake": ...
    @overload
    def __new__(cls, role: Role, *arguments: Any, **options: Any) -> "Handshake": ...
    def __new__(cls, role: Role = Role.SERVER, *arguments: Any, **options: Any) -> "Handshake":
        if not isinstance(role, Role):
            raise TypeError("The role of a handshake is SERVER or CLIENT.")
        if cls is Handshake:
            cls = ServerHandshake if role is Role.SERVER else ClientHandshake
        return object.__new__(cls)

    def _prepare(self, compression: str | None, max_head_size: int, max_headers: int) -> None:
        self._compression = check_policy(compression)
        self._max_head_size = max_head_size
        self._max_headers = max_headers
        self._reader = HeadReader(max_head_size, of_response=isinstance(self, ClientHandshake))
        self._output = b""
        self.deflate = None
        self.subprotocol = None

    def data_to_send(self) -> bytes:
        """What is to be sent now; it is handed out once."""
        output, self._output = self._output, b""
        return output

    @property
    def rest(self) -> bytes:
        """The bytes behind the head: the first of the WebSocket, or of a body."""
        return self._reader.rest

    @property
    def raw_head(self) -> bytes:
        """The head as it came, without the empty line that ends it."""
        return self._reader.head

    @property
    def received(self) -> bytes:
        """All bytes so far from the first line of the head on, for another HTTP parser to begin with."""
        return bytes(self._reader.received)


class ServerHandshake(Handshake):
    """The server's side, for one request.

    `subprotocols` are the server's, its favourite first; `compression` is a policy (see `protocol/extensions.py`) or
    `None`. A head is refused with 431 or 414 above `max_head_size` bytes, with 431 above `max_headers` fields. Raises
    `ValueError` for an unknown policy and for subprotocols that are no distinct tokens. `date` is asked for the header
    Date of each refusal, in the form of RFC 9110 section 5.6.7: a server that has a clock must send it (section 6.6.1).

    `head` is what came, once it could be read, and `request` the same for the application; `accepted` says that the
    WebSocket is open; `status` is the HTTP status of the answer.
    """

    __slots__ = ("_agreed", "_date", "_key", "_request", "_subprotocols", "head", "status")

    def __init__(
        self,
        role: Role = Role.SERVER,
        *,
        subprotocols: Sequence[str] = (),
        compression: str | None = None,
        max_head_size: int = DEFAULT_MAX_HEAD_SIZE,
        max_headers: int = DEFAULT_MAX_HEADERS,
        date: Callable[[], str] | None = None,
    ) -> None:
        self._prepare(compression, max_head_size, max_headers)
        self._date = date
        self._subprotocols = own_subprotocols(subprotocols)
        self._agreed: tuple[str, DeflateParameters] | None = None
        self._key = ""  # stays empty unless the request asks for a WebSocket
        self.head: RequestHead | None = None
        self._request: Request | None = None
        self.status: int | None = None

    @property
    def request(self) -> Request | None:
        """What came, made when it is first asked for; None as long as there is no whole head that could be read."""
        if self._request is None and self.head is not None:
            method, target, version, _ = self.head
            self._request = Request(method, target, self.head.headers, version)
        return self._request

    @property
    def is_upgrade(self) -> bool:
        """Whether the request asks for a WebSocket, and keeps the rules."""
        return bool(self._key)

    @property
    def accepted(self) -> bool:
        """Whether the answer opened a WebSocket."""
        return self.status == 101

    def receive_data(self, data: Received) -> Request | Refuse | None:
        """Take bytes as they come (RFC 9112 section 2, RFC 6455 section 4.2.1).

        Returns `None` while the head is incomplete; then the `Request`, which waits for `answer`, whether it asks for a
        WebSocket or not; or a `Refuse` where it breaks a rule, whose response is in `data_to_send` already. Raises
        `LocalProtocolError` when called again after that.
        """
        received = self.receive_head(data)
        return self.request if isinstance(received, RequestHead) else received

    def receive_head(self, data: Received) -> RequestHead | Refuse | None:
        """The same, for whoever may not need a `Request`."""
        if self.head is not None or self.status is not None:
            raise LocalProtocolError("The request is complete: give what follows it to whoever reads on.")
        try:
            raw = self._reader.feed(data)
            return None if raw is None else self._parse(raw)
        except HeadError as error:
            return self._refuse(Refuse(error.status, error.sentence))

    def receive_eof(self) -> Refuse | None:
        """The peer sends no more: within a head that is refused with 400; else `None`, and there is nothing to do."""
        if self.head is not None or self.status is not None or not self._reader.received:
            return None
        return self._refuse(Refuse(400, "The connection ended within the head of the request."))

    def answer(self, answer: Accept | Refuse) -> None:
        """Put the response into `data_to_send`; a request that does not ask for a WebSocket gets 426 for `Accept`.

        A `Refuse` may come before the request does (408, 503). Raises `LocalProtocolError` for an `Accept` without a
        request or with a subprotocol that was not offered, and for a second answer.
        """
        if self.status is not None:
            raise LocalProtocolError("This request has been answered already.")
        if isinstance(answer, Refuse):
            self._refuse(answer)
        elif self.head is None:
            raise LocalProtocolError("There is no request yet that could be accepted.")
        elif not self._key:
            self._refuse(Refuse(426, "Only WebSocket is spoken at this address."))
        else:
            self._accept(self.head, answer)

    def _parse(self, raw: bytearray) -> RequestHead:
        self.head = head = parse_request_head(raw, self._max_headers)
        method, _, version, fields = head
        if asks_for_websocket(fields):
            self._key = check_upgrade(method, version, fields)
            self._agreed = check_offers(fields, self._compression)
        return head

    def _accept(self, head: RequestHead, answer: Accept) -> None:
        subprotocol = answer.subprotocol
        if subprotocol is None:
            if self._subprotocols:
                subprotocol = select_subprotocol(offered_subprotocols(head.fields), self._subprotocols)
        elif subprotocol not in offered_subprotocols(head.fields):
            raise LocalProtocolError("Accept a subprotocol that the request offers (request.subprotocols), or none.")
        extensions, self.deflate = self._agreed or (None, None)
        self.subprotocol = subprotocol
        self.status = 101
        self._output = encode_accept(self._key, subprotocol, extensions, answer.headers)

    def _refuse(self, refuse: Refuse) -> Refuse:
        self.status = refuse.status
        method = "GET" if self.head is None else self.head.method
        self._output = encode_refuse(refuse, method, None if self._date is None else self._date())
        return refuse


class ClientHandshake(Handshake):
    """The client's side; the request is in `data_to_send` from the start.

    `url` is `ws://` or `wss://`, its user and password become HTTP Basic authentication. `subprotocols` are offered
    in order of preference, `compression` is a policy or `None`. Raises `ValueError` for what is no such URL, list or
    policy, and `LocalProtocolError` for headers that cannot be sent, or that the handshake sets itself.
    """

    __slots__ = ("_body", "_interim", "_key", "_subprotocols", "response", "uri")

    def __init__(
        self,
        role: Role,
        url: str | Uri,
        *,
        subprotocols: Sequence[str] = (),
        headers: HeadersLike = (),
        compression: str | None = None,
        max_head_size: int = DEFAULT_MAX_HEAD_SIZE,
        max_headers: int = DEFAULT_MAX_HEADERS,
    ) -> None:
        self._prepare(compression, max_head_size, max_headers)
        self.uri = parse_uri(url) if isinstance(url, str) else url
        self.response: Response | None = None
        self._subprotocols = own_subprotocols(subprotocols)
        self._interim = 0
        self._body: BodyReader | None = None
        self._key = new_key()
        self._output = self._request(sendable_headers(headers, REQUEST_RESERVED))

    def receive_data(self, data: Received) -> Response | None:
        """Take bytes as they come (RFC 6455 section 4.1).

        Returns `None` while the answer is incomplete, then the response, of status 101: the WebSocket is open. Raises
        `HandshakeError` where the server refused (its response and what came of the body is in it), where it broke a
        rule, and in the case of a head above the limits; `LocalProtocolError` when called again after the response.
        """
        if self.response is not None:
            raise LocalProtocolError("The handshake is complete: give what follows to the Connection.")
        if self._body is None:
            return self._receive_head(data)
        self._receive_body(self._body, data)
        return None

    def receive_eof(self) -> None:
        """The server sends no more: raises `HandshakeError` unless the handshake is complete."""
        if self._body is not None:
            raise self._refusal(self._body)
        if self.response is None:
            raise self._unreadable("The connection ended before the server had answered.")

    def _request(self, headers: Headers) -> bytes:
        authorization = basic_authorization(self.uri)
        if authorization is not None:
            if "authorization" in headers:
                raise LocalProtocolError("Give either a user in the URL or an Authorization header, not both.")
            headers = Headers([*headers, ("Authorization", authorization)])
        offer = None if self._compression is None else deflate_offer(self._compression)
        return encode_request(self.uri, self._key, self._subprotocols, offer, headers)

    def _receive_head(self, data: Received) -> Response | None:
        try:
            raw = self._reader.feed(data)
            head = None if raw is None else parse_response_head(raw, self._max_headers)
        except HeadError as error:
            raise self._unreadable(f"The server's answer is no valid HTTP response. {error.sentence}") from None
        if head is None:
            return None
        if head.status == 101:
            return self._switch(head)
        if head.status < 200:
            return self._skip_interim()
        self._body = BodyReader(head)
        self._receive_body(self._body, self._reader.rest)
        return None

    def _switch(self, head: ResponseHead) -> Response:
        response = Response(head.status, head.reason, head.headers)
        try:
            self.subprotocol = check_switch(head, self._key, self._subprotocols)
            self.deflate = check_extensions(head, self._compression)
        except ValueError as error:
            raise HandshakeError(str(error), response) from None
        self.response = response
        return response

    def _skip_interim(self) -> Response | None:
        self._interim += 1
        if self._interim > _MAX_INTERIM_RESPONSES:
            raise HandshakeError("The server sent too many interim responses.")
        rest = self._reader.rest
        self._reader = HeadReader(self._max_head_size, of_response=True)
        return self._receive_head(rest)

    def _receive_body(self, body: BodyReader, data: Received) -> None:
        body.feed(data)
        if body.complete:
            raise self._refusal(body)

    @staticmethod
    def _refusal(body: BodyReader) -> HandshakeError:
        head = body.head
        return refusal(Response(head.status, head.reason, head.headers, body.body))

    def _unreadable(self, sentence: str) -> HandshakeError:
        """There is no whole head, or no good one; if its first line refuses, that is what counts."""
        response = first_line(self._reader.received)
        return HandshakeError(sentence) if response is None else refusal(response, sentence)
