"""trio-websocket. It has no compression, and pings only where the application does."""

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from benchmarks.endtoend.servers.job import Job, announce, job

everybody: set[WebSocketConnection] = set()


async def main(asked: Job) -> None:
    async def handle(request: WebSocketRequest) -> None:
        ws = await request.accept()
        everybody.add(ws)
        try:
            while True:
                message = await ws.get_message()
                for each in list(everybody) if asked.fanout else (ws,):
                    await each.send_message(message)
        except ConnectionClosed:
            pass
        finally:
            everybody.discard(ws)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, handle, "127.0.0.1", 0, asked.ssl_context())
        announce(server.port, "trio-websocket", "trio")


trio.run(main, job())
