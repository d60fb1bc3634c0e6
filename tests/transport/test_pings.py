"""Pings of ours and their Pongs: latency, keepalive, and what a slow handler must not cause."""

import pytest
import trio
import trio.testing

from wscore.codec import LocalProtocolError
from wscore.protocol.events import Close, Ping
from wscore.transport.errors import ConnectionLost


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def answer_after(peer, seconds: float) -> None:
    ping = await peer.next()
    assert isinstance(ping, Ping)
    await trio.sleep(seconds)
    peer.connection.pong(ping.payload)
    await peer.flush()


def deaf(peer) -> None:
    """A peer that answers no Ping by itself."""
    peer.connection.auto_pong = False


async def test_ping_returns_the_seconds_until_its_pong(link, autojump_clock) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        deaf(peer)
        assert ws.latency is None
        nursery.start_soon(answer_after, peer, 1.5)
        assert await ws.ping() == 1.5
        assert ws.latency == 1.5
        assert ws.statistics().latency == 1.5


async def test_ping_sends_the_payload_it_is_given(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        for payload in (b"", b"x" * 125, bytearray(b"array"), memoryview(b"view")):
            nursery.start_soon(ws.ping, payload)
            assert await peer.next() == Ping(bytes(payload))
            await settled()


async def test_a_payload_too_long_or_under_way_is_refused(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        with pytest.raises(LocalProtocolError, match="125 bytes"):
            await ws.ping(b"x" * 126)
        with pytest.raises(TypeError):
            await ws.ping(5)
        nursery.start_soon(ws.ping, b"same")
        await settled()
        with pytest.raises(LocalProtocolError, match="under way"):
            await ws.ping(b"same")
        await peer.next()


async def test_the_pong_of_a_later_ping_answers_the_earlier_ones(link) -> None:
    async with link() as (ws, peer):
        deaf(peer)
        done = []

        async def ping(payload: bytes) -> None:
            await ws.ping(payload)
            done.append(payload)

        async with trio.open_nursery() as nursery:
            for payload in (b"1", b"2", b"3"):
                nursery.start_soon(ping, payload)
                await settled()
            peer.connection.pong(b"2")
            await peer.flush()
            await settled()
            assert sorted(done) == [b"1", b"2"]
            peer.connection.pong(b"3")
            await peer.flush()


async def test_pongs_that_nobody_asked_for_mean_nothing(link) -> None:
    async with link() as (ws, peer):
        peer.connection.pong(b"unasked")
        await peer.send("x")
        assert await ws.receive() == "x"
        assert ws.latency is None


async def test_a_cancelled_ping_leaves_nothing_behind_and_its_pong_is_ignored(link) -> None:
    async with link() as (ws, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.ping, b"given up")
            await settled()
            nursery.cancel_scope.cancel()
        assert await peer.next() == Ping(b"given up")
        await settled()
        assert ws.latency is None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.ping, b"given up")
            assert await peer.next() == Ping(b"given up")


async def test_a_ping_waits_while_the_send_buffer_is_above_the_mark(link) -> None:
    async with link(lockstep=True, max_send_buffer=10) as (ws, peer):
        await ws.send("x" * 1000)
        waiting = ws.statistics().send_buffer
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.ping, b"behind")
            await settled()
            assert ws.statistics().send_buffer == waiting
            assert await peer.next() == "x" * 1000
            assert await peer.next() == Ping(b"behind")


