"""Sending: order, the mark, slow consumers, one message in fragments at a time, prepared messages."""

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from wscore.codec import LocalProtocolError
from wscore.protocol.prepared import prepare
from wscore.transport.errors import ConnectionLost
from wscore.transport.sending import weight_of
from wscore.transport.stream import SLICE

KIB = "x" * 1000


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_what_can_be_sent(link) -> None:
    async with link() as (ws, peer):
        for message in ("text", b"bytes", bytearray(b"array"), memoryview(b"view"), "größer", "", prepare("prepared")):
            await ws.send(message)
        got = [await peer.next() for _ in range(7)]
        assert got == ["text", b"bytes", b"array", b"view", "größer", "", "prepared"]
        assert ws.statistics().messages_sent == 7


@pytest.mark.parametrize(
    ("message", "error"), [(5, TypeError), (None, TypeError), (["x"], TypeError), ("\ud800", UnicodeEncodeError)]
)
async def test_what_cannot_be_sent_is_refused_at_once_and_nothing_is_sent(link, message: object, error: type) -> None:
    async with link(lockstep=True, max_send_buffer=1) as (ws, peer):
        for _ in range(2):
            with pytest.raises(error):
                await ws.send(message)
            with pytest.raises(error):
                ws.send_nowait(message)
            # The second time with a full buffer.
            ws.send_nowait("fine")
        assert await peer.next() == "fine"


async def test_compression_can_be_switched_off_for_a_message(link) -> None:
    async with link() as (ws, peer):
        await ws.send("x", compress=False)
        assert ws.send_nowait("y", compress=True)
        assert [await peer.next(), await peer.next()] == ["x", "y"]


async def test_sends_of_one_tick_leave_in_one_write(link) -> None:
    async with link(lockstep=True) as (ws, peer):
        for _ in range(10):
            ws.send_nowait("x")
        data = await peer.stream.receive_some()
        assert len(peer.connection.receive_data(data)) == 10


def test_messages_weigh_their_utf8_and_a_header() -> None:
    assert weight_of("ab") == weight_of(b"ab") == weight_of(memoryview(b"ab")) == weight_of(prepare("ab")) == 16
    assert weight_of("ö") == 16
    with pytest.raises(TypeError):
        weight_of(3)  # type: ignore[arg-type]


# The mark


async def test_send_waits_above_the_mark_and_goes_on_as_the_peer_reads(link) -> None:
    async with link(lockstep=True, max_send_buffer=3000) as (ws, peer):
        done = []

        async def send() -> None:
            for number in range(6):
                await ws.send(KIB)
                done.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await settled()
            assert done == [0, 1]
            assert ws.statistics().senders_waiting == 1
            assert ws.statistics().send_buffer <= 3000
            assert [await peer.next() for _ in range(6)] == [KIB] * 6
        assert done == [0, 1, 2, 3, 4, 5]


async def test_a_message_above_the_mark_goes_when_the_buffer_is_empty(link) -> None:
    async with link(lockstep=True, max_send_buffer=10) as (ws, peer):
        await ws.send(KIB)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.send, KIB)
            await settled()
            assert ws.statistics().senders_waiting == 1
            assert await peer.next() == KIB
            assert await peer.next() == KIB


async def test_senders_go_in_the_order_of_their_calls_even_if_a_later_one_would_fit(link) -> None:
    async with link(lockstep=True, max_send_buffer=3000) as (ws, peer):
        await ws.send(KIB)
        await settled()
        async with trio.open_nursery() as nursery:
            for message in ("y" * 2500, "small 1", "small 2"):
                nursery.start_soon(ws.send, message)
                await settled()
            assert ws.statistics().senders_waiting == 3
            assert not ws.send_nowait("must not overtake")
            assert [await peer.next() for _ in range(4)] == [KIB, "y" * 2500, "small 1", "small 2"]


async def test_when_the_first_in_line_is_cancelled_the_next_goes(link) -> None:
    async with link(lockstep=True, max_send_buffer=3000) as (ws, peer):
        await ws.send(KIB)
        await settled()
        async with trio.open_nursery() as nursery, trio.open_nursery() as impatient:
            impatient.start_soon(ws.send, "y" * 2500)
            await settled()
            nursery.start_soon(ws.send, "small")
            await settled()
            assert ws.statistics().senders_waiting == 2
            impatient.cancel_scope.cancel()
        assert ws.statistics().senders_waiting == 0
        assert [await peer.next(), await peer.next()] == [KIB, "small"]


async def test_send_nowait_says_whether_there_was_room(link) -> None:
    async with link(lockstep=True, max_send_buffer=3000) as (ws, peer):
        assert [ws.send_nowait(KIB) for _ in range(4)] == [True, True, False, False]
        assert ws.statistics().messages_dropped == 0
        assert [await peer.next() for _ in range(2)] == [KIB] * 2
        assert ws.send_nowait("again")
        assert await peer.next() == "again"


