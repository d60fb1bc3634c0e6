"""A `WebSocket` and, at the other end of its stream, a peer that does exactly what the test says."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing

from wscore.codec import CLIENT, SERVER, Role
from wscore.protocol.connection import Connection
from wscore.protocol.events import Close, Event
from wscore.session.options import Options
from wscore.transport import stream
from wscore.transport.records import Opening
from wscore.transport.stream import new_connection
from wscore.transport.websocket import WebSocket

Link = Callable[..., AbstractAsyncContextManager[tuple[WebSocket, "Peer"]]]


class Peer:
    """The other end: a stream, and a machine of the other role; nothing happens unless the test asks for it."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, role: Role, **limits: Any) -> None:
        self.stream = stream
        self.connection = Connection(role, max_message_size=1 << 30, **limits)
        self._events: list[Event] = []

    async def flush(self) -> None:
        data = self.connection.data_to_send()
        if data:
            await self.stream.send_all(data)

    async def send(self, *messages: str | bytes) -> None:
        for message in messages:
            self.connection.send(message)
        await self.flush()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.connection.close(code, reason)
        await self.flush()

    async def next(self) -> Event:
        """The next event; Pongs and the answer to a Close frame are sent, as the machine wants it."""
        while not self._events:
            data = await self.stream.receive_some()
            self._events += self.connection.receive_data(data) if data else self.connection.receive_eof()
            if data:
                await self.flush()
        return self._events.pop(0)

    async def until_close(self) -> Close:
        while not isinstance(event := await self.next(), Close):
            pass
        return event

    def take_no_more(self) -> None:
        """Let writing to this peer fail; what it has said can still be read."""
        if isinstance(self.stream, Filled):
            self.stream.stop_receiving()
        else:
            self.stream.receive_stream.close()

    async def until_eof(self) -> None:
        while await self.stream.receive_some():
            pass

    async def go(self) -> None:
        """Finish closing, whoever began, and close the stream."""
        await self.until_close()
        await self.stream.aclose()


@pytest.fixture(params=[SERVER, CLIENT], ids=["as_server", "as_client"])
def role(request: pytest.FixtureRequest) -> Role:
    """Our role; what is tested holds in both."""
    return request.param


@pytest.fixture(params=["stream", pytest.param("reactor", marks=pytest.mark.native)])
def transport(request: pytest.FixtureRequest) -> str:
    """What moves the bytes; what is tested holds on both."""
    return request.param


@pytest.fixture
def link(role: Role, transport: str) -> Link:
    """`async with link(**options) as (ws, peer)`: an open connection. The peer goes away when the block ends.

    What is written is taken at once, by a stream in memory or a pair of sockets; with `lockstep` it is not, until the
    peer reads.
    """
    return linked_by(on_a_stream if transport == "stream" else on_the_reactor, role)


def linked_by(opened: Callable[..., Any], role: Role) -> Link:
    @asynccontextmanager
    async def linked(
        *, lockstep: bool = False, on_message: Any = None, opening: Any = None, peer_options: Any = None, **options: Any
    ) -> AsyncIterator[tuple[WebSocket, Peer]]:
        settings = Options(**options)
        connection = new_connection(role, settings)
        hooks = {} if on_message is None else {"on_message": on_message}
        async with opened(lockstep, connection, settings, opening or Opening(), **hooks) as (ws, theirs):
            peer = Peer(theirs, CLIENT if role is SERVER else SERVER, **(peer_options or {}))
            try:
                yield ws, peer
            finally:
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(theirs)

    return linked


@asynccontextmanager
async def on_a_stream(lockstep: bool, *arguments: Any, **hooks: Any) -> AsyncIterator[tuple[WebSocket, Any]]:
    pair = trio.testing.lockstep_stream_pair() if lockstep else trio.testing.memory_stream_pair()
    async with stream.open_websocket(pair[0], *arguments, **hooks) as ws:
        yield ws, pair[1]


@asynccontextmanager
async def on_the_reactor(lockstep: bool, *arguments: Any, **hooks: Any) -> AsyncIterator[tuple[WebSocket, Any]]:
    from wscore.transport.reactor.arrival import Arrival
    from wscore.transport.reactor.running import reactor_of_this_run
    from wscore.transport.reactor.websocket import open_websocket

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stopper = fill(ours) if lockstep else 0
    arrival = Arrival(reactor_of_this_run().reactor, ours.detach())
    async with open_websocket(arrival, *arguments, **hooks) as ws:
        await trio.testing.wait_all_tasks_blocked()
        yield ws, Filled(trio.socket.from_stdlib_socket(theirs), stopper)


def fill(sock: socket.socket) -> int:
    """Write until the system takes no more; how much that was."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            count += sock.send(bytes(1 << 16))
    return count


class Filled(trio.abc.HalfCloseableStream):
    """A socket whose first bytes only kept the way full."""

    def __init__(self, sock: trio.socket.SocketType, stopper: int) -> None:
        self._stream = trio.SocketStream(sock)
        self.stopper = stopper

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while self.stopper:
            self.stopper -= len(await self._stream.receive_some(min(self.stopper, 1 << 16)))
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    def stop_receiving(self) -> None:
        self._stream.socket.shutdown(socket.SHUT_RD)

    async def aclose(self) -> None:
        await self._stream.aclose()
