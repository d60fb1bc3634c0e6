"""uvicorn on uvloop, with each WebSocket implementation that there is for it: an ASGI application that echoes."""

import socket
import sys
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from benchmarks.endtoend.servers.job import Job, announce, job, listen

Event = dict[str, Any]
Send = Callable[[Event], Awaitable[None]]

# By way: what uvicorn is told, and whose versions matter.
WAYS = {
    "websockets-sansio": ("websockets-sansio", "websockets"),
    "websockets": ("websockets", "websockets"),
    "wsproto": ("wsproto", "wsproto"),
    "wscore": ("wscore.adapters.uvicorn:WebSocketProtocol", "wscore"),
    "without a codec": ("benchmarks.endtoend.servers.without_codec:WithoutCodec", "wscore"),
}

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
    package = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        announce(sockets[0].getsockname()[1], "uvicorn", self.package, "uvloop", "httptools")


def main(asked: Job) -> None:
    # uvicorn warns that its "websockets" is to go.
    warnings.simplefilter("ignore")
    tls = asked.tls
    pings = {} if asked.keepalive is None else {"ws_ping_interval": asked.keepalive}
    implementation, Server.package = WAYS[asked.way]
    config = uvicorn.Config(
        application(asked),
        loop="uvloop",
        http="httptools",
        ws=implementation,
        lifespan="off",
        log_level="error",
        access_log=False,
        ws_per_message_deflate=asked.compress,
        ssl_certfile=tls and tls / "certificate.pem",
        ssl_keyfile=tls and tls / "key.pem",
        **pings,
    )
    Server(config).run([listen()])


if __name__ == "__main__":
    sys.exit(main(job(*WAYS)))
