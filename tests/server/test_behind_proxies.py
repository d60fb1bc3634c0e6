"""A server behind proxies: whose word about the client counts, in a header of the request or in front of it all."""

import logging
import socket
import ssl
import struct
from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing
import trustme

import wscore

from ..raw import Raw, dial, echo, serving, status_of, url_of

pytestmark = pytest.mark.usefixtures("each_transport")

LOCAL = {"trusted_proxies": ["127.0.0.0/8"]}
V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n"
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2 = V2_SIGNATURE + b"\x21\x11\x00\x0f\xcb\x00\x71\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb\x04\x00\x00"
V2_LOCAL = V2_SIGNATURE + b"\x20\x00\x00\x00"
# What HAProxy sends ahead of a health check with version 1: the ends of this connection.
OF_ITSELF = b"PROXY TCP4 127.0.0.1 127.0.0.1 <port> 443\r\n"
CLIENT, SERVER = ("203.0.113.7", 56324), ("198.51.100.1", 443)


async def tell(ws: wscore.WebSocket) -> None:
    client = ws.request.client
    assert client.address == ws.remote_address
    await ws.send(f"{ws.remote_address} {client.scheme} {client.host}")
    await ws.send(f"{ws.local_address}")


async def told(raw: Raw, *, first: bytes = b"", **headers: str | None) -> list[str]:
    """What the server thinks of a client that sends this."""
    await raw.send(first)
    await raw.upgrade(**headers)
    return [frame.payload.decode() for frame in (await raw.frames(2))[:2]]


async def test_a_trusted_proxy_tells_address_scheme_and_host() -> None:
    said = {"X_Forwarded_For": "10.9.9.9, 203.0.113.7", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "example.org"}
    async with serving(tell, **LOCAL) as server, dial(server) as raw:
        assert (await told(raw, **said))[0] == "('203.0.113.7', 0) https example.org"


async def test_in_the_notation_of_rfc_7239_too() -> None:
    said = {
        "Forwarded": 'for=10.9.9.9, for="[2001:db8::7]:5";proto=https;host=example.org',
        "X_Forwarded_For": "10.8.8.8",
    }
    async with serving(tell, **LOCAL, proxy_headers="forwarded") as server, dial(server) as raw:
        assert (await told(raw, **said))[0] == "('2001:db8::7', 5, 0, 0) https example.org"


async def test_nobody_elses_word_counts() -> None:
    said = {"X_Forwarded_For": "203.0.113.7", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "example.org"}
    for options in ({}, {"trusted_proxies": ["10.0.0.0/8", "unix"]}):
        async with serving(tell, **options) as server, dial(server) as raw:
            own = raw.stream.socket.getsockname()
            assert (await told(raw, **said))[0] == f"{own} http None"


async def test_a_proxy_may_be_on_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listening = trio.socket.socket(socket.AF_UNIX)
    await listening.bind(path)
    listening.listen()
    options = {"trusted_proxies": "unix", "proxy_protocol": True, "proxy_headers": "x-forwarded"}
    async with serving(tell, listeners=[trio.SocketListener(listening)], **options):
        for first, address in ((V2_LOCAL, ("203.0.113.9", 0)), (V1, CLIENT)):
            raw = Raw(await trio.open_unix_socket(path))
            assert (await told(raw, first=first, X_Forwarded_For="203.0.113.9"))[0].startswith(f"{address} http")
            await raw.aclose()


@pytest.mark.parametrize(
    ("origin", "headers", "status"),
    [
        ("https://example.org", {"X_Forwarded_Host": "example.org"}, 101),
        ("https://example.org", {}, 403),
        ("https://evil.example", {"X_Forwarded_Host": "example.org"}, 403),
        ("http://localhost", {"X_Forwarded_Host": "example.org"}, 403),
        ("http://localhost", {"X_Forwarded_Host": "not a host"}, 101),
        ("https://localhost", {}, 101),
        ("https://localhost", {"X_Forwarded_Proto": "https"}, 101),
        ("http://localhost", {"X_Forwarded_Proto": "https"}, 403),
        ("ws://localhost", {"X_Forwarded_Proto": "https"}, 403),
        ("http://localhost", {"X_Forwarded_Proto": "http"}, 101),
    ],
)
async def test_pages_of_the_host_that_a_trusted_proxy_tells_may_connect(
    origin: str, headers: dict[str, str], status: int
) -> None:
    async with serving(**LOCAL) as server, dial(server) as raw:
        await raw.ask(Origin=origin, **headers)
        assert status_of(await raw.head()) == status


async def test_nobody_elses_word_makes_a_connection_one_over_tls() -> None:
    async with serving(trusted_proxies=["10.0.0.0/8"]) as server, dial(server) as raw:
        await raw.ask(Origin="http://localhost", X_Forwarded_Proto="https")
        assert status_of(await raw.head()) == 101


async def test_a_host_that_anybody_else_tells_lets_no_page_connect() -> None:
    async with serving(trusted_proxies=["10.0.0.0/8"]) as server, dial(server) as raw:
        await raw.ask(Origin="https://example.org", X_Forwarded_Host="example.org")
        assert status_of(await raw.head()) == 403


