"""The server's half of the opening handshake: the request, its checks, and the three answers (RFC 6455 section 4.2).

Decides whether a request for an upgrade keeps the rules, and what an acceptance or a refusal looks like on the wire.
Does not know where bytes come from, nor whether this client is welcome: origins, routes and credentials are the
caller's.

No sentence of a refusal repeats what the peer sent.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha1
from http import HTTPStatus
from typing import Any, NamedTuple

from ..codec.errors import LocalProtocolError
from .extensions import DeflateParameters, accept_deflate
from .head import HeadError
from .headers import Fields, Headers, HeadersLike, encode_headers, sendable_headers, unique_tokens
from .uri import authority_of

ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Base64 of 16 bytes. The last four bits of the 22nd digit are padding, and need not be zero: in the example of RFC 6455
# section 4.1 they are not, and nobody decodes it.
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")

FRAMING_HEADERS = frozenset({"connection", "content-length", "transfer-encoding", "upgrade"})
_ACCEPT_RESERVED = FRAMING_HEADERS | {
    f"sec-websocket-{name}" for name in ("accept", "extensions", "key", "protocol", "version")
}
# What a status must come with, unless the caller's headers say it themselves (RFC 9110 sections 15.5.6 and 15.5.22).
_STATUS_HEADERS = {405: {"Allow": "GET"}, 426: {"Sec-WebSocket-Version": "13"}}
_WITHOUT_BODY = frozenset({204, 304})

_set = object.__setattr__


class Client(NamedTuple):
    """Who has sent a request, as a server that accepted its connection knows it. Here it is only carried along."""

    address: object = None
    """As `getpeername` has it; None if the connection is no socket. Port 0 stands for one that nobody told."""
    scheme: str = "http"
    """"http" or "https", as the client used it."""
    host: str | None = None
    """The Host that the client asked for, if a proxy has told; None: the header Host has it."""


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """What a client asked for. `method` and `target` stand as they came; `http_version` is "1.0" or "1.1".

    Text is latin-1, free of control characters. `client` and `user` are a server's to say, before it asks the
    application what to answer: who has sent it, and what `authorize` attached.
    """

    method: str
    target: str
    headers: Headers = field(default_factory=Headers)
    http_version: str = "1.1"
    client: Client | None = field(default=None, compare=False)
    user: Any = field(default=None, compare=False)

    def __repr__(self) -> str:
        # Never the query nor a header: they may hold a token, and what is printed ends up in logs.
        return f"<Request {self.method} {self.path!r} with {len(self.headers)} headers>"

    def to_plain(self) -> tuple[Any, ...]:
        """What it is made of but `user`, in types that `marshal` and the like take; what they may take of `client`."""
        client = None if self.client is None else tuple(self.client)
        return self.method, self.target, self.http_version, client, *self.headers

    @classmethod
    def from_plain(cls, facts: Iterable[Any], user: object = None) -> "Request":
        """What `to_plain` was called on."""
        method, target, version, client, *fields = facts
        return cls(method, target, Headers(fields), version, None if client is None else Client(*client), user)

    @property
    def path(self) -> str:
        """The target's path, percent-encoded as it came, without the query; of an absolute target, too."""
        path = self.target.partition("?")[0]
        if path.startswith("/") or "://" not in path:
            return path
        return "/" + path.partition("://")[2].partition("/")[2]

    @property
    def query(self) -> str:
        """What stands behind the target's first "?", as it came; "" where there is none."""
        return self.target.partition("?")[2]

    @property
    def host(self) -> str | None:
        """The `host[:port]` that is asked for: of an absolute target, its own, in lower case and without the default
        port of its scheme; the Host header is ignored then (RFC 9112 section 3.2.2). None where neither is there.
        """
        if self.target[:1] != "/":
            with suppress(ValueError):
                return authority_of(self.target)
        return self.headers.get("host")

    @property
    def is_upgrade(self) -> bool:
        """Whether the client asks for WebSocket: the Upgrade header names it (RFC 6455 section 4.2.1)."""
        return asks_for_websocket(self.headers)

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers, its favourite first.

        Empty where the list is malformed, which can be seen only on requests that are no upgrade: of the others, the
        handshake refuses it.
        """
        return offered_subprotocols(self.headers)


@dataclass(frozen=True, slots=True, init=False)
class Accept:
    """Open the WebSocket. `user` is whatever the application wants to find again as `ws.user`.

    `subprotocol` must be one that the client offered; `None` leaves the choice to the handshake, which takes the
    first of its own that was offered, if any. Raises `LocalProtocolError` for headers that cannot be sent, or that
    the handshake sets itself.
    """

    subprotocol: str | None
    headers: Headers
    user: Any

    def __init__(self, subprotocol: str | None = None, headers: HeadersLike = (), user: Any = None) -> None:
        _set(self, "subprotocol", subprotocol)
        _set(self, "headers", sendable_headers(headers, _ACCEPT_RESERVED))
        _set(self, "user", user)


@dataclass(frozen=True, slots=True, init=False)
class Refuse:
    """Answer with an HTTP status (200 to 599) and a body instead of a WebSocket, and close.

    A `str` is sent as UTF-8 text; `bytes` need a Content-Type among the headers to be understood. Statuses 405 and
    426 get the headers they must have, where `headers` lacks them. Raises `LocalProtocolError` for another status,
    for headers that cannot be sent, and for those that frame the message.
    """

    status: int
    sentence: str | bytes
    headers: Headers

    def __init__(self, status: int, sentence: str | bytes, headers: HeadersLike = ()) -> None:
        _set(self, "headers", check_refusal(status, headers))
        _set(self, "status", int(status))
        _set(self, "sentence", sentence)


@dataclass(frozen=True, slots=True)
class Page:
    """Let the HTTP server of the face answer this request; the handshake has no part in it."""


def tell_client(request: Request, client: Client) -> None:
    """Say who has sent a request that nobody else has seen yet."""
    _set(request, "client", client)


def tell_user(request: Request, user: object) -> None:
    """Say whom the client has proved to be, before the application is asked about its request."""
    _set(request, "user", user)


def check_upgrade(method: str, version: str, fields: Fields | Headers) -> str:
    """Hold a request that asks for WebSocket to RFC 6455 section 4.2.1; returns its key.

    Raises `HeadError`, which says how it is refused.

    That the Host header is there once and well-formed has been seen to with the head.
    """
    if method != "GET":
        raise HeadError(405, "A WebSocket is opened with the method GET.")
    if version != "1.1":
        raise HeadError(505, "A WebSocket is opened with HTTP/1.1.")
    if "transfer-encoding" in fields or int(fields.get("content-length") or 0):
        raise HeadError(413, "A request that opens a WebSocket has no body.")
    if not fields.has_token("connection", "upgrade"):
        raise HeadError(400, "The Connection header does not name Upgrade.")
    if fields.get_all("sec-websocket-version") != ["13"]:
        raise HeadError(426, "The WebSocket version spoken here is 13.")
    keys = fields.get_all("sec-websocket-key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise HeadError(400, "Sec-WebSocket-Key is not 16 bytes in base64, given once.")
    return keys[0]


def check_offers(fields: Fields | Headers, policy: str | None) -> tuple[str, DeflateParameters] | None:
    """Hold the lists of subprotocols and extensions to their grammar, and negotiate compression under our policy.

    Returns what `accept_deflate` does; raises `HeadError` for a malformed list (RFC 6455 section 9.1 has it fail).
    """
    try:
        if "sec-websocket-protocol" in fields:
            unique_tokens(fields.get_all("sec-websocket-protocol"))
        if "sec-websocket-extensions" not in fields:
            return None
        return accept_deflate(fields.get_all("sec-websocket-extensions"), policy)
    except ValueError as error:
        raise HeadError(400, str(error)) from None


def asks_for_websocket(fields: Fields | Headers) -> bool:
    """Whether the Upgrade header names WebSocket (RFC 6455 section 4.2.1)."""
    return fields.has_token("upgrade", "websocket")


def offered_subprotocols(fields: Fields | Headers) -> list[str]:
    """The subprotocols that a client offers, its favourite first; empty where the list is malformed."""
    if "sec-websocket-protocol" not in fields:
        return []
    try:
        return unique_tokens(fields.get_all("sec-websocket-protocol"))
    except ValueError:
        return []


def select_subprotocol(offered: Sequence[str], supported: Sequence[str]) -> str | None:
    """The first of the server's own subprotocols that the client offers, too (the server's preference), or `None`."""
    return next((name for name in supported if name in offered), None)


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that proves that a key was understood (RFC 6455 section 4.2.2)."""
    return b64encode(sha1(key.encode("latin-1") + ACCEPT_GUID, usedforsecurity=False).digest()).decode("ascii")


