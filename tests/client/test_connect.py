"""The client: how it gets to a WebSocket, and everything that may come in between."""

import contextlib
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing
import trustme

import wscore
from wscore.client.connect import _default_context
from wscore.protocol.request import accept_key
from wscore.server.pages import plain

from ..raw import Raw, echo, serving, url_of
from ..steps import cancelled_at


@pytest.fixture(autouse=True, params=["stream", pytest.param("auto", marks=pytest.mark.native)])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What moves the bytes of clients; what is tested holds on both."""
    if request.param == "stream":
        monkeypatch.setattr(wscore, "connect", partial(wscore.connect, transport="stream"))
    return request.param


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, trio.SocketListener]]:
    """A listener without a server behind it, and its URL."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        yield f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/", listener


async def answer(listener: trio.SocketListener, response: bytes, *, reset: bool = False) -> None:
    """Accept one connection, read its request, answer, close."""
    async with await listener.accept() as stream:
        await Raw(stream).head()
        if reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        else:
            await stream.send_all(response)
            await stream.send_eof()
            await Raw(stream).rest()


def switch_for(head: bytes) -> bytes:
    """The answer of a server that opens a WebSocket."""
    key = next(
        line.partition(b": ")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
    )
    answer = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    return f"{answer}{accept_key(key.decode())}\r\n\r\n".encode()


async def failure_of(url: str, **options: object) -> BaseException:
    """What `connect` raises."""
    with pytest.raises(BaseException) as caught:
        async with wscore.connect(url, **options):
            raise AssertionError("it connected")
    return caught.value


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


# What works


async def test_messages_go_both_ways_and_the_end_of_the_block_closes_with_1000() -> None:
    async with serving() as server:
        async with wscore.connect(url_of(server, "/chat?room=1")) as ws:
            await ws.send("hello")
            assert await ws.receive() == "hello"
            assert ws.response.status == 101
            assert ws.request is None
            assert ws.remote_address == server.addresses[0]
        assert (ws.close_code, ws.close_reason) == (1000, "")
        with pytest.raises(trio.ClosedResourceError):
            await ws.receive()


async def test_an_exception_in_the_block_closes_with_1011_and_is_raised_as_it_is() -> None:
    codes = []

    async def handler(ws: wscore.WebSocket) -> None:
        async for _ in ws:
            pass
        codes.append(ws.close_code)

    async with serving(handler) as server:
        error = KeyError("mine")
        with pytest.raises(KeyError) as caught:
            async with wscore.connect(url_of(server)):
                raise error
        assert caught.value is error
    assert codes == [1011]


async def test_headers_subprotocols_and_credentials_are_sent() -> None:
    seen = []

    def on_request(request: wscore.Request) -> wscore.Accept:
        seen.append(request)
        return wscore.Accept()

    async with serving(on_request=on_request, subprotocols=["b"]) as server:
        url = url_of(server, "/path?query").replace("ws://", "ws://ada:secret@")
        async with wscore.connect(url, headers={"X-Token": "42"}, subprotocols=["a", "b"]) as ws:
            assert ws.subprotocol == "b"
    (request,) = seen
    assert request.target == "/path?query"
    assert request.headers.get("x-token") == "42"
    assert request.headers.get("authorization") == "Basic YWRhOnNlY3JldA=="
    assert request.headers.get("host") == f"127.0.0.1:{server.addresses[0][1]}"


async def test_a_stream_may_be_brought_along_and_belongs_to_the_websocket() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wscore.serve_stream, echo, theirs)
        async with wscore.connect("ws://nowhere.invalid/", stream=ours) as ws:
            assert (ws.local_address, ws.remote_address) == (None, None)
            await ws.send("hello")
            assert await ws.receive() == "hello"
    with pytest.raises(trio.ClosedResourceError):
        await ours.send_all(b"x")


