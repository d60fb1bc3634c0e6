"""trio-websocket as a peer. It has no compression, cannot send fragments, and reads nothing while its queue is full.

The argument names a module whose `install` puts something else in the place of wsproto; without one, that is used.
"""

import importlib
import math
import sys
from typing import Any

import trio
import wire

for stand_in in sys.argv[1:]:
    importlib.import_module(stand_in).install()
import trio_websocket  # noqa: E402

# Its default of 4 KiB makes 16 MiB a matter of minutes.
RECEIVE_SIZE = 1 << 20


class Peer:
    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery

    async def listen(self, compression: None, subprotocols: list[str], tls: str | None) -> dict[str, Any]:
        self.arrived = trio.Event()

        async def accept(request: trio_websocket.WebSocketRequest) -> None:
            chosen = next((name for name in request.proposed_subprotocols if name in subprotocols), None)
            self.take(await request.accept(subprotocol=chosen))
            self.arrived.set()
            await trio.sleep_forever()

        async def serve(task_status: trio.TaskStatus[trio_websocket.WebSocketServer]) -> None:
            with trio.CancelScope() as self.serving:
                await trio_websocket.serve_websocket(
                    accept,
                    "127.0.0.1",
                    0,
                    wire.server_context(tls),
                    max_message_size=wire.MAX_MESSAGE_SIZE,
                    receive_buffer_size=RECEIVE_SIZE,
                    task_status=task_status,
                )

        server = await self.nursery.start(serve)
        return {"port": server.port}

    async def accepted(self) -> dict[str, Any]:
        await self.arrived.wait()
        return self.about()

    async def connect(self, url: str, compression: None, subprotocols: list[str], tls: str | None) -> dict[str, Any]:
        ws = await trio_websocket.connect_websocket_url(
            self.nursery,
            url,
            wire.client_context(tls),
            subprotocols=subprotocols,
            max_message_size=wire.MAX_MESSAGE_SIZE,
            receive_buffer_size=RECEIVE_SIZE,
        )
        self.take(ws)
        return self.about()

    def take(self, ws: trio_websocket.WebSocketConnection) -> None:
        self.ws = ws
        self.put, self.received = trio.open_memory_channel[dict[str, Any]](math.inf)
        self.nursery.start_soon(self.receive_all)

    def about(self) -> dict[str, Any]:
        return {"subprotocol": self.ws.subprotocol, "compressed": False}

    async def receive_all(self) -> None:
        try:
            while True:
                self.put.send_nowait(wire.encode(await self.ws.get_message()))
        except trio_websocket.ConnectionClosed as ended:
            code, reason = (ended.reason.code, ended.reason.reason) if ended.reason else (1006, "")
            self.put.send_nowait({"closed": code, "reason": reason or ""})

    async def send(self, message: dict[str, str]) -> None:
        await self.ws.send_message(wire.decode(message))

    async def receive(self) -> dict[str, Any]:
        return await self.received.receive()

    async def ping(self) -> None:
        await self.ws.ping(b"are you there")

    async def close(self, code: int, reason: str) -> None:
        await self.ws.aclose(code, reason)

    async def reset(self) -> None:
        if hasattr(self, "serving"):
            self.serving.cancel()
        elif hasattr(self, "ws"):
            with trio.move_on_after(1):
                await self.ws.aclose()


async def main() -> None:
    async with trio.open_nursery() as nursery:
        await wire.obey(Peer(nursery), trio.to_thread.run_sync)
        nursery.cancel_scope.cancel()


trio.run(main)
