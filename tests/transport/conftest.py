"""A `WebSocket` and, at the other end of its stream, a peer that does exactly what the test says."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from wscore.codec import CLIENT, SERVER, Role
from wscore.protocol.connection import Connection
from wscore.protocol.events import Close, Event
from wscore.transport.options import Options
from wscore.transport.records import Opening
from wscore.transport.stream import StreamWebSocket, new_connection, open_websocket

Link = Callable[..., AbstractAsyncContextManager[tuple[StreamWebSocket, "Peer"]]]


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


@pytest.fixture
def link(role: Role) -> Link:
    """`async with link(**options) as (ws, peer)`: an open connection. The peer goes away when the block ends.

    `streams` is a pair to use, ours first; the default one is in memory, and takes all that is written at once.
    """

    @asynccontextmanager
    async def linked(
        *, streams: Any = None, on_message: Any = None, opening: Any = None, peer_options: Any = None, **options: Any
    ) -> AsyncIterator[tuple[StreamWebSocket, Peer]]:
        ours, theirs = streams or trio.testing.memory_stream_pair()
        settings = Options(**options)
        peer = Peer(theirs, CLIENT if role is SERVER else SERVER, **(peer_options or {}))
        connection = new_connection(role, settings)
        hooks = {} if on_message is None else {"on_message": on_message}
        async with open_websocket(ours, connection, settings, opening or Opening(), **hooks) as ws:
            try:
                yield ws, peer
            finally:
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(theirs)

    return linked
