"""HTTP/1.x heads: where one ends, and what it says (RFC 9112 sections 2 to 5, and what framing needs of section 6).

Decides which bytes are a request head or a response head, and with which status a bad one is refused. Knows nothing
of WebSocket, of bodies, or of what a field means, apart from those few on which the meaning of a whole request hangs:
Host, Content-Length and Transfer-Encoding. How the body of a response ends is for its reader, who reads no other.

Strict, where the RFC leaves a choice: lines end with CRLF; no folded lines; a target of a request is a path or a URL;
one Content-Length of digits only, never beside Transfer-Encoding; no control character but a tab in a value. A few
empty lines may stand before a request (RFC 9112 section 2.2). Whatever else passes here, h11 reads the same way.

Each byte is looked at once for the end of the head, however it is dribbled, and once more in each of a fixed number
of passes that run in C: this is why the parser splits and deletes characters and has no loop over bytes.
"""

import re
from typing import NamedTuple

from .headers import TOKEN_BYTES, Fields, Headers, is_token
from .uri import authority_of, split_host_port

DEFAULT_MAX_HEAD_SIZE = 16 * 1024  # bytes; node allows 16 KiB, Apache 8 KiB a line
DEFAULT_MAX_HEADERS = 128
MAX_EMPTY_LINES = 4  # RFC 9112 section 2.2 asks for one; some clients end what they sent before with more

_VERSIONS = {"HTTP/1.1": "1.1", "HTTP/1.0": "1.0"}
_CONTROLS = bytes(range(32)) + b"\x7f"
# Deleting these leaves the control characters of a head, tabs excepted.
_NOT_CONTROLS = bytes(set(range(256)) - set(_CONTROLS)) + b"\t"
_MAX_LENGTH_DIGITS = 20  # enough for 2**64, and cheap to convert
_LONE_LF = re.compile(rb"\n(?<!\r\n)")