async def test_a_slow_consumer_may_miss_messages(link) -> None:
    async with link(lockstep=True, max_send_buffer=1500, slow_consumer="drop") as (ws, peer):
        await ws.send(KIB)
        await ws.send("dropped " * 100)
        assert not ws.send_nowait("dropped " * 100)
        await ws.send("fits")
        assert ws.statistics().messages_dropped == 2
        assert ws.statistics().messages_sent == 2
        assert [await peer.next() for _ in range(2)] == [KIB, "fits"]


@pytest.mark.parametrize("nowait", [False, True])
async def test_a_slow_consumer_may_be_closed_with_1013(link, nowait: bool) -> None:
    async with link(lockstep=True, max_send_buffer=1500, slow_consumer="close") as (ws, peer):
        await ws.send(KIB)
        if nowait:
            assert not ws.send_nowait(KIB)
        else:
            with pytest.raises(ConnectionLost) as caught:
                await ws.send(KIB)
            assert caught.value.code == 1013
        assert await peer.next() == KIB
        assert (await peer.until_close()).code == 1013


@pytest.mark.parametrize("transport", ["stream"], indirect=True)
async def test_what_is_sent_leaves_in_slices_so_that_progress_is_seen(link) -> None:
    async with link(lockstep=True) as (ws, peer):
        await ws.send(bytes(3 * SLICE))
        await settled()
        whole = ws.statistics().send_buffer
        received = len(await peer.stream.receive_some(2 * SLICE))
        await settled()
        assert received == SLICE
        assert ws.statistics().send_buffer == whole - SLICE
        assert ws.statistics().bytes_sent == SLICE


# Time without progress


async def test_a_peer_that_takes_nothing_for_the_send_timeout_is_reset(link, autojump_clock) -> None:
    async with link(lockstep=True, max_send_buffer=10, ping_interval=None) as (ws, _):
        start = trio.current_time()
        await ws.send(KIB)
        with pytest.raises(ConnectionLost) as caught:
            await ws.send(KIB)
        assert caught.value.code == 1006
        assert trio.current_time() - start == 30
        await ws.wait_closed()
        assert ws.statistics().reset


async def test_a_peer_that_takes_a_little_now_and_then_is_not_reset(link, autojump_clock) -> None:
    async with link(lockstep=True, ping_interval=None) as (ws, peer):
        message = bytes(5 * SLICE)
        await ws.send(message)
        got = 0
        while got < len(message):
            await trio.sleep(29)
            got += len(await peer.stream.receive_some(SLICE))
        await ws.send("x")
        assert not ws.statistics().reset


async def test_an_idle_connection_has_no_send_timeout(link, autojump_clock) -> None:
    async with link(ping_interval=None) as (ws, peer):
        await trio.sleep(3600)
        await ws.send("still there")
        assert await peer.next() == "still there"


async def test_a_stream_that_breaks_under_a_write_is_noticed_by_the_next_call(link) -> None:
    async with link(max_send_buffer=10) as (ws, peer):
        # The peer takes no more, but its own end stays open: what it said before is still received.
        await peer.send("last words")
        peer.take_no_more()
        await ws.send("never arrives")
        await settled()
        with pytest.raises(ConnectionLost) as caught:
            await ws.send("x")
        assert caught.value.code == 1006
        with pytest.raises(ConnectionLost):
            ws.send_nowait("x")
        assert await ws.receive() == "last words"
        await peer.close(1001)
        await settled()
        assert ws.close_code == 1001


async def test_a_stream_that_breaks_under_a_write_is_not_read_for_ever(link, autojump_clock) -> None:
    async with link() as (ws, peer):
        peer.take_no_more()
        await ws.send("never arrives")
        start = trio.current_time()
        with pytest.raises(ConnectionLost):
            await ws.receive()
        assert trio.current_time() - start == 10


# One message in pieces


async def test_pieces_are_one_message(link) -> None:
    async with link() as (ws, peer):
        await ws.send_pieces(["one ", "two ", "three"])
        await ws.send_pieces(iter([b"1", bytearray(b"2")]))
        await ws.send_pieces([""])
        assert [await peer.next() for _ in range(3)] == ["one two three", b"12", ""]
        assert ws.statistics().messages_sent == 3


async def test_each_piece_leaves_before_the_next_exists(link) -> None:
    async with link(peer_options={"pieces": True}) as (ws, peer):
        seen = []

        async def pieces() -> AsyncIterator[str]:
            yield "one"
            seen.append((await peer.next()).data)
            yield "two"
            seen.append((await peer.next()).data)

        await ws.send_pieces(pieces())
        assert seen == ["one", "two"]


async def test_other_senders_wait_until_the_message_has_ended(link) -> None:
    async with link() as (ws, peer):
        more = trio.Event()

        async def pieces() -> AsyncIterator[str]:
            yield "one "
            await more.wait()
            yield "two"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.send_pieces, pieces())
            await settled()
            nursery.start_soon(ws.send, "after")
            await settled()
            nursery.start_soon(ws.send_pieces, ["after ", "that"])
            await settled()
            assert not ws.send_nowait("no room now")
            assert await ws_pings(ws, peer)
            more.set()
        assert [await peer.next() for _ in range(3)] == ["one two", "after", "after that"]


