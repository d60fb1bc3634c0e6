"""WebSockets on asyncio, on its own loops and on uvloop: a `BufferedProtocol` around `Connection`, for both sides.

::

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async with await serve(echo, "127.0.0.1", 8765) as server:
        await server.serve_forever()

    async with connect("ws://127.0.0.1:8765/") as ws:
        await ws.send("hello")
        print(await ws.receive())

Callbacks in place of the handler are the fastest way: `serve(on_message=lambda ws, message: ws.send_nowait(message))`.
`Server` alone is a protocol factory for `loop.create_server`. Each module says what it decides.
"""

from .client import connect
from .errors import ConnectionClosed, ConnectionLost
from .options import Options
from .server import Server, serve
from .websocket import WebSocket

__all__ = ["ConnectionClosed", "ConnectionLost", "Options", "Server", "WebSocket", "connect", "serve"]