async def test_a_ping_ends_with_the_connection(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:

        async def ping() -> None:
            with pytest.raises(ConnectionLost) as caught:
                await ws.ping()
            assert caught.value.code == 4000

        nursery.start_soon(ping)
        await settled()
        deaf(peer)
        await peer.close(4000)
        await settled()
        with pytest.raises(ConnectionLost):
            await ws.ping()


# Keepalive


async def test_however_long_an_answer_may_take_the_next_ping_comes_an_interval_after_the_last(
    link, autojump_clock
) -> None:
    async with link(ping_interval=1, ping_timeout=60) as (_, peer):
        start = trio.current_time()
        for number in range(1, 4):
            assert isinstance(await peer.next(), Ping)
            assert 0 <= trio.current_time() - start - number <= number / 16
            await peer.flush()


async def test_an_idle_connection_is_pinged_every_interval(link, autojump_clock) -> None:
    async with link(ping_interval=20) as (ws, peer):
        start = trio.current_time()
        for number in (1, 2, 3):
            assert isinstance(await peer.next(), Ping)
            assert trio.current_time() - start == number * 20
        await settled()
        assert ws.latency == 0


async def test_keepalive_measures_latency(link, autojump_clock) -> None:
    async with link() as (ws, peer):
        deaf(peer)
        await answer_after(peer, 3)
        await settled()
        assert ws.latency == 3


async def test_a_peer_that_answers_no_ping_is_closed_with_1011(link, autojump_clock) -> None:
    async with link(ping_interval=20, ping_timeout=5) as (ws, peer):
        deaf(peer)
        start = trio.current_time()
        with pytest.raises(ConnectionLost) as caught:
            await ws.receive()
        assert caught.value.code == 1011
        assert trio.current_time() - start == 25
        close = await peer.until_close()
        assert (close.code, close.reason) == (1011, caught.value.reason)


async def test_a_peer_in_the_middle_of_a_long_frame_is_alive_as_long_as_its_bytes_come(link, autojump_clock) -> None:
    """It cannot answer a Ping inside of a frame; and when it goes silent there, it is gone on time."""
    async with link(ping_interval=20, ping_timeout=8) as (ws, peer):
        deaf(peer)
        peer.connection.send(bytes(1000))
        frame = peer.connection.data_to_send()
        for start in range(90):
            await peer.stream.send_all(frame[start : start + 1])
            await trio.sleep(1)
        assert ws.close_code is None
        last = trio.current_time() - 1
        with pytest.raises(ConnectionLost) as caught:
            await ws.receive()
        assert caught.value.code == 1011
        assert last + 8 <= trio.current_time() <= last + 8 + 8 / 4


async def test_messages_of_a_peer_that_answers_no_ping_are_life(link, autojump_clock) -> None:
    async with link(ping_interval=20, ping_timeout=8) as (ws, peer):
        deaf(peer)
        for _ in range(30):
            await peer.send("still here")
            await trio.sleep(3)
            assert await ws.receive() == "still here"
        assert ws.close_code is None


async def test_sending_does_not_put_the_pong_off(link, autojump_clock) -> None:
    async with link(ping_interval=20, ping_timeout=5) as (ws, peer):
        deaf(peer)
        start = trio.current_time()
        while ws.close_code is None:
            await ws.send("x")
            await trio.sleep(1)
        assert 25 <= trio.current_time() - start <= 26


async def test_pings_can_be_switched_off(link, autojump_clock) -> None:
    async with link(ping_interval=None) as (ws, peer):
        deaf(peer)
        await trio.sleep(1000)
        await ws.send("first")
        assert await peer.next() == "first"


async def test_answers_need_not_come_where_the_timeout_is_off(link, autojump_clock) -> None:
    async with link(ping_timeout=None) as (ws, peer):
        deaf(peer)
        await trio.sleep(1000)
        await ws.send("x")
        assert isinstance(await peer.next(), Ping)
        assert await peer.next() == "x"


async def test_a_slow_handler_never_makes_us_close_with_1011(link, autojump_clock) -> None:
    async with link(max_receive_queue=1, ping_interval=20, ping_timeout=5) as (ws, peer):
        await peer.send("fills the queue", "stays behind it")
        async with trio.open_nursery() as nursery:

            async def answer() -> None:
                while not isinstance(await peer.next(), Close):
                    pass

            nursery.start_soon(answer)
            # Our Ping goes out, but its Pong stands behind what nobody fetches.
            await trio.sleep(500)
            assert ws.close_code is None
            assert await ws.receive() == "fills the queue"
            await trio.sleep(500)
            assert await ws.receive() == "stays behind it"
            await trio.sleep(500)
            assert ws.close_code is None
            assert ws.latency is not None
            await ws.aclose()


async def test_after_a_pause_a_dead_peer_is_still_found(link, autojump_clock) -> None:
    async with link(max_receive_queue=1, ping_interval=20, ping_timeout=5) as (ws, peer):
        deaf(peer)
        await peer.send("fills the queue")
        await trio.sleep(100)
        assert await ws.receive() == "fills the queue"
        start = trio.current_time()
        with pytest.raises(ConnectionLost) as caught:
            await ws.receive()
        assert caught.value.code == 1011
        assert trio.current_time() - start == 5


async def test_a_ping_is_not_overdue_before_it_has_left(link, autojump_clock) -> None:
    async with link(lockstep=True, ping_interval=20, ping_timeout=5, send_timeout=1000) as (ws, peer):
        await ws.send("takes long")
        await trio.sleep(100)
        assert ws.close_code is None
        assert await peer.next() == "takes long"
        assert isinstance(await peer.next(), Ping)
        await settled()
        assert ws.latency == 0


async def test_a_pong_while_closing_disturbs_nothing(link) -> None:
    async with link() as (ws, peer):
        ws.close_nowait()
        peer.connection.pong(b"x")
        await peer.flush()
        await peer.go()
        await ws.wait_closed()
        assert ws.close_code == 1000
