"""Closing, from either side, crossing, slow, and not at all."""

import copy
import pickle
from contextlib import suppress
from dataclasses import replace

import pytest
import trio
import trio.testing

from wscore.codec import CLIENT, SERVER, LocalProtocolError
from wscore.protocol.events import Close
from wscore.session import Cause, End
from wscore.transport.errors import ConnectionClosed, ConnectionLost

from ..wire import CLOSE, KEY, TEXT, Frame, encode


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_aclose_sends_what_waits_then_its_code_and_waits_for_the_answer(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        await ws.send("last words")
        nursery.start_soon(ws.aclose, 3001, "because")
        assert await peer.next() == "last words"
        assert await peer.next() == Close(3001, "because", "peer")
        await peer.stream.aclose()
        await ws.wait_closed()
        assert (ws.close_code, ws.close_reason) == (3001, "")


async def test_after_our_own_close_every_call_says_so(link) -> None:
    async with link(pieces=True) as (ws, peer):
        await peer.send("never received")
        await settled()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.aclose)
            await peer.go()
        for call in (ws.receive, ws.ping, ws.receive_pieces().__anext__):
            with pytest.raises(trio.ClosedResourceError):
                await call()
        with pytest.raises(trio.ClosedResourceError):
            await ws.send("x")
        with pytest.raises(trio.ClosedResourceError):
            ws.send_nowait("x")
        with pytest.raises(trio.ClosedResourceError):
            await ws.send_pieces(["x"])
        with pytest.raises(trio.ClosedResourceError):
            async for _ in ws:
                pass
        assert ws.statistics().messages_waiting == 0


