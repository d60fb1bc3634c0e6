"""The adapter and other libraries, in both roles, with and without compression and TLS."""

import importlib.util
import os
from contextlib import asynccontextmanager

import pytest

from .peers import echo_at_once, tls_contexts, url_of

MESSAGES = ["text", "żółw 🐢", "", b"", b"\x00\xff", "compressible " * 2000, bytes(range(256)) * 400]
COMPRESSION = pytest.mark.parametrize("compression", [None, "takeover", "shared", "dedicated"])


@pytest.fixture(params=["websockets", "aiohttp"])
def library(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(request.param) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{request.param} is not installed")
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


class Client:
    """Another library's client: what a test needs of it."""

    def __init__(self, send, receive) -> None:
        self.send = send
        self.receive = receive


@asynccontextmanager
async def client_of(library, url, compression, context):
    if library == "websockets":
        from websockets.asyncio.client import connect

        async with connect(url, ssl=context, compression="deflate" if compression else None) as ws:
            yield Client(ws.send, ws.recv)
        assert ws.close_code == 1000
        return
    import aiohttp

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, ssl=context or True, compress=15 if compression else 0) as ws,
    ):

        async def send(message):
            await (ws.send_str if isinstance(message, str) else ws.send_bytes)(message)

        async def receive():
            return (await ws.receive()).data

        yield Client(send, receive)
        await ws.close()
        assert ws.close_code == 1000


@asynccontextmanager
async def echo_server_of(library, compression):
    """Another library's server; its URL."""
    if library == "websockets":
        from websockets.asyncio.server import serve

        async def echo(ws):
            async for message in ws:
                await ws.send(message)

        async with serve(echo, "127.0.0.1", 0, compression="deflate" if compression else None) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        return
    from aiohttp import web

    async def handle(request):
        ws = web.WebSocketResponse(compress=bool(compression))
        await ws.prepare(request)
        async for message in ws:
            await (ws.send_str if isinstance(message.data, str) else ws.send_bytes)(message.data)
        return ws

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@COMPRESSION
@pytest.mark.parametrize("options", [{}, {"on_message": echo_at_once}], ids=["stream", "callbacks"])
async def test_as_a_server(aio, library, compression, options):
    async with (
        aio.serving(compression=compression, **options) as server,
        client_of(library, url_of(server), compression, None) as client,
    ):
        for message in MESSAGES:
            await client.send(message)
            assert await client.receive() == message


@COMPRESSION
async def test_as_a_client(aio, library, compression):
    async with echo_server_of(library, compression) as url:
        async with aio.names.connect(url, compression=compression) as ws:
            for message in MESSAGES:
                await ws.send(message)
                assert await ws.receive() == message
            await ws.ping()
        assert ws.close_code == 1000


async def test_over_tls(aio, library):
    of_server, of_client = tls_contexts()
    async with (
        aio.serving(ssl=of_server) as server,
        client_of(library, url_of(server, scheme="wss"), None, of_client) as client,
    ):
        for message in MESSAGES:
            await client.send(message)
            assert await client.receive() == message
