"""How much the system takes for a peer that does not read, before our own limit counts: alike on every transport."""

import socket

import pytest
import trio
import trio.testing

import wscore
from wscore.session.options import NOTSENT_LOWAT

from ..raw import Raw, serving

KIB = 1 << 10
MESSAGE = bytes(4 * KIB)
LIMIT = 64 * KIB

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such limit")


async def taken_by(transport: str) -> int:
    """How many bytes `send_nowait` takes for a peer that never reads."""
    taken: list[int] = []

    async def fill(ws: wscore.WebSocket) -> None:
        count = 0
        while True:
            while ws.send_nowait(MESSAGE):
                count += len(MESSAGE)
                await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked(0.05)
            if not ws.send_nowait(MESSAGE):
                break
            count += len(MESSAGE)
        taken.append(count)
        ws.abort()

    async with serving(fill, transport=transport, max_send_buffer=LIMIT) as server:
        sock = trio.socket.socket()
        with sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * KIB)
            await sock.connect(server.addresses[0][:2])
            await Raw(trio.SocketStream(sock)).ask()
            with trio.fail_after(60):
                while not taken:
                    await trio.testing.wait_all_tasks_blocked(0.05)
    return taken[0]


@pytest.mark.native
async def test_streams_and_the_reactor_notice_a_peer_that_does_not_read_after_as_many_bytes() -> None:
    stream, reactor = await taken_by("stream"), await taken_by("reactor")
    assert min(stream, reactor) >= LIMIT
    assert max(stream, reactor) <= LIMIT + NOTSENT_LOWAT + 128 * KIB
    assert max(stream, reactor) <= 2 * min(stream, reactor)


@pytest.mark.parametrize("transport", ["stream", pytest.param("reactor", marks=pytest.mark.native)])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_it_is_set_on_what_is_accepted(transport: str, host: str) -> None:
    limits: list[int] = []

    async def look(ws: wscore.WebSocket) -> None:
        fd = ws.fd if transport == "reactor" else ws._stream.socket.fileno()  # type: ignore[attr-defined]
        with socket.fromfd(fd, socket.AF_INET, socket.SOCK_STREAM) as sock:
            limits.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT))

    async with serving(look, transport=transport, host=host) as server:
        url = f"ws://{'[::1]' if host == '::1' else host}:{server.addresses[0][1]}"
        async with wscore.connect(url) as ws:
            with pytest.raises(wscore.ConnectionClosed):
                await ws.receive()
    assert limits == [NOTSENT_LOWAT]
