"""Addresses: `ws://` and `wss://` URLs, and the `host[:port]` of a Host header (RFC 6455 section 3, RFC 3986).

Decides what a WebSocket address may look like and what of it goes on the wire. Knows nothing of requests, sockets or
TLS.

::

    wss://user:secret@example.org:8443/feed?room=1
    scheme  userinfo      host    port  resource name

Fragments are refused (RFC 6455 section 3: they are meaningless), and so are spaces and control characters anywhere:
they could end the request line. User and password never become part of the resource name.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import quote, unquote_to_bytes

DEFAULT_PORTS = {"ws": 80, "wss": 443}

# Narrower than RFC 3986's reg-name: sub-delims and percent-encoding are legal in a URI, but no DNS name, no browser and
# no IP address has them, and a comma is what some proxies put between two Host headers.
_HOST_PORT = re.compile(r"([A-Za-z0-9._~-]+)(?::([0-9]{0,5}))?")
_IPV6_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{0,5}))?")
_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f]")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Uri:
    """A parsed `ws://` or `wss://` URL.

    `host` is ASCII in lower case, an IPv6 address without its brackets: fit for `connect()` and for TLS.
    `resource` is what the request line carries: path and query, percent-encoded, beginning with `/`.
    """

    secure: bool
    host: str
    port: int
    resource: str
    username: str | None = None
    password: str | None = None

    @property
    def host_header(self) -> str:
        """The value of the Host header: the port only where it is not the scheme's own (RFC 6455 section 4.1)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS["wss" if self.secure else "ws"] else f"{host}:{self.port}"


def parse_uri(url: str) -> Uri:
    """Take a `ws://` or `wss://` URL apart (RFC 6455 section 3).

    International host names become ASCII by IDNA, other characters outside ASCII are percent-encoded as UTF-8.
    Raises `ValueError`, with a sentence, for whatever is no such URL.
    """
    if _SPACE_OR_CONTROL.search(url):
        raise ValueError("A WebSocket URL contains no spaces and no control characters.")
    if "#" in url:
        raise ValueError("A WebSocket URL has no fragment: write %23 for the character '#'.")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        raise ValueError("A WebSocket URL begins with ws:// or wss://.")
    authority, resource = _cut_authority(rest)
    userinfo, at, address = authority.rpartition("@")
    username, password = _parse_userinfo(userinfo) if at else (None, None)
    host, port = split_host_port(_to_ascii(address))
    port = DEFAULT_PORTS[scheme] if port is None else port
    if port == 0:
        raise ValueError("Port 0 cannot be connected to.")
    return Uri(scheme == "wss", host, port, _encode_resource(resource), username, password)


@lru_cache(maxsize=64)  # a server is asked for by few names, and a peer's others displace each other
def split_host_port(text: str) -> tuple[str, int | None]:
    """Take `host`, `host:port`, `[IPv6]` or `[IPv6]:port` apart, as in a Host header (RFC 9110 section 7.2).

    Returns the host in lower case and without brackets, and the port, or `None` where none (or an empty one) stands.
    Raises `ValueError` for anything else; never another error, whatever a peer sends.
    """
    match = _IPV6_PORT.fullmatch(text) if text[:1] == "[" else _HOST_PORT.fullmatch(text)
    if match is None:
        raise ValueError("The host is missing or not well-formed, or the port is no number.")
    host, port = match.groups()
    # Overlong numbers are never converted: the pattern ends after five digits.
    if port and int(port) > 0xFFFF:
        raise ValueError("A port is a number from 0 to 65535.")
    if text[:1] == "[":
        _check_ipv6(host)
    return host.lower(), int(port) if port else None


def _check_ipv6(text: str) -> None:
    try:
        IPv6Address(text)
    except ValueError:
        raise ValueError("What stands in brackets is no IPv6 address.") from None


def _cut_authority(rest: str) -> tuple[str, str]:
    for index, character in enumerate(rest):
        if character in "/?":
            return rest[:index], rest[index:]
    return rest, ""


def _to_ascii(address: str) -> str:
    if address.isascii():
        return address
    host, colon, port = address.partition(":")
    try:
        return host.encode("idna").decode("ascii") + colon + port
    except UnicodeError:
        raise ValueError("The host name has characters that international domain names do not allow.") from None


def _encode_resource(resource: str) -> str:
    if not resource.startswith("/"):
        resource = "/" + resource
    try:
        return quote(resource, safe=_PRINTABLE_ASCII)
    except UnicodeEncodeError:
        raise ValueError("The URL contains lone surrogates, which no UTF-8 can carry.") from None


def _parse_userinfo(userinfo: str) -> tuple[str, str]:
    """User and password as HTTP Basic authentication can send them (RFC 7617 section 2)."""
    username, _, password = (_decode_credential(part) for part in userinfo.partition(":"))
    if ":" in username:
        raise ValueError("A user name for HTTP Basic authentication contains no colon.")
    return username, password


def _decode_credential(text: str) -> str:
    try:
        raw = unquote_to_bytes(text)
        decoded = raw.decode("utf-8")
    except UnicodeError:
        raise ValueError("User name and password are percent-encoded UTF-8.") from None
    if _CONTROL.search(raw):
        raise ValueError("User name and password contain no control characters.")
    return decoded
