"""A server on a real socket, and clients that send exactly the bytes that a test wants."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

import wscore
from wscore.protocol.request import accept_key

from .wire import Frame, decode, from_client

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


class Raw:
    """A TCP connection (or any stream) that knows nothing of HTTP."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.received = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def ask(self, line: str = "GET / HTTP/1.1", rest: bytes = b"", **changes: str | None) -> None:
        """Send a request for a WebSocket; headers may be replaced, or left out with None."""
        headers = UPGRADE | {name.replace("_", "-"): value for name, value in changes.items()}
        lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
        await self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + rest)

    async def upgrade(self, **changes: str | None) -> None:
        """Open a WebSocket."""
        await self.ask(**changes)
        head = await self.head()
        assert head.startswith(b"HTTP/1.1 101 ")
        assert f"Sec-WebSocket-Accept: {accept_key(KEY)}\r\n".encode() in head

    async def head(self) -> bytes:
        """The next head."""
        while b"\r\n\r\n" not in self.received:
            await self._more()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        return head + b"\r\n"

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        assert data, f"the server ended after {self.received!r}"
        self.received += data

    async def frames(self, count: int) -> list[Frame]:
        """The next frames; small ones, sent one by one."""
        while True:
            try:
                frames = decode(self.received)
            except (AssertionError, ValueError, IndexError):
                frames = []
            if len(frames) >= count:
                self.received = b""
                return frames
            await self._more()

    async def rest(self) -> bytes:
        """All that comes until the server ends."""
        async for data in self.stream:
            self.received += data
        data, self.received = self.received, b""
        return data

    async def say(self, opcode: int, payload: bytes = b"", **bits: Any) -> None:
        await self.send(from_client(opcode, payload, **bits))

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self.stream)


async def echo(ws: wscore.WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


# What servers use unless a test says otherwise; set by the fixture `each_transport`.
transport_in_use = "auto"


async def serve(*arguments: Any, **options: Any) -> None:
    """`wscore.serve`, on what the fixture `each_transport` says."""
    await wscore.serve(*arguments, **{"transport": transport_in_use} | options)


@asynccontextmanager
async def serving(
    handler: Callable[[wscore.WebSocket], Awaitable[object]] | None = echo, **options: Any
) -> AsyncIterator[wscore.Server]:
    """A server on 127.0.0.1, for the time of the block; on what the fixture `each_transport` says."""
    if "listeners" not in options:
        options = {"host": "127.0.0.1", "port": 0} | options
    async with trio.open_nursery() as nursery:
        yield await nursery.start(partial(serve, handler, **options))
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def dial(server: wscore.Server) -> AsyncIterator[Raw]:
    """A TCP connection to the server; it is closed hard at the end of the block."""
    host, port = server.addresses[0][:2]
    raw = Raw(await trio.open_tcp_stream(host, port))
    try:
        yield raw
    finally:
        await raw.aclose()


def url_of(server: wscore.Server, path: str = "/", scheme: str = "ws") -> str:
    return f"{scheme}://127.0.0.1:{server.addresses[0][1]}{path}"


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])
