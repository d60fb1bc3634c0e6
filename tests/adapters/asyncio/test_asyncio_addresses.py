"""Several addresses of one host: which of them a client gets to (RFC 8305)."""

import asyncio
import socket
import sys
import time
from contextlib import contextmanager

import pytest

from .peers import answer_upgrade

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is ours on Linux alone")


@contextmanager
def dead_address(port):
    """An address that answers no SYN: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.3", port))
        listener.listen(0)
        fill = [socket.socket() for _ in range(3)]
        for sock in fill:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        try:
            yield
        finally:
            for sock in fill:
                sock.close()


def found(*hosts, port):
    """Stands in for a resolver that finds these addresses, in this order."""

    async def getaddrinfo(name, *_, **__):
        # uvloop asks for what it connects to, as well.
        which = [name] if name in hosts else hosts
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in which]

    return getaddrinfo


async def greet(raw):
    await answer_upgrade(raw, rest=b"\x81\x02hi")
    await raw.rest()


def port_of(url):
    return int(url.rsplit(":", 1)[1].strip("/"))


@LINUX
async def test_a_client_does_not_wait_for_an_address_that_does_not_answer(aio):
    async with aio.raw_server(greet) as url:
        port = port_of(url)
        with dead_address(port):
            async with Connected(aio, found("127.0.0.3", "127.0.0.1", port=port), port) as (ws, seconds):
                assert await ws.receive() == "hi"
                assert ws.remote_address[0] == "127.0.0.1"
                assert seconds < 5
                ws.abort()


@LINUX
async def test_a_client_goes_on_at_once_after_an_address_that_refuses(aio):
    async with aio.raw_server(greet) as url:
        port = port_of(url)
        async with Connected(aio, found("127.0.0.4", "127.0.0.5", "127.0.0.1", port=port), port) as (ws, _):
            assert await ws.receive() == "hi"
            ws.abort()


@LINUX
async def test_where_no_address_answers_the_first_error_is_told(aio):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        async with Connected(aio, found("127.0.0.4", "127.0.0.5", port=port), port):
            pass


@LINUX
async def test_cancelled_on_the_way_a_client_leaves_nothing_behind(aio):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with dead_address(port):
        reaching = asyncio.ensure_future(Connected(aio, found("127.0.0.3", "127.0.0.3", port=port), port).__aenter__())
        await asyncio.sleep(0.05)
        reaching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reaching


class Connected:
    """Connects by way of another resolver; yields the connection, and how many seconds that took."""

    def __init__(self, aio, resolver, port):
        self.resolver = resolver
        self.connection = aio.names.connect(f"ws://several.example:{port}/", connect_timeout=8)

    async def __aenter__(self):
        began = time.monotonic()
        loop = type(asyncio.get_running_loop())
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(loop, "getaddrinfo", lambda _, *a, **k: self.resolver(*a, **k), raising=False)
            return await self.connection.__aenter__(), time.monotonic() - began

    async def __aexit__(self, *error):
        return await self.connection.__aexit__(*error)
