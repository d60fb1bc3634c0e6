"""`on_message`: no task of the user's, the same rules."""

import contextvars

import pytest
import trio
import trio.testing

from wscore.codec import SERVER
from wscore.session.options import Options
from wscore.transport.records import Opening
from wscore.transport.stream import new_connection, open_websocket, run_websocket
from wscore.transport.trio_glue import CALLS_A_LOOK, pace_of_this_run
from wscore.transport.websocket import WebSocket


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


def echo(ws, message: str | bytes) -> None:
    assert ws.send_nowait(message)


async def test_it_is_called_for_each_message_and_may_send(link) -> None:
    async with link(on_message=echo) as (ws, peer):
        await peer.send("one", b"two", "")
        assert [await peer.next() for _ in range(3)] == ["one", b"two", ""]
        assert ws.statistics().messages_received == 3


async def test_it_may_close_its_own_connection_and_sees_no_message_after_that(link) -> None:
    seen = []

    def on_message(ws, message: str | bytes) -> None:
        seen.append(message)
        ws.close_nowait(3000, "enough")

    async with link(on_message=on_message) as (_, peer):
        await peer.send("one", "two")
        close = await peer.until_close()
        assert (close.code, close.reason) == (3000, "enough")
        assert seen == ["one"]


async def test_it_may_close_another_connection(link) -> None:
    def kick(ws, message: str | bytes) -> None:
        other.close_nowait(4000)

    async with link() as (other, other_peer), link(on_message=kick) as (_, peer):
        await peer.send("kick")
        assert (await other_peer.until_close()).code == 4000


async def test_its_exceptions_close_with_1011_and_are_reported() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    errors = []

    def on_message(ws, message: str | bytes) -> None:
        raise KeyError(message)

    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            statistics = await run_websocket(
                ours,
                new_connection(SERVER, Options()),
                Options(),
                Opening(),
                WebSocket.wait_closed,
                on_message=on_message,
                on_error=lambda ws, error: errors.append(error),
            )
            assert statistics.failed

        nursery.start_soon(serve)
        await theirs.send_all(b"\x81\x81\0\0\0\0a\x81\x81\0\0\0\0b")
        assert await theirs.receive_some() == b"\x88\x02\x03\xf3"
        await theirs.aclose()
    assert [error.args for error in errors] == [("a",)]


class Stop(BaseException):
    pass


async def test_what_is_no_exception_is_raised_as_it_is(link) -> None:
    def on_message(ws, message: str | bytes) -> None:
        raise Stop

    async def block() -> None:
        async with link(on_message=on_message) as (_, peer):
            await peer.send("x")
            await trio.sleep_forever()

    with pytest.raises(Stop):
        await block()


async def test_sending_to_an_ended_connection_of_its_own_is_a_normal_end(link) -> None:
    def on_message(ws, message: str | bytes) -> None:
        ws.close_nowait()
        ws.send_nowait("too late")

    async with link(on_message=on_message) as (ws, peer):
        await peer.send("x")
        assert (await peer.until_close()).code == 1000
        assert not ws.statistics().failed


async def test_it_runs_in_the_context_of_the_caller(link) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="not set")
    seen = []
    variable.set("of the caller")
    async with link(on_message=lambda ws, message: seen.append(variable.get())) as (_, peer):
        await peer.send("x")
        await settled()
    assert seen == ["of the caller"]


async def test_an_echo_to_a_slow_reader_is_bounded_and_loses_nothing(link) -> None:
    async with link(lockstep=True, on_message=echo, max_send_buffer=3000) as (ws, peer):
        sent = 0

        async def send() -> None:
            nonlocal sent
            for number in range(2000):
                await peer.send(b"%d" % number * 400)
                sent += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await settled()
            assert sent < 2000
            assert ws.statistics().send_buffer <= 3000
            for number in range(2000):
                assert await peer.next() == b"%d" % number * 400


async def test_an_echo_above_the_mark_waits_for_an_empty_buffer(link) -> None:
    async with link(lockstep=True, on_message=echo, max_send_buffer=10) as (ws, peer), trio.open_nursery() as nursery:
        nursery.start_soon(peer.send, "a" * 1000, "b" * 1000)
        await settled()
        assert ws.statistics().send_buffer < 1100
        assert [await peer.next(), await peer.next()] == ["a" * 1000, "b" * 1000]


async def test_while_it_waits_for_room_no_pong_is_overdue(link, autojump_clock) -> None:
    options = {"max_send_buffer": 10, "send_timeout": 1000, "ping_interval": 20, "ping_timeout": 5}
    async with link(lockstep=True, on_message=echo, **options) as (ws, peer):
        await peer.send("a" * 100, "b" * 100)
        await trio.sleep(500)
        assert ws.close_code is None
        assert await peer.next() == "a" * 100


async def test_a_connection_that_ends_while_it_waits_for_room_ends(link, autojump_clock) -> None:
    async with link(lockstep=True, on_message=echo, max_send_buffer=10) as (ws, peer):
        await peer.send("a" * 100, "b" * 100)
        await settled()
        await ws.aclose()
        assert ws.statistics().messages_received == 1


async def test_what_waits_for_room_is_not_for_who_receives(link) -> None:
    async with link(lockstep=True, on_message=echo, max_send_buffer=10) as (ws, peer), trio.open_nursery() as nursery:
        nursery.start_soon(peer.send, "a" * 1000, "b" * 1000)
        await settled()
        with trio.move_on_after(0):
            await ws.receive()
        assert [await peer.next(), await peer.next()] == ["a" * 1000, "b" * 1000]


@pytest.mark.parametrize("transport", ["stream"], indirect=True)
async def test_a_flood_of_messages_does_not_keep_other_tasks_waiting(link) -> None:
    counts = []
    pace_of_this_run().clock = lambda: len(counts) * 1e-4
    async with link(on_message=lambda ws, message: counts.append(0)) as (_, peer):
        await peer.send(*["x"] * 2000)
        turns = 0
        while len(counts) < 2000:
            await trio.lowlevel.checkpoint()
            turns += 1
        assert turns >= 2000 // (20 + CALLS_A_LOOK)


async def test_it_wants_whole_messages(link) -> None:
    ours, _ = trio.testing.memory_stream_pair()
    options = Options(pieces=True)
    block = open_websocket(ours, new_connection(SERVER, options), options, Opening(), on_message=echo)
    with pytest.raises(ValueError, match="leave pieces off"):
        await block.__aenter__()


async def test_what_came_before_a_close_frame_is_answered_before_it(link) -> None:
    async with link(on_message=lambda ws, message: ws.send_nowait(message)) as (_, peer):
        peer.connection.send("question")
        peer.connection.close(3000)
        await peer.flush()
        assert await peer.next() == "question"
        assert (await peer.until_close()).code == 3000


async def test_what_waits_for_it_is_counted_and_no_more_is_read_than_an_answer_has_room_for(link, role) -> None:
    async with link(lockstep=True, on_message=echo, max_send_buffer=1000) as (ws, peer), trio.open_nursery() as nursery:
        for number in range(10):
            peer.connection.send(bytes([number]) * 600)
        nursery.start_soon(peer.flush)
        await settled()
        statistics = ws.statistics()
        assert (statistics.messages_received, statistics.send_buffer) == (
            1,
            604 if role is SERVER else 608,
        )
        assert (statistics.messages_waiting, statistics.receive_queue) == (1, 648)
        for number in range(10):
            assert await peer.next() == bytes([number]) * 600
        await settled()
        statistics = ws.statistics()
        assert (statistics.messages_received, statistics.messages_waiting, statistics.receive_queue) == (10, 0, 0)
