"""The PROXY protocol: which headers there are, what they say, and at which byte anything else is none."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.session.site.proxy_protocol import MAX_HEADER, Endpoints, ProxyHeader, ProxyHeaderError, is_same_end

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
OWN = Endpoints(None, None)


def v2(command: int = 0x21, kind: int = 0x11, block: bytes = b"", size: int | None = None) -> bytes:
    return SIGNATURE + bytes([command, kind]) + (len(block) if size is None else size).to_bytes(2) + block


def ipv4(source: str, destination: str, source_port: int, destination_port: int) -> bytes:
    hosts = b"".join(map(socket.inet_aton, (source, destination)))
    return hosts + source_port.to_bytes(2) + destination_port.to_bytes(2)


def ipv6(source: str, destination: str, source_port: int, destination_port: int) -> bytes:
    hosts = b"".join(socket.inet_pton(socket.AF_INET6, host) for host in (source, destination))
    return hosts + source_port.to_bytes(2) + destination_port.to_bytes(2)


def unix(source: bytes, destination: bytes) -> bytes:
    return source.ljust(108, b"\0") + destination.ljust(108, b"\0")


TCP4 = ipv4("192.0.2.7", "198.51.100.1", 56324, 443)
TCP6 = ipv6("2001:db8::7", "2001:db8::1", 1, 65535)
FROM_IPV4 = Endpoints(("192.0.2.7", 56324), ("198.51.100.1", 443))
FROM_IPV6 = Endpoints(("2001:db8::7", 1, 0, 0), ("2001:db8::1", 65535, 0, 0))
LONGEST = b"ffff:" * 7 + b"ffff"

GOOD = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", FROM_IPV4),
    (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", Endpoints(("0.0.0.0", 0), ("255.255.255.255", 65535))),
    (b"PROXY TCP6 2001:db8::7 2001:DB8:0::1 1 65535\r\n", FROM_IPV6),
    (
        b"PROXY TCP6 " + LONGEST + b" " + LONGEST + b" 65535 65535\r\n",
        Endpoints((LONGEST.decode(), 65535, 0, 0), (LONGEST.decode(), 65535, 0, 0)),
    ),
    (b"PROXY UNKNOWN\r\n", OWN),
    (b"PROXY UNKNOWN ffff whatever \x00\xff\r\n", OWN),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", OWN),  # 107 bytes
    (v2(block=TCP4), FROM_IPV4),
    (v2(block=TCP4 + b"\x04\x00\x02ab"), FROM_IPV4),  # a TLV
    (v2(block=TCP4 + bytes(MAX_HEADER - 16 - 12)), FROM_IPV4),
    (v2(kind=0x21, block=TCP6), FROM_IPV6),
    (v2(kind=0x21, block=TCP6 + b"\x20\x00\x05" + bytes(5)), FROM_IPV6),
    # The client came by TLS; what is too short, cut off, or stands in another TLV does not say so.
    (v2(block=TCP4 + b"\x20\x00\x05\x01" + bytes(4)), FROM_IPV4._replace(is_encrypted=True)),
    (v2(block=TCP4 + b"\x04\x00\x00\x20\x00\x08\x07" + bytes(7)), FROM_IPV4._replace(is_encrypted=True)),
    (v2(block=TCP4 + b"\x20\x00\x04\x01" + bytes(3)), FROM_IPV4),
    (v2(block=TCP4 + b"\x20\x00\x06\x01" + bytes(4)), FROM_IPV4),
    (v2(block=TCP4 + b"\x04\x00\x08\x20\x00\x05\x01" + bytes(4)), FROM_IPV4),
    (v2(kind=0x31, block=unix(b"/a", b"/b") + b"\x20\x00\x05\x01" + bytes(4)), Endpoints("/a", "/b", True)),
    (v2(kind=0x31, block=unix(b"/run/a", b"/run/b")), Endpoints("/run/a", "/run/b")),
    (v2(kind=0x31, block=unix(b"", b"\0name")), Endpoints("", b"\0name")),
    (v2(kind=0x31, block=unix(b"x" * 108, b"")), Endpoints("x" * 108, "")),
    (v2(0x20, 0x00), OWN),
    (v2(0x20, 0xFF, b"ignored"), OWN),
    (v2(0x20, 0x11, TCP4), OWN),
    (v2(kind=0x00), OWN),
    (v2(kind=0x00, block=b"unspecified"), OWN),
    (v2(kind=0x10), OWN),
    (v2(kind=0x01), OWN),
    (v2(kind=0x12, block=TCP4), OWN),  # datagrams
    (v2(kind=0x22, block=TCP6), OWN),
    (v2(kind=0x32, block=unix(b"/run/a", b"/run/b")), OWN),
]
BAD = [
    b"G",
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"PROXX",
    b"proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY\r\n",
    b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 \r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 -2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 123456\r\n",
    b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 ::1 ::2 1 2\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP6 ::1 1:2 1 2\r\n",
    b"PROXY TCP6 ::1%lo ::2 1 2\r\n",
    b"PROXY TCP6 12345::1 ::2 1 2\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY UNKNOWN \n",
    b"PROXY UNKNOWN \r \r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",  # 108 bytes
    b"PROXY TCP4 " + b"1" * 96,
    SIGNATURE[:-1] + b"\x0b",
    b"\r\n\r\nGET / HTTP/1.1\r\n",
    v2(0x11),
    v2(0x22, block=TCP4),
    v2(0x2F, block=TCP4),
    v2(0x00),
    v2(kind=0x13, block=TCP4),
    v2(kind=0x41, block=bytes(300)),
    v2(kind=0xF0),
    v2(kind=0x0F),
    v2(block=TCP4[:-1]),
    v2(kind=0x21, block=TCP4),
    v2(kind=0x31, block=bytes(215)),
    v2(kind=0x12, block=b""),
    v2(block=TCP4, size=MAX_HEADER - 16 + 1),
    v2(0x20, 0x00, size=65535),
]


def read(data: bytes, step: int = 1 << 20) -> tuple[Endpoints | None, bytes]:
    header = ProxyHeader()
    for at in range(0, len(data), step):
        endpoints = header.receive_data(data[at : at + step])
        if endpoints is not None:
            return endpoints, header.rest + data[at + step :]
    return None, b""


@pytest.mark.parametrize(("data", "endpoints"), GOOD)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_what_a_header_says_and_what_follows_it(data: bytes, endpoints: Endpoints, step: int) -> None:
    assert read(data, step) == (endpoints, b"")
    assert read(data + b"GET / HTTP/1.1\r\n", step) == (endpoints, b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(("data", "endpoints"), GOOD)
def test_a_header_is_not_complete_before_its_last_byte(data: bytes, endpoints: Endpoints) -> None:
    assert read(data[:-1]) == (None, b"")


@pytest.mark.parametrize("data", BAD)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_anything_else_is_no_header(data: bytes, step: int) -> None:
    with pytest.raises(ProxyHeaderError, match=r"PROXY protocol.*\.$"):
        read(data, step)


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b"GET / HTTP/1.1", 1),
        (b"PROXZ TCP4 ", 5),
        (b"\r\n\r\nX", 5),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n.", 38),
        (b"PROXY UNKNOWN " + b"x" * 200, 107),
        (v2(0x22, block=TCP4), 16),
        (v2(size=5000), 16),
    ],
)
def test_it_fails_at_the_first_byte_that_cannot_be(data: bytes, at: int) -> None:
    header = ProxyHeader()
    for byte in data[: at - 1]:
        assert header.receive_data(bytes([byte])) is None
    with pytest.raises(ProxyHeaderError):
        header.receive_data(data[at - 1 : at])


@pytest.mark.parametrize(("data", "endpoints"), GOOD)
def test_who_reads_no_more_than_is_wanted_never_reads_past_the_header(data: bytes, endpoints: Endpoints) -> None:
    header, at, found = ProxyHeader(), 0, None
    stream = data + b"\x16\x03\x01 the first bytes of TLS"
    while found is None:
        assert header.wanted > 0
        part = stream[at : at + header.wanted]
        at += len(part)
        found = header.receive_data(part)
    assert (found, at, header.rest) == (endpoints, len(data), b"")


def test_an_end_within_the_header_is_an_error_and_one_before_it_is_not() -> None:
    ProxyHeader().receive_eof()
    header = ProxyHeader()
    header.receive_data(b"PROXY ")
    with pytest.raises(ProxyHeaderError, match="ended"):
        header.receive_eof()


@given(st.binary(max_size=200), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ::", SIGNATURE]))
def test_whatever_comes_is_a_header_or_none_but_never_another_error(data: bytes, start: bytes) -> None:
    header = ProxyHeader()
    try:
        endpoints = header.receive_data(start + data)
    except ProxyHeaderError:
        return
    if endpoints is None:
        assert 0 < header.wanted <= MAX_HEADER
    else:
        assert (start + data).endswith(header.rest)


@pytest.mark.parametrize(
    ("source", "remote", "same"),
    [
        (("127.0.0.1", 5), ("127.0.0.1", 5), True),
        (("127.0.0.1", 5), ("::ffff:127.0.0.1", 5, 0, 0), True),
        (("fe80::1", 5, 0, 0), ("fe80::1%eth0", 5, 0, 2), True),
        (("2001:db8:0::1", 5, 0, 0), ("2001:db8::1", 5, 0, 0), True),
        (("127.0.0.1", 5), ("127.0.0.1", 6), False),
        (("127.0.0.1", 5), ("127.0.0.2", 5), False),
        (("127.0.0.1", 5), "/run/proxy.sock", False),
        (("127.0.0.1", 5), "", False),
        (("127.0.0.1", 5), None, False),
        ("", "", False),
        ("/run/client.sock", "", False),
    ],
)
def test_who_names_its_own_end(source: object, remote: object, same: bool) -> None:
    assert is_same_end(source, remote) is same
