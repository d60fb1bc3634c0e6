"""Peers that send too fast: slowed down, or closed with 1008; and who is not to blame for it."""

import pytest
import trio
import trio.testing

from wscore.protocol.events import Close
from wscore.session.options import Options
from wscore.session.rates import Rate
from wscore.transport.errors import ConnectionLost

from .conftest import Peer

TEN = Rate(10, 5)


async def arrivals(ws, count: int) -> list[float]:
    """When so many messages can be received, in seconds from now."""
    start, times = trio.current_time(), []
    for _ in range(count):
        await ws.receive()
        times.append(round(trio.current_time() - start, 3))
    return times


async def send_pings(peer: Peer, count: int) -> None:
    for _ in range(count):
        peer.connection.ping(b"")
    await peer.flush()


async def send_fragments(peer: Peer, count: int) -> None:
    """One message, of so many fragments."""
    for index in range(count):
        peer.connection.send_fragment("x", fin=index == count - 1)
    await peer.flush()


async def test_messages_come_at_once_up_to_the_burst_and_then_at_the_rate(link, autojump_clock) -> None:
    async with link(message_rate=TEN, ping_interval=None) as (ws, peer):
        await peer.send(*map(str, range(20)))
        assert await arrivals(ws, 20) == pytest.approx([0.0] * 5 + [0.1 * number for number in range(1, 16)], abs=0.002)
        await trio.sleep(100)
        await peer.send(*map(str, range(7)))
        assert await arrivals(ws, 7) == pytest.approx([0.0] * 5 + [0.1, 0.2], abs=0.002)


async def test_they_are_slowed_down_on_their_way_to_on_message_too(link, autojump_clock) -> None:
    start, times = trio.current_time(), []

    def note(ws, message) -> None:
        times.append(trio.current_time() - start)

    async with link(on_message=note, message_rate=TEN, ping_interval=None) as (_, peer):
        await peer.send(*map(str, range(8)))
        await trio.sleep(10)
    assert times == pytest.approx([0.0] * 5 + [0.1, 0.2, 0.3], abs=0.002)


async def test_of_pieces_whole_messages_count(link, autojump_clock) -> None:
    async with link(message_rate=TEN, ping_interval=None, pieces=True) as (ws, peer):
        for _ in range(7):
            await send_fragments(peer, 10)
        assert await arrivals(ws, 7) == pytest.approx([0.0] * 5 + [0.1, 0.2], abs=0.002)


async def test_pings_count_as_messages(link, autojump_clock) -> None:
    async with link(message_rate=TEN, ping_interval=None) as (ws, peer):
        await send_pings(peer, 104)
        await trio.testing.wait_all_tasks_blocked()
        await peer.send("behind them")
        (when,) = await arrivals(ws, 1)
        assert 9.9 <= when <= 10.1


async def test_bytes_are_charged_and_paid_before_more_is_read(link, autojump_clock) -> None:
    async with link(byte_rate=Rate(1000, 1000), ping_interval=None) as (ws, peer):
        await peer.send(*[b"x" * 1000] * 10)
        assert await arrivals(ws, 10) == [0.0] * 10
        await peer.send(b"later")
        charged = ws.statistics().bytes_received
        assert await arrivals(ws, 1) == pytest.approx([(charged - 1000) / 1000], abs=0.01)
        assert 10_000 < charged < 10_200


@pytest.mark.parametrize(
    ("options", "most"), [({"message_rate": TEN}, 5), ({"message_rate": 5}, 5), ({"message_rate": 0.5}, 1)]
)
async def test_one_message_too_many_closes_with_1008_where_that_is_wanted(link, options, most, autojump_clock) -> None:
    async with link(**options, fast_producer="close", ping_interval=None) as (ws, peer):
        await peer.send(*map(str, range(most)))
        assert await arrivals(ws, most) == [0.0] * most
        await peer.send("too many")
        closed = await peer.until_close()
        assert (closed.code, closed.reason) == (1008, "too much was sent in too short a time")
        assert await ws.receive() == "too many"
        with pytest.raises(ConnectionLost) as lost:
            await ws.receive()
        assert lost.value.code == 1008


