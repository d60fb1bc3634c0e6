"""websockets, on asyncio with uvloop or on Trio; its own `broadcast` for fan-out."""

import socket
from functools import partial
from typing import Any

from benchmarks.endtoend.servers.job import Job, announce, job, listen


def settings(asked: Job) -> dict[str, Any]:
    chosen: dict[str, Any] = {"compression": "deflate" if asked.compress else None, "ssl": asked.ssl_context()}
    if asked.keepalive is not None:
        chosen["ping_interval"] = asked.keepalive
    return chosen


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


async def on_asyncio(asked: Job, sock: socket.socket) -> None:
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    async def fan_out(ws: ServerConnection) -> None:
        async for message in ws:
            broadcast(server.connections, message)

    async with serve(fan_out if asked.fanout else echo, sock=sock, **settings(asked)) as server:
        announce(sock.getsockname()[1], "websockets", "uvloop")
        await server.serve_forever()


async def on_trio(asked: Job, sock: socket.socket) -> None:
    import trio
    from websockets.trio.connection import broadcast
    from websockets.trio.server import ServerConnection, serve

    everybody: set[ServerConnection] = set()

    async def fan_out(ws: ServerConnection) -> None:
        everybody.add(ws)
        try:
            async for message in ws:
                await broadcast(everybody, message)
        finally:
            everybody.discard(ws)

    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(sock))]
    run = partial(serve, fan_out if asked.fanout else echo, listeners=listeners, **settings(asked))
    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        announce(sock.getsockname()[1], "websockets", "trio")


def main(asked: Job) -> None:
    if asked.way == "trio":
        import trio

        trio.run(on_trio, asked, listen())
    else:
        import uvloop

        uvloop.run(on_asyncio(asked, listen()))


main(job("uvloop", "trio"))