# The PROXY protocol


@pytest.mark.parametrize("header", [V1, V2])
async def test_a_header_in_front_tells_both_addresses(header: bytes) -> None:
    async with serving(tell, **LOCAL, proxy_protocol=True) as server, dial(server) as raw:
        assert await told(raw, first=header) == [f"{CLIENT} http None", f"{SERVER}"]


@pytest.mark.parametrize("header", [V2_LOCAL, b"PROXY UNKNOWN\r\n"])
async def test_one_that_names_nobody_leaves_the_addresses_of_the_connection(header: bytes) -> None:
    async with serving(tell, **LOCAL, proxy_protocol=True) as server, dial(server) as raw:
        own = raw.stream.socket.getsockname()
        assert await told(raw, first=header) == [f"{own} http None", f"{server.addresses[0]}"]


@pytest.mark.parametrize(("tlv", "scheme"), [(b"\x20\x00\x05\x01", "https"), (b"\x20\x00\x05\x00", "http")])
async def test_a_header_in_front_says_whether_the_client_came_by_tls(tlv: bytes, scheme: str) -> None:
    header = V2[:15] + b"\x14" + V2[16:-3] + tlv + bytes(4)
    async with serving(tell, **LOCAL, proxy_protocol=True) as server:
        async with dial(server) as raw:
            assert (await told(raw, first=header))[0] == f"{CLIENT} {scheme} None"
        async with dial(server) as raw:
            await raw.send(header)
            await raw.ask(Origin="http://localhost")
            assert status_of(await raw.head()) == (403 if scheme == "https" else 101)


async def test_one_that_names_its_own_end_names_nobody_and_another_port_of_the_proxy_is_a_client() -> None:
    limit = {"proxy_protocol": True, "max_connections_per_address": 1}
    async with serving(tell, **LOCAL, **limit) as server, dial(server) as one, dial(server) as two, dial(server) as raw:
        for proxy in (one, two):
            own = proxy.stream.socket.getsockname()
            first = OF_ITSELF.replace(b"<port>", b"%d" % own[1])
            assert await told(proxy, first=first) == [f"{own} http None", f"{server.addresses[0]}"]
        assert (await told(raw, first=OF_ITSELF.replace(b"<port>", b"1")))[0] == "('127.0.0.1', 1) http None"


async def test_header_and_request_may_come_byte_by_byte_or_all_at_once() -> None:
    request = Raw(trio.testing.MemorySendStream())  # only to have its bytes
    await request.ask()
    everything = V2 + request.stream.get_data_nowait()
    async with serving(tell, **LOCAL, proxy_protocol=True) as server:
        for step in (1, len(everything)):
            async with dial(server) as raw:
                for at in range(0, len(everything), step):
                    await raw.send(everything[at : at + step])
                assert status_of(await raw.head()) == 101
                assert (await raw.frames(2))[0].payload.decode() == f"{CLIENT} http None"


async def test_balancers_in_front_of_proxies_name_the_proxy_and_that_the_client() -> None:
    trusted = ["127.0.0.1", "203.0.113.0/24"]
    options = {"trusted_proxies": trusted, "proxy_protocol": True, "proxy_headers": "x-forwarded"}
    async with serving(tell, **options) as server, dial(server) as raw:
        said = await told(raw, first=V1, X_Forwarded_For="192.0.2.77")
        assert said[0] == "('192.0.2.77', 0) http None"


@pytest.mark.parametrize("first", [V1, V2_LOCAL, b"PROXY UNKNOWN\r\n"])
async def test_behind_proxy_protocol_no_header_counts_that_was_not_asked_for(first: bytes) -> None:
    everybody = {"trusted_proxies": "0.0.0.0/0", "proxy_protocol": True}
    async with serving(tell, **everybody) as server, dial(server) as raw:
        own = CLIENT if first == V1 else raw.stream.socket.getsockname()
        headers = {"X_Forwarded_For": "192.0.2.77", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "other.example"}
        assert (await told(raw, first=first, **headers))[0] == f"{own} http None"