def encode_accept(key: str, subprotocol: str | None, extensions: str | None, headers: Headers) -> bytes:
    """The response that opens a WebSocket (RFC 6455 section 4.2.2)."""
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n"
    )
    if subprotocol is not None:
        head += f"Sec-WebSocket-Protocol: {subprotocol}\r\n"
    if extensions is not None:
        head += f"Sec-WebSocket-Extensions: {extensions}\r\n"
    return f"{head}{encode_headers(headers)}\r\n".encode("latin-1")


def check_refusal(status: int, headers: HeadersLike) -> Headers:
    """Raise `LocalProtocolError` for a status other than 200 to 599, and for headers that a refusal cannot have."""
    if not 200 <= status <= 599:
        raise LocalProtocolError("A request is refused with an HTTP status from 200 to 599.")
    return sendable_headers(headers, FRAMING_HEADERS)


def has_body(status: int) -> bool:
    """Whether a response of this status has a body, be it empty (RFC 9110 sections 15.3.5 and 15.4.5)."""
    return status not in _WITHOUT_BODY


def encode_refuse(refuse: Refuse, method: str = "GET", date: str | None = None) -> bytes:
    """The response that refuses a request; `date` is that of the header, unless `refuse` has one of its own."""
    sentence = refuse.sentence
    body = sentence.encode("utf-8") if isinstance(sentence, str) else sentence
    head = encode_refusal_head(refuse.status, refuse.headers, len(body), date)
    return head if method == "HEAD" or not has_body(refuse.status) else head + body


def encode_refusal_head(status: int, headers: Headers, length: int | None, date: str | None = None) -> bytes:
    """The head of a refusal whose body has `length` bytes; None: it comes in chunks (RFC 9112 section 7.1).

    It closes the connection: nothing behind it is read as a further request. (A client that sent a body, or frames,
    would otherwise have them taken for one.)
    """
    # RFC 9110 section 7.8: whoever sends Upgrade names it in Connection.
    connection = "Upgrade: websocket\r\nConnection: Upgrade, close\r\n" if status == 426 else "Connection: close\r\n"
    head = f"HTTP/1.1 {status} {_phrase(status)}\r\n{connection}"
    defaults = {"Content-Type": "text/plain; charset=utf-8"} if has_body(status) else {}
    defaults |= _STATUS_HEADERS.get(status, {})
    defaults |= {} if date is None else {"Date": date}
    head += encode_headers(pair for pair in defaults.items() if pair[0] not in headers)
    head += encode_headers(headers)
    if has_body(status):
        head += "Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n"
    return f"{head}\r\n".encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
