"""Many who want more than there is: one address that would have all handshakes to itself, TLS that goes nowhere, peers
that never read, and more connections than there are descriptors. Whoever is honest has an answer in time.

What limits do to single peers is in tests/server and tests/transport; here are many at once.
"""

import os
import ssl
from contextlib import suppress
from socket import socket

import pytest
import trio
import trustme

from wscore.session.site.limits import RESERVED_DESCRIPTORS

from ..wire import BINARY, from_client
from .attacking import Honest, attacked, crowd, each, has_reasons_for_all, head, honest, opened, request, until_end
from .conftest import Scale

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")

REQUEST = request()
LARGE = from_client(BINARY, bytes(50_000))
ATTACKER = "127.0.0.2"


def report(clients: Honest, scale: Scale) -> None:
    """Say how long the honest waited. Their own patience bounds that already; the long form does more so."""
    p99 = clients.percentile(99)
    print(f"{len(clients.latencies)} honest answers, p99 {p99 * 1000:.0f} ms, longest {max(clients.latencies):.3f} s")
    assert scale.p99 is None or p99 < scale.p99


async def test_slow_handshakes_of_one_address_keep_nobody_else_out(transport: str, scale: Scale) -> None:
    """There are more than may shake hands at once, by default; what is more than an address may have goes at once."""
    count = scale.slow_handshakes
    async with attacked(transport, max_connections_per_address=100, max_handshakes=200) as target:
        async with honest(target) as clients:
            with crowd() as slow:
                async for _ in each(range(count)):
                    slow.append(target.knock(host=ATTACKER))
                seen = await target.until(lambda seen: sum(seen["dropped"].values()) > count - 200)
                assert seen["handshakes"] <= 200
        seen = await target.quiet()
        assert has_reasons_for_all(seen, target.knocks), seen
        report(clients, scale)


async def test_slow_handshakes_of_many_addresses_keep_nobody_out(transport: str, scale: Scale) -> None:
    """There are several times as many as may shake hands at once: who has waited longest for its peer gives way."""
    count, limit = scale.slow_handshakes, min(scale.slow_handshakes // 4, 1024)
    async with attacked(transport, max_handshakes=limit) as target:
        async with honest(target) as clients:
            with crowd() as slow:
                async for number in each(range(count)):
                    host = f"127.1.{number // 250}.{number % 250 + 1}"
                    slow.append(target.knock(REQUEST[: number % 3 * 20], host=host))
                seen = await target.until(lambda seen: seen["reasons"].get("crowded", 0) >= count - limit)
                assert seen["handshakes"] <= limit
                await clients.hear(50)
        seen = await target.quiet()
        assert has_reasons_for_all(seen, target.knocks), seen
        report(clients, scale)


async def test_half_a_tls_handshake_is_ended_and_keeps_nobody_waiting(
    transport: str, authority: trustme.CA, scale: Scale
) -> None:
    """A third each goes no further, goes away, and talks nonsense."""
    count, hello = scale.slow_handshakes // 2, client_hello()
    options = {"max_handshakes": count + 100, "handshake_timeout": 1 + scale.patience}
    async with attacked(transport, authority=authority, **options) as target, honest(target) as clients:
        with crowd() as slow:
            async for number in each(range(count)):
                slow.append(target.knock(NONSENSE if number % 3 == 2 else hello[: 100 + number % 100]))
            for sock in slow[1::3]:
                sock.close()
            for sock in (*slow[::3], *slow[2::3]):
                await until_end(sock)
        seen = await target.until(lambda seen: seen["tls_failures"] + seen["dropped"].get("gone", 0) == count)
    assert seen["tls_failures"] >= len((*slow[::3], *slow[2::3]))
    report(clients, scale)


NONSENSE = b"GET / HTTP/1.1\r\n\r\n"


def client_hello() -> bytes:
    """What a client says first; some hundreds of bytes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("path", ["/feed", "/echo"])
async def test_peers_that_never_read_are_given_up_and_keep_nobody_waiting(
    transport: str, path: str, scale: Scale
) -> None:
    """We send them what they do not take, or they send us what they do not take back."""
    count, room = scale.deaf, 1 << 16
    options = {"send_timeout": scale.patience, "max_send_buffer": room, "max_receive_queue": room}
    async with attacked(transport, system_buffers=1 << 15, **options) as target, honest(target) as clients:
        with crowd() as deaf:
            deaf += await opened(target, count, path, system_buffers=1 << 12)
            if path == "/echo":
                async with trio.open_nursery() as nursery:
                    for sock in deaf:
                        nursery.start_soon(fill, sock)
            seen = await target.measure()
            # One message always fits.
            assert seen["send_buffer"] <= (count + 10) * (room + 100_010)
            assert seen["receive_queue"] <= (count + 10) * (room + 100_010)
            seen = await target.until(lambda seen: seen["resets"] == count)
    assert seen["close_codes"]["1006"] == count
    report(clients, scale)


async def fill(sock: socket) -> None:
    """Send messages until the server has taken nothing for a while, or has given this one up already."""
    rest = memoryview(LARGE * 40)
    while rest:
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            with trio.move_on_after(0.5) as waiting:
                await trio.lowlevel.wait_writable(sock)
            if waiting.cancelled_caught:
                return
        except ConnectionResetError:
            return


async def test_running_out_of_descriptors_is_survived(transport: str, scale: Scale) -> None:
    """Whoever has a connection notices nothing, and once there are descriptors again, everybody is served."""
    limit = 200
    async with attacked(transport, descriptors=limit, max_connections=1000) as target:
        async with honest(target, coming=0) as clients:
            with crowd() as greedy:
                async for _ in each(range(2 * limit)):
                    greedy.append(target.knock(REQUEST))
                await target.until(lambda seen: "accepting_pauses" in seen["events"] and seen["open"] > limit / 2)
                await clients.hear(50)
        async with honest(target, staying=0):
            pass
        seen = await target.quiet()
        assert has_reasons_for_all(seen, target.knocks), seen
        assert seen["descriptors"] < 40
        report(clients, scale)


async def test_those_above_the_limit_are_told_and_keep_nobody_waiting(transport: str, scale: Scale) -> None:
    """By default there are fewer connections than descriptors."""
    limit = 200
    async with attacked(transport, descriptors=limit) as target, honest(target, coming=0):
        with crowd() as greedy:
            async for _ in each(range(2 * limit)):
                greedy.append(target.knock(REQUEST))
            full = 0
            async for sock in each(greedy):
                if (await head(sock)).startswith(b"HTTP/1.1 503 "):
                    full += 1
                    sock.close()  # a few at a time are told
            # Those who are honest are within the limit, too.
            assert full == 2 * limit - (limit - RESERVED_DESCRIPTORS - 3)
            seen = await target.measure()
            assert (seen["events"].get("accepting_pauses", 0), seen["reasons"]) == (0, {"full": full})
