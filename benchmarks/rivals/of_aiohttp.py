"""aiohttp: its compiled reader and mask, its writer in Python; private parts, which nobody else is meant to use.

They are driven without a loop: messages are taken out of the reader's queue at once, and the writer's coroutine, which
has nothing to wait for, is stepped by hand. Both are cheaper than what aiohttp itself has to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import aiohttp
from aiohttp._websocket.mask import _websocket_mask_cython
from aiohttp._websocket.reader_c import WebSocketDataQueue, WebSocketReader
from aiohttp._websocket.writer import WebSocketWriter

from wscore.codec import CLIENT, Role

from ..wire import Message
from .base import Receive, Rival, Run, Send


class _Transport:
    """Both the protocol and the transport: nothing is ever paused or closed."""

    _paused = _reading_paused = False

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.write = self.chunks.append

    def is_closing(self) -> bool:
        return False


class Aiohttp(Rival):
    name = "aiohttp"
    version = aiohttp.__version__

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def receiver(self, role: Role, *, deflate: bool = False) -> Receive:
        # So large a limit that the reader never stops to wait for whoever reads the queue.
        queue = WebSocketDataQueue(_Transport(), (1 << 31) - 1, loop=self.loop)
        reader = WebSocketReader(queue, 1 << 22, deflate, True)
        buffer = queue._buffer

        def receive(data: bytes) -> list[Any]:
            reader.feed_data(data)
            received = list(buffer)
            buffer.clear()
            return received

        return receive

    def sender(self, role: Role, *, deflate: bool = False) -> Send:
        transport = _Transport()
        compress = 15 if deflate else 0
        writer = WebSocketWriter(transport, transport, use_mask=role is CLIENT, compress=compress)

        def send(messages: Sequence[Message]) -> list[bytes]:
            for message in messages:
                if isinstance(message, str):
                    _finish(writer.send_frame(message.encode(), aiohttp.WSMsgType.TEXT))
                else:
                    _finish(writer.send_frame(message, aiohttp.WSMsgType.BINARY))
            sent = transport.chunks.copy()
            transport.chunks.clear()
            return sent

        return send

    def mask_inplace(self, pairs: Sequence[tuple[bytearray, bytes]]) -> Run:
        def run() -> bytearray:
            for data, key in pairs:
                _websocket_mask_cython(key, data)
            return data

        return run

    def messages(self, received: Any) -> list[Message]:
        return [message.data for message, _ in received]


def _finish(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the writer wanted to wait")


def rivals() -> list[Rival]:
    return [Aiohttp()]
