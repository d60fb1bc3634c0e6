"""Receiving: order, errors, the queue counted in bytes, pauses, pieces."""

import pytest
import trio
import trio.testing

from wscore.codec import LocalProtocolError, Piece
from wscore.protocol.events import Ping, Pong
from wscore.session.queue import ReceiveQueue
from wscore.transport.errors import ConnectionClosed, ConnectionLost
from wscore.transport.receiving import Joiner
from wscore.transport.records import Opening


async def settled() -> None:
    """Every task has done what it can."""
    await trio.testing.wait_all_tasks_blocked()


async def test_text_is_str_and_binary_is_bytes_in_the_order_they_were_sent(link) -> None:
    async with link() as (ws, peer):
        await peer.send("text", b"binary", "", "größer")
        assert [await ws.receive() for _ in range(4)] == ["text", b"binary", "", "größer"]


async def test_receive_waits_for_the_message(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        nursery.start_soon(peer.send, "late")
        assert await ws.receive() == "late"


async def test_iteration_ends_when_the_peer_closes(link) -> None:
    async with link() as (ws, peer):
        await peer.send("one", "two")
        await peer.close(1001, "bye")
        assert [message async for message in ws] == ["one", "two"]
        with pytest.raises(ConnectionClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.reason, caught.value.by_peer) == (1001, "bye", True)
        assert (ws.close_code, ws.close_reason) == (1001, "bye")


async def test_what_came_before_the_loss_is_received_before_the_error(link) -> None:
    async with link() as (ws, peer):
        await peer.send("one")
        await peer.stream.aclose()
        await ws.wait_closed()
        assert await ws.receive() == "one"
        for _ in range(2):
            with pytest.raises(ConnectionLost) as caught:
                await ws.receive()
            assert (caught.value.code, caught.value.reason) == (1006, "")


async def test_bytes_that_stop_inside_a_frame_are_a_loss(link) -> None:
    async with link() as (ws, peer):
        peer.connection.send("a message that stays unfinished")
        await peer.stream.send_all(peer.connection.data_to_send()[:-1])
        await peer.stream.send_eof()
        with pytest.raises(ConnectionLost, match=r"the connection is gone: .*1006"):
            await ws.receive()


async def test_a_broken_rule_ends_with_our_code_after_what_came_before(link) -> None:
    async with link() as (ws, peer):
        peer.connection.send("fine")
        await peer.stream.send_all(peer.connection.data_to_send() + b"\xff\xff")
        assert await ws.receive() == "fine"
        with pytest.raises(ConnectionLost) as caught:
            await ws.receive()
        assert caught.value.code == 1002
        assert caught.value.reason
        with pytest.raises(ConnectionLost):
            await ws.send("x")
        assert (await peer.until_close()).code == 1002


async def test_a_message_above_the_limit_closes_with_1009(link) -> None:
    async with link(max_message_size=10) as (ws, peer):
        await peer.send("x" * 10, "x" * 11)
        assert await ws.receive() == "x" * 10
        with pytest.raises(ConnectionLost) as caught:
            await ws.receive()
        assert caught.value.code == 1009
        assert (await peer.until_close()).code == 1009


async def test_a_message_of_too_many_fragments_closes_with_1008(link) -> None:
    async with link(max_fragments=2) as (ws, peer):
        for fin in (False, True, False, False, True):
            peer.connection.send_fragment("x", fin=fin)
        await peer.flush()
        assert await ws.receive() == "xx"
        with pytest.raises(ConnectionLost) as caught:
            await ws.receive()
        assert caught.value.code == 1008


async def test_a_second_receiver_is_refused_and_does_not_disturb_the_first(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        got = []

        async def first() -> None:
            got.append(await ws.receive())

        nursery.start_soon(first)
        await settled()
        with pytest.raises(trio.BusyResourceError):
            await ws.receive()
        await peer.send("for the first")
        await settled()
        assert got == ["for the first"]


async def test_a_receiver_that_was_woken_and_has_not_run_yet_is_the_only_one_all_the_same(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        got = []

        async def receive() -> None:
            got.append(await ws.receive())

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await peer.send("first")
        while not got:
            with pytest.raises(trio.BusyResourceError):
                await ws.receive()
            await trio.lowlevel.checkpoint()
        assert got == ["first"]


async def test_a_cancelled_receive_loses_nothing(link) -> None:
    async with link() as (ws, peer):
        with trio.CancelScope() as scope:
            scope.cancel()
            await ws.receive()
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.receive)
            await settled()
            nursery.cancel_scope.cancel()
        await peer.send("still here")
        await settled()
        with trio.CancelScope() as scope:
            scope.cancel()
            await ws.receive()
        assert scope.cancelled_caught
        assert await ws.receive() == "still here"


@pytest.mark.parametrize("steps", range(8))
async def test_a_message_that_comes_as_the_receiver_is_cancelled_is_kept(link, steps: int) -> None:
    async with link() as (ws, peer):
        scope = trio.CancelScope()
        got = []

        async def receive() -> None:
            with scope:
                got.append(await ws.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await settled()
            await peer.send("now")
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            scope.cancel()
        assert got == ["now"] or await ws.receive() == "now"


# The queue


def test_a_queue_weighs_its_messages() -> None:
    queue = ReceiveQueue(180)
    queue.put("größe")
    assert (queue.size, queue.budget, len(queue)) == (48 + 7, 180 - 55, 1)
    queue.put(Piece(b"12345", True, False))
    assert queue.size == 55 + (64 + 48 + 5)
    assert not queue.is_full
    queue.put(b"")
    assert queue.is_full
    assert queue.get() == "größe"
    assert (queue.size, queue.is_full, queue.has_room) == (125, False, False)
    assert queue.get() == Piece(b"12345", True, False)
    assert queue.has_room
    queue.clear()
    assert (queue.size, len(queue)) == (0, 0)
    with pytest.raises(IndexError):
        queue.get()


async def test_reading_pauses_when_the_queue_is_full_and_goes_on_when_it_is_half_empty(link) -> None:
    async with link(lockstep=True, max_receive_queue=495) as (ws, peer), trio.open_nursery() as nursery:

        async def send() -> None:
            for number in range(40):
                await peer.send(b"%02d" % number)

        nursery.start_soon(send)
        await settled()
        assert ws.statistics().messages_waiting == 10
        assert ws.statistics().receive_queue == 10 * (2 + 48)
        for number in range(4):
            assert await ws.receive() == b"%02d" % number
        await settled()
        assert ws.statistics().messages_waiting == 6
        for number in range(4, 40):
            assert await ws.receive() == b"%02d" % number


async def test_reading_stops_inside_one_read_when_its_messages_fill_the_queue(link) -> None:
    async with link(max_receive_queue=495) as (ws, peer):
        await peer.send(*(b"%02d" % number for number in range(100)))
        await settled()
        assert ws.statistics().messages_waiting == 10
        for number in range(100):
            assert await ws.receive() == b"%02d" % number


async def test_one_message_always_fits(link) -> None:
    async with link(max_receive_queue=1) as (ws, peer):
        await peer.send("a" * 1000, "b" * 1000)
        await settled()
        assert ws.statistics().messages_waiting == 1
        assert await ws.receive() == "a" * 1000
        assert await ws.receive() == "b" * 1000


async def test_pings_before_the_message_that_fills_the_queue_are_answered_though_nobody_receives(link) -> None:
    async with link(max_receive_queue=1) as (_ws, peer):
        peer.connection.ping(b"one")
        peer.connection.send("fills the queue")
        peer.connection.send("stays behind it")
        peer.connection.ping(b"two")
        await peer.flush()
        assert await peer.next() == Pong(b"one")


async def test_a_ping_behind_the_pause_is_answered_when_reading_goes_on(link) -> None:
    async with link(max_receive_queue=1) as (ws, peer):
        peer.connection.send("fills the queue")
        peer.connection.ping(b"behind")
        await peer.flush()
        await settled()
        assert await ws.receive() == "fills the queue"
        assert await peer.next() == Pong(b"behind")


async def test_a_close_behind_the_pause_is_seen_when_reading_goes_on(link) -> None:
    async with link(max_receive_queue=1) as (ws, peer):
        await peer.send("fills the queue", "next")
        await peer.close(3000)
        await settled()
        assert [message async for message in ws] == ["fills the queue", "next"]
        assert ws.close_code == 3000


async def test_pings_of_the_peer_are_answered_while_we_send(link) -> None:
    async with link() as (ws, peer):
        await ws.send("x")
        peer.connection.ping(b"?")
        await peer.flush()
        assert await peer.next() == "x"
        assert await peer.next() == Pong(b"?")
        await ws.send("y")
        assert not isinstance(await peer.next(), Ping)


async def test_what_came_with_the_opening_handshake_is_the_beginning(link) -> None:
    async with link() as (_, helper):
        helper.connection.send("first")
        rest = helper.connection.data_to_send()
    async with link(opening=Opening(rest=rest)) as (ws, peer):
        await peer.send("second")
        assert await ws.receive() == "first"
        assert await ws.receive() == "second"
        assert ws._opening.rest == b""


# Pieces


def test_a_joiner_joins_text_and_bytes_and_counts_utf8() -> None:
    joiner = Joiner()
    assert not joiner.has_begun
    joiner.add(Piece("grö", True, False))
    joiner.add(Piece("ße\r\n", False, True))
    assert (joiner.size, joiner.has_begun) == (9, True)
    assert joiner.take() == "größe\r\n"
    assert (joiner.size, joiner.has_begun) == (0, False)
    joiner.add(Piece(b"", True, True))
    assert joiner.take() == b""


async def test_pieces_come_before_the_message_has_ended(link) -> None:
    async with link(pieces=True) as (ws, peer):
        peer.connection.send_fragment("one", fin=False)
        await peer.flush()
        pieces = ws.receive_pieces()
        assert await anext(pieces) == "one"
        peer.connection.send_fragment("two", fin=True)
        await peer.flush()
        assert [piece async for piece in pieces] == ["two"]
        with pytest.raises(StopAsyncIteration):
            await anext(pieces)


async def test_each_iteration_over_pieces_is_one_message_and_an_empty_one_has_one_piece(link) -> None:
    async with link(pieces=True) as (ws, peer):
        await peer.send("", b"", "three")
        assert [[piece async for piece in ws.receive_pieces()] for _ in range(3)] == [[""], [b""], ["three"]]


async def test_pieces_left_half_way_go_on_in_the_next_iteration(link) -> None:
    async with link(pieces=True) as (ws, peer):
        for data, fin in ((b"1", False), (b"2", False), (b"3", True)):
            peer.connection.send_fragment(data, fin=fin)
            await peer.flush()
            await settled()
        async for piece in ws.receive_pieces():
            assert piece == b"1"
            break
        with pytest.raises(LocalProtocolError, match="receive_pieces is in the middle"):
            await ws.receive()
        assert b"".join([piece async for piece in ws.receive_pieces()]) == b"23"


async def test_pieces_cancelled_half_way_go_on_in_the_next_iteration(link) -> None:
    async with link(pieces=True) as (ws, peer):
        peer.connection.send_fragment(b"1", fin=False)
        await peer.flush()
        got = []

        async def receive() -> None:
            async for piece in ws.receive_pieces():
                got.append(piece)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await settled()
            nursery.cancel_scope.cancel()
        peer.connection.send_fragment(b"2", fin=True)
        await peer.flush()
        await receive()
        assert got == [b"1", b"2"]


async def test_receive_joins_pieces_and_goes_on_where_it_was_cancelled(link) -> None:
    async with link(pieces=True) as (ws, peer):
        peer.connection.send_fragment("1", fin=False)
        await peer.flush()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.receive)
            await settled()
            nursery.cancel_scope.cancel()
        with pytest.raises(LocalProtocolError, match="a cancelled receive is in the middle"):
            await anext(ws.receive_pieces())
        peer.connection.send_fragment("2", fin=True)
        await peer.send("next")
        assert await ws.receive() == "12"
        assert [piece async for piece in ws.receive_pieces()] == ["next"]


async def test_the_size_limit_binds_receive_but_not_receive_pieces(link) -> None:
    async with link(pieces=True, max_message_size=10) as (ws, peer):
        await peer.send("x" * 100)
        assert len("".join([piece async for piece in ws.receive_pieces()])) == 100
        await peer.send("x" * 10)
        assert await ws.receive() == "x" * 10
        await peer.send("x" * 11)
        with pytest.raises(ConnectionLost) as caught:
            await ws.receive()
        assert caught.value.code == 1009
        assert (await peer.until_close()).code == 1009


async def test_pieces_have_to_be_asked_for(link) -> None:
    async with link() as (ws, _):
        with pytest.raises(LocalProtocolError, match="needs pieces=True"):
            ws.receive_pieces()


async def test_pieces_end_as_receive_does(link) -> None:
    async with link(pieces=True) as (ws, peer):
        await peer.close()
        with pytest.raises(ConnectionClosed):
            await anext(ws.receive_pieces())


async def test_statistics_count_messages_not_pieces(link) -> None:
    async with link(pieces=True) as (ws, peer):
        peer.connection.send_fragment(b"1", fin=False)
        peer.connection.send_fragment(b"2", fin=True)
        await peer.flush()
        await settled()
        assert (ws.statistics().messages_received, ws.statistics().messages_waiting) == (1, 2)
