"""What a scenario may ask of the face that it runs on: the same words for Trio and for asyncio.

Decides how outcomes are put into words that all faces share. How tasks, clocks and servers are made stands in
`on_trio` and `on_asyncio`.
"""

from __future__ import annotations

import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from wscore.codec import LocalProtocolError

from .peer import Peer

if TYPE_CHECKING:
    from .scenario import Scenario

A_MOMENT = 0.05


class Task(Protocol):
    """Something that runs beside the scenario, until the end of it at most."""

    def cancel(self) -> None: ...

    async def ended(self) -> Any:
        """How it ended, once it has: what it returned, "cancelled", or what its exception says."""


class Event(Protocol):
    def set(self) -> None: ...
    def is_set(self) -> bool: ...
    async def wait(self) -> object: ...


class Face(ABC):
    """One way to use wscore, for the time of one scenario."""

    def __init__(self, column: str) -> None:
        self.column = column
        self.notes: list[str] = []
        self.logged: list[str] = []

    @abstractmethod
    def outcome(self, scenario: Scenario) -> Any:
        """Run a scenario on a loop of its own; what is no Exception and ends the run is the outcome, with the notes."""

    # The loop

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    def now(self) -> float: ...

    @abstractmethod
    def jump(self, seconds: float) -> None:
        """Let so much time pass at once, in a scenario that says that it jumps."""

    @abstractmethod
    def event(self) -> Event: ...

    @abstractmethod
    def start(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Task: ...

    @abstractmethod
    async def within(self, seconds: float, function: Callable[..., Awaitable[Any]], *arguments: Any) -> bool:
        """Whether it ends in so many seconds; else it is cancelled."""

    @abstractmethod
    async def readable(self, sock: socket.socket) -> None: ...

    @abstractmethod
    async def writable(self, sock: socket.socket) -> None: ...

    @abstractmethod
    async def in_thread(self, function: Callable[[], Any]) -> Any:
        """Call it in another thread, and wait."""

    @abstractmethod
    def from_thread(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """In a thread of `in_thread`: run it on the loop, as the loop's own means do."""

    # wscore

    @abstractmethod
    def serving(
        self, handler: Any = None, *, receive_buffer: int | None = None, **options: Any
    ) -> AbstractAsyncContextManager[Any]:
        """A server on 127.0.0.1 for the time of the block, then cancelled; accepted sockets have a fixed
        `receive_buffer`, if it is given.
        """

    @abstractmethod
    def connect(self, url: str, **options: Any) -> AbstractAsyncContextManager[Any]: ...

    @abstractmethod
    async def drain(self, server: Any, seconds: float = 5.0) -> None: ...

    @abstractmethod
    def end_of(self, error: BaseException) -> str | None:
        """What an error says about the end of a connection, if it does."""

    @property
    @abstractmethod
    def prepare(self) -> Any: ...

    # What follows from that

    def note(self, what: str) -> None:
        self.notes.append(what)

    async def moment(self) -> None:
        """Let happen what can happen at once, over the loopback interface too."""
        await self.sleep(A_MOMENT)

    async def until(self, condition: Callable[[], object], seconds: float = 5.0) -> bool:
        """Wait for something that becomes true without telling; whether it did in time."""

        async def look() -> None:
            while not condition():
                await self.sleep(0.002)

        return await self.within(seconds, look)

    async def said(self, function: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
        """What a call returns, or what its error says."""
        try:
            return await function(*arguments, **options)
        except Exception as error:
            return self.told(error)

    def said_at_once(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except Exception as error:
            return self.told(error)

    async def waits(self, task: Task, seconds: float = A_MOMENT) -> bool:
        """Whether a task has not ended after so long."""
        return not await self.within(seconds, task.ended)

    def told(self, error: BaseException) -> str:
        """What an error says, in words that all faces share."""
        if (end := self.end_of(error)) is not None:
            return end
        for kind in (UnicodeEncodeError, LocalProtocolError, TypeError, ValueError, RuntimeError, AttributeError):
            if isinstance(error, kind):
                return kind.__name__
        if isinstance(error, OSError):
            return "OSError"
        return type(error).__name__

    async def dial(self, server: Any, receive_buffer: int | None = None, send_buffer: int | None = None) -> Peer:
        """A TCP connection to the server."""
        sock = socket.socket()
        for option, size in ((socket.SO_RCVBUF, receive_buffer), (socket.SO_SNDBUF, send_buffer)):
            if size is not None:
                sock.setsockopt(socket.SOL_SOCKET, option, size)
        sock.connect(tuple(server.addresses[0][:2]))  # of the loopback interface: the backlog takes it at once
        return self.keep(Peer(self, sock, is_client=True))

    async def open(self, server: Any, path: str = "/", rest: bytes = b"", **changes: str | None) -> Peer:
        """An open WebSocket to the server, whose peer the scenario is."""
        peer = await self.dial(server)
        await peer.upgrade(path, rest, **changes)
        return peer

    def keep(self, peer: Peer) -> Peer:
        """Close it in the end."""
        self._peers.append(peer)
        return peer

    def close_peers(self) -> None:
        for peer in self._peers:
            peer.close()
        self._peers.clear()

    @property
    def _peers(self) -> list[Peer]:
        return self.__dict__.setdefault("_kept", [])

    @asynccontextmanager
    async def opened(
        self, role: str = "server", *, small: bool = False, receive_buffer: int | None = None, **options: Any
    ) -> AsyncIterator[tuple[Any, Peer]]:
        """An open connection: ours, whose calls the scenario makes, and its peer. In the end all is cancelled.

        With `small` the peer's socket takes few bytes.
        """
        if role == "server":
            async with self._opened_by_peer(small, receive_buffer, **options) as pair:
                yield pair
        else:
            async with self._opened_by_us(small, **options) as pair:
                yield pair

    @asynccontextmanager
    async def _opened_by_peer(
        self, small: bool, receive_buffer: int | None, **options: Any
    ) -> AsyncIterator[tuple[Any, Peer]]:
        came, over = self.event(), self.event()
        websockets: list[Any] = []

        async def handler(ws: Any) -> None:
            websockets.append(ws)
            came.set()
            await over.wait()

        async with self.serving(handler, receive_buffer=receive_buffer, **options) as server:
            peer = await self.dial(server, 4096 if small else None)
            await peer.upgrade()
            await came.wait()
            yield websockets[0], peer

    @asynccontextmanager
    async def _opened_by_us(self, small: bool, **options: Any) -> AsyncIterator[tuple[Any, Peer]]:
        async with self.listening(4096 if small else None) as (url, accept):
            answering = self.start(self._answered, accept)
            async with self.connect(url, **options) as ws:
                peer = await answering.ended()
                yield ws, peer
                ws.abort()

    async def _answered(self, accept: Callable[[], Awaitable[Peer]]) -> Peer:
        peer = await accept()
        await peer.answer_upgrade()
        return peer

    @asynccontextmanager
    async def listening(
        self, receive_buffer: int | None = None
    ) -> AsyncIterator[tuple[str, Callable[[], Awaitable[Peer]]]]:
        """A listening socket, for scenarios that are servers: its URL, and how to accept."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            if receive_buffer is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)

            async def accept() -> Peer:
                await self.readable(listener)
                return self.keep(Peer(self, listener.accept()[0], is_client=False))

            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/", accept


def url_of(server: Any, path: str = "/") -> str:
    return f"ws://127.0.0.1:{server.addresses[0][1]}{path}"


class Logged(logging.Handler):
    """What a face has logged, by level and message."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        error = f": {record.exc_info[1]!r}" if record.exc_info else ""
        self.lines.append(f"{record.levelname} {record.getMessage()}{error}")
