"""Last words that are read: lingering, resets and TLS, on memory streams and on real sockets."""

import errno
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
import trustme

from wscore.codec import CLIENT, SERVER, CloseCode
from wscore.protocol.connection import Connection
from wscore.protocol.events import Close
from wscore.session.options import Options
from wscore.transport.errors import ConnectionLost
from wscore.transport.linger import discard, linger, reset
from wscore.transport.records import Opening
from wscore.transport.stream import new_connection, open_websocket, run_websocket
from wscore.transport.tls import start_tls
from wscore.transport.websocket import WebSocket

MIB = 1 << 20


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's, which trust each other."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@asynccontextmanager
async def sockets() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """Two ends of a TCP connection; what is still open when the block ends is closed."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        theirs = await trio.testing.open_stream_to_socket_listener(listener)
        ours = await listener.accept()
        async with ours, theirs:
            yield ours, theirs


@asynccontextmanager
async def encrypted(contexts) -> AsyncIterator[tuple[trio.SSLStream, trio.SSLStream]]:
    async with sockets() as (ours, theirs):
        ends = []

        async def server() -> None:
            ends.append(await start_tls(ours, contexts[0], server_side=True))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(server)
            client = await start_tls(theirs, contexts[1], server_hostname="localhost")
        yield ends[0], client


@pytest.fixture(params=["plain", "tls"])
def pair(request: pytest.FixtureRequest, contexts):
    """`async with pair() as (ours, theirs)`, over TCP."""
    return sockets if request.param == "plain" else lambda: encrypted(contexts)


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    data = b""
    while part := await stream.receive_some():
        data += part
    return data


# On memory streams: what ends it


async def test_it_ends_when_the_peer_ends() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"unread")
    await theirs.send_eof()
    await linger(ours)
    assert await theirs.receive_some() == b""
    with pytest.raises(trio.ClosedResourceError):
        await ours.receive_some()


async def test_it_ends_after_two_seconds(autojump_clock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    start = trio.current_time()
    await linger(ours)
    assert trio.current_time() - start == 2
    with pytest.raises(trio.BrokenResourceError):
        await theirs.send_all(b"x")


async def test_it_ends_after_so_many_bytes(autojump_clock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(bytes(100))
    start = trio.current_time()
    await linger(ours, limit=100)
    assert trio.current_time() == start


async def test_discarding_counts() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(bytes(100))
    await theirs.send_eof()
    assert await discard(ours) == 100


async def test_the_peer_sees_our_end_before_it_is_over() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(linger, ours)
        assert await theirs.receive_some() == b""
        await theirs.send_all(b"still taken")
        await theirs.aclose()


async def test_a_stream_without_send_eof_is_only_read_and_closed(autojump_clock) -> None:
    class Whole(trio.abc.Stream):
        def __init__(self, stream: trio.abc.Stream) -> None:
            self.stream = stream

        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            await self.stream.send_all(data)

        async def wait_send_all_might_not_block(self) -> None: ...

        async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
            return await self.stream.receive_some(max_bytes)

        async def aclose(self) -> None:
            await self.stream.aclose()

    ours, theirs = trio.testing.memory_stream_pair()
    await linger(Whole(ours))
    assert await theirs.receive_some() == b""
    reset(Whole(ours))


async def test_a_peer_that_is_gone_is_no_error() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    await linger(ours)


@pytest.mark.parametrize("wait", [False, True])
async def test_cancelled_it_closes_at_once(wait: bool) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(linger, ours)
        if wait:
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with pytest.raises(trio.BrokenResourceError):
        await theirs.send_all(b"x")


# On sockets


async def test_a_refusal_in_the_middle_of_an_upload_is_read(pair) -> None:
    async with pair() as (ours, theirs), trio.open_nursery() as nursery:

        async def refuse() -> None:
            await ours.receive_some(1000)
            await ours.send_all(b"HTTP/1.1 413 too much\r\n\r\n")
            await linger(ours)

        nursery.start_soon(refuse)
        with trio.fail_after(30):
            await theirs.send_all(bytes(16 * MIB))
            assert await read_all(theirs) == b"HTTP/1.1 413 too much\r\n\r\n"
            await trio.aclose_forcefully(theirs)


async def test_a_close_in_the_middle_of_an_upload_is_read(pair) -> None:
    peer = Connection(CLIENT)
    peer.send(bytes(16 * MIB))
    options = Options(max_message_size=MIB)
    async with pair() as (ours, theirs), trio.open_nursery() as nursery:

        async def echo(ws) -> None:
            async for message in ws:
                await ws.send(message)

        nursery.start_soon(run_websocket, ours, new_connection(SERVER, options), options, Opening(), echo)
        with trio.fail_after(30):
            await theirs.send_all(peer.data_to_send())
            (close,) = peer.receive_data(await read_all(theirs))
        assert isinstance(close, Close)
        assert close.code == CloseCode.MESSAGE_TOO_BIG
        await trio.aclose_forcefully(theirs)


async def test_both_sides_close_without_waiting_for_a_timeout(pair, monkeypatch) -> None:
    monkeypatch.setitem(linger.__kwdefaults__, "timeout", 1000)
    options = Options(max_message_size=3 * MIB, close_timeout=1000)
    codes = []

    async def client(stream: trio.abc.Stream) -> None:
        async with open_websocket(stream, new_connection(CLIENT, options), options, Opening()) as ws:
            codes.extend([message async for message in ws])
        codes.append(ws.close_code)

    async with pair() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(client, theirs)
        with trio.fail_after(60):
            await run_websocket(
                ours, new_connection(SERVER, options), options, Opening(), lambda ws: ws.send(bytes(3 * MIB))
            )
    assert codes == [bytes(3 * MIB), 1000]


@pytest.mark.parametrize("cut", [trio.SSLStream, trio.SocketStream])
async def test_a_peer_that_just_goes_is_a_loss(contexts, cut: type) -> None:
    """Under TLS: with close_notify or without."""
    options = Options()
    async with (
        encrypted(contexts) as (ours, theirs),
        open_websocket(ours, new_connection(SERVER, options), options, Opening()) as ws,
    ):
        await linger(theirs, timeout=0.01) if cut is trio.SSLStream else await theirs.transport_stream.aclose()
        with pytest.raises(ConnectionLost) as caught:
            await ws.receive()
        assert caught.value.code == 1006


async def test_a_peer_that_takes_nothing_is_reset(pair) -> None:
    options = Options(send_timeout=0.2, ping_interval=None)
    async with pair() as (ours, theirs):

        async def flood(ws: WebSocket) -> None:
            while True:
                await ws.send(bytes(MIB))

        with trio.fail_after(30):
            statistics = await run_websocket(ours, new_connection(SERVER, options), options, Opening(), flood)
        assert statistics.reset
        assert not statistics.failed
        transport = getattr(theirs, "transport_stream", theirs)
        with pytest.raises(trio.BrokenResourceError) as caught:
            await read_all(transport)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ECONNRESET


async def test_a_broken_connection_under_a_write_is_a_loss_and_no_error(pair) -> None:
    options = Options()
    async with pair() as (ours, theirs):

        async def flood(ws: WebSocket) -> None:
            while True:
                await ws.send(bytes(MIB))

        reset(theirs)
        await trio.aclose_forcefully(getattr(theirs, "transport_stream", theirs))
        with trio.fail_after(30):
            statistics = await run_websocket(ours, new_connection(SERVER, options), options, Opening(), flood)
        assert not statistics.failed


# TLS


async def test_a_certificate_that_is_not_trusted_is_an_ssl_error(contexts) -> None:
    async with sockets() as (ours, theirs), trio.open_nursery() as nursery:

        async def server() -> None:
            with pytest.raises(ssl.SSLError):
                await start_tls(ours, contexts[0], server_side=True)

        nursery.start_soon(server)
        with pytest.raises(ssl.SSLCertVerificationError):
            await start_tls(theirs, ssl.create_default_context(), server_hostname="localhost")
        await theirs.aclose()


async def test_a_peer_that_goes_during_the_handshake_is_an_os_error(contexts) -> None:
    async with sockets() as (ours, theirs):
        await theirs.aclose()
        with pytest.raises(OSError):
            await start_tls(ours, contexts[0], server_side=True)


async def test_a_stream_that_breaks_during_the_handshake_is_an_os_error(contexts) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    theirs.receive_stream.close()
    with pytest.raises(ConnectionResetError):
        await start_tls(ours, contexts[1], server_hostname="localhost")


async def test_bytes_that_are_no_tls_are_an_ssl_error(contexts) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        await start_tls(ours, contexts[0], server_side=True)
