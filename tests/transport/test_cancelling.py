"""Every async method, cancelled before its first await and at each one, and what then holds."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from wscore.codec import CLIENT, SERVER
from wscore.session.options import Options
from wscore.transport.errors import ConnectionClosed
from wscore.transport.records import Opening
from wscore.transport.sending import SendLine
from wscore.transport.stream import new_connection, open_websocket
from wscore.transport.trio_glue import CALLS_A_LOOK, pace_of_this_run

Call = Callable[[], Awaitable[object]]


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def cancelled_at_once(call: Call) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await call()
    assert scope.cancelled_caught


async def cancelled_while_it_waits(call: Call) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await settled()
        assert nursery.child_tasks
        nursery.cancel_scope.cancel()


BOTH = pytest.mark.parametrize("cancelled", [cancelled_at_once, cancelled_while_it_waits])


@BOTH
async def test_receive_cancelled_loses_nothing(link, cancelled) -> None:
    async with link() as (ws, peer):
        await cancelled(ws.receive)
        await peer.send("one", "two")
        assert [await ws.receive(), await ws.receive()] == ["one", "two"]


async def test_receive_cancelled_with_a_message_at_hand_leaves_it(link) -> None:
    async with link() as (ws, peer):
        await peer.send("one")
        await settled()
        for _ in range(3):
            await cancelled_at_once(ws.receive)
        assert await ws.receive() == "one"


@BOTH
async def test_iteration_cancelled_loses_nothing(link, cancelled) -> None:
    async with link() as (ws, peer):
        await cancelled(ws.__anext__)
        await peer.send("one")
        await peer.close()
        assert [message async for message in ws] == ["one"]


@BOTH
async def test_receive_pieces_cancelled_goes_on_where_it_stopped(link, cancelled) -> None:
    async with link(pieces=True) as (ws, peer):
        pieces = ws.receive_pieces()
        await cancelled(pieces.__anext__)
        peer.connection.send_fragment("1", fin=False)
        await peer.flush()
        assert await anext(pieces) == "1"
        await cancelled(pieces.__anext__)
        peer.connection.send_fragment("2", fin=True)
        await peer.flush()
        assert [piece async for piece in pieces] == ["2"]


@BOTH
async def test_receive_that_joins_pieces_goes_on_where_it_was_cancelled(link, cancelled) -> None:
    async with link(pieces=True) as (ws, peer):
        await cancelled(ws.receive)
        for data, fin in (("1", False), ("2", False), ("3", True)):
            peer.connection.send_fragment(data, fin=fin)
            await peer.flush()
            if not fin:
                await cancelled_while_it_waits(ws.receive)
        assert await ws.receive() == "123"


@BOTH
async def test_send_cancelled_has_sent_nothing(link, cancelled) -> None:
    async with link(lockstep=True, max_send_buffer=10) as (ws, peer):
        await ws.send("x" * 100)
        await cancelled(lambda: ws.send("never"))
        assert ws.statistics().messages_sent == 1
        assert await peer.next() == "x" * 100
        await ws.send("after")
        assert await peer.next() == "after"


async def test_send_cancelled_with_room_at_hand_has_sent_nothing(link) -> None:
    async with link() as (ws, peer):
        await cancelled_at_once(lambda: ws.send("never"))
        await ws.send("after")
        assert await peer.next() == "after"


async def test_a_sender_whose_turn_came_as_it_was_cancelled_has_sent() -> None:
    unsent = 100
    added = []
    line = SendLine(lambda: unsent, mark=10)
    scope = trio.CancelScope()

    async def send() -> None:
        with scope:
            await line.wait(5, lambda: added.append("sent"))
            added.append("returned")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await settled()
        unsent = 0
        line.advance()
        scope.cancel()
    assert added == ["sent", "returned"]


@BOTH
async def test_send_pieces_cancelled_before_its_first_piece_has_sent_nothing(link, cancelled) -> None:
    async with link(lockstep=True, max_send_buffer=10) as (ws, peer):
        await ws.send("x" * 100)
        await cancelled(lambda: ws.send_pieces(["never"]))
        assert await peer.next() == "x" * 100
        await ws.send("after")
        assert await peer.next() == "after"


@pytest.mark.parametrize("pieces", [1, 2])
async def test_send_pieces_cancelled_later_closes_with_1011(link, pieces: int) -> None:
    async with link() as (ws, peer):

        async def endless():
            for _ in range(pieces):
                yield "piece"
            await trio.sleep_forever()

        await cancelled_while_it_waits(lambda: ws.send_pieces(endless()))
        assert (await peer.until_close()).code == 1011


@BOTH
async def test_ping_cancelled_leaves_the_connection_as_it_was(link, cancelled) -> None:
    async with link() as (ws, peer):
        await cancelled(ws.ping)
        await ws.send("x")
        while await peer.next() != "x":
            pass
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.ping)
            await peer.next()


async def test_ping_cancelled_while_it_waits_for_room_sends_no_ping(link) -> None:
    async with link(lockstep=True, max_send_buffer=10) as (ws, peer):
        await ws.send("x" * 100)
        await cancelled_while_it_waits(ws.ping)
        assert await peer.next() == "x" * 100
        await ws.send("after")
        assert await peer.next() == "after"


@BOTH
async def test_aclose_cancelled_has_closed_the_stream(link, cancelled) -> None:
    async with link() as (ws, peer):
        await cancelled(ws.aclose)
        with pytest.raises(trio.ClosedResourceError):
            await ws.receive()
        await ws.wait_closed()
        await peer.until_eof()


async def test_aclose_cancelled_while_the_stream_lingers_has_closed_it(link) -> None:
    async with link() as (ws, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.aclose)
            await peer.until_close()
            await settled()
            assert ws.close_code == 1000
            nursery.cancel_scope.cancel()
        await ws.wait_closed()
        with pytest.raises(trio.BrokenResourceError):
            await peer.stream.send_all(b"x")


@BOTH
async def test_wait_closed_cancelled_changes_nothing(link, cancelled) -> None:
    async with link() as (ws, peer):
        await cancelled(ws.wait_closed)
        await ws.send("x")
        assert await peer.next() == "x"


async def test_calls_that_end_at_once_notice_cancellation_too(link) -> None:
    async with link() as (ws, peer):
        await peer.close()
        await settled()
        with pytest.raises(ConnectionClosed):
            await ws.receive()
        for call in (ws.receive, lambda: ws.send("x"), ws.ping):
            await cancelled_at_once(call)


# Giving way


async def test_a_second_task_gets_its_turn_beside_100_pipelining_connections() -> None:
    """Between two turns of the loop there is time for 2,000 ready calls, here, and one more for each connection."""
    pace_of_this_run().clock = lambda: calls * 1e-6
    calls = turns = most = 0

    async def connection() -> None:
        nonlocal calls
        ours, theirs = trio.testing.memory_stream_pair()
        options = Options(ping_interval=None)
        sender = new_connection(CLIENT, options)
        for _ in range(80):
            sender.send("x")
        await theirs.send_all(sender.data_to_send())
        async with open_websocket(ours, new_connection(SERVER, options), options, Opening()) as ws:
            for _ in range(80):
                await ws.receive()
                calls += 1
            await theirs.aclose()

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(connection)
        while calls < 100 * 80:
            before = calls
            await trio.lowlevel.checkpoint()
            most = max(most, calls - before)
            turns += 1
    assert most <= 2 * (2000 + 8 + 100)
    assert turns >= 100 * 80 // most


async def test_2_milliseconds_are_enough_for_a_turn(link) -> None:
    pace = pace_of_this_run()
    now = 0.0
    pace.clock = lambda: now
    async with link() as (ws, peer):
        await peer.send(*["x"] * 20)
        await settled()
        with trio.testing.assert_no_checkpoints():
            for _ in range(10):
                await ws.receive()
        now += 2e-3
        before = trio.lowlevel.current_task()._schedule_points
        for _ in range(CALLS_A_LOOK):
            await ws.receive()
        assert trio.lowlevel.current_task()._schedule_points == before + 1


async def test_strict_checkpoints_keep_trios_rule(link) -> None:
    async with link(strict_checkpoints=True) as (ws, peer):
        await peer.send("one", "two")
        await settled()
        with trio.testing.assert_checkpoints():
            await ws.receive()
        with trio.testing.assert_checkpoints():
            await anext(ws)
        with trio.testing.assert_checkpoints():
            await ws.send("x")
        with trio.testing.assert_checkpoints():
            await ws.send_pieces(["x"])