async def test_sockets_go_to_the_reactor_and_other_streams_do_not(transport: str) -> None:
    async with serving() as server:
        stream = await trio.open_tcp_stream(*server.addresses[0][:2])
        given = {"stream": stream, "transport": "stream" if transport == "stream" else "reactor"}
        for options in ({}, given):
            async with wscore.connect(url_of(server), **options) as ws:
                assert type(ws).__name__ == ("StreamWebSocket" if transport == "stream" else "ReactorWebSocket")
                await ws.send("hello")
                assert await ws.receive() == "hello"
        tcp = await trio.open_tcp_stream(*server.addresses[0][:2])
        async with wscore.connect(url_of(server), stream=tcp) as ws:
            assert type(ws).__name__ == "StreamWebSocket"


async def test_the_reactor_wants_sockets() -> None:
    ours, _ = trio.testing.memory_stream_pair()
    assert isinstance(await failure_of("ws://x/", stream=ours, transport="reactor"), ValueError)
    assert isinstance(await failure_of("ws://x/", transport="carrier pigeon"), ValueError)


async def test_frames_behind_the_answer_are_the_first_of_the_websocket() -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        await ws.send("at once")

    async with serving(handler) as server, wscore.connect(url_of(server)) as ws:
        assert [message async for message in ws] == ["at once"]


async def test_limits_bind_the_client_too() -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        await ws.send("x" * 1001)
        async for _ in ws:
            pass

    async with serving(handler) as server:
        async with wscore.connect(url_of(server), max_message_size=1000) as ws:
            with pytest.raises(wscore.ConnectionLost) as caught:
                await ws.receive()
            assert caught.value.code == 1009
        async with wscore.connect(url_of(server), max_message_size=1001) as ws:
            assert len(await ws.receive()) == 1001


async def test_pieces_may_be_asked_for() -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        await ws.send_pieces(["one", "two", "three"])

    async with serving(handler) as server, wscore.connect(url_of(server), pieces=True) as ws:
        assert "".join([piece async for piece in ws.receive_pieces()]) == "onetwothree"


# Nobody there


async def test_a_closed_port_is_a_connection_refused() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        error = await failure_of(f"ws://{address}/")
    assert type(error) is ConnectionRefusedError
    assert address in str(error)


async def test_an_unknown_name_is_an_os_error() -> None:
    assert isinstance(await failure_of("ws://nowhere.invalid/"), OSError)


async def test_a_server_that_cannot_be_reached_in_time_is_too_slow() -> None:
    # Its queue is full, so the system answers no further attempt.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        error = await failure_of(f"ws://127.0.0.1:{full.getsockname()[1]}/", connect_timeout=0.05)
        for filler in fillers:
            filler.close()
    assert type(error) is trio.TooSlowError


# Somebody else there


async def test_a_server_that_never_answers_is_too_slow() -> None:
    async with listening() as (url, _):
        before = open_descriptors()
        assert type(await failure_of(url, handshake_timeout=0.05)) is trio.TooSlowError
        assert open_descriptors() == before


