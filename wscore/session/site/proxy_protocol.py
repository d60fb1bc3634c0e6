"""The PROXY protocol, versions 1 and 2: who the client is, as a load balancer says before it passes on any byte.

Decides what a header is, strictly: at the first byte that fits neither version there is no header, and the connection
is to be closed without an answer, as the specification asks. Decides, too, when a header names nobody, so that the
connection's own addresses hold: the command LOCAL (a health check), the families and protocols UNKNOWN and UNSPEC, and
datagrams; and one that names the very end that has sent it, as HAProxy's health checks do with version 1, which has no
LOCAL. Of the TLVs it reads whether the client came by TLS, and skips the others. Nothing is kept but the header, of
which there may be `MAX_HEADER` bytes.

It refuses to know who may send a header, how bytes come and how long that may take. Whoever listens to it must have
asked for it, and must trust the peer: a header is no proof of anything.

Specification: doc/proxy-protocol.txt of HAProxy, sections 2.1 and 2.2, 2.2.6 for PP2_TYPE_SSL.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

__all__ = ["MAX_HEADER", "Endpoints", "ProxyHeader", "ProxyHeaderError", "is_same_end"]

# What a header of version 2 may have, TLVs included; the addresses take at most 232.
MAX_HEADER = 4096

_V1 = b"PROXY "
_V1_MAX = 107
# The shortest line there is: "PROXY UNKNOWN\r\n". The fixed part of version 2 is longer.
_V1_MIN = 15
_LINE = re.compile(rb"PROXY (TCP[46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n")
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")

_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = 16
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6, _UNIX = 0x11, 0x21, 0x31
# How long the addresses of each are, by family; of the families, each protocol from 0 (UNSPEC) to 2 (DGRAM) is valid.
_SIZES = {0: 0, 1: 12, 2: 36, 3: 216}
# PP2_TYPE_SSL: its first byte has PP2_CLIENT_SSL, five come at least.
_SSL_TLV, _CLIENT_SSL, _SSL_MIN = 0x20, 0x01, 5


class ProxyHeaderError(Exception):
    """What has come is no header. The sentence says why, and repeats nothing of it."""


class Endpoints(NamedTuple):
    """The two ends of the client's connection, each as `getpeername` would have it; both None if the header says no
    more than that the connection's own are to be used.
    """

    source: object
    destination: object
    is_encrypted: bool = False
    """Whether the client speaks TLS with the proxy, as a header of version 2 may say."""


def is_same_end(source: object, remote: object) -> bool:
    """Whether a header's `source` is the very end of the connection that sent it, `remote` as `getpeername` has it."""
    if not isinstance(source, tuple) or not isinstance(remote, tuple):
        return False  # most Unix sockets that connect have no name, and so the same
    return _host_and_port(source) == _host_and_port(remote)


def _host_and_port(address: tuple[object, ...]) -> tuple[object, object]:
    """Without zones, and IPv4 in IPv6 as IPv4."""
    host = ip_address(str(address[0]).partition("%")[0])
    return getattr(host, "ipv4_mapped", None) or host, address[1]


class ProxyHeader:
    """Reads one header, from the first byte of a connection.

    `rest` has what came behind it. Whoever must not read more than the header asks for `wanted` bytes at most.
    """

    __slots__ = ("_received", "_size", "rest")

    def __init__(self) -> None:
        self._received = bytearray()
        self._size = 0  # of the whole header, once it is known
        self.rest = b""

    @property
    def wanted(self) -> int:
        """So many bytes at least the header still has, however it goes on."""
        received = len(self._received)
        if self._size or received < _V1_MIN:
            return (self._size or _V1_MIN) - received
        if self._received.startswith(_V2):
            return _FIXED - received
        return 1 if self._received.endswith(b"\r") else 2

    def receive_data(self, data: bytes | bytearray | memoryview) -> Endpoints | None:
        """Take bytes as they come; the endpoints, once the header is complete, else None.

        Raises `ProxyHeaderError` as soon as it can be none, and is of no use afterwards.
        """
        self._received += data
        start = bytes(self._received[: len(_V2)])
        if _V2.startswith(start):
            return self._read_v2()
        if not start.startswith(_V1[: len(start)]):
            raise ProxyHeaderError("There is no PROXY protocol header in front.")
        return self._read_v1()

    def receive_eof(self) -> None:
        """Nothing more comes. Raises `ProxyHeaderError`, unless nothing has come at all."""
        if self._received:
            raise ProxyHeaderError("The connection ended within the PROXY protocol header.")

    def _read_v1(self) -> Endpoints | None:
        line = bytes(self._received[:_V1_MAX])
        end = line.find(b"\n") + 1
        if not end:
            if len(line) == _V1_MAX:
                raise ProxyHeaderError(f"The PROXY protocol line has more than {_V1_MAX} bytes.")
            return None
        self._finish(end)
        return _endpoints_of_line(line[:end])

    def _read_v2(self) -> Endpoints | None:
        if not self._size and len(self._received) >= _FIXED:
            self._size = _check_fixed(self._received)
        if not self._size or len(self._received) < self._size:
            return None
        header = bytes(self._received[: self._size])
        self._finish(self._size)
        return _endpoints_of_block(header)

    def _finish(self, size: int) -> None:
        self.rest = bytes(self._received[size:])
        self._received.clear()


