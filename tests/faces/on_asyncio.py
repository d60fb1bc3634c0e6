"""The faces on asyncio: its own loop, and uvloop."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import wscore
from wscore.adapters import asyncio as adapter

from ..clocks import JumpingLoop
from .face import Face
from .scenario import Scenario

HANGING = 20


class AsyncioTask:
    """See `Task`."""

    def __init__(self, face: AsyncioFace, coroutine: Awaitable[Any]) -> None:
        self._face = face
        self._task = asyncio.ensure_future(coroutine)

    def cancel(self) -> None:
        self._task.cancel()

    async def ended(self) -> Any:
        await asyncio.wait([self._task])
        if self._task.cancelled():
            return "cancelled"
        error = self._task.exception()
        return self._task.result() if error is None else self._face.told(error)


class AsyncioFace(Face):
    """wscore on asyncio; the column says which loop."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self._tasks: list[AsyncioTask] = []
        self._jumps = False

    def outcome(self, scenario: Scenario) -> Any:
        try:
            with asyncio.Runner(loop_factory=self.new_loop) as runner:
                return runner.run(self.run(scenario))
        except (KeyboardInterrupt, SystemExit) as error:
            return {"run": type(error).__name__, "notes": self.notes}

    def new_loop(self) -> asyncio.AbstractEventLoop:
        if self.column == "uvloop":
            import uvloop

            return uvloop.new_event_loop()
        return JumpingLoop()

    async def run(self, scenario: Scenario) -> Any:
        complaints: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: complaints.append(str(context)))
        self._jumps = scenario.jumps
        try:
            async with asyncio.timeout(None if scenario.jumps else HANGING):
                outcome = await scenario.run(self)
        finally:
            for task in self._tasks:
                task.cancel()
        assert complaints == []
        return outcome

    async def sleep(self, seconds: float) -> None:
        if not self._jumps:
            await asyncio.sleep(seconds)
            return
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.001)  # noqa: ASYNC251
            await asyncio.sleep(0)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def jump(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        loop.jumped += seconds

    def event(self) -> asyncio.Event:
        return asyncio.Event()

    def start(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> AsyncioTask:
        task = AsyncioTask(self, function(*arguments))
        self._tasks.append(task)
        return task

    async def within(self, seconds: float, function: Callable[..., Awaitable[Any]], *arguments: Any) -> bool:
        task = asyncio.ensure_future(function(*arguments))
        timer = asyncio.ensure_future(self.sleep(seconds))
        try:
            await asyncio.wait([task, timer], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
                return True
            return False
        finally:
            timer.cancel()
            task.cancel()
            await asyncio.wait([task])

    async def readable(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(sock, _set, ready)
        try:
            await ready
        finally:
            loop.remove_reader(sock)

    async def writable(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_writer(sock, _set, ready)
        try:
            await ready
        finally:
            loop.remove_writer(sock)

    async def in_thread(self, function: Callable[[], Any]) -> Any:
        self._loop = asyncio.get_running_loop()
        return await asyncio.to_thread(function)

    def from_thread(self, function: Callable[[], Awaitable[Any]]) -> Any:
        async def call() -> Any:
            return await function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    @asynccontextmanager
    async def serving(
        self, handler: Any = None, *, receive_buffer: int | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        listener = socket.socket()
        if receive_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        with listener:
            listener.bind(("127.0.0.1", 0))
            server = await adapter.serve(handler, sock=listener, **options)
            try:
                yield server
            finally:
                await server.aclose(timeout=0)

    def connect(self, url: str, **options: Any) -> AbstractAsyncContextManager[Any]:
        return adapter.connect(url, **options)

    async def drain(self, server: Any, seconds: float = 5.0) -> None:
        await server.aclose(timeout=seconds)

    def end_of(self, error: BaseException) -> str | None:
        if isinstance(error, adapter.ConnectionLost):
            return f"lost {error.code} {error.reason}".rstrip()
        if isinstance(error, adapter.ConnectionClosed):
            return f"closed by the peer {error.code} {error.reason}".rstrip() if error.by_peer else "closed here"
        if isinstance(error, RuntimeError) and "receives" in str(error):
            return "busy"
        if isinstance(error, TimeoutError):
            return "too slow"
        return None

    @property
    def prepare(self) -> Any:
        return wscore.prepare


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
