"""What all connections hold together is limited; and those that hold little do not notice (design: limits)."""

from collections.abc import Callable

import pytest
import trio
import trio.lowlevel
import trio.testing

import wscore
from wscore.transport.reserve import QUANTUM

from ..raw import Raw, dial, echo, serving, status_of
from ..wire import BINARY, CLOSE, KEY, TEXT, Frame, encode, from_client

pytestmark = pytest.mark.usefixtures("each_transport")

KIB = 1 << 10
ENOUGH = {"max_total_buffers": 1024 * KIB, "ping_interval": None}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.lowlevel.checkpoint()


def held(server: wscore.Server) -> int:
    return server._conversations.reserve.held


async def hold(server: wscore.Server, raw: Raw, size: int) -> bytes:
    """Open a WebSocket, and send so much of a message of 600 KiB; what is left of it."""
    await raw.upgrade()
    message = encode(Frame(BINARY, bytes(600 * KIB), key=KEY))
    before = held(server)
    await raw.send(message[:size])
    await until(lambda: held(server) >= before + size - 2 * QUANTUM or held(server) > 1024 * KIB)
    return message[size:]


async def opens(server: wscore.Server) -> int:
    async with dial(server) as raw:
        await raw.ask()
        return status_of(await raw.head())


async def echoes(raw: Raw, text: bytes) -> None:
    await raw.say(TEXT, text)
    assert [frame.payload for frame in await raw.frames(1)] == [text]


async def gets_its_echo(raw: Raw) -> None:
    """All of the message of 600 KiB."""
    received = 0
    while received < 600 * KIB + 10:
        received += len(await raw.stream.receive_some(1 << 16))


async def test_above_the_limit_new_ones_get_503_and_the_largest_is_closed(mock_clock: trio.testing.MockClock) -> None:
    async with (
        serving(**ENOUGH) as server,
        dial(server) as honest,
        dial(server) as one,
        dial(server) as most,
        dial(server) as three,
    ):
        await honest.upgrade()
        rest = await hold(server, one, 300 * KIB)
        await hold(server, most, 500 * KIB)
        assert await opens(server) == 101
        await hold(server, three, 300 * KIB)
        assert await opens(server) == 503
        assert server.statistics().reasons == {"memory": 1}
        await echoes(honest, b"as if nothing had happened")
        mock_clock.jump(0.9)
        await echoes(honest, b"not yet")
        mock_clock.jump(0.2)
        (close,) = await most.frames(1)
        assert (close.opcode, close.payload) == (CLOSE, (1013).to_bytes(2) + b"the server is short of memory")
        await most.aclose()
        await until(lambda: held(server) < 700 * KIB)
        assert await opens(server) == 101
        mock_clock.jump(5)
        await one.send(rest)
        await gets_its_echo(one)
        await echoes(honest, b"still here")


async def test_meanwhile_the_others_go_on_and_who_holds_more_than_its_share_waits(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with serving(**ENOUGH) as server, dial(server) as honest, dial(server) as one, dial(server) as two:
        await honest.upgrade()
        rest = await hold(server, one, 440 * KIB)
        await hold(server, two, 599 * KIB)
        before = held(server)
        await one.send(rest[: 64 * KIB])
        for number in range(20):
            await echoes(honest, str(number).encode())
        assert held(server) <= before + 64 * KIB
        assert len(server.connections) == 3
        now = held(server)
        await one.send(rest[64 * KIB : 80 * KIB])
        for number in range(20):
            await echoes(honest, str(number).encode())
        assert held(server) <= now + QUANTUM
        # When one is gone, the other reads on.
        mock_clock.jump(1)
        assert (await two.frames(1))[0].opcode == CLOSE
        await two.aclose()
        await one.send(rest[80 * KIB :])
        await gets_its_echo(one)


async def test_what_waits_to_be_received_counts_until_it_is_received() -> None:
    go = trio.Event()

    async def handler(ws: wscore.WebSocket) -> None:
        await go.wait()
        async for _ in ws:
            pass

    async with serving(handler, **ENOUGH) as server, dial(server) as raw:
        await raw.upgrade()
        await raw.send(from_client(BINARY, bytes(50 * KIB)) * 10)
        await until(lambda: held(server) > 490 * KIB)
        go.set()
        await until(lambda: held(server) < QUANTUM)


async def test_what_waits_to_be_sent_counts_until_it_has_left() -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        await ws.send(bytes(32 << 20))
        await ws.wait_closed()

    async with serving(handler, **ENOUGH) as server, dial(server) as raw:
        await raw.upgrade()
        await until(lambda: held(server) > 1 << 20)
        while held(server) > QUANTUM:
            await raw.stream.receive_some(1 << 20)


async def test_nothing_is_left_when_all_have_gone() -> None:
    async with serving(**ENOUGH) as server:
        for _ in range(3):
            async with dial(server) as one, dial(server) as two:
                await hold(server, one, 300 * KIB)
                await hold(server, two, 500 * KIB)
            await until(lambda: not server.connections)
            await until(lambda: held(server) == 0)
            assert server._conversations.reserve.share == 1024 * KIB


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError)])
async def test_senseless_limits_are_misuse(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_total_buffers"):
        await wscore.serve(echo, "127.0.0.1", 0, max_total_buffers=value)
