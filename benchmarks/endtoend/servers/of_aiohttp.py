"""aiohttp on uvloop. Fan-out is the loop that its documentation has."""

import asyncio

import uvloop
from aiohttp import WSMessage, WSMsgType, web

from benchmarks.endtoend.servers.job import Job, announce, job, listen

everybody: set[web.WebSocketResponse] = set()


async def send(ws: web.WebSocketResponse, message: WSMessage) -> None:
    if message.type is WSMsgType.TEXT:
        await ws.send_str(message.data)
    else:
        await ws.send_bytes(message.data)


async def main(asked: Job) -> None:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=asked.compress, heartbeat=asked.keepalive)
        await ws.prepare(request)
        everybody.add(ws)
        try:
            async for message in ws:
                for each in list(everybody) if asked.fanout else (ws,):
                    await send(each, message)
        finally:
            everybody.discard(ws)
        return ws

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    sock = listen()
    await web.SockSite(runner, sock, ssl_context=asked.ssl_context()).start()
    announce(sock.getsockname()[1], "aiohttp", "uvloop")
    await asyncio.Event().wait()


uvloop.run(main(job()))
