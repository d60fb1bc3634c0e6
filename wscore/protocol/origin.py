"""Which web sites may use this server: the checks of Origin and Host (RFC 6455 section 10.2, RFC 6454).

A browser connects wherever a page tells it to, and says in Origin whose page that is. By default only pages that came
from the same host and port may: host and port of Origin and Host are compared, both with the default port of Origin's
scheme, so that a proxy that ends TLS changes nothing. Only where the client is known to have come by TLS, a page that
came without is another's: whoever is on the way could have written it. What sends no Origin is no browser, and is
judged by nobody here.

A server that is bound to loopback alone trusts that only programs of this machine reach it. A page whose name was made
to resolve to 127.0.0.1 (DNS rebinding) is of the same origin, but its Host gives it away: there, Host must be one of
the loopback names or what the server is bound to, whatever a proxy says: a page may write that, too, in requests for
pages.

Origin is compared with the host that the browser used. Where a trusted proxy has told it (`Request.client`), that one
counts, else `Request.host`.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from .request import Request
from .uri import split_host_port

__all__ = ["Objection", "SitePolicy", "is_loopback"]

ANY = "*"
# Programs that are no browsers take the scheme of the WebSocket for that of the page.
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_MAX_QUOTED = 200
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
# RFC 6454 section 7.1: what Origin can carry, and so what can be allowed.
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_PATTERN = re.compile(r"([^:/*]+)://(\*\.)?([^*/]+?)(:\*)?")


class Objection(NamedTuple):
    """Why a request is refused with 403: a word to count it under, a sentence for the peer, and one for the log that
    names the option.
    """

    reason: str
    sentence: str
    log: str


class SitePolicy:
    """The rules of one server.

    `allowed_origins` are further origins, each as clients send it: `https://example.org`, `http://localhost:3000`,
    `file://`, `null`; a browser's has neither a path nor a slash at its end. `https://*.example.org` is any name below
    example.org, but not itself; `http://localhost:*` is any port; `"*"` is any origin. `allowed_hosts` are hosts such
    as `example.org` (any port) or `example.org:8443`, or `"*"`; without any, every Host is served. Raises `ValueError`
    for entries that are none of these.
    """

    def __init__(
        self, allowed_origins: Iterable[str] | None = None, allowed_hosts: Iterable[str] | None = None
    ) -> None:
        origins, hosts = _listed(allowed_origins), _listed(allowed_hosts)
        self._any_origin = ANY in origins
        self._origins = {_allowed_origin(origin) for origin in origins if ANY not in origin}
        self._patterns = [_pattern(origin) for origin in origins if ANY in origin and origin != ANY]
        self._any_host = ANY in hosts or not hosts
        self._hosts = {split_host_port(host) for host in hosts if host != ANY}
        self._any_host_is_meant = ANY in hosts

    def bind(self, addresses: Sequence[object], name: str | None = None) -> None:
        """The server listens there, as `getsockname` has it, because it was told to listen on `name`.

        If that is loopback alone, only its names, these addresses, `name` and `allowed_hosts` are served.
        """
        sockets = [address for address in addresses if isinstance(address, tuple)]
        if sockets and all(map(is_loopback, sockets)) and not self._any_host_is_meant:
            self._any_host = False
            self._hosts |= {split_host_port(each) for each in _LOOPBACK_NAMES}
            self._hosts |= {(str(address[0]), None) for address in sockets}
            self._hosts |= set() if name is None else {(name.lower(), None)}

    def objection_to(self, request: Request) -> Objection | None:
        """Return what is wrong with Host or Origin of `request`, or None. A page's Origin does not matter."""
        origins = request.headers.get_all("origin") if request.is_upgrade else ()
        client = request.client
        if client is None:
            return self.objection(request.host, origins)
        return self.objection(request.host, origins, over_tls=client.scheme == "https", used_host=client.host)

    def objection(
        self, asked: str | None, origins: Sequence[str] = (), *, over_tls: bool = False, used_host: str | None = None
    ) -> Objection | None:
        """The same, of a request for the host `asked` by pages of `origins`, none if they do not matter.

        `used_host` is what the browser used, where a trusted proxy has told.
        """
        if not self._host_is_allowed(asked):
            log = f"the Host {_quoted(asked)} is none of this server's: allowed_hosts may name it"
            return Objection("host", "This host is not served here.", log)
        host = used_host or asked
        if origins and not self._origin_is_allowed(origins, host, over_tls):
            origin = ", ".join(origins)
            log = f"the Origin {_quoted(origin)} is not that of the Host {_quoted(host)}: allowed_origins may name it"
            return Objection("origin", "Pages of this origin may not connect here.", log)
        return None

    def _host_is_allowed(self, asked: str | None) -> bool:
        """Every browser sends a Host; HTTP/1.0 does without, as some health checks do."""
        if self._any_host or asked is None:
            return True
        host, port = split_host_port(asked)
        return (host, None) in self._hosts or (host, port) in self._hosts

    def _origin_is_allowed(self, values: Sequence[str], host: str | None, over_tls: bool) -> bool:
        if self._any_origin:
            return True
        if len(values) > 1:
            return False
        if host is not None and _is_same(values[0], host, over_tls):
            return True
        origin = _parsed(values[0])
        return origin in self._origins or any(_fits(origin, pattern) for pattern in self._patterns)


