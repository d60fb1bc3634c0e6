"""The adapter under test, and peers that send exactly the bytes that a test wants."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from wscore.protocol.request import accept_key

from ...clocks import JumpingLoop, pass_time
from ...raw import KEY, UPGRADE
from ...wire import Frame, decode, from_client


class Raw:
    """A TCP connection that knows nothing of HTTP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def say(self, opcode: int, payload: bytes = b"", **bits: Any) -> None:
        self.send(from_client(opcode, payload, **bits))

    def ask(self, line: str = "GET / HTTP/1.1", rest: bytes = b"", **changes: str | None) -> None:
        """Send a request for a WebSocket; headers may be replaced, or left out with None."""
        headers = UPGRADE | {name.replace("_", "-"): value for name, value in changes.items()}
        lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + rest)

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def status(self) -> int:
        return int((await self.head()).split(b" ", 2)[1])

    async def upgrade(self, rest: bytes = b"", **changes: str | None) -> None:
        """Open a WebSocket."""
        self.ask(rest=rest, **changes)
        head = await self.head()
        assert head.startswith(b"HTTP/1.1 101 ")
        assert f"Sec-WebSocket-Accept: {accept_key(KEY)}\r\n".encode() in head

    async def frame(self) -> Frame:
        """The next frame, an unmasked one of less than 64 KiB."""
        head = await self.reader.readexactly(2)
        if head[1] == 126:
            head += await self.reader.readexactly(2)
        size = int.from_bytes(head[2:], "big") if len(head) > 2 else head[1]
        (frame,) = decode(head + await self.reader.readexactly(size))
        return frame

    async def rest(self) -> bytes:
        """All that comes until the server ends; b"" after a reset, too."""
        try:
            return await self.reader.read(-1)
        except ConnectionError:
            return b""

    def abort(self) -> None:
        self.writer.transport.abort()


class Adapter:
    """The adapter on one loop and one twin, and what is needed around it."""

    def __init__(self, names: SimpleNamespace, loop_kind: str) -> None:
        self.names = names
        self.loop_kind = loop_kind
        self.complaints: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.names, name)

    def new_loop(self) -> asyncio.AbstractEventLoop:
        if self.loop_kind == "asyncio":
            return JumpingLoop()
        import uvloop

        return uvloop.new_event_loop()

    @property
    def second(self) -> float:
        """How long a second of a test lasts: uvloop has no clock that can be set, and tests that pass time really wait
        for a tenth of it.
        """
        return 1.0 if self.loop_kind == "asyncio" else 0.1

    async def pass_time(self, seconds: float) -> None:
        """Let so many seconds of the test pass."""
        await (pass_time(seconds) if self.loop_kind == "asyncio" else asyncio.sleep(seconds * self.second))

    def complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What the loop would log: nothing may come to that."""
        self.complaints.append(context)

    @asynccontextmanager
    async def serving(self, handler: Any = None, **options: Any) -> AsyncIterator[Any]:
        """A server on 127.0.0.1, for the time of the block; an echo unless told otherwise."""
        if handler is None and not {"on_message", "on_open"} & options.keys():
            handler = echo
        options = {"host": "127.0.0.1", "port": 0} | options
        async with await self.names.serve(handler, **options) as server:
            yield server

    @asynccontextmanager
    async def dialled(self, server: Any, **options: Any) -> AsyncIterator[Raw]:
        """A TCP connection to the server; it is closed hard at the end of the block."""
        raw = Raw(*await asyncio.open_connection(*server.addresses[0][:2], **options))
        try:
            yield raw
        finally:
            raw.abort()

    @asynccontextmanager
    async def raw_server(self, talk: Callable[[Raw], Any]) -> AsyncIterator[str]:
        """A server that does as `talk` says with each connection; yields its URL."""
        talks = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            raw = Raw(reader, writer)
            talks.add(asyncio.current_task())
            try:
                await talk(raw)
            except asyncio.CancelledError:
                pass
            finally:
                raw.abort()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        finally:
            server.close()
            for task in talks:
                task.cancel()
            await asyncio.gather(*talks, return_exceptions=True)

    def connect(self, server: Any, path: str = "/", **options: Any) -> Any:
        return self.names.connect(url_of(server, path, "wss" if "ssl" in options else "ws"), **options)


async def answer_upgrade(raw: Raw, rest: bytes = b"") -> None:
    """As a server: open a WebSocket."""
    head = (await raw.head()).decode()
    key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    raw.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode()
        + rest
    )


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


def echo_at_once(ws: Any, message: str | bytes) -> None:
    assert ws.send_nowait(message)


def feed(ws: Any, data: bytes) -> None:
    """Let bytes come as a loop would, at once."""
    ws.get_buffer(len(data))[: len(data)] = data
    ws.buffer_updated(len(data))


def url_of(server: Any, path: str = "/", scheme: str = "ws") -> str:
    return f"{scheme}://localhost:{server.addresses[0][1]}{path}"


def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server on localhost, and for clients that trust it."""
    import trustme

    authority = trustme.CA()
    of_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(of_server)
    of_client = ssl.create_default_context()
    authority.configure_trust(of_client)
    return of_server, of_client


async def turns(count: int = 10) -> None:
    """Let the loop turn so often: whatever has begun waits for something else by then."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something has become true."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
