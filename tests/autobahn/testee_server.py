"""The server that Autobahn's wstest examines: an echo on the port named by the first argument."""

import os
import sys
from functools import partial

import trio
from testee_limits import LIMITS

import wscore
from wscore.codec import IMPLEMENTATION


async def echo(ws: wscore.WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


if os.environ.get("WSCORE_PURE") or IMPLEMENTATION == "native":
    trio.run(partial(wscore.serve, echo, "127.0.0.1", int(sys.argv[1]), **LIMITS))
else:
    sys.exit("the compiled codec is not built")
