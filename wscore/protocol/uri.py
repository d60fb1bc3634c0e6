"""Addresses: `ws://` and `wss://` URLs, and the `host[:port]` of a Host header (RFC 6455 section 3, RFC 3986).

Decides what a WebSocket address may look like and what of it goes on the wire. Knows nothing of requests, sockets or
TLS.

::

    wss://user:secret@example.org:8443/feed?room=1
    scheme  userinfo      host    port  resource name

Fragments are refused (RFC 6455 section 3: they are meaningless), and so are spaces and control characters anywhere:
they could end the request line. User and password never become part of the resource name.

One URL means one host, the one that browsers take it for: names outside ASCII go by UTS 46 alone, and without the
package for that they are refused. Where a name is looked up, the root's dot at its end and the zone of a link-local
address (RFC 9844, RFC 4007 section 11) count; nobody else knows them, so they stay out of Host and of TLS.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import quote, unquote_to_bytes

from wscore._extras import require

DEFAULT_PORTS = {"ws": 80, "wss": 443}
_DEFAULT_PORTS_OF_HTTP = {"http": 80, "https": 443, **DEFAULT_PORTS}

# Narrower than RFC 3986's reg-name: sub-delims and percent-encoding are legal in a URI, but no DNS name, no browser and
# no IP address has them, and a comma is what some proxies put between two Host headers.
_HOST_PORT = re.compile(r"([A-Za-z0-9._~-]+)(?::([0-9]{0,5}))?")
_IPV6_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{0,5}))?")
_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f]")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# A link-local address and its zone, in which "%" may be percent-encoded, as RFC 6874 has it.
_ZONE = re.compile(r"\[(fe[89ab][0-9a-f]:[0-9a-f:.]+)%(?:25|(?!25))([a-z0-9._~-]+)\]", re.IGNORECASE)
_MAX_NAME, _MAX_LABEL = 253, 63  # RFC 1035 section 2.3.4
# RFC 3986 sections 3.3 and 3.4: what path and query are made of, letters, digits and what is always unreserved apart.
_RESOURCE = "/?:@!$&'()*+,;=%"
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Uri:
    """A parsed `ws://` or `wss://` URL.

    `host` is ASCII in lower case, an IPv6 address without its brackets but with its zone, if it has one: what to look
    up and to connect to. `server_name` is what the server calls itself, and so its certificate. `resource` is what the
    request line carries: path and query, percent-encoded, beginning with `/`.
    """

    secure: bool
    host: str
    port: int
    resource: str
    username: str | None = None
    password: str | None = None

    @property
    def server_name(self) -> str:
        """`host` without the root's dot (RFC 6066 section 3) and without a zone (RFC 4007 section 11.2)."""
        return self.host.partition("%")[0].removesuffix(".")

    @property
    def host_header(self) -> str:
        """The value of the Host header: the port only where it is not the scheme's own (RFC 6455 section 4.1)."""
        return _join_host_port(self.server_name, self.port, DEFAULT_PORTS["wss" if self.secure else "ws"])


def parse_uri(url: str) -> Uri:
    """Take a `ws://` or `wss://` URL apart (RFC 6455 section 3).

    International host names become ASCII by UTS 46 (not transitional), which needs the package idna. Characters that no
    path and no query has are percent-encoded, as UTF-8. Raises `ValueError`, with a sentence, for whatever is no such
    URL, and `ModuleNotFoundError`, which names the extra, for an international name without idna.
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
    if "\\" in authority:
        # Browsers take it for the slash before the path, and so what stands before it for the host.
        raise ValueError("A WebSocket URL has no backslash before its path.")
    userinfo, at, address = authority.rpartition("@")
    username, password = _parse_userinfo(userinfo) if at else (None, None)
    host, port = _split_address(address)
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


def authority_of(target: str) -> str:
    """The `host[:port]` of a request's absolute target, as the Host header would have it (RFC 9112 section 3.2.2).

    In lower case, and without the port that its scheme has anyway. Raises `ValueError` for whatever is no URL of HTTP
    or WebSocket: RFC 6455 section 4.1 knows the former, and there are clients that send the latter.
    """
    scheme, separator, rest = target.partition("://")
    default = _DEFAULT_PORTS_OF_HTTP.get(scheme.lower())
    if not separator or default is None:
        raise ValueError("A target is a path, or a URL that begins with http://, https://, ws:// or wss://.")
    host, port = split_host_port(_cut_authority(rest)[0])
    return _join_host_port(host, port, default)


def _join_host_port(host: str, port: int | None, default: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port in (None, default) else f"{name}:{port}"


def _check_ipv6(text: str) -> None:
    try:
        IPv6Address(text)
    except ValueError:
        raise ValueError("What stands in brackets is no IPv6 address.") from None


def _cut_authority(rest: str) -> tuple[str, str]:
    authority = rest.partition("?")[0].partition("/")[0]
    return authority, rest[len(authority) :]


def _split_address(address: str) -> tuple[str, int | None]:
    """Host and port of a URL; the host as `Uri` has it."""
    zone = _ZONE.match(address)
    if zone is not None:
        host, port = split_host_port(f"[{zone[1]}]{address[zone.end() :]}")
        return f"{host}%{zone[2]}", port
    name, colon, port_text = address.partition(":")
    if not name.isascii():
        address = _to_ascii(name) + colon + port_text
    host, port = split_host_port(address)
    if ":" not in host:
        _check_name(host.removesuffix("."))
    return host, port


def _check_name(name: str) -> None:
    """Refuse what can be looked up nowhere (RFC 1035 section 2.3.4), before anybody tries."""
    if len(name) > _MAX_NAME or not all(0 < len(label) <= _MAX_LABEL for label in name.split(".")):
        raise ValueError("A host name has labels of 1 to 63 characters, and at most 253 in all.")


def _to_ascii(name: str) -> str:
    """A name by UTS 46, as browsers have it (but stricter: characters that IDNA 2008 does not allow are refused)."""
    require("A host name with characters outside ASCII", "client", "idna")
    import idna

    try:
        return idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:
        raise ValueError("The host name has characters that international domain names do not allow.") from None


def _encode_resource(resource: str) -> str:
    if not resource.startswith("/"):
        resource = "/" + resource
    try:
        return quote(_LONE_PERCENT.sub("%25", resource), safe=_RESOURCE)
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
