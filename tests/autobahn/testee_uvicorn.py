"""uvicorn with our adapter, which Autobahn's wstest examines: an echo on the port named by the first argument."""

import os
import sys
from typing import Any

import uvicorn
from testee_limits import LIMITS

from wscore.adapters.uvicorn import WebSocketProtocol
from wscore.codec import IMPLEMENTATION


class Testee(WebSocketProtocol):
    max_fragments = LIMITS["max_fragments"]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


if not os.environ.get("WSCORE_PURE") and IMPLEMENTATION != "native":
    sys.exit("the compiled codec is not built")
uvicorn.run(
    echo,
    port=int(sys.argv[1]),
    ws=Testee,
    ws_max_size=LIMITS["max_message_size"],
    ws_ping_interval=None,
    lifespan="off",
    log_level="warning",
)
