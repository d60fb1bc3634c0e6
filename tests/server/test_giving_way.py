"""Where there is no room, who has waited longest for its peer makes way; half a second is everybody's."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import trio
import trio.testing
import trustme

import wscore
from wscore.session.site.limits import GRACE

from ..raw import UPGRADE, Raw, dial, serving, status_of, url_of

pytestmark = pytest.mark.usefixtures("each_transport")

SLOW = b"GET / HTTP/1.1\r\n"
REQUEST = SLOW + b"".join(f"{name}: {value}\r\n".encode() for name, value in UPGRADE.items()) + b"\r\n"


@pytest.fixture
def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    ours, theirs = (ssl.SSLContext(protocol) for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    authority.configure_trust(theirs)
    return ours, theirs


@asynccontextmanager
async def filled(server: wscore.Server, count: int, first: bytes) -> AsyncIterator[list[Raw]]:
    """So many connections that say no more than this."""
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(dial(server)) for _ in range(count)]
        for raw in slow:
            await raw.send(first)
        while server.statistics().handshakes < count:
            await trio.lowlevel.checkpoint()
        yield slow


@pytest.mark.parametrize("first", [b"", SLOW])
async def test_slow_requests_make_way_for_the_next(first: bytes) -> None:
    async with serving(max_handshakes=2) as server, filled(server, 2, first) as slow:
        async with wscore.connect(url_of(server)) as ws:
            await ws.send("x")
            assert await ws.receive() == "x"
        assert status_of(await slow[0].rest()) == 503
        # There is room again for the other, who may take its time.
        await slow[1].send(REQUEST[len(first) :])
        assert status_of(await slow[1].head()) == 101
        assert server.statistics().reasons == {"crowded": 1}
        while server.statistics().handshakes:
            await trio.lowlevel.checkpoint()


async def test_slow_tls_makes_way_for_the_next(tls_contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    ours, theirs = tls_contexts
    async with serving(max_handshakes=2, ssl_context=ours) as server, filled(server, 2, b"\x16\x03\x01") as slow:
        async with wscore.connect(url_of(server, scheme="wss"), ssl_context=theirs) as ws:
            await ws.send("x")
            assert await ws.receive() == "x"
        with suppress(trio.BrokenResourceError):  # by a reset or not
            assert await slow[0].rest() == b""
        assert (server.statistics().dropped, server.statistics().tls_failures) == ({"crowded": 1}, 0)


async def test_slow_proxy_headers_make_way_for_the_next() -> None:
    async with (
        serving(max_handshakes=1, proxy_protocol=True, trusted_proxies=["127.0.0.1"]) as server,
        filled(server, 1, b"PROXY "),
        dial(server) as raw,
    ):
        await raw.send(b"PROXY UNKNOWN\r\n")
        await raw.upgrade()
        assert server.statistics().dropped == {"crowded": 1}


async def test_who_waits_for_the_application_does_not_make_way() -> None:
    answer = trio.Event()

    async def authorize(request: wscore.Request) -> wscore.Accept:
        if request.path == "/slow":
            await answer.wait()
        return wscore.Accept()

    async with serving(max_handshakes=1, authorize=authorize) as server, dial(server) as first, dial(server) as second:
        await first.ask("GET /slow HTTP/1.1")
        while not server.statistics().handshakes:
            await trio.lowlevel.checkpoint()
        await second.ask()
        with trio.move_on_after(2 * GRACE) as waiting:
            await second.head()
        assert waiting.cancelled_caught
        answer.set()
        assert status_of(await first.head()) == 101
        assert status_of(await second.head()) == 101
        assert server.statistics().reasons == {}
