import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from typing_extensions import Buffer, disjoint_base

from wscore.protocol.connection import Connection
from wscore.protocol.events import Event
from wscore.protocol.prepared import PreparedMessage

__all__ = ["TURN_BUDGET", "Link"]

TURN_BUDGET: int

@disjoint_base
class Link:
    _context: Context
    _loop: asyncio.AbstractEventLoop
    _on_message: Callable[[Any, str | bytes], object] | None
    _transport: Any
    _connection: Any
    _is_open: bool
    _is_sendable: bool
    _is_deaf: bool
    _is_held: bool
    _is_behind: bool
    _writing_is_paused: bool
    _flush_is_due: bool
    _line: list[asyncio.Future[None]]
    _queue: deque[str | bytes]
    _max_queue: int
    _queued: int
    _receiver: asyncio.Future[None] | None
    _messages_received: int
    _messages_sent: int
    _bytes_received: int
    _bytes_sent: int
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_message: Callable[[Any, str | bytes], object] | None,
        max_queue: int,
        context: Context,
    ) -> None: ...
    def get_buffer(self, sizehint: int) -> memoryview: ...
    def buffer_updated(self, nbytes: int) -> None: ...
    def send_nowait(self, message: str | Buffer | PreparedMessage, compress: bool | None = None) -> bool: ...
    def _attach(self, connection: Connection, transport: asyncio.Transport, fd: int) -> None: ...
    def _detach(self) -> None: ...
    def _take(self, data: Buffer) -> None: ...
    def _budget(self) -> int: ...
    def _deliver(self, events: list[Event]) -> None: ...
    def _put(self, message: str | bytes) -> None: ...
    def _pop(self) -> str | bytes: ...
    def _wake_receiver(self) -> None: ...
    def _call(self, message: str | bytes) -> None: ...
    def _add(self, message: str | Buffer | PreparedMessage, compress: bool | None) -> None: ...
    def _has_gathered(self) -> bool: ...
    def _output_waits(self) -> None: ...
    def _flush_now(self) -> None: ...
    def _flush(self) -> None: ...
    def _in_transport(self) -> int: ...
