"""What disturbs a conversation from outside: peers that go while we do not read, signals, and new keys within TLS."""

import shutil
import signal
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
import trio
import trio.lowlevel
import trio.testing
import trustme

import wscore

from ..raw import UPGRADE, dial, serving, url_of
from ..wire import BINARY, CLOSE, TEXT, from_client

pytestmark = pytest.mark.usefixtures("each_transport")

SIZE = 600


def hang_up(sock: trio.socket.SocketType, how: str) -> None:
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    elif how == "half":
        sock.shutdown(socket.SHUT_WR)
    else:
        sock.close()


@pytest.mark.parametrize("how", ["reset", "half", "close"])
async def test_what_came_before_a_peer_hung_up_on_a_paused_reader_is_received(how: str) -> None:
    go, received, ends = trio.Event(), [], []

    async def slow(ws: wscore.WebSocket) -> None:
        await go.wait()
        try:
            async for message in ws:
                received.append(message)
        except wscore.ConnectionLost as lost:
            ends.append(lost.code)

    async with serving(slow, max_receive_queue=1000, ping_interval=None) as server, dial(server) as raw:
        await raw.upgrade()
        for number in range(10):
            await raw.say(BINARY, bytes([number]) * SIZE)
        while server.statistics().messages_waiting < 2:
            await trio.lowlevel.checkpoint()
        # All are at rest: whoever were told again and again that the peer is gone would not be.
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert isinstance(raw.stream, trio.SocketStream)
        hang_up(raw.stream.socket, how)
        await trio.testing.wait_all_tasks_blocked(0.02)
        go.set()
        while server.connections:
            await trio.lowlevel.checkpoint()
        # What the system has not handed over yet may die with a reset.
        assert len(received) >= 2 if how == "reset" else len(received) == 10
        assert received == [bytes([number]) * SIZE for number in range(len(received))]
        assert (ends, server.statistics().close_codes) == ([1006], {1006: 1})


async def test_a_peer_that_was_reset_while_nobody_reads_is_noticed_by_the_next_send() -> None:
    go, errors = trio.Event(), []

    async def talk(ws: wscore.WebSocket) -> None:
        await go.wait()
        try:
            while True:
                await ws.send("still there?")
                await trio.sleep(0.001)
        except wscore.ConnectionLost as lost:
            errors.append(lost.code)

    async with serving(talk, max_receive_queue=1000, ping_interval=None) as server, dial(server) as raw:
        await raw.upgrade()
        for _ in range(10):
            await raw.say(BINARY, bytes(SIZE))
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert isinstance(raw.stream, trio.SocketStream)
        hang_up(raw.stream.socket, "reset")
        go.set()
        while server.connections:
            await trio.lowlevel.checkpoint()
        assert errors == [1006]


@contextmanager
def storm_of_signals() -> Iterator[list[int]]:
    """Two thousand a second, each of which interrupts whatever system call there is."""
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _frame: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        yield seen
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a POSIX system")
async def test_signals_interrupt_no_message() -> None:
    with storm_of_signals() as seen:
        async with serving() as server, wscore.connect(url_of(server)) as ws:
            for size in (0, 125, 70_000, 300_000) * 10:
                await ws.send(bytes(size))
                assert await ws.receive() == bytes(size)
                await trio.sleep(0.002)  # in the system call that waits for both
        assert len(seen) > 10


class SClient:
    """OpenSSL's own client: its input goes to the server, but for lines that are commands to it."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.said = b""

    async def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(data)

    async def until(self, text: bytes) -> bool:
        """Whether it says this, or the server does, before the end."""
        assert self.process.stdout is not None
        while text not in self.said:
            data = await self.process.stdout.receive_some()
            if not data:
                return False
            self.said += data
        self.said = self.said.partition(text)[2]
        return True


@asynccontextmanager
async def s_client(server: wscore.Server, version: str) -> AsyncIterator[SClient]:
    host, port = server.addresses[0][:2]
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", version]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = await trio.lowlevel.open_process(command, **pipes)  # type: ignore[arg-type]
    try:
        yield SClient(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                await pipe.aclose()


@pytest.fixture
def certified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs OpenSSL's program")
REQUEST = "\r\n".join(["GET / HTTP/1.1", *map(": ".join, UPGRADE.items()), "", ""]).encode()


@needs_openssl
async def test_keys_may_change_in_the_middle_of_a_conversation(certified: ssl.SSLContext) -> None:
    """RFC 8446 section 4.6.3: the peer has new keys, and asks for ours."""
    async with serving(ssl_context=certified) as server, s_client(server, "-tls1_3") as client:
        await client.write(REQUEST)
        assert await client.until(b"HTTP/1.1 101 ")
        for number in range(3):
            await client.write(b"K\n")
            assert await client.until(b"KEYUPDATE")
            await client.write(from_client(TEXT, b"after %d updates" % number))
            assert await client.until(b"after %d updates" % number)
        assert server.statistics().messages_received == 3


@needs_openssl
async def test_a_peer_that_wants_to_renegotiate_disturbs_nobody(certified: ssl.SSLContext) -> None:
    """TLS 1.2 would let it; OpenSSL refuses, and whoever asked may go on or leave."""
    async with serving(ssl_context=certified) as server:
        async with s_client(server, "-tls1_2") as client:
            await client.write(REQUEST)
            assert await client.until(b"HTTP/1.1 101 ")
            await client.write(b"R\n")
            assert await client.until(b"RENEGOTIATING")
            with suppress(trio.BrokenResourceError):  # it may have left by now
                await client.write(from_client(TEXT, b"after all"))
                await client.until(b"after all")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with wscore.connect(url_of(server, scheme="wss"), ssl_context=context) as ws:
            await ws.send("x")
            assert await ws.receive() == "x"
        while server.connections:
            await trio.lowlevel.checkpoint()
        assert server.statistics().errors == 0
        assert sum(server.statistics().close_codes.values()) == 2


async def test_a_refused_answer_does_not_keep_the_peers_close_waiting() -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        async for message in ws:
            ws.send_nowait(message)

    message = from_client(BINARY, bytes(200))
    async with serving(handler, max_send_buffer=300, close_timeout=80) as server, dial(server) as raw:
        await raw.upgrade()
        await raw.send(message + message)
        await trio.testing.wait_all_tasks_blocked(0.02)
        await raw.say(CLOSE, b"\x03\xe8")
        with trio.fail_after(20):  # half of `close_timeout` would be more
            assert (await raw.rest()).endswith(b"\x88\x02\x03\xe8")
