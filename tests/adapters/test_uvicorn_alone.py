"""The adapter for uvicorn needs no more than uvicorn does: neither Trio nor h11."""

import subprocess
import sys

import pytest

from .asgi_server import HANGING

pytest.importorskip("httptools")

PROGRAM = """
import asyncio, socket, sys
sys.modules |= dict.fromkeys(("trio", "h11"))
import uvicorn
from wscore.adapters.asyncio import connect
from wscore.adapters.uvicorn import WebSocketProtocol

async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": (await receive())["text"]})

async def main():
    config = uvicorn.Config(app, ws=WebSocketProtocol, http="httptools", lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        async with connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/") as ws:
            await ws.send("hello")
            print(await ws.receive())
        server.should_exit = True
        await serving

asyncio.run(main())
"""


def test_it_echoes_where_neither_trio_nor_h11_is() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=2 * HANGING)
    assert (run.returncode, run.stdout, run.stderr) == (0, "hello\n", "")
