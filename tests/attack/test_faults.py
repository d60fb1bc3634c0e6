"""Ends and stops in the middle of everything: peers that reset within a frame, a server that is killed, processes that
stand still, and a clock that jumps. What arrives is a prefix of what was sent, and nobody is punished for being waited
for.

Workers that are killed, and their supervisor, are in tests/cli/test_workers.py.
"""

import os
import signal
from contextlib import AsyncExitStack
from itertools import count as numbers
from socket import socket

import pytest
import trio
import trio.testing

import wscore

from ..raw import dial, serving
from ..wire import BINARY, PING, PONG, TEXT, decode, from_client, from_server
from .attacking import attacked, crowd, each, has_reasons_for_all, head, honest, opened, receive, request, reset
from .conftest import Scale
from .target import numbered

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")

MESSAGES = 9


async def test_of_what_breaks_within_a_frame_a_prefix_has_arrived(transport: str, scale: Scale) -> None:
    """Every second one is reset, so that what the server has not read is lost; the others end in good order."""
    whole = b"".join(from_client(BINARY, numbered(number)) for number in range(MESSAGES))
    broken = from_client(BINARY, numbered(MESSAGES))
    async with attacked(transport) as target:
        async with honest(target):
            with crowd() as sockets:
                async for number in each(range(scale.broken)):
                    sock = target.knock(request(f"/journal/{number}"))
                    sockets.append(sock)
                    assert (await head(sock)).startswith(b"HTTP/1.1 101 ")
                    await send(sock, whole + broken[: 1 + number * 7 % (len(broken) - 1)])
                    reset(sock) if number % 2 else sock.close()
            await target.until(lambda seen: seen["close_codes"].get("1006") == scale.broken)
        seen = await target.quiet()
    assert seen["wrong"] == []
    assert {seen["journal"][str(number)] for number in range(0, scale.broken, 2)} == {MESSAGES}
    assert all(seen["journal"][str(number)] <= MESSAGES for number in range(1, scale.broken, 2))
    assert has_reasons_for_all(seen, target.knocks), seen


async def send(sock: socket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)


async def test_of_a_server_that_is_killed_a_prefix_has_arrived(transport: str) -> None:
    feed = b""
    async with attacked(transport) as target:
        with crowd() as sockets:
            sockets += await opened(target, 20, "/feed")
            received = [await some(sock, 300_000) for sock in sockets]
            target.process.kill()
            for sock, data in zip(sockets, received, strict=True):
                while more := await receive(sock):
                    data += more
    number = numbers()
    while len(feed) < max(map(len, received)):
        feed += from_server(BINARY, numbered(next(number)))
    assert all(feed.startswith(bytes(data)) for data in received)


async def some(sock: socket, size: int) -> bytearray:
    """At least so much."""
    data = bytearray()
    while len(data) < size:
        more = await receive(sock)
        assert more
        data += more
    return data


@pytest.mark.native
async def test_answers_that_came_while_the_server_was_stopped_are_in_time(scale: Scale) -> None:
    """It was not the peers who were late: their Pongs were there, and so were new requests."""
    timeout = scale.patience
    options = {"ping_interval": 0.5, "ping_timeout": timeout, "handshake_timeout": timeout}
    async with attacked("auto", **options) as target:
        with crowd() as sockets:
            sockets += await opened(target, min(scale.silent, 500))
            pings = [await some(sock, 10) for sock in sockets]
            os.kill(target.process.pid, signal.SIGSTOP)
            for sock, ping in zip(sockets, pings, strict=True):
                (frame,) = decode(bytes(ping))
                assert frame.opcode == PING
                sock.send(from_client(PONG, frame.payload) + from_client(TEXT, b"still here"))
            await trio.sleep(timeout + 0.5)
            os.kill(target.process.pid, signal.SIGCONT)
            for sock in sockets:
                data = b""
                while b"still here" not in data:  # among Pings
                    more = await receive(sock)
                    assert more, data
                    data += more
            assert (await target.measure())["close_codes"] == {}


@pytest.mark.parametrize("seconds", [21, 65, 100_000_000])
async def test_a_clock_that_jumps_ends_what_is_late_and_nothing_else(
    each_transport: str, mock_clock: trio.testing.MockClock, seconds: float
) -> None:
    """By more than a Ping's interval, than the wheel of the reactor has slots, and than anybody lives."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(ping_timeout=1e9))
        url = f"ws://127.0.0.1:{server.addresses[0][1]}"
        clients = [await stack.enter_async_context(wscore.connect(url, ping_timeout=1e9)) for _ in range(10)]
        slow = await stack.enter_async_context(dial(server))
        await slow.send(b"GET / HTTP/1.1\r\n")
        await trio.testing.wait_all_tasks_blocked(0.01)
        for jump in range(3):
            mock_clock.jump(seconds)
            for number, ws in enumerate(clients):
                await ws.send(f"{jump} {number}")
                assert await ws.receive() == f"{jump} {number}"
        assert (await slow.head()).startswith(b"HTTP/1.1 408 ")
        assert (len(server.connections), server.statistics().reasons) == (10, {"slow_request": 1})


async def test_answers_that_came_before_the_clock_jumped_are_in_time(
    each_transport: str, mock_clock: trio.testing.MockClock
) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(ping_interval=5, ping_timeout=5))
        peers = [await stack.enter_async_context(dial(server)) for _ in range(50)]
        for raw in peers:
            await raw.upgrade()
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(5.1)
        pings = [(await raw.frames(1))[0] for raw in peers]
        for raw, ping in zip(peers, pings, strict=True):
            assert ping.opcode == PING
            os.write(raw.stream.socket.fileno(), from_client(PONG, ping.payload))
        mock_clock.jump(5.1)
        for raw in peers:
            await raw.say(TEXT, b"still here")
        for raw in peers:
            seen = {PING}
            while seen == {PING}:  # it may come before the answer, behind it, or not yet
                seen = {frame.opcode for frame in await raw.frames(1)}
            assert TEXT in seen <= {TEXT, PING}
        assert server.statistics().close_codes == {}