def _endpoints_of_line(line: bytes) -> Endpoints:
    if _UNKNOWN.fullmatch(line):
        return Endpoints(None, None)
    match = _LINE.fullmatch(line)
    if match is None:
        raise ProxyHeaderError("The PROXY protocol line is malformed.")
    family, source, destination, source_port, destination_port = match.groups()
    return Endpoints(_v1_address(family, source, source_port), _v1_address(family, destination, destination_port))


def _v1_address(family: bytes, host: bytes, port: bytes) -> object:
    if int(port) > 0xFFFF:
        raise ProxyHeaderError("A port of the PROXY protocol line is above 65535.")
    try:
        if family == b"TCP4":
            return str(IPv4Address(host.decode("ascii"))), int(port)
        return str(IPv6Address(host.decode("ascii"))), int(port), 0, 0
    except ValueError:
        raise ProxyHeaderError("An address of the PROXY protocol line is none of its family.") from None


def _check_fixed(header: bytearray) -> int:
    """The size of the header of version 2 whose fixed part has come."""
    command, kind, size = header[12], header[13], _FIXED + int.from_bytes(header[14:16])
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError("The PROXY protocol header has a version or command that there is not.")
    if size > MAX_HEADER:
        raise ProxyHeaderError(f"The PROXY protocol header has more than {MAX_HEADER} bytes.")
    if command == _LOCAL:  # its family is ignored
        return size
    family, protocol = kind >> 4, kind & 15
    if family not in _SIZES or protocol > 2:
        raise ProxyHeaderError("The PROXY protocol header has a family or protocol that there is not.")
    if protocol and size < _FIXED + _SIZES[family]:
        raise ProxyHeaderError("The PROXY protocol header is too short for its addresses.")
    return size


def _endpoints_of_block(header: bytes) -> Endpoints:
    kind, block = header[13], header[_FIXED:]
    if header[12] == _LOCAL or kind not in (_TCP4, _TCP6, _UNIX):
        return Endpoints(None, None)
    is_encrypted = _has_client_ssl(block[_SIZES[kind >> 4] :])
    if kind == _UNIX:
        return Endpoints(_path(block[:108]), _path(block[108:216]), is_encrypted)
    width = 4 if kind == _TCP4 else 16
    source, destination = block[:width], block[width : 2 * width]
    ports = block[2 * width : 2 * width + 4]
    return Endpoints(_v2_address(source, ports[:2]), _v2_address(destination, ports[2:]), is_encrypted)


def _has_client_ssl(tlvs: bytes) -> bool:
    """Whether one of these says that the client came by TLS. One that is cut off ends them."""
    while len(tlvs) >= 3:
        kind, size = tlvs[0], int.from_bytes(tlvs[1:3])
        value, tlvs = tlvs[3 : 3 + size], tlvs[3 + size :]
        if kind == _SSL_TLV and len(value) == size >= _SSL_MIN:
            return bool(value[0] & _CLIENT_SSL)
    return False


def _v2_address(host: bytes, port: bytes) -> object:
    number = int.from_bytes(port)
    return (str(IPv4Address(host)), number) if len(host) == 4 else (str(IPv6Address(host)), number, 0, 0)


def _path(field: bytes) -> object:
    """As the system has it: a path ends at the first zero byte, an abstract name begins with one."""
    abstract = field.startswith(b"\0") and field.strip(b"\0")
    return field.rstrip(b"\0") if abstract else field.partition(b"\0")[0].decode("utf-8", "surrogateescape")