class HeadError(Exception):
    """A head that is refused: the HTTP status for it, and a sentence in which nothing of the peer's input stands."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class RequestHead(NamedTuple):
    """A request line and its fields; `http_version` is "1.0" or "1.1"."""

    method: str
    target: str
    http_version: str
    fields: Fields | Headers
    """Where to look for a field, by its name in lower case."""

    @property
    def headers(self) -> Headers:
        """The fields as a collection, made when it is asked for."""
        return self.fields if isinstance(self.fields, Headers) else Headers.from_distinct(self.fields)

    @property
    def host(self) -> str | None:
        """The `host[:port]` that is asked for: of an absolute target, its own, in lower case and without the default
        port of its scheme; the Host header is ignored then (RFC 9112 section 3.2.2). None where neither is there.
        """
        return self.fields.get("host") if self.target[0] == "/" else authority_of(self.target)


class ResponseHead(NamedTuple):
    """A status line and its fields; `http_version` is "1.0" or "1.1"."""

    status: int
    reason: str
    http_version: str
    headers: Headers


class HeadReader:
    """Collects received bytes until they hold a whole head of at most `max_head_size` bytes, of a request or, with
    `of_response`, of a response.

    `received` is all that has come, without empty lines before a request; `searched` is how many bytes of it need not
    be searched again, and `rest` what came behind the head, which is empty until there is one.
    """

    __slots__ = ("_empty_lines", "_end", "_max_size", "_of_response", "received", "searched")

    def __init__(self, max_head_size: int = DEFAULT_MAX_HEAD_SIZE, *, of_response: bool = False) -> None:
        self.received = bytearray()
        self.searched = 0
        self._max_size = max_head_size
        self._end = 0
        self._of_response = of_response
        self._empty_lines = 0 if of_response else MAX_EMPTY_LINES  # so many more may come

    def feed(self, data: bytes | bytearray | memoryview) -> bytearray | None:
        """Add what was received; returns the head without the empty line that ends it, once it is there, else `None`.

        Raises `HeadError`: 431 (414 if not even the first line has ended) for a head above the limit, 400 at once for
        bytes that begin no head, such as a TLS handshake, and for a line that ends with LF alone: nobody who sends
        that will ever send what ends a head here.
        """
        received = self.received
        received += data
        if received and received[0] <= 0x20:
            self._skip_empty_lines()
        end = received.find(b"\r\n\r\n", self.searched)
        if end < 0:
            self._check_beginning()
            # The last three bytes may begin the four that end the head.
            self.searched = max(0, len(received) - 3)
            return None
        if end + 4 > self._max_size:
            raise self._too_large()
        self._end = self.searched = end + 4
        return received[:end]

    def _skip_empty_lines(self) -> None:
        received = self.received
        while self._empty_lines and received.startswith(b"\r\n"):
            self._empty_lines -= 1
            del received[:2]
        if received and received[0] <= 0x20 and not (self._empty_lines and received == b"\r"):
            raise HeadError(400, "This is no HTTP: it begins with a space or a control character.")

    def _check_beginning(self) -> None:
        """Refuse at once what can become no head any more."""
        received = self.received
        if self._of_response and not received.startswith(b"HTTP/"[: len(received)]):
            raise HeadError(400, "This is no HTTP: it begins with no HTTP version.")
        if _LONE_LF.search(received, self.searched):
            raise _bad_lines()
        if len(received) > self._max_size:
            raise self._too_large()

    @property
    def head(self) -> bytes:
        """The head without the empty line that ends it, as `feed` has returned it; empty until there is one."""
        return bytes(self.received[: self._end - 4]) if self._end else b""

    @property
    def rest(self) -> bytes:
        """The bytes behind the head."""
        return bytes(self.received[self._end :]) if self._end else b""

    def _too_large(self) -> HeadError:
        if self.received.find(b"\r\n", 0, self._max_size) < 0:
            return HeadError(414, f"The first line is longer than {self._max_size} bytes.")
        return HeadError(431, f"The head is larger than {self._max_size} bytes.")


def parse_request_head(head: bytes | bytearray, max_headers: int = DEFAULT_MAX_HEADERS) -> RequestHead:
    """Parse a request head as `HeadReader.feed` returns it (RFC 9112 section 3).

    Raises `HeadError`: 505 for versions other than HTTP/1.0 and 1.1, 431 for too many fields, 400 for all else.
    """
    lines = _split_lines(head, max_headers)
    try:
        method, target, protocol = lines[0].split(" ")
    except ValueError:
        raise HeadError(400, "The request line is not a method, a target and an HTTP version.") from None
    version = _version(protocol)
    if not is_token(method) or not target or not target.isascii() or "\t" in target:
        raise HeadError(400, "The method or the target of the request has characters that it cannot have.")
    if target[0] != "/":
        _check_absolute(target)
    fields = _parse_fields(lines)
    _check_host(fields, version)
    _check_framing(fields, version)
    return RequestHead(method, target, version, fields)


def parse_response_head(head: bytes | bytearray, max_headers: int = DEFAULT_MAX_HEADERS) -> ResponseHead:
    """Parse a response head as `HeadReader.feed` returns it (RFC 9112 section 4); a missing reason phrase is tolerated.

    Raises `HeadError`; its status has no meaning then.
    """
    lines = _split_lines(head, max_headers)
    protocol, _, rest = lines[0].partition(" ")
    version = _version(protocol)
    status, _, reason = rest.partition(" ")
    if len(status) != 3 or not (status.isascii() and status.isdigit()) or status < "100":
        raise HeadError(400, "The status line has no status of three digits.")
    fields = _parse_fields(lines)
    headers = fields if isinstance(fields, Headers) else Headers.from_distinct(fields)
    return ResponseHead(int(status), reason, version, headers)


def _split_lines(head: bytes | bytearray, max_headers: int) -> list[str]:
    lines = head.decode("latin-1").split("\r\n")
    if len(lines) - 1 > max_headers:
        raise HeadError(431, f"The head has more than {max_headers} header fields.")
    # Each CRLF leaves two control characters here; one more than that is a bare CR or LF, a NUL, or the like.
    if len(head.translate(None, _NOT_CONTROLS)) != 2 * (len(lines) - 1):
        raise _bad_lines()
    return lines


def _bad_lines() -> HeadError:
    return HeadError(400, "The head contains control characters, or lines that do not end with CRLF.")


def _parse_fields(lines: list[str]) -> Fields | Headers:
    """The fields behind the first line; their names are checked all at once."""
    fields = Fields()
    try:
        for line in lines[1:]:
            name, value = line.split(":", 1)
            fields[name.lower()] = value.strip(" \t")
    except ValueError:
        raise HeadError(400, "A header line has no colon.") from None
    # Folded lines and spaces in front of the colon show here, as names that are no token.
    if "" in fields or "".join(fields).encode("latin-1").translate(None, TOKEN_BYTES):
        raise HeadError(400, "The name of a header field is no token.")
    if len(fields) == len(lines) - 1:
        return fields
    split = [line.split(":", 1) for line in lines[1:]]
    return Headers((name.lower(), value.strip(" \t")) for name, value in split)


def _version(protocol: str) -> str:
    version = _VERSIONS.get(protocol)
    if version is None:
        if protocol.startswith("HTTP/"):
            raise HeadError(505, "The HTTP version is neither 1.1 nor 1.0.")
        raise HeadError(400, "The first line names no HTTP version.")
    return version


def _check_absolute(target: str) -> None:
    """A target that is no path is a URL of a host (RFC 9112 section 3.2.2): nothing else is served by anybody here."""
    try:
        authority_of(target)
    except ValueError:
        raise HeadError(400, "The target of the request is neither a path nor a URL of HTTP or WebSocket.") from None


def _check_host(fields: Fields | Headers, version: str) -> None:
    """One well-formed Host (RFC 9112 section 3.2), even where the target says which host is meant."""
    hosts = fields.get_all("host")
    if len(hosts) != 1:
        if hosts or version == "1.1":
            raise HeadError(400, "A request has exactly one Host header.")
        return
    try:
        split_host_port(hosts[0])
    except ValueError:
        raise HeadError(400, "The Host header is no host with an optional port.") from None


def _check_framing(fields: Fields | Headers, version: str) -> None:
    """No two readers may find the end of the body at different places (RFC 9112 section 6.3)."""
    length = fields.get("content-length")
    if "transfer-encoding" in fields:
        chunked = [coding.lower() for coding in fields.get_all("transfer-encoding")] == ["chunked"]
        if not chunked or version == "1.0" or length is not None:
            raise HeadError(400, "The end of the body is not told by chunks alone, or not by HTTP/1.1.")
    elif length is not None and not _is_single_number(fields.get_all("content-length")):
        raise HeadError(400, "Content-Length is no single number.")


def _is_single_number(values: list[str]) -> bool:
    value = values[0]
    return len(values) == 1 and len(value) <= _MAX_LENGTH_DIGITS and value.isascii() and value.isdigit()
