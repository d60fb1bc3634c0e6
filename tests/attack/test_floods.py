"""Many who take what a server has, and give nothing: slow handshakes, and peers that never answer. Whoever is honest
has an answer in time, all the while.

What limits do to single peers is in tests/server and tests/transport; here are many at once.
"""

import os

import pytest

from .attacking import Honest, attacked, crowd, each, honest, opened, request, until_end
from .conftest import Scale

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")

REQUEST = request()


def report(clients: Honest, scale: Scale) -> None:
    """Say how long the honest waited. Their own patience bounds that already; the long form does more so."""
    p99 = clients.percentile(99)
    print(f"{len(clients.latencies)} honest answers, p99 {p99 * 1000:.0f} ms, longest {max(clients.latencies):.3f} s")
    assert scale.p99 is None or p99 < scale.p99


async def test_slow_handshakes_are_ended_and_keep_nobody_waiting(transport: str, scale: Scale) -> None:
    """They say nothing, or a part of their request, or a byte now and then."""
    count = scale.slow_handshakes
    options = {"max_handshakes": count + 100, "handshake_timeout": 1 + scale.patience}
    async with attacked(transport, **options) as target, honest(target) as clients:
        with crowd() as slow:
            async for number in each(range(count)):
                slow.append(target.knock((b"", REQUEST[:60], REQUEST[:1])[number % 3]))
            async for sock in each(slow[2::3]):
                sock.send(REQUEST[1:2])
            for sock in slow:
                assert (await until_end(sock)).startswith(b"HTTP/1.1 408 ")
        seen = await target.until(lambda seen: seen["reasons"].get("slow_request") == count)
    assert (seen["reasons"], seen["dropped"]) == ({"slow_request": count}, {})
    report(clients, scale)


async def test_peers_that_vanish_are_found_out_and_keep_nobody_waiting(transport: str, scale: Scale) -> None:
    """Not a packet comes of them, not even the end of their connection."""
    count = scale.silent_streams if transport == "stream" else scale.silent
    options = {"ping_interval": 0.5, "ping_timeout": scale.patience, "close_timeout": 1.0}
    async with attacked(transport, **options) as target, honest(target) as clients:
        with crowd() as silent:
            silent += await opened(target, count)
            seen = await target.until(lambda seen: seen["close_codes"].get("1011") == count)
    assert seen["accepted"] - seen["open"] == sum(seen["close_codes"].values())
    report(clients, scale)
