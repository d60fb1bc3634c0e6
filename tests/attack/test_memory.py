"""What is left when many have come and gone: nothing."""

import os
from socket import SHUT_WR

import pytest

from ..wire import BINARY, CLOSE, close_payload, from_client
from .attacking import (
    Measured,
    Target,
    attacked,
    crowd,
    each,
    has_reasons_for_all,
    head,
    opened,
    receive,
    request,
    reset,
    until_end,
)
from .conftest import Scale

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")

MESSAGE = from_client(BINARY, bytes(3000))
OPEN = request()
PART = OPEN[:50]
REFUSED = OPEN.replace(b"Version: 13", b"Version: 12")
GOODBYE = from_client(CLOSE, close_payload(1000))


async def wave(target: Target, size: int) -> None:
    """Many open a connection, have a large message returned, and stay until all are there; then a third each closes,
    ends without closing, and resets.
    """
    with crowd() as sockets:
        sockets += await opened(target, size)
        async for sock in each(sockets):
            sock.send(MESSAGE)
        for sock in sockets:
            assert (await receive(sock, 4))[:2] == b"\x82\x7e"
        for sock in sockets[::3]:
            sock.send(GOODBYE)
        for sock in sockets[1::3]:
            sock.shutdown(SHUT_WR)
        for sock in sockets[2::3]:
            reset(sock)
        for sock in (*sockets[::3], *sockets[1::3]):
            await until_end(sock)
            sock.close()
        await target.quiet()


# Sockets, messages, bytes and tasks that there are now.
SOCKETS = ("sources", "descriptors", "open", "handshakes")
COUNTS = (*SOCKETS, "receive_queue", "send_buffer", "held", "messages_waiting", "senders_waiting", "tasks")


def counts(measured: Measured) -> Measured:
    return {name: measured[name] for name in COUNTS}


async def after_all(target: Target, fresh: Measured, before: Measured) -> Measured:
    """Wait until there is no more of anything than on a fresh server, and as much memory as before."""
    print("before:", before)  # to be seen should it not come to that
    enough = before["blocks"] / 100
    return await target.until(
        lambda now: counts(now) == counts(fresh) and abs(now["blocks"] - before["blocks"]) < enough
    )


@pytest.mark.parametrize("on_message", [False, True], ids=["handler", "on_message"])
async def test_a_second_and_a_third_wave_leave_nothing_behind(transport: str, on_message: bool, scale: Scale) -> None:
    async with attacked(transport, on_message=on_message) as target:
        fresh = await target.at_rest()
        await wave(target, scale.wave)
        before = await target.until(lambda now: counts(now) == counts(fresh))
        for _ in range(2):
            await wave(target, scale.wave)
            after = await after_all(target, fresh, before)
            assert after["most_rss"] < before["most_rss"] * 1.05
            before = after
        assert has_reasons_for_all(after, target.knocks), after


async def test_many_connects_leave_nothing_behind(transport: str, scale: Scale) -> None:
    """Some open and close, some vanish in the middle of their request, some without a word, some are refused."""
    # Trio keeps deadlines that are cancelled until they would have come, or there are a thousand: let them come soon.
    async with attacked(transport, handshake_timeout=1.0, ping_interval=1.0, close_timeout=1.0) as target:
        fresh = await target.at_rest()
        await come_and_go(target, 200)
        before = await target.until(lambda now: counts(now) == counts(fresh))
        await come_and_go(target, scale.connects)
        after = await after_all(target, fresh, before)
        assert has_reasons_for_all(after, target.knocks), after


async def come_and_go(target: Target, count: int) -> None:
    async for number in each(range(count)):
        with crowd() as sockets:
            sockets.append(target.knock((OPEN, OPEN, PART, b"", REFUSED)[number % 5]))
            if number % 5 < 2:
                await head(sockets[0])
                sockets[0].send(GOODBYE if number % 5 else MESSAGE[:100])
            if number % 5 in (1, 4):
                await until_end(sockets[0])
