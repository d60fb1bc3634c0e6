"""The answers to what came before the peer's Close frame: all of them arrive, also where `send` has to wait."""

import pytest
import trio
import trio.testing

from .conftest import Link

SIZE = 100_000


async def answer_all(ws) -> None:
    async for message in ws:
        await ws.send(message)


@pytest.mark.parametrize(("count", "size"), [(2, 9 * SIZE), (20, SIZE)])
async def test_all_answers_arrive_before_our_close_frame(link: Link, count: int, size: int) -> None:
    async with (
        link(lockstep=True, max_send_buffer=10 * SIZE) as (ws, peer),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer_all, ws)
        for number in range(count):
            peer.connection.send(bytes([number]) * size)
        peer.connection.close(1000)
        nursery.start_soon(peer.flush)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert [(await peer.next())[:1] for _ in range(count)] == [bytes([number]) for number in range(count)]
        assert (await peer.next()).code == 1000


async def test_a_peer_that_takes_no_answer_is_not_waited_for_longer_than_half_of_close_timeout(
    link: Link, autojump_clock: trio.testing.MockClock
) -> None:
    """Where our Close frame waits behind the answers; an answer that still has no room then is lost."""
    async with link(lockstep=True, max_send_buffer=SIZE, close_timeout=8) as (ws, peer):
        ends = []

        async def handler() -> None:
            await ws.send(await ws.receive())
            try:
                await ws.send(await ws.receive())
            except trio.BrokenResourceError:
                ends.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            start = trio.current_time()
            nursery.start_soon(handler)
            peer.connection.send(bytes(SIZE))
            peer.connection.send(bytes(SIZE))
            peer.connection.close(1000)
            nursery.start_soon(peer.flush)
        assert ends == [pytest.approx(start + 4, abs=0.1)]
