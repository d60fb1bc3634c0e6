"""Whom a request comes from when proxies stand in between: their word for the client's address, scheme and host.

Decides whose word counts, and how much of it: only proxies that are named are believed, by the address at the other end
of the connection. Each proxy adds who was at the other end of its own; so what it wrote stands at the right, and what
stands to the left of the first address that is no trusted proxy may have been written by anybody. That address is the
client. Where the chain ends in what is malformed or says "unknown", nothing to the left of it is looked at, and the
last proxy before it stands for the client.

Of the two notations only the one that the proxies are known to write is read. The other one comes from the client as it
likes it, since a proxy passes on what it does not know.

X-Forwarded-Proto and X-Forwarded-Host go with X-Forwarded-For entry by entry; proxies that overwrite them leave one.
Refuses to know what is done with the answer. RFC 7239; X-Forwarded-* have no specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, TypeAlias

from wscore.protocol.headers import Headers, split_list
from wscore.protocol.request import Client
from wscore.protocol.uri import split_host_port

__all__ = ["ProxyHeaders", "TrustedProxies"]

ProxyHeaders: TypeAlias = Literal["x-forwarded", "forwarded"]
Proxy: TypeAlias = str | IPv4Network | IPv6Network | IPv4Address | IPv6Address

UNIX = "unix"

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
# A host with or without a port (RFC 7239 section 6); X-Forwarded-For has IPv6 addresses without brackets, too.
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?|([0-9A-Fa-f:.]+)")
# RFC 7239 section 4. Commas in quoted strings are not allowed for: no address, host or scheme has any, and so the last
# comma of a line always stands before what was written last, whatever quotes somebody left open further to the left.
_VALUE = r"[!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]+|\"[^\"\\]*\""
_PAIR = re.compile(rf"([a-z]+)=({_VALUE})", re.IGNORECASE)
_ELEMENT = re.compile(rf"{_PAIR.pattern}(?:[ \t]*;[ \t]*{_PAIR.pattern})*;?", re.IGNORECASE)


class TrustedProxies:
    """The proxies whose word counts, and the notation in which they give it.

    `proxies` are networks or addresses, as text ("10.0.0.0/8") or as objects of `ipaddress`, or "unix" for whoever
    connects over a Unix socket; none by default. `headers` is "x-forwarded" unless it is said; but where proxies tell
    the client by `proxy_protocol`, they pass on what it wrote, and no header counts that was not asked for. Raises
    `ValueError` or `TypeError` for what is neither.
    """

    def __init__(
        self,
        proxies: Iterable[Proxy] | str = (),
        headers: ProxyHeaders | None = None,
        *,
        proxy_protocol: bool = False,
    ) -> None:
        if headers not in (None, "x-forwarded", "forwarded"):
            raise ValueError(f'proxy_headers must be "x-forwarded" or "forwarded", not {headers!r}')
        given = [proxies] if isinstance(proxies, str) else list(proxies)
        self._headers = headers or (None if proxy_protocol else "x-forwarded")
        self._unix = UNIX in given
        self._networks = [_network(proxy) for proxy in given if proxy != UNIX]

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def trusts(self, address: object) -> bool:
        """Whether this, as `getpeername` has it, is a proxy whose word counts."""
        if isinstance(address, str | bytes):
            return self._unix
        if not isinstance(address, tuple) or not self._networks:
            return False
        try:
            return self._has(ip_address(str(address[0]).partition("%")[0]))
        except ValueError:
            return False

    def speaks_for_others(self, address: object) -> bool:
        """Whether that is a proxy, and what it writes into headers counts."""
        return self._headers is not None and self.trusts(address)

    def client_of(self, peer: Client, headers: Headers) -> Client:
        """The client, if `peer` is whom the connection comes from: `peer` itself, unless that is a trusted proxy.

        Raises nothing: what is malformed says nothing.
        """
        if not self.speaks_for_others(peer.address):
            return peer
        return self._by_forwarded(peer, headers) if self._headers == "forwarded" else self._by_x(peer, headers)

    def _has(self, ip: IPv4Address | IPv6Address) -> bool:
        ip = _plain(ip)
        return any(ip.version == network.version and ip in network for network in self._networks)

    def _by_x(self, peer: Client, headers: Headers) -> Client:
        address, hops = peer.address, 0
        for text in reversed(split_list(headers.get_all("x-forwarded-for"))):
            node = _node(text)
            if node is None:
                break
            address, hops = node, hops + 1
            if not self.trusts(address):
                break
        scheme = _scheme(_of_hop(headers, "x-forwarded-proto", hops))
        return Client(address, scheme or peer.scheme, _host(_of_hop(headers, "x-forwarded-host", hops)))

    def _by_forwarded(self, peer: Client, headers: Headers) -> Client:
        address, said = peer.address, dict[str, str]()
        for element in _elements(headers.get_all("forwarded")):
            said = element
            node = _node(element.get("for", ""))
            if node is None:
                break
            address = node
            if not self.trusts(address):
                break
        return Client(address, _scheme(said.get("proto")) or peer.scheme, _host(said.get("host")))


def _network(proxy: object) -> IPv4Network | IPv6Network:
    if not isinstance(proxy, str | IPv4Network | IPv6Network | IPv4Address | IPv6Address):
        raise TypeError(f"trusted_proxies has {proxy!r}: give networks such as '10.0.0.0/8', or 'unix'")
    try:
        return ip_network(proxy)
    except ValueError as error:
        raise ValueError(f"trusted_proxies: {error}; give networks such as '10.0.0.0/8', or 'unix'") from None


def _plain(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """A socket for both families has IPv4 addresses as mapped ones."""
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def _node(text: str) -> object:
    """An address as `getpeername` would have it, with port 0 where none is told; None for what is none."""
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    host, port = match[1] or match[2] or match[4], int(match[3] or 0)
    try:
        ip = _plain(ip_address(host))
    except ValueError:
        return None
    if port > 0xFFFF or (match[2] and ip.version == 6) or (match[1] and ":" not in match[1]):
        return None
    return (str(ip), port) if ip.version == 4 else (str(ip), port, 0, 0)


def _of_hop(headers: Headers, name: str, hops: int) -> str | None:
    """The value that was written together with the address so many hops away, as far as there are so many."""
    values = split_list(headers.get_all(name))
    return values[max(len(values) - max(hops, 1), 0)] if values else None


def _elements(lines: Sequence[str]) -> Iterator[dict[str, str]]:
    """The elements of Forwarded from the last to the first, up to one that is malformed; empty ones are passed over."""
    for line in reversed(lines):
        for text in reversed(line.split(",")):
            element = text.strip(" \t")
            if element:
                # In this order: on text of any form, looking for pairs could take the square of its length.
                pairs = _PAIR.findall(element) if _ELEMENT.fullmatch(element) else []
                said = {name.lower(): value.strip('"') for name, value in pairs}
                if not said or len(said) < len(pairs):
                    return
                yield said


def _scheme(text: str | None) -> str | None:
    return None if text is None else _SCHEMES.get(text.lower())


def _host(text: str | None) -> str | None:
    try:
        split_host_port(text or "")
    except ValueError:
        return None
    return text
