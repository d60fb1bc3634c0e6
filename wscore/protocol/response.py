"""The client's half of the opening handshake: its request, and what it makes of the answer (RFC 6455 section 4.1).

Decides whether a server accepted, and how much of a refusal is kept. Knows nothing of connecting, proxies or redirects.

What says nothing about a switch of protocols is not asked for: the framing of a body that no 101 has (RFC 9112 section
6.3), for example. The body of a refusal is read by Content-Length, by chunks, or until the connection ends, and cut at
64 KiB; its status is known whatever is wrong with the rest.
"""

import os
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from .extensions import DeflateParameters, check_deflate
from .head import ResponseHead
from .headers import Headers, encode_headers, split_list
from .request import FRAMING_HEADERS, accept_key
from .uri import Uri

MAX_BODY_SIZE = 64 * 1024

# What the user's headers must not say, because the handshake does.
REQUEST_RESERVED = FRAMING_HEADERS | {
    "host",
    *(f"sec-websocket-{name}" for name in ("accept", "extensions", "key", "protocol", "version")),
}
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,256}\r\n")
_REFUSAL_LINE = re.compile(rb"HTTP/[0-9](?:\.[0-9])? ([2-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?(?=\r|\n)")
_MAX_LENGTH_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered. `reason` and `headers` are the server's own words; `body` is cut at 64 KiB."""

    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""


class HandshakeError(Exception):
    """The handshake failed; the message says why, and `response` is the server's answer, if there was one."""

    def __init__(self, sentence: str, response: Response | None = None) -> None:
        super().__init__(sentence)
        self.response = response


def refusal(response: Response, trouble: str = "") -> HandshakeError:
    """The error for a server that has answered with another status than 101, and what is wrong with that answer."""
    sentence = f"The server refused the WebSocket with HTTP status {response.status}."
    return HandshakeError(f"{sentence} {trouble}" if trouble else sentence, response)


def first_line(received: bytes | bytearray) -> Response | None:
    """What the status line of a refusal says, whatever follows it; None if it is no refusal, or not there yet."""
    line = _REFUSAL_LINE.match(received)
    return None if line is None else Response(int(line[1]), (line[2] or b"").decode("latin-1"))


def new_key() -> str:
    """A Sec-WebSocket-Key: 16 fresh unpredictable bytes in base64 (RFC 6455 section 4.1)."""
    return b64encode(os.urandom(16)).decode("ascii")


def encode_request(uri: Uri, key: str, subprotocols: Sequence[str], extensions: str | None, headers: Headers) -> bytes:
    """The request that asks for a WebSocket (RFC 6455 section 4.1)."""
    head = (
        f"GET {uri.resource} HTTP/1.1\r\nHost: {uri.host_header}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
    )
    if subprotocols:
        head += f"Sec-WebSocket-Protocol: {', '.join(subprotocols)}\r\n"
    if extensions is not None:
        head += f"Sec-WebSocket-Extensions: {extensions}\r\n"
    return f"{head}{encode_headers(headers)}\r\n".encode("latin-1")


def basic_authorization(uri: Uri) -> str | None:
    """The Authorization for the user and password of a URL (RFC 7617 section 2), or `None` where it has none."""
    if uri.username is None:
        return None
    return "Basic " + b64encode(f"{uri.username}:{uri.password}".encode()).decode("ascii")


def check_switch(head: ResponseHead, key: str, subprotocols: Sequence[str]) -> str | None:
    """Hold a response of status 101 to RFC 6455 section 4.1; returns the subprotocol that the server chose, if any.

    Raises `ValueError` with a sentence.
    """
    headers = head.headers
    if head.http_version != "1.1":
        raise ValueError("The server switches protocols in another version than HTTP/1.1.")
    if {value.lower() for value in headers.get_all("upgrade")} != {"websocket"}:
        raise ValueError("The server switches to something else than WebSocket.")
    if not headers.has_token("connection", "upgrade"):
        raise ValueError("The Connection header of the answer does not name Upgrade.")
    if headers.get_all("sec-websocket-accept") != [accept_key(key)]:
        raise ValueError("Sec-WebSocket-Accept does not fit the key that was sent.")
    chosen = headers.get_all("sec-websocket-protocol")
    if len(chosen) > 1 or not set(chosen) <= set(subprotocols):
        raise ValueError("The server chose a subprotocol that was not offered.")
    return chosen[0] if chosen else None


def check_extensions(head: ResponseHead, policy: str | None) -> DeflateParameters | None:
    """What the server accepted of our offers; raises `ValueError` with a sentence."""
    return check_deflate(head.headers.get_all("sec-websocket-extensions"), policy)


class BodyReader:
    """Collects the body of a refusal, at most 64 KiB of it as it came (RFC 9112 section 6.3).

    Where its end is told in no way that all readers understand alike, it is that of the connection: nothing follows
    here that could be taken for a part of it. `complete` says that no more is wanted; trailers are not.
    """

    __slots__ = ("_chunk_at", "_chunked", "_raw", "_wanted", "complete", "head")

    def __init__(self, head: ResponseHead) -> None:
        self.head = head
        self._raw = bytearray()
        codings = split_list(head.headers.get_all("transfer-encoding"))
        self._chunked = bool(codings) and codings[-1].lower() == "chunked"
        self._chunk_at = 0  # where the next chunk begins
        length = None if codings else _declared_length(head.headers)
        self._wanted = MAX_BODY_SIZE if length is None else min(length, MAX_BODY_SIZE)
        self.complete = self._wanted == 0 or head.status in (204, 304)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Add what was received."""
        self._raw += data[: self._wanted - len(self._raw)]
        self.complete = self.complete or self._ended_by_chunk() or len(self._raw) == self._wanted

    def _ended_by_chunk(self) -> bool:
        """Go on to the last chunk, of size 0, if it has come."""
        while self._chunked and (chunk := _CHUNK_LINE.match(self._raw, self._chunk_at)):
            size = int(chunk[1], 16)
            if not size:
                return True
            self._chunk_at = chunk.end() + size + 2
        return False

    @property
    def body(self) -> bytes:
        """The body so far, chunks joined."""
        return _join_chunks(self._raw) if self._chunked else bytes(self._raw)


def _declared_length(headers: Headers) -> int | None:
    """The Content-Length, if it is one number, however often; None: the body ends with the connection."""
    values = set(split_list(headers.get_all("content-length")))
    value = values.pop() if len(values) == 1 else ""
    is_number = value.isascii() and value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS
    return int(value) if is_number else None


def _join_chunks(raw: bytearray) -> bytes:
    """The data of the chunks, up to the first that is none (RFC 9112 section 7.1)."""
    body = bytearray()
    position = 0
    while chunk := _CHUNK_LINE.match(raw, position):
        start, size = chunk.end(), int(chunk[1], 16)
        body += raw[start : start + size]
        position = start + size + 2
    return bytes(body)
