"""wscore's adapter for asyncio, on uvloop: callbacks, or a task for each connection."""

import uvloop

from benchmarks.endtoend.servers.job import Job, announce, job, listen
from wscore.adapters.asyncio import WebSocket, serve

everybody: set[WebSocket] = set()


async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


async def fan_out(ws: WebSocket) -> None:
    everybody.add(ws)
    try:
        async for message in ws:
            tell_everybody(ws, message)
    finally:
        everybody.discard(ws)


def echo_at_once(ws: WebSocket, message: str | bytes) -> None:
    ws.send_nowait(message)


def tell_everybody(_: WebSocket, message: str | bytes) -> None:
    for each in everybody:
        each.send_nowait(message)


def forget(ws: WebSocket, _code: int, _reason: str) -> None:
    everybody.discard(ws)


async def main(asked: Job) -> None:
    options: dict[str, object] = {}
    if asked.compress:
        options["compression"] = "takeover"
    if asked.keepalive is not None:
        options["ping_interval"] = options["ping_timeout"] = asked.keepalive
    if asked.way == "callbacks":
        options |= {"on_message": tell_everybody if asked.fanout else echo_at_once}
        options |= {"on_open": everybody.add, "on_close": forget} if asked.fanout else {}
        handler = None
    else:
        handler = fan_out if asked.fanout else echo
    sock = listen()
    async with await serve(handler, sock=sock, ssl=asked.ssl_context(), backlog=4096, **options) as server:
        announce(sock.getsockname()[1], "uvloop")
        await server.serve_forever()


uvloop.run(main(job("callbacks", "stream")))
