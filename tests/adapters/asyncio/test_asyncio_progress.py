"""Peers that take what is sent slowly, and peers that take nothing: the same over TCP and TLS.

Over TLS a transport of asyncio's does not say what waits below it, so that its own numbers show neither.
"""

import asyncio
import socket
import sys

import pytest

from .peers import tls_contexts, until
from .test_asyncio_flow import KIB, Holder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="here the system does not say what a peer has taken")
TLS = pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])


class Slow(asyncio.BufferedProtocol):
    """A peer with a small window, which reads when it is told to, and throws away what comes."""

    def __init__(self):
        self.memory = bytearray(16 * KIB)
        self.taken = 0
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )

    def get_buffer(self, hint):
        return self.memory

    def buffer_updated(self, count):
        self.taken += count

    def connection_lost(self, error):
        self.lost.set_result(None)


class Reached:
    """A server whose handler keeps its WebSocket, and a slow peer of it."""

    def __init__(self, aio, secure, **options):
        self.of_server, self.of_client = tls_contexts() if secure else (None, None)
        self.aio = aio
        self.holder = Holder()
        self.serving = aio.serving(self.holder, ssl=self.of_server, ping_interval=None, **options)

    async def __aenter__(self):
        server = await self.serving.__aenter__()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, server.addresses[0])
        tls = {"ssl": self.of_client, "server_hostname": "localhost"} if self.of_client else {}
        _, self.peer = await loop.create_connection(Slow, sock=sock, **tls)
        await until(lambda: self.holder.ws)
        self.peer.transport.pause_reading()
        self.ws = self.holder.ws
        return self

    async def __aexit__(self, *error):
        self.holder.released.set()
        self.peer.transport.abort()
        await self.serving.__aexit__(*error)

    async def read_slowly(self, step, pause):
        """Read without end: about `step` bytes each `pause` seconds of the test."""
        while True:
            goal = self.peer.taken + step
            self.peer.transport.resume_reading()
            await until(lambda goal=goal: self.peer.taken >= goal or self.peer.lost.done())
            self.peer.transport.pause_reading()
            await self.aio.pass_time(pause)


@TLS
async def test_a_peer_that_takes_nothing_is_broken_off(aio, secure):
    async with Reached(aio, secure, send_timeout=0.3) as reached:
        await reached.ws.send(bytes(8 << 20))
        with pytest.raises(aio.ConnectionLost) as ended:
            await reached.ws.receive()
        assert ended.value.code == 1006


@TLS
async def test_a_peer_that_reads_without_pause_is_never_broken_off(aio, secure):
    async with Reached(aio, secure, send_timeout=5 * aio.second) as reached:
        total = 1 << 20
        sending = asyncio.ensure_future(send_all(reached.ws, total))
        reading = asyncio.ensure_future(reached.read_slowly(32 * KIB, 0.8))
        await until(lambda: reached.peer.taken >= total or reached.ws.close_code is not None)
        reading.cancel()
        assert reached.ws.close_code is None
        await sending


async def send_all(ws, total):
    for _ in range(total // (256 * KIB)):
        await ws.send(bytes(256 * KIB))


@TLS
async def test_a_peer_that_reads_gets_everything_however_short_close_timeout_is(aio, secure):
    async with Reached(aio, secure, close_timeout=5 * aio.second) as reached:
        total = 1 << 20
        await reached.ws.send(bytes(total))
        reading = asyncio.ensure_future(reached.read_slowly(32 * KIB, 0.6))
        reached.ws.close_nowait(4000)
        await until(lambda: reached.peer.taken >= total + 14 or reached.peer.lost.done())
        reading.cancel()
        assert reached.peer.taken >= total + 14


@TLS
async def test_a_peer_that_reads_nothing_is_reset_after_close_timeout(aio, secure):
    async with Reached(aio, secure, close_timeout=0.3) as reached:
        await reached.ws.send(bytes(8 << 20))
        reached.ws.close_nowait(4000)
        await reached.ws.wait_closed()
        assert reached.ws.close_code == 1006
