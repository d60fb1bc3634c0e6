"""uvicorn with websockets, on uvloop: an ASGI application."""

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from benchmarks.endtoend.servers.job import Job, announce, job, listen

Event = dict[str, Any]
Send = Callable[[Event], Awaitable[None]]

everybody: set[Send] = set()


def application(asked: Job) -> Callable[..., Awaitable[None]]:
    async def app(scope: Event, receive: Callable[[], Awaitable[Event]], send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        everybody.add(send)
        while (event := await receive())["type"] == "websocket.receive":
            event["type"] = "websocket.send"
            for each in list(everybody) if asked.fanout else (send,):
                await each(event)
        everybody.discard(send)

    return app


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        announce(sockets[0].getsockname()[1], "uvicorn", "websockets", "uvloop", "httptools")


def main(asked: Job) -> None:
    tls = asked.tls
    pings = {} if asked.keepalive is None else {"ws_ping_interval": asked.keepalive}
    config = uvicorn.Config(
        application(asked),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        lifespan="off",
        log_level="error",
        access_log=False,
        ws_per_message_deflate=asked.compress,
        ssl_certfile=tls and tls / "certificate.pem",
        ssl_keyfile=tls and tls / "key.pem",
        **pings,
    )
    Server(config).run([listen()])


main(job())
