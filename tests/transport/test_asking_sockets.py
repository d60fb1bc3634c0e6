"""What is asked of the socket below a stream."""

import socket
import sys

import pytest
import trio
import trio.testing

from wscore.transport.sockets import transport_of, unacknowledged

from .test_linger import authority, contexts, encrypted, sockets  # noqa: F401 - two are fixtures

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")


async def until_acknowledged(stream: trio.abc.Stream) -> None:
    while unacknowledged(stream):  # noqa: ASYNC110 - the system tells nobody
        await trio.sleep(0.001)


@linux
async def test_bytes_count_until_the_peers_system_has_them() -> None:
    async with sockets() as (ours, theirs):
        assert unacknowledged(ours) == 0
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        written = 0
        with trio.move_on_after(0.2):
            while True:
                written += await ours.socket.send(bytes(1 << 16))
        waiting = unacknowledged(ours)
        assert waiting is not None
        assert 0 < waiting <= written
        with trio.fail_after(10):
            while written:
                written -= len(await theirs.receive_some(1 << 16))
            await until_acknowledged(ours)


@linux
async def test_under_tls_the_socket_below_is_asked(contexts) -> None:  # noqa: F811
    async with encrypted(contexts) as (ours, theirs):
        assert transport_of(ours) is ours.transport_stream
        with trio.fail_after(10):
            await until_acknowledged(ours)
        assert unacknowledged(theirs) is not None


async def test_nobody_knows_of_a_stream_that_is_no_socket() -> None:
    ours, _ = trio.testing.memory_stream_pair()
    assert transport_of(ours) is ours
    assert unacknowledged(ours) is None


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no such sockets")
async def test_nobody_knows_of_a_socket_that_is_no_tcp() -> None:
    pair = [trio.SocketStream(trio.socket.from_stdlib_socket(sock)) for sock in socket.socketpair()]
    async with pair[0], pair[1]:
        await pair[0].send_all(b"x")
        assert unacknowledged(pair[0]) is None


async def test_nobody_knows_of_a_socket_that_is_closed() -> None:
    async with sockets() as (ours, _):
        await ours.aclose()
        assert unacknowledged(ours) is None
