"""The library websockets as a peer, and picows.websockets, which has the same interface: the argument says which."""

import asyncio
import importlib
import sys
from typing import Any

import wire
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory


def compression_options(policy: str | None, factory: Any) -> dict[str, Any]:
    if policy != "no takeover":
        return {"compression": "deflate" if policy == "takeover" else None}
    return {
        "compression": None,
        "extensions": [factory(server_no_context_takeover=True, client_no_context_takeover=True)],
    }


class Peer:
    def __init__(self, library: str) -> None:
        self.library = importlib.import_module(library)

    async def listen(self, compression: str | None, subprotocols: list[str], tls: str | None) -> dict[str, Any]:
        self.arrived: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.server = await self.library.serve(
            self.keep,
            "127.0.0.1",
            0,
            ssl=wire.server_context(tls),
            subprotocols=subprotocols or None,
            max_size=wire.MAX_MESSAGE_SIZE,
            close_timeout=1,
            **compression_options(compression, ServerPerMessageDeflateFactory),
        )
        return {"port": self.server.sockets[0].getsockname()[1]}

    async def keep(self, ws: Any) -> None:
        self.arrived.set_result(ws)
        await ws.wait_closed()

    async def accepted(self) -> dict[str, Any]:
        return self.about(await self.arrived)

    async def connect(
        self, url: str, compression: str | None, subprotocols: list[str], tls: str | None
    ) -> dict[str, Any]:
        ws = await self.library.connect(
            url,
            ssl=wire.client_context(tls),
            subprotocols=subprotocols or None,
            max_size=wire.MAX_MESSAGE_SIZE,
            close_timeout=1,
            **compression_options(compression, ClientPerMessageDeflateFactory),
        )
        return self.about(ws)

    def about(self, ws: Any) -> dict[str, Any]:
        self.ws = ws
        answered = ws.response.headers.get("Sec-WebSocket-Extensions", "")
        return {"subprotocol": ws.subprotocol, "compressed": "permessage-deflate" in answered}

    async def send(self, message: dict[str, str]) -> None:
        await self.ws.send(wire.decode(message))

    async def send_fragments(self, messages: list[dict[str, str]]) -> None:
        await self.ws.send([wire.decode(message) for message in messages])

    async def receive(self) -> dict[str, Any]:
        try:
            return wire.encode(await self.ws.recv())
        except self.library.ConnectionClosed:
            return {"closed": self.ws.close_code, "reason": self.ws.close_reason}

    async def ping(self) -> None:
        await (await self.ws.ping(b"are you there"))

    async def close(self, code: int, reason: str) -> None:
        await self.ws.close(code, reason)

    async def reset(self) -> None:
        if hasattr(self, "ws"):
            await self.ws.close()
        if hasattr(self, "server"):
            self.server.close()


asyncio.run(wire.obey(Peer(sys.argv[1]), asyncio.to_thread))
