"""Which web sites may use this server: the checks of Origin and Host (RFC 6455 section 10.2, RFC 6454).

A browser connects wherever a page tells it to, and says in Origin whose page that is. By default only pages that came
from the same host and port may: host and port of Origin and Host are compared, both with the default port of Origin's
scheme, so that a proxy that ends TLS changes nothing. What sends no Origin is no browser, and is judged by nobody here.

A server that is bound to loopback alone trusts that only programs of this machine reach it. A page whose name was made
to resolve to 127.0.0.1 (DNS rebinding) is of the same origin, but its Host gives it away: there, Host must be one of
the loopback names, whatever a proxy says: a page may write that, too, in requests for pages.

Origin is compared with the Host that the browser used. Where a trusted proxy has told it (`Request.client`), that one
counts, else the header Host.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .request import Request
from .uri import split_host_port

__all__ = ["Objection", "SitePolicy", "is_loopback"]

ANY = "*"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_QUOTED = 200
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Objection(NamedTuple):
    """Why a request is refused with 403: a word to count it under, a sentence for the peer, and one for the log that
    names the option.
    """

    reason: str
    sentence: str
    log: str


class SitePolicy:
    """The rules of one server.

    `allowed_origins` are further origins such as `https://example.org` or `http://localhost:3000`, `"null"` included if
    it is meant, or `"*"` for any. `allowed_hosts` are hosts such as `example.org` (any port) or `example.org:8443`, or
    `"*"`; without any, every Host is served. Raises `ValueError` for entries that are neither.
    """

    def __init__(
        self, allowed_origins: Iterable[str] | None = None, allowed_hosts: Iterable[str] | None = None
    ) -> None:
        origins, hosts = _listed(allowed_origins), _listed(allowed_hosts)
        self._any_origin = ANY in origins
        self._origins = {_normal_origin(origin) for origin in origins if origin != ANY}
        self._any_host = ANY in hosts or not hosts
        self._hosts = {split_host_port(host) for host in hosts if host != ANY}
        self._any_host_is_meant = ANY in hosts

    def bind(self, addresses: Sequence[object]) -> None:
        """The server listens there. If that is loopback alone, only its names are served, and `allowed_hosts`."""
        sockets = [address for address in addresses if isinstance(address, tuple)]
        if sockets and all(map(is_loopback, sockets)) and not self._any_host_is_meant:
            self._any_host = False
            self._hosts |= {split_host_port(name) for name in _LOOPBACK_NAMES}

    def objection_to(self, request: Request) -> Objection | None:
        """Return what is wrong with Host or Origin of `request`, or None. A page's Origin does not matter."""
        host = request.headers.get("host")
        if not self._host_is_allowed(host):
            log = f"the Host {_quoted(host)} is none of this server's: allowed_hosts may name it"
            return Objection("host", "This host is not served here.", log)
        if request.client is not None and request.client.host is not None:
            host = request.client.host
        if request.is_upgrade and not self._origin_is_allowed(request.headers.get_all("origin"), host):
            origin = ", ".join(request.headers.get_all("origin"))
            log = f"the Origin {_quoted(origin)} is not that of the Host {_quoted(host)}: allowed_origins may name it"
            return Objection("origin", "Pages of this origin may not connect here.", log)
        return None

    def _host_is_allowed(self, header: str | None) -> bool:
        """Every browser sends a Host; HTTP/1.0 does without, as some health checks do."""
        if self._any_host or header is None:
            return True
        host, port = split_host_port(header)
        return (host, None) in self._hosts or (host, port) in self._hosts

    def _origin_is_allowed(self, values: Sequence[str], host: str | None) -> bool:
        if not values or self._any_origin:
            return True
        try:
            (value,) = values
            origin = _normal_origin(value)
        except ValueError:
            return False
        return origin in self._origins or (host is not None and _is_same(origin, host))


def is_loopback(address: object) -> bool:
    """Whether what `getsockname` returned is reached from this machine alone."""
    if not isinstance(address, tuple):
        return False
    ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def _listed(values: Iterable[str] | None) -> list[str]:
    return [values] if isinstance(values, str) else list(values or ())


_Origin = tuple[str, str, int | None]


def _normal_origin(text: str) -> _Origin:
    """Scheme, host and port of a serialized origin (RFC 6454 section 6.2). Raises `ValueError` if it is none."""
    scheme, separator, authority = text.lower().partition("://")
    if text == "null":
        return ("null", "", None)
    if not separator or not scheme:
        raise ValueError(f"{text!r} is no origin: write it as https://example.org")
    host, port = split_host_port(authority)
    return (scheme, host, _DEFAULT_PORTS.get(scheme) if port is None else port)


def _is_same(origin: _Origin, header: str) -> bool:
    scheme, host, port = origin
    if scheme not in _DEFAULT_PORTS:
        return False
    served_host, served_port = split_host_port(header)
    return host == served_host and port == (_DEFAULT_PORTS[scheme] if served_port is None else served_port)


def _quoted(text: str | None) -> str:
    """As a literal: the peer chose it, and it is to be logged."""
    return f"{(text or '')[:_MAX_QUOTED]!a}"
