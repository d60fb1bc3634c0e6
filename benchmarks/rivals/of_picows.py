"""picows: compiled; its codec is part of a protocol for asyncio, here driven by hand.

As a loop would, we ask for its buffer, copy the bytes into it and say how many; a listener in Python takes the payload
out of each frame. It delivers frames, not messages, and knows no compression. For sending, it is told that its
transport has something in its buffer, so that it does no system call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import picows
from picows.picows import WSProtocol

from wscore.codec import CLIENT, Role

from ..wire import REQUEST, Message
from .base import Receive, Rival, Send

_TEXT = picows.WSMsgType.TEXT
_BINARY = picows.WSMsgType.BINARY


class _Socket:
    def setsockopt(self, *_: object) -> None:
        pass

    def getsockopt(self, *_: object) -> int:
        return 0

    def fileno(self) -> int:
        return -1


class _Transport:
    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.write = self.chunks.append

    def writelines(self, chunks: Sequence[bytes]) -> None:
        # The first is a view of memory that the next frame overwrites.
        self.chunks.extend(map(bytes, chunks))

    def get_extra_info(self, name: str) -> Any:
        return _Socket() if name == "socket" else None

    def get_write_buffer_size(self) -> int:
        return 1


class _Listener(picows.WSListener):
    def __init__(self) -> None:
        self.received: list[Message] = []

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == _TEXT:
            self.received.append(frame.get_payload_as_utf8_text())
        else:
            self.received.append(frame.get_payload_as_bytes())


class Picows(Rival):
    name = "picows"
    version = picows.__version__

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.logger = logging.getLogger("benchmarks.picows")

    def receiver(self, role: Role, *, deflate: bool = False) -> Receive | None:
        if deflate or role is CLIENT:
            return None
        protocol, _ = self._open()
        listener = protocol.listener
        get_buffer, buffer_updated = protocol.get_buffer, protocol.buffer_updated

        def receive(data: bytes) -> list[Message]:
            size = len(data)
            get_buffer(size)[:size] = data
            buffer_updated(size)
            received, listener.received = listener.received, []
            return received

        return receive

    def sender(self, role: Role, *, deflate: bool = False) -> Send | None:
        if deflate or role is CLIENT:
            return None
        protocol, transport = self._open()
        one = protocol.transport.send

        def send(messages: Sequence[Message]) -> list[bytes]:
            for message in messages:
                one(_TEXT if isinstance(message, str) else _BINARY, message)
            sent = transport.chunks.copy()
            transport.chunks.clear()
            return sent

        return send

    def _open(self) -> tuple[Any, _Transport]:
        """A server's protocol after the handshake."""
        protocol = self.loop.run_until_complete(self._make())
        transport = _Transport()
        protocol.connection_made(transport)
        # It refuses what Firefox sends, "keep-alive, Upgrade".
        request = REQUEST.replace(b"keep-alive, ", b"")
        protocol.get_buffer(-1)[: len(request)] = request
        protocol.buffer_updated(len(request))
        assert b" 101 " in transport.chunks[0]
        transport.chunks.clear()
        return protocol, transport

    async def _make(self) -> Any:
        strategy = picows.WSAutoPingStrategy.PING_WHEN_IDLE
        return WSProtocol(
            None, None, False, lambda _: _Listener(), self.logger, False, None, False, 10, 10, strategy, True, 1 << 22,
            None, 1 << 22,
        )  # fmt: skip


def rivals() -> list[Rival]:
    return [Picows()]