async def test_closing_again_only_waits(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        nursery.start_soon(ws.aclose, 3000)
        await settled()
        nursery.start_soon(ws.aclose, 1000)
        await settled()
        await peer.go()
        await ws.wait_closed()
        await ws.aclose(4000)
        ws.close_nowait(4000)
        ws.abort()
        assert ws.close_code == 3000


@pytest.mark.parametrize(("code", "reason"), [(1005, ""), (999, ""), (5000, ""), (1000, "x" * 124)])
async def test_a_code_or_reason_that_must_not_be_sent_closes_nothing(link, code: int, reason: str) -> None:
    async with link() as (ws, peer):
        with pytest.raises(LocalProtocolError):
            await ws.aclose(code, reason)
        with pytest.raises(LocalProtocolError):
            ws.close_nowait(code, reason)
        await ws.send("still open")
        assert await peer.next() == "still open"


async def test_aclose_wakes_who_receives_and_who_sends_with_closed_resource_error(link) -> None:
    async with link(lockstep=True, max_send_buffer=10) as (ws, peer), trio.open_nursery() as nursery:

        async def expect_closed(call, *args: object) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await call(*args)

        await ws.send("x" * 100)
        nursery.start_soon(expect_closed, ws.receive)
        nursery.start_soon(expect_closed, ws.ping)
        nursery.start_soon(expect_closed, ws.send, "waits")
        await settled()
        nursery.start_soon(ws.aclose)
        assert await peer.next() == "x" * 100
        await peer.go()


async def test_aclose_discards_what_comes_until_the_peers_answer(link) -> None:
    async with link(max_receive_queue=1) as (ws, peer), trio.open_nursery() as nursery:
        await peer.send(*["x" * 100] * 1000)
        await settled()
        nursery.start_soon(ws.aclose)
        await settled()
        await peer.send(*["y" * 100] * 1000)
        await peer.go()
        await ws.wait_closed()
        assert ws.close_code == 1000


async def test_a_peer_that_does_not_answer_our_close_is_reset_after_the_timeout(link, autojump_clock) -> None:
    async with link(close_timeout=10) as (ws, _):
        start = trio.current_time()
        await ws.aclose()
        assert trio.current_time() - start == 10
        assert ws.close_code == 1006
        assert ws.statistics().reset


async def test_a_peer_that_takes_nothing_cannot_delay_closing(link, autojump_clock) -> None:
    async with link(lockstep=True, close_timeout=10) as (ws, _):
        await ws.send("nobody takes this")
        await trio.sleep(5)
        start = trio.current_time()
        await ws.aclose()
        assert trio.current_time() - start == 10
        assert ws.statistics().reset


async def test_a_peer_that_answers_but_keeps_the_stream_open_has_some_seconds(link, role, autojump_clock) -> None:
    """As a client we wait for the server to end first, for `close_timeout`; as a server we have ended."""
    async with link(close_timeout=5) as (ws, peer), trio.open_nursery() as nursery:
        nursery.start_soon(ws.aclose)
        await peer.until_close()
        start = trio.current_time()
        await ws.wait_closed()
        assert trio.current_time() - start == (2 if role is SERVER else 5)
        assert ws.close_code == 1000
        assert not ws.statistics().reset


@pytest.mark.parametrize("begun_by", ["us", "the peer", "a broken rule"])
async def test_a_server_ends_before_its_client(link, role, begun_by: str, autojump_clock) -> None:
    """RFC 6455 section 7.1.1: whoever ends TCP first has to remember the connection (TIME_WAIT)."""
    async with link(close_timeout=10) as (ws, peer), trio.open_nursery() as nursery:
        if begun_by == "us":
            nursery.start_soon(ws.aclose)
        elif begun_by == "the peer":
            await peer.close()
        else:
            await peer.stream.send_all(b"\xff" * 16)
        await peer.until_close()
        with trio.move_on_after(1) as waiting:
            await peer.until_eof()
        assert waiting.cancelled_caught is (role is CLIENT)
        start = trio.current_time()
        await peer.stream.aclose()
        await ws.wait_closed()
        assert trio.current_time() == start
        assert not ws.statistics().reset


async def test_waiting_for_the_server_to_end_may_be_cancelled(link, role, autojump_clock) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        nursery.start_soon(peer.until_close)
        with trio.move_on_after(1) as waiting:
            await ws.aclose()
        assert waiting.cancelled_caught
        await peer.until_eof()
        assert trio.current_time() == 1


async def test_the_peers_close_is_answered_though_nobody_receives(link) -> None:
    async with link(close_timeout=0.5) as (ws, peer):
        await peer.send("unread")
        await peer.close(1001, "going")
        assert (await peer.until_close()).code == 1001
        await peer.until_eof()
        await peer.stream.aclose()
        await ws.wait_closed()
        assert (ws.close_code, ws.close_reason) == (1001, "going")
        assert await ws.receive() == "unread"


async def test_after_the_peers_close_sending_fails_with_its_code(link) -> None:
    async with link() as (ws, peer):
        await peer.close(4001, "enough")
        await settled()
        for call in (ws.send, ws.ping):
            with pytest.raises(ConnectionLost) as caught:
                await call(b"x")
            assert (caught.value.code, caught.value.reason) == (4001, "enough")
        with pytest.raises(ConnectionLost):
            ws.send_nowait("x")


async def test_senders_that_wait_learn_that_the_peer_has_closed(link, autojump_clock) -> None:
    """Not before it had half of `close_timeout` to make room for what they send."""
    async with link(lockstep=True, max_send_buffer=10, close_timeout=8) as (ws, peer):
        await ws.send("x" * 100)
        start = trio.current_time()
        await peer.close(1001)
        with pytest.raises(ConnectionLost) as caught:
            await ws.send("waits")
        assert caught.value.code == 1001
        assert trio.current_time() - start <= 4.1
        assert ws.statistics().senders_waiting == 0


async def test_a_close_without_a_code_is_1005(link) -> None:
    async with link() as (ws, peer):
        peer.connection.close(None)
        await peer.flush()
        with pytest.raises(ConnectionClosed) as caught:
            await ws.receive()
        assert caught.value.code == 1005


async def test_closes_that_cross_end_both_sides(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        nursery.start_soon(ws.aclose, 3000)
        await settled()
        await peer.close(4000)
        close = await peer.until_close()
        await peer.stream.aclose()
        await ws.wait_closed()
        assert close.code == 3000
        assert ws.close_code == 4000
        assert not ws.statistics().reset


async def test_the_end_of_the_bytes_is_an_answer_to_our_close(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        nursery.start_soon(ws.aclose)
        await settled()
        await peer.stream.aclose()
        await ws.wait_closed()
        assert ws.close_code == 1006


# close_nowait and abort


async def test_close_nowait_lets_the_receiver_finish_and_end_in_peace(link) -> None:
    async with link() as (ws, peer):
        await peer.send("before")
        await settled()
        ws.close_nowait(1001, "shutting down")
        await peer.send("after")
        assert [message async for message in ws] == ["before"]
        with pytest.raises(ConnectionClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.reason, caught.value.by_peer) == (1001, "shutting down", False)
        with pytest.raises(ConnectionLost):
            await ws.send("x")
        await peer.go()


async def test_close_nowait_wakes_who_receives(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(ConnectionClosed):
                await ws.receive()

        nursery.start_soon(receive)
        await settled()
        ws.close_nowait()
        await peer.go()


async def test_aclose_after_close_nowait_waits_for_the_same_end(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        ws.close_nowait(1001)
        nursery.start_soon(ws.aclose, 1000)
        assert (await peer.until_close()).code == 1001
        await peer.stream.aclose()


async def test_abort_closes_at_once_and_without_a_handshake(link, autojump_clock) -> None:
    async with link() as (ws, peer):
        start = trio.current_time()
        ws.abort()
        await ws.wait_closed()
        assert trio.current_time() == start
        assert (await peer.until_close()).code == 1006
        assert ws.close_code == 1006
        with pytest.raises(trio.ClosedResourceError):
            await ws.receive()


async def test_what_is_known_of_the_end_before_and_after(link) -> None:
    async with link() as (ws, peer):
        assert (ws.close_code, ws.close_reason) == (None, None)
        await peer.close()
        await settled()
        assert (ws.close_code, ws.close_reason) == (1000, "")


def test_errors_show_the_peers_words_harmlessly() -> None:
    assert str(ConnectionClosed(1000, "", True)) == "the peer closed the connection with 1000"
    assert str(ConnectionClosed(1001, "x\x1b[2J", False)) == r"this side closed the connection with 1001 'x\x1b[2J'"
    assert str(ConnectionLost(1006, "\u202e")) == r"the connection is gone: 1006 '\u202e'"
    assert repr(ConnectionLost(1006, "")) == "ConnectionLost(1006, '')"
    end = End(1002, "\u202e", False, Cause.RULE)
    assert str(ConnectionLost(1002, "\u202e", end)) == f"the connection is gone: {end}"
    assert str(end) == r"the peer broke a rule of the protocol: 1002 '\u202e'"


def test_why_a_connection_was_lost_survives_a_copy() -> None:
    end = End(1011, "late", False, Cause.SILENT, 20.5, 3.0)
    for error in (
        copy.copy(ConnectionLost(1011, "late", end)),
        pickle.loads(pickle.dumps(ConnectionLost(1011, "", end))),
    ):
        assert (error.code, error.end) == (1011, end)


async def echo(ws) -> None:
    async for message in ws:
        await ws.send(message)


@pytest.mark.parametrize("end", [Frame(CLOSE), Frame(TEXT, rsv=3)], ids=["close frame", "broken rule"])
async def test_what_came_before_an_end_is_answered_before_it_takes_effect(link, end: Frame) -> None:
    """RFC 6455 section 5.5.1 lets us send what is under way first; the bytes here come in one piece."""
    async with link() as (ws, peer):
        for message in ("one", "two", "three"):
            peer.connection.send(message)
        end = replace(end, key=KEY if peer.connection.role is CLIENT else None)
        await peer.stream.send_all(peer.connection.data_to_send() + encode(end))

        async def echo_until_the_end() -> None:
            with suppress(ConnectionLost):
                await echo(ws)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo_until_the_end)
            assert [await peer.next() for _ in range(3)] == ["one", "two", "three"]
            assert (await peer.until_close()).code in (1005, 1002)


async def test_an_application_that_does_not_receive_delays_the_end_by_half_the_close_timeout(
    link, autojump_clock
) -> None:
    async with link(close_timeout=8) as (ws, peer):
        await peer.send("never received")
        start = trio.current_time()
        await peer.close(3000)
        assert (await peer.until_close()).code == 3000
        assert trio.current_time() - start == pytest.approx(4)
        assert ws.close_code == 3000


async def test_an_end_waits_for_nobody_once_we_have_closed(link, autojump_clock) -> None:
    async with link() as (ws, peer):
        await peer.send("never received")
        await peer.close(3000)
        await settled()
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.aclose)
            await peer.until_close()
            assert trio.current_time() == start


# The last bytes


async def test_what_is_said_last_reaches_a_slow_peer_that_has_ended_already(link) -> None:
    """It closes, ends sending, and reads only then."""
    async with link(lockstep=True) as (ws, peer), trio.open_nursery() as nursery:
        await ws.send("last words")
        ws.close_nowait(3000, "enough")
        await settled()
        nursery.start_soon(peer.close)
        await settled()
        await peer.stream.send_eof()
        await settled()
        assert await peer.next() == "last words"
        assert await peer.next() == Close(3000, "enough", "local")


async def test_a_peer_that_does_not_take_our_last_words_is_reset_after_the_send_timeout(link, autojump_clock) -> None:
    async with link(lockstep=True, send_timeout=3, close_timeout=60) as (ws, peer):
        await ws.send("last words")
        ws.close_nowait(3000, "enough")
        await settled()
        start = trio.current_time()
        await peer.close()
        await ws.wait_closed()
        assert 3 <= trio.current_time() - start < 3.1
        assert ws.statistics().reset
        await peer.stream.aclose()


async def test_what_came_before_we_could_not_send_any_more_is_received(link) -> None:
    async with link() as (ws, peer):
        peer.take_no_more()
        await ws.send("in vain")
        await settled()
        await peer.send("one", "two")
        await settled()
        assert await ws.receive() == "one"
        assert await ws.receive() == "two"
        await peer.stream.aclose()
        with pytest.raises(ConnectionLost):
            await ws.receive()


async def test_what_fills_the_queue_before_a_close_frame_is_answered_before_it(link) -> None:
    async with link(max_receive_queue=300) as (ws, peer), trio.open_nursery() as nursery:

        async def echo() -> None:
            async for message in ws:
                await ws.send(message)

        messages = [f"{number:050}" for number in range(20)]
        for message in messages:
            peer.connection.send(message)
        peer.connection.close()
        await peer.flush()
        nursery.start_soon(echo)
        assert [await peer.next() for _ in messages] == messages
        assert await peer.next() == Close(1000, "", "local")
        await peer.stream.aclose()