def is_loopback(address: object) -> bool:
    """Whether what `getsockname` returned is reached from this machine alone."""
    if not isinstance(address, tuple):
        return False
    ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def _listed(values: Iterable[str] | None) -> list[str]:
    return [values] if isinstance(values, str) else list(values or ())


class _Origin(NamedTuple):
    """Scheme, host and port (None: of a scheme without a default port). In a pattern the host may begin with "*.", and
    the port may be "*".
    """

    scheme: str
    host: str
    port: int | str | None


def _parsed(text: str) -> _Origin | str:
    """A serialized origin (RFC 6454 section 6.2); what is none, such as "null" or what has a path, as it stands."""
    scheme, separator, authority = text.lower().partition("://")
    if not separator or not scheme:
        return text
    try:
        host, port = split_host_port(authority)
    except ValueError:
        return text
    return _Origin(scheme, host, _DEFAULT_PORTS.get(scheme) if port is None else port)


def _allowed_origin(text: str) -> _Origin | str:
    """An entry without a star. Raises `ValueError` for what no client sends."""
    scheme, separator, rest = text.partition("://")
    is_of_a_host = scheme.lower() not in _DEFAULT_PORTS or rest[:1] not in ("", "/")
    if text != "null" and not (separator and scheme and is_of_a_host and _VISIBLE_ASCII.fullmatch(text)):
        raise ValueError(f"{text!r} is no origin: write it as https://example.org")
    return _parsed(text)


def _pattern(text: str) -> _Origin:
    """An entry with a star. Raises `ValueError` unless it is `https://*.example.org` or `http://localhost:*`."""
    match = _PATTERN.fullmatch(text)
    origin = _parsed(f"{match[1]}://{match[3]}") if match else text
    if match is None or isinstance(origin, str):
        raise ValueError(f"{text!r} is no pattern: write it as https://*.example.org or http://localhost:*")
    return _Origin(origin.scheme, (match[2] or "") + origin.host, ANY if match[4] else origin.port)


def _fits(origin: _Origin | str, pattern: _Origin) -> bool:
    if isinstance(origin, str):
        return False
    if origin.scheme != pattern.scheme or pattern.port not in (ANY, origin.port):
        return False
    if not pattern.host.startswith("*."):
        return origin.host == pattern.host
    below, suffix, rest = origin.host.rpartition(pattern.host[1:])
    return bool(suffix) and not rest and all(below.split("."))


# Most pages of a server come from the same few origins. A peer can fill this, with 64 heads, and gains nothing.
@lru_cache(maxsize=64)
def _is_same(text: str, asked: str, over_tls: bool) -> bool:
    """Whether a page of this origin comes from the host that it asks for."""
    origin = _parsed(text)
    if isinstance(origin, str):
        return False
    scheme = _SCHEMES.get(origin.scheme)
    if scheme is None or (over_tls and scheme == "http"):
        return False
    host, port = split_host_port(asked)
    return origin.host == host and origin.port == (_DEFAULT_PORTS[scheme] if port is None else port)


def _quoted(text: str | None) -> str:
    """As a literal: the peer chose it, and it is to be logged."""
    return f"{(text or '')[:_MAX_QUOTED]!a}"
