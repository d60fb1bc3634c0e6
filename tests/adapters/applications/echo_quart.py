"""A Quart application that knows nothing of wscore: it echoes, refuses, and tells what `wsproto` is in its process."""

import sys

from quart import Quart, abort, websocket

app = Quart(__name__)
app.config["PROVIDE_AUTOMATIC_OPTIONS"] = True


@app.get("/")
async def what_is_wsproto() -> str:
    return sys.modules["wsproto"].__name__


@app.websocket("/echo")
async def echo() -> None:
    await websocket.accept(subprotocol="chat" if "chat" in websocket.requested_subprotocols else None)
    while (message := await websocket.receive()) != "enough":
        await websocket.send(message)
    await websocket.close(4001, "enough it is")


@app.websocket("/refuse")
async def refuse() -> None:
    abort(403)