async def ws_pings(ws, peer) -> bool:
    """A Ping may stand between fragments."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ws.ping)
        await peer.next()
        await peer.flush()
    return True


@pytest.mark.parametrize("policy", ["drop", "close"])
async def test_whoever_waits_for_a_message_in_pieces_is_no_slow_consumer(link, policy: str) -> None:
    async with link(slow_consumer=policy) as (ws, peer):
        more = trio.Event()

        async def pieces() -> AsyncIterator[str]:
            yield "one"
            await more.wait()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.send_pieces, pieces())
            await settled()
            assert not ws.send_nowait("no room now")
            nursery.start_soon(ws.send, "after")
            await settled()
            more.set()
        assert [await peer.next(), await peer.next()] == ["one", "after"]
        assert ws.statistics().messages_dropped == 0


async def test_pieces_wait_for_room_as_messages_do(link) -> None:
    async with link(lockstep=True, max_send_buffer=3000) as (ws, peer):
        given = []

        async def pieces() -> AsyncIterator[str]:
            for number in range(8):
                given.append(number)
                yield KIB

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.send_pieces, pieces())
            await settled()
            assert given == [0, 1, 2]
            assert await peer.next() == KIB * 8


async def test_no_pieces_are_no_message(link) -> None:
    async with link() as (ws, peer):
        with pytest.raises(ValueError, match="at least one piece"):
            await ws.send_pieces([])
        await ws.send("fine")
        assert await peer.next() == "fine"


@pytest.mark.parametrize("message", ["text", b"bytes", bytearray(b"x"), memoryview(b"x")])
async def test_a_whole_message_is_not_taken_for_pieces(link, message) -> None:
    async with link() as (ws, _):
        with pytest.raises(TypeError, match="send a whole message with send"):
            await ws.send_pieces(message)


async def test_a_wrong_first_piece_sends_nothing(link) -> None:
    async with link() as (ws, peer):
        for wrong in (5, prepare("x")):
            with pytest.raises(TypeError):
                await ws.send_pieces([wrong])
        await ws.send("fine")
        assert await peer.next() == "fine"


@pytest.mark.parametrize(("wrong", "error"), [(b"bytes", LocalProtocolError), (5, TypeError), ("\ud800", ValueError)])
async def test_a_wrong_later_piece_closes_with_1011(link, wrong, error: type) -> None:
    async with link() as (ws, peer):
        with pytest.raises(error):
            await ws.send_pieces(["text", wrong])
        with pytest.raises(ConnectionLost) as caught:
            await ws.send("x")
        assert caught.value.code == 1011
        assert (await peer.until_close()).code == 1011


async def test_a_wrong_piece_that_had_to_wait_is_refused_when_its_turn_comes(link) -> None:
    async with link(lockstep=True, max_send_buffer=10) as (ws, peer), trio.open_nursery() as nursery:

        async def send_pieces() -> None:
            with pytest.raises(LocalProtocolError):
                await ws.send_pieces(["text", b"bytes"])

        nursery.start_soon(send_pieces)
        await settled()
        assert ws.statistics().senders_waiting == 1
        assert (await peer.until_close()).code == 1011


async def test_pieces_that_fail_half_way_close_with_1011_and_their_error_is_raised(link) -> None:
    def pieces():
        yield "one"
        raise KeyError("mine")

    async with link() as (ws, peer):
        with pytest.raises(KeyError):
            await ws.send_pieces(pieces())
        assert (await peer.until_close()).code == 1011


async def test_pieces_cancelled_before_the_first_have_sent_nothing(link) -> None:
    async with link(lockstep=True, max_send_buffer=10) as (ws, peer):
        await ws.send(KIB)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.send_pieces, ["never"])
            await settled()
            nursery.cancel_scope.cancel()
        assert await peer.next() == KIB
        await ws.send("fine")
        assert await peer.next() == "fine"


async def test_pieces_cancelled_after_the_first_close_with_1011_and_others_who_wait_see_it(link) -> None:
    async with link(lockstep=True, max_send_buffer=10) as (ws, peer):
        errors = []

        async def send() -> None:
            with pytest.raises(ConnectionLost) as caught:
                await ws.send("after")
            errors.append(caught.value.code)

        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()

            async def send_pieces() -> None:
                with scope:
                    await ws.send_pieces(["one", "two"])

            nursery.start_soon(send_pieces)
            await settled()
            nursery.start_soon(send)
            await settled()
            scope.cancel()
        assert errors == [1011]
        assert (await peer.until_close()).code == 1011


async def test_a_peer_that_closes_while_pieces_wait_ends_them(link, autojump_clock) -> None:
    async with link(lockstep=True, max_send_buffer=10) as (ws, peer):
        async with trio.open_nursery() as nursery:

            async def send_pieces() -> None:
                with pytest.raises(ConnectionLost) as caught:
                    await ws.send_pieces(["one", "two", "three"])
                assert caught.value.code == 1001

            nursery.start_soon(send_pieces)
            await settled()
            await peer.close(1001)
        await ws.aclose()
