"""aiohttp as a peer. It answers pings only while somebody receives, so a task receives all the time."""

import asyncio
from typing import Any

import wire
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

WebSocket = ClientWebSocketResponse[bool] | web.WebSocketResponse[bool]
# aiohttp calls the window bits of an offer "compress"; 0 is none.
WINDOW_BITS = {None: 0, "takeover": 15}


class Peer:
    def __init__(self) -> None:
        self.runner: web.AppRunner | None = None
        self.session: ClientSession | None = None

    async def listen(self, compression: str | None, subprotocols: list[str], tls: str | None) -> dict[str, Any]:
        self.arrived: asyncio.Future[WebSocket] = asyncio.get_running_loop().create_future()

        async def accept(request: web.Request) -> web.StreamResponse:
            ws = web.WebSocketResponse(
                timeout=1,
                autoping=False,
                protocols=subprotocols,
                compress=compression is not None,
                max_msg_size=wire.MAX_MESSAGE_SIZE,
            )
            await ws.prepare(request)
            self.take(ws)
            self.arrived.set_result(ws)
            await self.receiving
            return ws

        application = web.Application()
        application.router.add_get("/", accept)
        self.runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=wire.server_context(tls))
        await site.start()
        return {"port": self.runner.addresses[0][1]}

    async def accepted(self) -> dict[str, Any]:
        return self.about(await self.arrived)

    async def connect(
        self, url: str, compression: str | None, subprotocols: list[str], tls: str | None
    ) -> dict[str, Any]:
        self.session = ClientSession()
        ws = await self.session.ws_connect(
            url,
            autoping=False,
            protocols=subprotocols,
            compress=WINDOW_BITS[compression],
            max_msg_size=wire.MAX_MESSAGE_SIZE,
            ssl=wire.client_context(tls) or True,
        )
        self.take(ws)
        return self.about(ws)

    def take(self, ws: WebSocket) -> None:
        self.ws = ws
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.ponged = asyncio.Event()
        self.receiving = asyncio.create_task(self.receive_all())

    def about(self, ws: WebSocket) -> dict[str, Any]:
        subprotocol = ws.ws_protocol if isinstance(ws, web.WebSocketResponse) else ws.protocol
        return {"subprotocol": subprotocol, "compressed": bool(ws.compress)}

    async def receive_all(self) -> None:
        reason = ""
        while not self.ws.closed:
            message = await self.ws.receive()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    self.received.put_nowait(wire.encode(message.data))
                case WSMsgType.PING:
                    await self.ws.pong(message.data)
                case WSMsgType.PONG:
                    self.ponged.set()
                case WSMsgType.CLOSE:
                    reason = message.extra or ""
                case WSMsgType.CLOSING:
                    break
        self.received.put_nowait({"closed": self.ws.close_code, "reason": reason})

    async def send(self, message: dict[str, str]) -> None:
        match wire.decode(message):
            case str(text):
                await self.ws.send_str(text)
            case bytes(data):
                await self.ws.send_bytes(data)

    async def receive(self) -> dict[str, Any]:
        return await self.received.get()

    async def ping(self) -> None:
        await self.ws.ping(b"are you there")
        await self.ponged.wait()

    async def close(self, code: int, reason: str) -> None:
        await self.ws.close(code=code, message=reason.encode())

    async def reset(self) -> None:
        if hasattr(self, "ws"):
            await self.ws.close()
        if self.session is not None:
            await self.session.close()
        if self.runner is not None:
            await self.runner.cleanup()


asyncio.run(wire.obey(Peer(), asyncio.to_thread))