async def test_who_is_named_in_front_is_held_to_its_limits_though_it_might_be_a_proxy() -> None:
    everybody = {"trusted_proxies": "0.0.0.0/0", "proxy_protocol": True, "max_connections_per_address": 1}
    async with serving(tell, **everybody) as server, dial(server) as one, dial(server) as two, dial(server) as three:
        for raw in (one, two):
            await raw.send(V1)
            await raw.ask()
        assert sorted([status_of(await raw.head()) for raw in (one, two)]) == [101, 429]
        await three.send(V2_LOCAL)  # the balancer's own, which has as many as it likes
        await three.ask()
        assert status_of(await three.head()) == 101


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize(
    "first", [b"", V2_LOCAL, b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", OF_ITSELF]
)
async def test_a_health_check_of_a_balancer_is_neither_refused_nor_warned_of(
    caplog: pytest.LogCaptureFixture, first: bytes, is_encrypted: bool, is_reset: bool
) -> None:
    caplog.set_level(logging.INFO)
    context = None
    if is_encrypted:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("localhost").configure_cert(context)
    async with serving(tell, **LOCAL, proxy_protocol=True, ssl_context=context) as server:
        for _ in range(3):
            async with dial(server) as raw:
                await raw.send(first.replace(b"<port>", b"%d" % raw.stream.socket.getsockname()[1]))
                while server._limits._connections.count == 0:
                    await trio.lowlevel.checkpoint()
                if is_reset:
                    raw.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            while server._limits._connections.count:
                await trio.lowlevel.checkpoint()
        statistics = server.statistics()
        assert (statistics.refusals, statistics.tls_failures, statistics.errors) == ({}, 0, 0)
        assert sum(statistics.dropped.values()) == (0 if first else 3)
    assert caplog.records == []


async def test_a_client_that_the_header_names_is_no_proxy_unless_it_is_trusted_itself() -> None:
    async with serving(tell, **LOCAL, proxy_protocol=True) as server, dial(server) as raw:
        assert (await told(raw, first=V1, X_Forwarded_For="192.0.2.77"))[0] == f"{CLIENT} http None"


async def test_tls_begins_behind_the_header() -> None:
    authority = trustme.CA()
    context, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(trusting)
    async with serving(tell, **LOCAL, proxy_protocol=True, ssl_context=context) as server:
        for header in (V1, V2):
            stream = await trio.open_tcp_stream(*server.addresses[0])
            await stream.send_all(header)
            encrypted = trio.SSLStream(stream, trusting, server_hostname="localhost", https_compatible=True)
            assert (await told(Raw(encrypted)))[0] == f"{CLIENT} https None"
            await trio.aclose_forcefully(encrypted)


async def is_dropped(raw: Raw) -> bool:
    """Whether the server ends without a word."""
    try:
        return not await raw.rest()
    except trio.BrokenResourceError:
        return True


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\n", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY TCP4 " + b"1" * 200, V2[:12] + b"\x11\0\0\0"]
)
async def test_without_a_good_header_there_is_no_answer(first: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(**LOCAL, proxy_protocol=True) as server, dial(server) as raw:
        await raw.send(first)
        assert await is_dropped(raw)
        statistics = server.statistics()
        assert (statistics.dropped, statistics.refusals, statistics.errors) == ({"proxy_header": 1}, {}, 0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "PROXY protocol" in caplog.text


async def test_a_header_that_never_ends_is_dropped_in_time() -> None:
    async with serving(**LOCAL, proxy_protocol=True, handshake_timeout=0.05) as server, dial(server) as raw:
        await raw.send(V1[:-1])
        assert await is_dropped(raw)
        assert server.statistics().dropped == {"proxy_header": 1}
        assert server.statistics().tls_failures == 0


async def test_a_closing_server_waits_for_no_header() -> None:
    async with serving(**LOCAL, proxy_protocol=True) as server, dial(server) as raw:
        await raw.send(V1[:-1])
        while not server.statistics().handshakes:
            await trio.lowlevel.checkpoint()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.aclose)
            assert await is_dropped(raw)
    assert server.statistics().dropped == {"closing": 1}


async def test_whoever_only_looks_whether_we_are_there_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(**LOCAL, proxy_protocol=True) as server:
        async with dial(server) as raw:
            await raw.stream.send_eof()
            assert await is_dropped(raw)
        assert server.statistics().dropped == {"gone": 1}
    assert caplog.records == []


async def test_whoever_is_not_trusted_has_no_header_to_send() -> None:
    async with serving(tell, trusted_proxies=["10.0.0.0/8"], proxy_protocol=True) as server:
        async with dial(server) as raw:
            own = raw.stream.socket.getsockname()
            assert (await told(raw))[0] == f"{own} http None"
        async with dial(server) as raw:
            await raw.send(V1)
            await raw.ask()
            assert status_of(await raw.rest()) == 400


async def test_without_proxy_protocol_a_header_is_no_request() -> None:
    async with serving(**LOCAL) as server, dial(server) as raw:
        await raw.send(V1)
        await raw.ask()
        assert status_of(await raw.rest()) == 400


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"proxy_protocol": True}, ValueError, "proxy_protocol needs trusted_proxies"),
        ({"trusted_proxies": ["everybody"]}, ValueError, "trusted_proxies"),
        ({"trusted_proxies": [5]}, TypeError, "trusted_proxies"),
        ({"proxy_headers": "x"}, ValueError, "proxy_headers"),
    ],
)
async def test_senseless_arguments_are_misuse(options: dict, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        await wscore.serve(echo, "127.0.0.1", 0, **options)
    stream, _ = trio.testing.memory_stream_pair()
    with pytest.raises(error, match=sentence):
        await wscore.serve_stream(echo, stream, **options)
    await trio.aclose_forcefully(stream)


async def test_messages_flow_as_ever() -> None:
    async with serving(**LOCAL, proxy_protocol=True) as server:
        stream = await trio.open_tcp_stream(*server.addresses[0])
        await stream.send_all(V2)
        async with wscore.connect(url_of(server), stream=stream) as ws:
            await ws.send("x" * 100_000)
            assert await ws.receive() == "x" * 100_000
