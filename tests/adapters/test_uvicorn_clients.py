"""Other people's clients of an ASGI application that uvicorn serves by our adapter."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from .asgi_server import HANGING, Record, echo, serving

MESSAGES: list[Any] = ["hello", "grüße 𝄞", "", b"", b"\x00\xff", "x" * 100_000, bytes(100_000)]


async def in_asyncio(talk: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(talk(), HANGING)

    await trio.to_thread.run_sync(asyncio.run, limited())


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_websockets(compression: str | None) -> None:
    client = pytest.importorskip("websockets.asyncio.client")
    app = Record(echo, subprotocol="v2")

    async def talk() -> None:
        async with client.connect(running.url, compression=compression, subprotocols=["v1", "v2"]) as ws:
            assert ws.subprotocol == "v2"
            assert len(ws.protocol.extensions) == (compression is not None)
            for message in MESSAGES:
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["in ", "three ", "fragments"])
            assert await ws.recv() == "in three fragments"
            await (await ws.ping())
            await ws.close(4000, "bye")
            assert ws.close_code == 4000

    with serving(app) as running:
        await in_asyncio(talk)
    assert app.end == {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}


@pytest.mark.parametrize("compress", [0, 15])
async def test_aiohttp(compress: int) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    app = Record(echo)

    async def talk() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(running.url, compress=compress) as ws:
            assert ws.compress == compress
            for message in MESSAGES:
                await (ws.send_str if isinstance(message, str) else ws.send_bytes)(message)
                assert (await ws.receive()).data == message
            await ws.close(code=4000, message=b"bye")
            assert ws.close_code == 4000

    with serving(app) as running:
        await in_asyncio(talk)
    assert app.end == {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}
