"""uvicorn with our adapter in a thread of its own, on a real socket, for the time of a block."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import trio

from ..clocks import JumpingLoop, pass_time
from ..raw import Raw

uvicorn = pytest.importorskip("uvicorn")

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Event, Receive, Send], Awaitable[object]]

ADAPTER = "wscore.adapters.uvicorn:WebSocketProtocol"
# Seconds until something is taken for hanging.
HANGING = 30


class Running:
    """A uvicorn server that runs."""

    def __init__(self, app: App, options: dict[str, Any]) -> None:
        config = {"ws": ADAPTER, "http": "h11", "loop": "asyncio", "interface": "asgi3", "lifespan": "off"}
        self.server = uvicorn.Server(uvicorn.Config(app, log_config=None, **config | options))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/"
        self.ready = threading.Event()
        self.stop: asyncio.Event
        self.loop: asyncio.AbstractEventLoop
        self.is_down = False

    def run(self) -> None:
        factory = self.server.config.get_loop_factory()
        with asyncio.Runner(loop_factory=JumpingLoop if self.server.config.loop == "asyncio" else factory) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        """As `Server.serve` does, but without waiting for its ticks."""
        config, server = self.server.config, self.server
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[self.listener])
        await server.on_tick(0)
        self.stop, self.loop = asyncio.Event(), asyncio.get_running_loop()
        self.ready.set()
        await self.stop.wait()
        await self.shutdown()

    async def shutdown(self) -> None:
        if not self.is_down:
            self.is_down = True
            await self.server.shutdown(sockets=[self.listener])

    def shut_down(self) -> None:
        """Begin to stop, as for SIGTERM; what has stopped stays so."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self.stop.set)

    async def in_loop(self, function: Callable[[], Any]) -> Any:
        """What `function` returns, called in the server's loop."""

        async def call() -> Any:
            return function()

        future = asyncio.run_coroutine_threadsafe(call(), self.loop)
        return await trio.to_thread.run_sync(future.result, HANGING)

    async def pass_time(self, seconds: float) -> None:
        """Let so much time pass on the server's loop, whose clock is set for that: asyncio's alone can be."""
        future = asyncio.run_coroutine_threadsafe(pass_time(seconds), self.loop)
        await trio.to_thread.run_sync(future.result, HANGING)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until `condition` is true in the server's loop."""
        with trio.fail_after(HANGING):
            while not await self.in_loop(condition):  # noqa: ASYNC110
                await trio.sleep(0.01)

    @property
    def protocol(self) -> Any:
        """The one connection that there is."""
        (protocol,) = self.server.server_state.connections
        return protocol

    async def dial(self) -> Raw:
        return Raw(await trio.open_tcp_stream("127.0.0.1", self.port))


@contextmanager
def serving(app: App, **options: Any) -> Iterator[Running]:
    """A server with `uvicorn.Config`'s options; stopped at the end of the block."""
    running = Running(app, options)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        assert running.ready.wait(HANGING)
        yield running
    finally:
        running.shut_down()
        thread.join(HANGING)
        assert not thread.is_alive()


class Record:
    """An ASGI application that accepts, does what `then` says, and keeps what it was told."""

    def __init__(self, then: Callable[[Receive, Send], Awaitable[object]] | None = None, **accept: Any) -> None:
        self.then = then
        self.accept = accept
        self.scope: Event = {}
        self.events: list[Event] = []

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> object:
        self.scope = scope

        async def recorded() -> Event:
            event = await receive()
            self.events.append(event)
            return event

        await recorded()
        await send({"type": "websocket.accept", **self.accept})
        return await (self.then or until_the_end)(recorded, send)

    @property
    def end(self) -> Event:
        """The disconnect event."""
        assert self.events[-1]["type"] == "websocket.disconnect"
        return self.events[-1]


async def until_the_end(receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def echo(receive: Receive, send: Send) -> None:
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})