async def test_ten_seconds_are_enough(autojump_clock: trio.testing.MockClock) -> None:
    ours, _ = trio.testing.memory_stream_pair()
    start = trio.current_time()
    assert type(await failure_of("ws://example.org/", stream=ours)) is trio.TooSlowError
    assert trio.current_time() - start == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("status", "response"),
    [
        (None, b""),
        (None, b"HTTP/1.1 101 Switching"),
        (None, b"rubbish\r\n\r\n"),
        (None, b"\x00" * 100),
        (200, b"HTTP/1.1 200 OK\r\n\r\nhello"),
        (101, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        (302, b"HTTP/1.1 302 Found\r\nLocation: ws://other.example/\r\nContent-Length: 0\r\n\r\n"),
        (431, b"HTTP/1.1 431 Large\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"),
        (502, b"HTTP/1.1 502 Bad\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (400, b"HTTP/1.1 400 Bad\nContent-Length: 0\n\n"),
        (503, b"HTTP/1.1 503 Busy\r\nX: ha"),
    ],
)
async def test_whatever_else_a_server_answers_is_a_handshake_error(status: int | None, response: bytes) -> None:
    async with listening() as (url, listener), trio.open_nursery() as nursery:
        nursery.start_soon(answer, listener, response)
        error = await failure_of(url)
        assert type(error) is wscore.HandshakeError
        assert (error.response and error.response.status) == status


async def test_a_server_that_resets_is_an_os_error() -> None:
    async with listening() as (url, listener), trio.open_nursery() as nursery:
        nursery.start_soon(lambda: answer(listener, b"", reset=True))
        assert isinstance(await failure_of(url), ConnectionResetError)


async def test_a_refusal_is_carried_by_the_error() -> None:
    def on_request(request: wscore.Request) -> wscore.Refuse:
        return wscore.Refuse(403, "Members only.", {"X-Why": "secret"})

    async with serving(on_request=on_request) as server:
        error = await failure_of(url_of(server))
    assert type(error) is wscore.HandshakeError
    assert (error.response.status, error.response.body) == (403, b"Members only.")
    assert error.response.headers.get("x-why") == "secret"


async def test_a_page_is_no_websocket() -> None:
    async with serving(on_request=lambda request: wscore.Page(), pages={"/": lambda: plain(200, "hi")}) as server:
        error = await failure_of(url_of(server))
    assert error.response.body == b"hi\n"


async def test_a_refusal_whose_body_never_ends_is_a_refusal_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\nhalf of")
    error = await failure_of("ws://example.org/", stream=ours)
    assert (error.response.status, error.response.body) == (503, b"half of")


async def test_a_refusal_that_comes_before_the_request_was_read_is_read() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    await theirs.aclose()
    error = await failure_of("ws://example.org/", stream=ours)
    assert error.response.status == 503


async def test_a_server_that_breaks_the_rules_afterwards_is_a_lost_connection() -> None:
    async def break_a_rule(listener: trio.SocketListener) -> None:
        async with await listener.accept() as stream:
            await stream.send_all(switch_for(await Raw(stream).head()) + b"\x83\x00")  # no opcode of RFC 6455
            await stream.send_eof()
            await Raw(stream).rest()

    async with listening() as (url, listener), trio.open_nursery() as nursery:
        nursery.start_soon(break_a_rule, listener)
        async with wscore.connect(url) as ws:
            with pytest.raises(wscore.ConnectionLost) as caught:
                await ws.receive()
            assert caught.value.code == 1002


# Misuse


@pytest.mark.parametrize(
    ("url", "options", "error"),
    [
        ("http://example.org/", {}, ValueError),
        ("example.org", {}, ValueError),
        ("ws://example.org/#part", {}, ValueError),
        ("ws://example.org:0/", {}, ValueError),
        ("ws://ex ample.org/", {}, ValueError),
        (f"ws://{'x' * 64}.org/", {}, ValueError),
        ("ws://example.org/", {"ssl_context": ssl.create_default_context()}, ValueError),
        ("ws://example.org/", {"compression": "zip"}, ValueError),
        ("ws://example.org/", {"subprotocols": ["a", "a"]}, ValueError),
        ("ws://example.org/", {"max_message_size": -1}, ValueError),
        ("ws://example.org/", {"handshake_timeout": 0}, ValueError),
        ("ws://example.org/", {"headers": {"Host": "other"}}, wscore.LocalProtocolError),
        ("ws://example.org/", {"headers": {"X": "a\r\nY: b"}}, wscore.LocalProtocolError),
    ],
)
async def test_senseless_arguments_are_misuse(url: str, options: dict, error: type[Exception]) -> None:
    assert isinstance(await failure_of(url, **options), error)


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_messages_go_both_ways_through_tls(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    context = server_context(authority, "127.0.0.1", "localhost")
    async with serving(ssl_context=context) as server:
        url = url_of(server, scheme="wss")
        for address in (url, url.replace("127.0.0.1", "localhost")):
            async with wscore.connect(address, ssl_context=trusting) as ws:
                await ws.send("x" * 300_000)
                assert await ws.receive() == "x" * 300_000
                assert ws.remote_address == server.addresses[0]
            assert ws.close_code == 1000


async def test_the_dot_of_the_root_is_for_looking_up_the_name_alone(
    authority: trustme.CA, trusting: ssl.SSLContext, transport: str
) -> None:
    """RFC 6066 section 3: the server name has none, and so no certificate."""
    context = server_context(authority, "localhost")
    names, hosts = [], []
    context.sni_callback = lambda _, name, __: names.append(name)

    def on_request(request: wscore.Request) -> wscore.Accept:
        hosts.append(request.headers.get("host"))
        return wscore.Accept()

    async with serving(ssl_context=context, on_request=on_request) as server:
        host, port = server.addresses[0]
        stream = await trio.open_tcp_stream(host, port)
        given = {"stream": stream, "transport": "stream" if transport == "stream" else "reactor"}
        async with wscore.connect(f"wss://localhost.:{port}/", ssl_context=trusting, **given):
            assert (names, hosts) == (["localhost"], [f"localhost:{port}"])


@pytest.mark.parametrize("ends", [True, False])
async def test_a_client_lets_its_server_end_first_over_tls(
    authority: trustme.CA, trusting: ssl.SSLContext, ends: bool
) -> None:
    """RFC 6455 section 7.1.1. Some servers never end; those have `close_timeout`."""
    context = server_context(authority, "127.0.0.1")
    waited = trio.Event()

    async def talk(listener: trio.SocketListener) -> None:
        async with await listener.accept() as below:
            stream = trio.SSLStream(below, context, server_side=True, https_compatible=True)
            raw = Raw(stream)
            await raw.send(switch_for(await raw.head()))
            assert await stream.receive_some()  # the Close frame
            await raw.send(b"\x88\x02\x03\xe8")
            with trio.move_on_after(0.1) as waiting:
                await Raw(below).rest()  # close_notify may come, but not the end of TCP
            assert waiting.cancelled_caught
            waited.set()
            if not ends:
                await trio.sleep_forever()

    async with listening() as (url, listener), trio.open_nursery() as nursery:
        nursery.start_soon(talk, listener)
        options = {"ssl_context": trusting, "close_timeout": 60 if ends else 0.3}
        async with wscore.connect(url.replace("ws:", "wss:"), **options) as ws:
            pass
        assert waited.is_set()
        assert (ws.close_code, ws.statistics().reset) == (1000, False)
        nursery.cancel_scope.cancel()


async def test_a_server_that_ends_tcp_when_it_has_our_close_notify_is_not_kept_waiting(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    """As asyncio's servers do: it would last for `close_timeout`."""
    context = server_context(authority, "127.0.0.1")

    async def talk(listener: trio.SocketListener) -> None:
        async with await listener.accept() as below:
            stream = trio.SSLStream(below, context, server_side=True)
            raw = Raw(stream)
            await raw.send(switch_for(await raw.head()))
            assert await stream.receive_some()  # the Close frame
            await raw.send(b"\x88\x02\x03\xe8")
            await stream.unwrap()

    async with listening() as (url, listener), trio.open_nursery() as nursery:
        nursery.start_soon(talk, listener)
        with trio.fail_after(60):
            async with wscore.connect(url.replace("ws:", "wss:"), ssl_context=trusting, close_timeout=600) as ws:
                pass
        assert (ws.close_code, ws.statistics().reset) == (1000, False)


class Resolver(trio.abc.HostnameResolver):
    """Knows no name, but which were asked for."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def getaddrinfo(self, host: bytes | None, *arguments: object) -> list:
        self.asked.append(host)
        raise OSError(f"no address for {host!r}")

    async def getnameinfo(self, sockaddr: tuple, flags: int) -> tuple[str, str]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("ws://example.org.:81/", b"example.org."),
        ("ws://stra\xdfe.de/", b"xn--strae-oqa.de"),
    ],
)
async def test_what_is_looked_up_is_what_the_url_means(url: str, name: bytes) -> None:
    resolver = Resolver()
    trio.socket.set_custom_hostname_resolver(resolver)
    assert isinstance(await failure_of(url), OSError)
    assert resolver.asked == [name]


@pytest.mark.parametrize("trusts", [True, False], ids=["wrong name", "unknown authority"])
async def test_a_certificate_that_does_not_fit_is_an_ssl_error(
    authority: trustme.CA, trusting: ssl.SSLContext, trusts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wscore")
    context = server_context(authority, "other.example" if trusts else "127.0.0.1")
    async with serving(ssl_context=context) as server:
        error = await failure_of(url_of(server, scheme="wss"), ssl_context=trusting if trusts else None)
        assert type(error) is ssl.SSLCertVerificationError
        assert isinstance(error, OSError)
        while not server.statistics().tls_failures:
            await trio.lowlevel.checkpoint()
    assert [record.levelname for record in caplog.records] == ["INFO"]


async def test_the_default_context_verifies_and_asks_for_http_1_1(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    _default_context.cache_clear()
    chosen = []

    async def serve(listener: trio.SocketListener) -> None:
        context = server_context(authority, "127.0.0.1")
        async with trio.SSLStream(await listener.accept(), context, server_side=True, https_compatible=True) as stream:
            await stream.do_handshake()
            chosen.append(stream.selected_alpn_protocol())
            await stream.send_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    async with listening() as (url, listener), trio.open_nursery() as nursery:
        nursery.start_soon(serve, listener)
        error = await failure_of(url.replace("ws:", "wss:"))
    _default_context.cache_clear()
    assert error.response.status == 404
    assert chosen == ["http/1.1"]


async def test_tls_that_is_never_answered_is_too_slow() -> None:
    async with listening() as (url, _):
        error = await failure_of(url.replace("ws:", "wss:"), handshake_timeout=0.05)
    assert type(error) is trio.TooSlowError


async def test_tls_goes_over_a_stream_that_was_brought_along(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    context = server_context(authority, "example.org")

    async def serve() -> None:
        await wscore.serve_stream(echo, theirs, ssl_context=context)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with wscore.connect("wss://example.org/", stream=ours, ssl_context=trusting) as ws:
            await ws.send("hello")
            assert await ws.receive() == "hello"


# Cancellation


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_cancelled_at_every_await_it_leaves_nothing_behind(
    authority: trustme.CA, trusting: ssl.SSLContext, secure: bool
) -> None:
    context = server_context(authority, "127.0.0.1") if secure else None

    async def talk() -> None:
        try:
            async with wscore.connect(url, ssl_context=trusting if secure else None) as ws:
                await ws.send("hello")
                assert await ws.receive() == "hello"
        except BaseException as error:
            assert type(error) is trio.Cancelled  # noqa: PT017 - in no group
            raise

    async with serving(ssl_context=context) as server:
        url = url_of(server, scheme="wss" if secure else "ws")
        before = open_descriptors()
        step = 1
        while await cancelled_at(step, talk):
            step += 1
            while open_descriptors() != before:  # until the server has noticed
                await trio.lowlevel.checkpoint()
        assert step > 5
        assert server.statistics().errors == 0


async def test_cancelled_in_the_block_it_closes_at_once(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    ended = []

    async def handler(ws: wscore.WebSocket) -> None:
        with pytest.raises(wscore.ConnectionLost):
            await ws.receive()
        ended.append((ws.close_code, trio.current_time() - start))

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wscore.serve_stream, handler, theirs)
        with trio.move_on_after(1) as scope:
            async with wscore.connect("ws://example.org/", stream=ours) as ws:
                await ws.receive()
        assert scope.cancelled_caught
    assert ended == [(1006, pytest.approx(1))]
