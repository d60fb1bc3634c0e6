"""Attackers, with plain sockets and a lot of them; honest clients, who want an answer; and the server between them.

Everything is on the loopback interface, bounded in number, and gone at the end of its block.
"""

import json
import os
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import trio
import trio.lowlevel
import trustme

import wscore

from ..raw import UPGRADE

ROOT = Path(__file__).parent.parent.parent
# Every honest client is answered within so many seconds, whatever the others do.
ANSWERED_WITHIN = 5.0
# And whatever becomes of attackers has become of them within so many.
SETTLED_WITHIN = 60.0
_AT_ONCE = 8

Measured = dict[str, Any]


def request(path: str = "/") -> bytes:
    """The request of a handshake."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in UPGRADE.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


class Target:
    """A running server."""

    def __init__(self, process: trio.Process, authority: trustme.CA | None) -> None:
        self.process = process
        self.port = 0
        self.ssl_context: ssl.SSLContext | None = None
        if authority is not None:
            self.ssl_context = ssl.create_default_context()
            authority.configure_trust(self.ssl_context)
        # How many connections were made to it.
        self.knocks = 0
        self._buffer = b""

    async def measure(self) -> Measured:
        """What it measures of itself now."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(b"\n")
        return await self.read()

    async def read(self) -> Measured:
        assert self.process.stdout is not None
        while b"\n" not in self._buffer:
            data = await self.process.stdout.receive_some()
            assert data, "the server has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        measured: Measured = json.loads(line)
        return measured

    async def at_rest(self) -> Measured:
        """Measure once all tasks of its own have begun, as they do in the turns after it has said its port."""
        before = await self.measure()
        while True:
            await trio.sleep(0.05)
            now = await self.measure()
            if now["tasks"] == before["tasks"]:
                return now
            before = now

    async def until(self, condition: Callable[[Measured], bool]) -> Measured:
        """Measure until something is so."""
        measured: Measured = {}
        with trio.move_on_after(SETTLED_WITHIN):
            while not condition(measured := await self.measure()):  # noqa: ASYNC110
                await trio.sleep(0.05)
            return measured
        raise AssertionError(f"it did not come to this: {measured}")

    async def quiet(self, connections: int = 0) -> Measured:
        """Measure when there are only so many connections, and nobody else on the way in."""
        return await self.until(lambda seen: (seen["open"], seen["handshakes"]) == (connections, 0))

    def knock(self, data: bytes = b"", *, host: str = "127.0.0.1", system_buffers: int = 0) -> socket.socket:
        """Connect from an address of the loopback interface, and say something. Whoever is turned away at once may
        learn of that here already.
        """
        sock = socket.socket()
        try:
            if system_buffers:
                for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                    sock.setsockopt(socket.SOL_SOCKET, buffer, system_buffers)
            sock.settimeout(ANSWERED_WITHIN)
            sock.bind((host, 0))
            self.knocks += 1
            with suppress(ConnectionResetError, BrokenPipeError):
                sock.connect(("127.0.0.1", self.port))
                sock.sendall(data)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock

    @property
    def url(self) -> str:
        return f"{'ws' if self.ssl_context is None else 'wss'}://127.0.0.1:{self.port}"