async def test_at_the_rate_nobody_is_closed(link, autojump_clock) -> None:
    async with link(message_rate=TEN, fast_producer="close", ping_interval=None) as (ws, peer):
        for number in range(50):
            await peer.send(str(number))
            assert await ws.receive() == str(number)
            await trio.sleep(0.1)


async def test_one_byte_too_many_closes_with_1008(link, role, autojump_clock) -> None:
    for excess in (0, 1):
        size = 1000 - (8 if role.name == "SERVER" else 4)  # the header, and a client's mask
        async with link(byte_rate=1000, fast_producer="close", ping_interval=None) as (ws, peer):
            await peer.send(b"x" * (size + excess))
            assert len(await ws.receive()) == size + excess
            await trio.testing.wait_all_tasks_blocked()
            assert ws.close_code == (1008 if excess else None)


async def test_a_flood_of_pings_closes_with_1008(link, autojump_clock) -> None:
    async with link(message_rate=TEN, fast_producer="close", ping_interval=None) as (_, peer):
        await send_pings(peer, 6)
        assert (await peer.until_close()).code == 1008


async def test_whoever_sent_while_we_did_not_read_is_not_to_blame(link, autojump_clock) -> None:
    """A minute of messages waits in the way, because our handler was busy: they all come at once."""
    async with link(message_rate=TEN, fast_producer="close", max_receive_queue=200, ping_interval=None) as (ws, peer):
        await peer.send(*["early"] * 5)
        await trio.sleep(60)
        await peer.send(*["late"] * 600)
        assert await arrivals(ws, 605) == [0.0] * 605
        assert ws.close_code is None
        await peer.send(*["too many"] * 10)
        assert (await peer.until_close()).code == 1008


async def test_while_a_peer_is_slowed_down_its_pongs_are_not_overdue(link, autojump_clock) -> None:
    async with (
        link(message_rate=Rate(0.1, 1), ping_interval=3, ping_timeout=3) as (ws, peer),
        trio.open_nursery() as own,
    ):

        async def answer() -> None:
            while not isinstance(await peer.next(), Close):
                pass

        own.start_soon(answer)
        await peer.send(*map(str, range(5)))
        times = await arrivals(ws, 5)
        assert times[-1] >= 40
        assert ws.close_code is None
        own.cancel_scope.cancel()


async def test_a_peer_that_is_slowed_down_is_heard_when_we_close(link, autojump_clock) -> None:
    async with link(message_rate=Rate(0.001, 1), ping_interval=None) as (ws, peer), trio.open_nursery() as nursery:
        await peer.send(*map(str, range(10)))
        assert await ws.receive() == "0"
        start = trio.current_time()
        nursery.start_soon(ws.aclose)
        assert (await peer.until_close()).code == 1000
        await peer.stream.aclose()
        await ws.wait_closed()
        assert trio.current_time() - start < 1
        assert ws.close_code == 1000


async def test_a_cancelled_receive_loses_nothing_meanwhile(link, autojump_clock) -> None:
    async with link(message_rate=TEN, ping_interval=None) as (ws, peer):
        await peer.send(*map(str, range(10)))
        received = []
        while len(received) < 10:
            with trio.move_on_after(0.03):
                received.append(await ws.receive())
        assert received == [str(number) for number in range(10)]


@pytest.mark.parametrize("name", ["message_rate", "byte_rate"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), ("9", TypeError)])
def test_senseless_rates_are_misuse(name: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        Options(**{name: value})


def test_what_is_done_about_it_is_one_of_two_things() -> None:
    with pytest.raises(ValueError, match="fast_producer must be one of 'pause', 'close'"):
        Options(fast_producer="panic")


def test_without_rates_nothing_is_held_to_any() -> None:
    assert Options().new_throttle() is None
    assert Options(message_rate=5).new_throttle() is not None
