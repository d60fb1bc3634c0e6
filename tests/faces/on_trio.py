"""The faces on Trio: the stream transport and the reactor."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import trio
import trio.testing

import wscore

from .face import Face
from .scenario import Scenario

HANGING = 20


def only(error: BaseException) -> BaseException:
    """The exception that groups of one hold."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class TrioTask:
    """See `Task`."""

    def __init__(self, face: TrioFace, function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
        self._face = face
        self._function = function
        self._arguments = arguments
        self._scope = trio.CancelScope()
        self._done = trio.Event()
        self._outcome: Any = "cancelled"

    async def run(self) -> None:
        try:
            with self._scope:
                try:
                    self._outcome = await self._function(*self._arguments)
                except Exception as error:
                    self._outcome = self._face.told(only(error))
        finally:
            self._done.set()

    def cancel(self) -> None:
        self._scope.cancel()

    async def ended(self) -> Any:
        await self._done.wait()
        return self._outcome


class TrioFace(Face):
    """wscore on Trio; the column says what moves the bytes."""

    clock: trio.testing.MockClock | None = None
    nursery: trio.Nursery

    def outcome(self, scenario: Scenario) -> Any:
        if scenario.jumps:
            self.clock = trio.testing.MockClock()
        try:
            return trio.run(self.run, scenario, clock=self.clock, strict_exception_groups=True)
        except BaseException as error:
            if not isinstance(only(error), KeyboardInterrupt | SystemExit):
                raise
            return {"run": type(only(error)).__name__, "notes": self.notes}

    @property
    def transport(self) -> str:
        return self.column.removeprefix("pure-")

    async def run(self, scenario: Scenario) -> Any:
        with trio.CancelScope() if self.clock else trio.fail_after(HANGING):
            async with trio.open_nursery() as self.nursery:
                outcome = await scenario.run(self)
                self.nursery.cancel_scope.cancel()
            return outcome

    async def sleep(self, seconds: float) -> None:
        if self.clock is None:
            await trio.sleep(seconds)
            return
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.001)  # noqa: ASYNC251
            await trio.lowlevel.checkpoint()

    def now(self) -> float:
        return trio.current_time()

    def jump(self, seconds: float) -> None:
        assert self.clock is not None
        self.clock.jump(seconds)

    def event(self) -> trio.Event:
        return trio.Event()

    def start(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> TrioTask:
        task = TrioTask(self, function, arguments)
        self.nursery.start_soon(task.run)
        return task

    async def within(self, seconds: float, function: Callable[..., Awaitable[Any]], *arguments: Any) -> bool:
        if self.clock is not None:
            return await self._within_real(seconds, function, *arguments)
        with trio.move_on_after(seconds):
            await function(*arguments)
            return True
        return False

    async def _within_real(self, seconds: float, function: Callable[..., Awaitable[Any]], *arguments: Any) -> bool:
        ended = False
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                nonlocal ended
                await function(*arguments)
                ended = True
                nursery.cancel_scope.cancel()

            nursery.start_soon(call)
            await self.sleep(seconds)
            nursery.cancel_scope.cancel()
        return ended

    async def readable(self, sock: socket.socket) -> None:
        await trio.lowlevel.wait_readable(sock)

    async def writable(self, sock: socket.socket) -> None:
        await trio.lowlevel.wait_writable(sock)

    async def in_thread(self, function: Callable[[], Any]) -> Any:
        return await trio.to_thread.run_sync(function)

    def from_thread(self, function: Callable[[], Awaitable[Any]]) -> Any:
        return trio.from_thread.run(function)

    @asynccontextmanager
    async def serving(
        self, handler: Any = None, *, receive_buffer: int | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        listener = trio.socket.socket()
        if receive_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        options = {"transport": self.transport, "listeners": [trio.SocketListener(listener)]} | options
        with listener:
            async with trio.open_nursery() as nursery:
                yield await nursery.start(partial(wscore.serve, handler, **options))
                nursery.cancel_scope.cancel()

    def connect(self, url: str, **options: Any) -> AbstractAsyncContextManager[Any]:
        return wscore.connect(url, transport=self.transport, **options)  # type: ignore[arg-type]

    async def drain(self, server: Any, seconds: float = 5.0) -> None:
        await server.aclose(drain=seconds)

    def end_of(self, error: BaseException) -> str | None:
        if isinstance(error, wscore.ConnectionLost):
            return f"lost {error.code} {error.reason}".rstrip()
        if isinstance(error, wscore.ConnectionClosed) and error.by_peer:
            return f"closed by the peer {error.code} {error.reason}".rstrip()
        if isinstance(error, wscore.ConnectionClosed | trio.ClosedResourceError):
            return "closed here"
        if isinstance(error, trio.BusyResourceError):
            return "busy"
        if isinstance(error, trio.TooSlowError):
            return "too slow"
        return None

    @property
    def prepare(self) -> Any:
        return wscore.prepare
