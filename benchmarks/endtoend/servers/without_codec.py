"""The end of the scale for a WebSocket implementation under uvicorn: ASGI's events, and as little else as can be.

It knows that a peer sends frames that are all alike, and cuts what comes into pieces of the first one's length. What
goes to the application is a frame as it came, masked; what the application sends is unmasked, nothing is checked.
"""

import asyncio
from collections import deque
from typing import Any

from wscore.codec import mask
from wscore.protocol.handshake import Accept, ServerHandshake

# Of a masked frame, by the byte that has its size.
HEADS = {0x80 | 126: 8, 0x80 | 127: 14}


class WithoutCodec(asyncio.Protocol):
    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        self.app = config.loaded_app
        self.connections = server_state.connections
        self.loop = asyncio.get_running_loop()
        self.handshake = ServerHandshake()
        self.head = self.length = 0
        self.rest = b""
        self.queue: deque[bytes] = deque()
        self.output: list[bytes] = []
        self.waiter: asyncio.Future[None] | None = None
        self.is_accepted = self.is_gone = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.connections.discard(self)
        self.is_gone = True
        self.wake()

    def data_received(self, data: bytes) -> None:
        if not self.is_accepted:
            self.handshake.receive_data(data)
            self.task = self.loop.create_task(self.app({"type": "websocket"}, self.receive, self.send))
            return
        if not self.length:
            self.head = HEADS.get(data[1], 6)
            self.length = self.head + (data[1] & 127 if self.head == 6 else int.from_bytes(data[2 : self.head - 4]))
        data = self.rest + data if self.rest else data
        whole = len(data) - len(data) % self.length
        self.queue.extend([data[at : at + self.length] for at in range(0, whole, self.length)])
        self.rest = data[whole:]
        self.wake()

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def receive(self) -> dict[str, Any]:
        if not self.is_accepted:
            return {"type": "websocket.connect"}
        while not self.queue:
            if self.is_gone:
                return {"type": "websocket.disconnect", "code": 1006}
            self.flush()
            self.waiter = self.loop.create_future()
            await self.waiter
        return {"type": "websocket.receive", "bytes": self.queue.popleft()}

    async def send(self, event: dict[str, Any]) -> None:
        if event["type"] == "websocket.accept":
            self.handshake.answer(Accept())
            self.transport.write(self.handshake.data_to_send())
            self.is_accepted = True
            return
        frame, head = event["bytes"], self.head
        size = frame[1:2] if head == 6 else frame[1 : head - 4]
        self.output.append(b"%c%c%b" % (frame[0], size[0] & 127, size[1:]) + mask(frame[head:], frame[head - 4 : head]))

    def flush(self) -> None:
        if self.output:
            self.transport.write(b"".join(self.output))
            self.output.clear()

    def shutdown(self) -> None:
        self.transport.close()
