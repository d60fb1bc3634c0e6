"""The core of picows as a peer: callbacks with frames, which this file joins to messages. It has no compression."""

import asyncio
from typing import Any

import picows
import wire
from picows import WSMsgType


class Listener(picows.WSListener):  # type: ignore[misc]
    def __init__(self, arrived: asyncio.Future[Any]) -> None:
        self.arrived = arrived
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.ponged = asyncio.Event()
        self.closed = {"closed": 1006, "reason": ""}
        self.fragments = b""
        self.is_text = False

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport
        self.arrived.set_result(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.CLOSE:
            self.on_close(transport, payload)
        elif frame.msg_type == WSMsgType.PONG:
            self.ponged.set()
        elif frame.msg_type != WSMsgType.PING:
            self.on_data(frame, payload)

    def on_data(self, frame: picows.WSFrame, payload: bytes) -> None:
        if frame.msg_type != WSMsgType.CONTINUATION:
            self.is_text = frame.msg_type == WSMsgType.TEXT
        self.fragments += payload
        if frame.fin:
            message, self.fragments = self.fragments, b""
            self.received.put_nowait(wire.encode(message.decode() if self.is_text else message))

    def on_close(self, transport: picows.WSTransport, payload: bytes) -> None:
        code = int.from_bytes(payload[:2]) if payload else 1005
        self.closed = {"closed": code, "reason": payload[2:].decode()}
        if not transport.is_close_frame_sent:
            transport.send_close(code, payload[2:])
        transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.received.put_nowait(self.closed)


class Peer:
    async def listen(self, compression: None, subprotocols: list[str], tls: str | None) -> dict[str, Any]:
        self.arrived: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def accept(request: picows.WSUpgradeRequest) -> picows.WSUpgradeResponseWithListener:
            wanted = request.headers.get("Sec-WebSocket-Protocol", "").split(", ")
            self.subprotocol = next((name for name in wanted if name in subprotocols), None)
            extra = {"Sec-WebSocket-Protocol": self.subprotocol} if self.subprotocol else {}
            response = picows.WSUpgradeResponse.create_101_response(extra)
            return picows.WSUpgradeResponseWithListener(response, Listener(self.arrived))

        self.server = await picows.ws_create_server(
            accept, "127.0.0.1", 0, ssl=wire.server_context(tls), max_frame_size=wire.MAX_MESSAGE_SIZE
        )
        return {"port": self.server.sockets[0].getsockname()[1]}

    async def accepted(self) -> dict[str, Any]:
        self.listener = await self.arrived
        return {"subprotocol": self.subprotocol, "compressed": False}

    async def connect(self, url: str, compression: None, subprotocols: list[str], tls: str | None) -> dict[str, Any]:
        arrived: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        wanted = {"Sec-WebSocket-Protocol": ", ".join(subprotocols)} if subprotocols else {}
        transport, self.listener = await picows.ws_connect(
            lambda: Listener(arrived),
            url,
            ssl_context=wire.client_context(tls),
            extra_headers=wanted,
            max_frame_size=wire.MAX_MESSAGE_SIZE,
        )
        headers = transport.response.headers
        return {"subprotocol": headers.get("Sec-WebSocket-Protocol"), "compressed": False}

    async def send(self, message: dict[str, str]) -> None:
        await self.send_fragments([message])

    async def send_fragments(self, messages: list[dict[str, str]]) -> None:
        for index, message in enumerate(map(wire.decode, messages)):
            kind = WSMsgType.TEXT if isinstance(message, str) else WSMsgType.BINARY
            data = message.encode() if isinstance(message, str) else message
            last = index == len(messages) - 1
            self.listener.transport.send(WSMsgType.CONTINUATION if index else kind, data, fin=last)

    async def receive(self) -> dict[str, Any]:
        return await self.listener.received.get()  # type: ignore[no-any-return]

    async def ping(self) -> None:
        self.listener.transport.send_ping(b"are you there")
        await self.listener.ponged.wait()

    async def close(self, code: int, reason: str) -> None:
        self.listener.transport.send_close(code, reason.encode())
        await self.listener.transport.wait_disconnected()

    async def reset(self) -> None:
        if hasattr(self, "listener"):
            self.listener.transport.disconnect(False)
        if hasattr(self, "server"):
            self.server.close()


asyncio.run(wire.obey(Peer(), asyncio.to_thread))