@asynccontextmanager
async def attacked(
    transport: str,
    *,
    on_message: bool = False,
    descriptors: int | None = None,
    system_buffers: int | None = None,
    authority: trustme.CA | None = None,
    **options: Any,
) -> AsyncIterator[Target]:
    """Start a server with these options, on TLS if there is an `authority`; it is killed at the end of the block.

    `system_buffers` bounds what the system holds for each connection, which would be megabytes.
    """
    settings: dict[str, Any] = {"options": {"transport": transport, **options}, "on_message": on_message}
    settings |= {"descriptors": descriptors, "system_buffers": system_buffers}
    if authority is not None:
        settings["certificate"] = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes().decode()
    command = [sys.executable, str(Path(__file__).with_name("target.py")), json.dumps(settings)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    try:
        target = Target(process, authority)
        target.port = (await target.read())["port"]
        yield target
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                await pipe.aclose()


@contextmanager
def crowd() -> Iterator[list[socket.socket]]:
    """Sockets that are closed at the end of the block, with a reset."""
    sockets: list[socket.socket] = []
    try:
        yield sockets
    finally:
        for sock in sockets:
            reset(sock)


def reset(sock: socket.socket) -> None:
    """Close so that the peer gets a reset, and nothing of the connection stays."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def each(things: Iterable[Any]) -> AsyncIterator[Any]:
    """Go through `things`, and let others have their turn now and then."""
    for number, thing in enumerate(things):
        if number % _AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        yield thing


async def receive(sock: socket.socket, size: int = 1 << 16) -> bytes:
    """What comes next; b"" at the end, be it a reset."""
    while True:
        try:
            return sock.recv(size)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
        except OSError:
            return b""


async def head(sock: socket.socket) -> bytes:
    """The head of a response; what comes behind it stays unread."""
    while True:
        try:
            seen = sock.recv(4096, socket.MSG_PEEK)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
            continue
        assert seen, "closed without an answer"
        if b"\r\n\r\n" in seen:
            return sock.recv(seen.index(b"\r\n\r\n") + 4)


async def until_end(sock: socket.socket) -> bytes:
    """All that comes until the end."""
    data = b""
    while more := await receive(sock):
        data += more
    return data


async def opened(target: Target, count: int, path: str = "/", **how: Any) -> list[socket.socket]:
    """So many WebSockets, which come no faster than they are let in: to open them is no attack."""
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        some = [target.knock(request(path), **how) for _ in range(min(_AT_ONCE, count - len(sockets)))]
        sockets += some
        for sock in some:
            assert (await head(sock)).startswith(b"HTTP/1.1 101 ")
    return sockets


def has_reasons_for_all(measured: Measured, knocks: int) -> bool:
    """Whether it is known of every connection what became of it: of those on the way in, and of WebSockets."""
    outcomes = (*measured["refusals"].values(), *measured["dropped"].values())
    known = measured["accepted"] + measured["pages"] + measured["tls_failures"] + sum(outcomes)
    return known + measured["handshakes"] == knocks and (
        sum(measured["close_codes"].values()) + measured["open"] == measured["accepted"]
    )


class Honest:
    """Clients who send numbered messages, and want each of them back, in order and in time."""

    # Around the limits of header and frame sizes, text and binary.
    MESSAGES = ("", "x" * 125, b"x" * 126, "ä" * 500, b"y" * 65_536, "\N{SNOWMAN}" * 20)

    def __init__(self, target: Target) -> None:
        self._target = target
        self.latencies: list[float] = []
        self._stop = False

    def message(self, number: int) -> str | bytes:
        filling = self.MESSAGES[number % len(self.MESSAGES)]
        return f"{number} {filling}" if isinstance(filling, str) else b"%d " % number + filling

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[wscore.WebSocket]:
        self._target.knocks += 1
        async with wscore.connect(self._target.url, ssl_context=self._target.ssl_context) as ws:
            yield ws

    async def stay(self, task_status: trio.TaskStatus[None]) -> None:
        """Be there all the time."""
        number = 0
        async with self._connected() as ws:
            task_status.started()
            while True:
                await self._exchange(ws, range(number, number + 4))
                if self._stop:
                    return
                number += 4
                await trio.sleep(0.02)

    async def come_and_go(self) -> None:
        """Come again and again."""
        while True:
            start = trio.current_time()
            with trio.fail_after(ANSWERED_WITHIN):
                async with self._connected() as ws:
                    await self._exchange(ws, range(4))
            self.latencies.append(trio.current_time() - start)
            if self._stop:
                return
            await trio.sleep(0.02)

    async def _exchange(self, ws: wscore.WebSocket, numbers: range) -> None:
        messages = [self.message(number) for number in numbers]
        start = trio.current_time()
        with trio.fail_after(ANSWERED_WITHIN):
            for message in messages:
                await ws.send(message)
            for message in messages:
                assert await ws.receive() == message
                self.latencies.append(trio.current_time() - start)

    def stop(self) -> None:
        self._stop = True

    async def hear(self, answers: int) -> None:
        """Wait until so many more answers have come."""
        enough = len(self.latencies) + answers
        while len(self.latencies) < enough:  # noqa: ASYNC110
            await trio.sleep(0.01)

    def percentile(self, percent: float) -> float:
        """Seconds within which so many of the answers came."""
        return sorted(self.latencies)[int(len(self.latencies) * percent / 100)]


@asynccontextmanager
async def honest(target: Target, *, staying: int = 3, coming: int = 1) -> AsyncIterator[Honest]:
    """Some who stay and some who come anew, for the time of the block; its end is when they have had their answers."""
    clients = Honest(target)
    async with trio.open_nursery() as nursery:
        for _ in range(staying):
            await nursery.start(clients.stay)
        for _ in range(coming):
            nursery.start_soon(clients.come_and_go)
        yield clients
        clients.stop()
    assert clients.latencies
