"""Messages through an ASGI application under uvicorn: both ways, limits on both sides, and what cancelling does."""

import asyncio
import socket
from itertools import pairwise
from typing import Any

import pytest

import wscore
from wscore.session.options import NOTSENT_LOWAT

from ..raw import Raw
from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, close_payload, from_client
from .asgi_server import HANGING, Event, Receive, Record, Running, Send, echo, serving, until_the_end

MESSAGES = ["", "hello", "grüße 𝄞", b"", b"\x00\xff", "x" * 70_000, bytes(range(256)) * 4096]


@pytest.fixture(params=["asyncio", "uvloop"])
def each_loop(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return request.param


async def opened(running: Running) -> Raw:
    raw = await running.dial()
    await raw.upgrade()
    return raw


@pytest.mark.parametrize("compression", [None, "takeover", "shared", "dedicated"])
async def test_messages_come_back_as_they_were_sent(each_loop: str, compression: str | None) -> None:
    with serving(Record(echo), loop=each_loop) as running:
        async with wscore.connect(running.url, compression=compression, max_message_size=1 << 24) as ws:
            assert ("permessage-deflate" in str(ws.response.headers)) == (compression is not None)
            for message in MESSAGES:
                await ws.send(message)
                assert await ws.receive() == message
            # And all at once, which the application takes from a queue.
            for message in MESSAGES[:6] * 10:
                await ws.send(message)
            for message in MESSAGES[:6] * 10:
                assert await ws.receive() == message


async def test_compression_can_be_switched_off() -> None:
    with serving(Record(echo), ws_per_message_deflate=False) as running:
        async with wscore.connect(running.url, compression="takeover") as ws:
            assert "sec-websocket-extensions" not in ws.response.headers
            await ws.send("hello")
            assert await ws.receive() == "hello"


async def test_fragments_are_one_event_and_pings_between_them_are_answered() -> None:
    app = Record(echo)
    with serving(app) as running:
        raw = await opened(running)
        await raw.say(TEXT, b"one ", fin=False)
        await raw.say(PING, b"there?")
        assert await raw.frames(1) == [Frame(PONG, b"there?")]
        await raw.say(CONTINUATION, b"message")
        assert await raw.frames(1) == [Frame(TEXT, b"one message")]
        await raw.aclose()


async def test_anything_with_a_buffer_is_binary() -> None:
    async def talk(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", "bytes": memoryview(b"view"), "text": None})
        await send({"type": "websocket.send", "bytes": bytearray(b"array")})
        await send({"type": "websocket.send", "bytes": None, "text": "text"})

    with serving(Record(talk)) as running:
        async with wscore.connect(running.url) as ws:
            assert [message async for message in ws] == [b"view", b"array", "text"]


async def test_messages_leave_though_the_application_asks_for_none(each_loop: str) -> None:
    async def push(receive: Receive, send: Send) -> None:
        for number in range(3):
            await send({"type": "websocket.send", "text": str(number)})
        await asyncio.sleep(HANGING)

    with serving(Record(push), loop=each_loop, timeout_graceful_shutdown=0) as running:
        async with wscore.connect(running.url) as ws:
            assert [await ws.receive() for _ in range(3)] == ["0", "1", "2"]


async def test_many_small_messages_without_a_pause_do_not_pile_up(each_loop: str) -> None:
    most = 0

    async def push(receive: Receive, send: Send) -> None:
        nonlocal most
        for _ in range(20_000):
            await send({"type": "websocket.send", "text": "x" * 100})
            most = max(most, protocol_of(receive)._connection.bytes_to_send)

    with serving(Record(push), loop=each_loop) as running:
        async with wscore.connect(running.url) as ws:
            assert len([message async for message in ws]) == 20_000
    assert 0 < most < 100_000


# Limits


async def test_message_of_the_largest_size_passes_and_one_byte_more_is_1009(each_loop: str) -> None:
    app = Record(echo)
    with serving(app, ws_max_size=1000, loop=each_loop) as running:
        async with wscore.connect(running.url) as ws:
            await ws.send("é" * 500)
            assert await ws.receive() == "é" * 500
            await ws.send("é" * 500 + "x")
            with pytest.raises(wscore.ConnectionClosed) as closed:
                await ws.receive()
    assert closed.value.code == 1009
    assert app.end["code"] == 1009
    assert app.end["reason"] == closed.value.reason != ""


async def test_limit_counts_what_was_inflated() -> None:
    app = Record(echo)
    with serving(app, ws_max_size=1000) as running:
        async with wscore.connect(running.url, compression="takeover") as ws:
            await ws.send("x" * 1000)
            assert await ws.receive() == "x" * 1000
            await ws.send("x" * 1001)
            with pytest.raises(wscore.ConnectionClosed) as closed:
                await ws.receive()
    assert closed.value.code == 1009


async def test_peer_that_still_sends_reads_why_it_was_closed(each_loop: str) -> None:
    """What comes after 1009 is discarded, so that no reset takes the Close frame away."""
    with serving(Record(), ws_max_size=1000, loop=each_loop) as running:
        raw = await opened(running)
        await raw.send(from_client(TEXT, b"x" * 5_000_000))
        assert (await raw.rest())[2:4] == (1009).to_bytes(2, "big")
        await raw.aclose()


def protocol_of(receive: Any) -> Any:
    """The protocol behind the `receive` of an application that `Record` has wrapped."""
    return next(cell.cell_contents for cell in receive.__closure__ if hasattr(cell.cell_contents, "__self__")).__self__


class Waiting:
    """Takes messages only when it is told to."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.has_begun = False

    async def __call__(self, receive: Receive, send: Send) -> None:
        self.has_begun = True
        await self.may_go_on.wait()
        await until_the_end(receive, send)


def is_reading(running: Running) -> bool:
    reading: bool = running.protocol.transport.is_reading()
    return reading


def is_blocked(running: Running) -> bool:
    """Whether more waits to leave than the transport wants to have."""
    transport = running.protocol.transport
    most: int = transport.get_write_buffer_limits()[1]
    return transport.get_write_buffer_size() > most


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
async def test_reading_pauses_at_as_many_messages_as_may_wait(each_loop: str, at_once: bool) -> None:
    waiting = Waiting()
    app = Record(waiting)
    with serving(app, ws_max_queue=4, loop=each_loop) as running:
        raw = await opened(running)
        for number in range(3):
            await raw.say(TEXT, str(number).encode())
        await raw.say(PING)
        assert await raw.frames(1) == [Frame(PONG, b"")]  # so they were read
        assert await running.in_loop(lambda: is_reading(running))
        more = [from_client(TEXT, str(number).encode()) for number in range(3, 50)]
        for piece in [b"".join(more)] if at_once else more:
            await raw.send(piece)
        await running.until(lambda: not is_reading(running))
        assert len(running.protocol._queue) == 4
        await running.in_loop(waiting.may_go_on.set)
        await raw.say(CLOSE, close_payload(1000))
        await raw.rest()
        await raw.aclose()
    assert [event.get("text") for event in app.events[1:-1]] == [str(number) for number in range(50)]
    assert app.end == {"type": "websocket.disconnect", "code": 1000, "reason": ""}


async def test_inflated_messages_wait_unread_where_the_queue_is_full() -> None:
    """A little on the wire may be much in memory: only what fits the queue is inflated."""
    waiting = Waiting()
    app = Record(waiting)
    with serving(app, ws_max_queue=4) as running:
        async with wscore.connect(running.url, compression="takeover") as ws:
            for _ in range(50):
                await ws.send("x" * 100_000)
            await running.until(lambda: not is_reading(running))
            assert len(running.protocol._queue) == 1
            await running.in_loop(waiting.may_go_on.set)
    assert [len(event["text"]) for event in app.events[1:-1]] == [100_000] * 50


async def test_what_was_read_is_not_lost_with_the_connection() -> None:
    waiting = Waiting()
    app = Record(waiting)
    with serving(app, ws_max_queue=4) as running:
        raw = await opened(running)
        await raw.send(b"".join(from_client(TEXT, str(number).encode()) for number in range(50)))
        await running.until(lambda: not is_reading(running))
        await running.in_loop(lambda: running.protocol.transport.abort())
        await running.until(lambda: not running.server.server_state.connections)
        await running.in_loop(waiting.may_go_on.set)
        await running.until(lambda: app.events[-1]["type"] == "websocket.disconnect")
        await raw.aclose()
    assert [event.get("text") for event in app.events[1:-1]] == [str(number) for number in range(50)]
    assert app.end == {"type": "websocket.disconnect", "code": 1006}


async def test_send_waits_while_the_peer_does_not_read(each_loop: str) -> None:
    sent = 0

    async def push(receive: Receive, send: Send) -> None:
        nonlocal sent
        for _ in range(64):
            await send({"type": "websocket.send", "bytes": bytes(1 << 20)})
            sent += 1

    with serving(Record(push), loop=each_loop) as running:
        raw = await opened(running)
        await running.until(lambda: is_blocked(running))
        assert sent < 32
        left = 64 * ((1 << 20) + 10) + 4 - len(raw.received)
        while left > 0:
            left -= len(await raw.stream.receive_some())
        assert left == 0
        await raw.say(CLOSE, close_payload(1000))
        assert await raw.stream.receive_some() == b""
        await raw.aclose()
    assert sent == 64


async def test_pongs_wait_while_the_peer_does_not_read_and_only_the_last_are_kept() -> None:
    with serving(Record(), ws_ping_interval=None) as running:
        raw = await opened(running)
        protocol = await running.in_loop(lambda: running.protocol)
        await running.in_loop(protocol.pause_writing)
        for number in range(1000):
            await running.in_loop(lambda number=number: protocol.data_received(from_client(PING, b"%d" % number)))
        assert await running.in_loop(lambda: protocol.transport.get_write_buffer_size()) == 0
        assert await running.in_loop(lambda: protocol._connection.bytes_to_send) < 100
        await running.in_loop(protocol.resume_writing)
        frames = await raw.frames(16)
        assert frames == [Frame(PONG, b"%d" % number) for number in range(984, 1000)]
        await raw.aclose()


async def test_waiting_send_ends_with_the_connection(each_loop: str) -> None:
    raised: list[Exception] = []

    async def push(receive: Receive, send: Send) -> None:
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(1 << 20)})
        except OSError as error:
            raised.append(error)
            raise

    with serving(Record(push), loop=each_loop) as running:
        raw = await opened(running)
        await running.until(lambda: is_blocked(running))
        await raw.aclose()
        await running.until(lambda: raised)


# Cancelling, and several tasks


async def test_cancelled_receive_loses_no_message() -> None:
    received: list[Event] = []

    async def talk(receive: Receive, send: Send) -> None:
        protocol = protocol_of(receive)
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        # The message is there, and the task that waits for it has not run yet.
        protocol.data_received(from_client(TEXT, b"kept"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        received.append(await receive())

    with serving(Record(talk)) as running:
        async with wscore.connect(running.url) as ws:
            assert [message async for message in ws] == []
            assert ws.close_code == 1000
    assert received == [{"type": "websocket.receive", "text": "kept"}]


async def test_cancelled_send_has_sent_nothing() -> None:
    async def talk(receive: Receive, send: Send) -> None:
        protocol = protocol_of(receive)
        protocol.pause_writing()
        task = asyncio.ensure_future(send({"type": "websocket.send", "text": "never"}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        protocol.resume_writing()
        await send({"type": "websocket.send", "text": "sent"})

    with serving(Record(talk)) as running:
        async with wscore.connect(running.url) as ws:
            assert [message async for message in ws] == ["sent"]
            assert ws.close_code == 1000


async def test_several_tasks_may_wait_for_messages() -> None:
    received: list[Event] = []

    async def talk(receive: Receive, send: Send) -> None:
        received.extend(await asyncio.gather(*(receive() for _ in range(3))))

    with serving(Record(talk)) as running:
        async with wscore.connect(running.url) as ws:
            for number in range(3):
                await ws.send(str(number))
            assert [message async for message in ws] == []
    assert sorted(event["text"] for event in received) == ["0", "1", "2"]


async def test_flood_lets_other_tasks_have_their_turn() -> None:
    """An application that never waits gives way once in `ws_max_queue` messages."""
    turns: list[int] = []

    async def count(receive: Receive, send: Send) -> None:
        taken = 0

        async def other() -> None:
            while True:
                turns.append(taken)
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        while (await receive())["type"] != "websocket.disconnect":
            taken += 1
        task.cancel()

    with serving(Record(count), ws_max_queue=10) as running:
        raw = await opened(running)
        await raw.send(from_client(TEXT) * 10_000 + from_client(CLOSE, close_payload(1000)))
        await raw.rest()
        await raw.aclose()
    assert turns[-1] == 10_000
    assert max(later - earlier for earlier, later in pairwise(turns)) <= 10


async def test_several_senders_wait_while_the_peer_does_not_read_and_go_in_their_order(each_loop: str) -> None:
    """Whoever is let go after a pause fills what room there is; the next one waits again."""
    most = 0

    async def push(receive: Receive, send: Send) -> None:
        protocol = protocol_of(receive)

        async def one(number: int) -> None:
            nonlocal most
            await send({"type": "websocket.send", "bytes": bytes([number]) + bytes(1 << 20)})
            most = max(most, protocol.transport.get_write_buffer_size())

        await asyncio.gather(*(one(number) for number in range(64)))

    with serving(Record(push), loop=each_loop) as running:
        raw = await opened(running)
        await running.until(lambda: is_blocked(running))
        size = (1 << 20) + 1 + 10
        data = bytearray(raw.received)
        while len(data) < 64 * size:
            data += await raw.stream.receive_some()
        await raw.say(CLOSE, close_payload(1000))
        await raw.aclose()
    assert [data[number * size + 10] for number in range(64)] == list(range(64))
    assert most < 4 << 20


async def test_a_cancelled_send_lets_the_next_one_go() -> None:
    async def talk(receive: Receive, send: Send) -> None:
        protocol = protocol_of(receive)
        protocol.pause_writing()
        tasks = [asyncio.ensure_future(send({"type": "websocket.send", "text": str(n)})) for n in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        protocol.resume_writing()
        await asyncio.gather(*tasks, return_exceptions=True)

    with serving(Record(talk)) as running:
        async with wscore.connect(running.url) as ws:
            assert [message async for message in ws] == ["1", "2"]


@pytest.mark.parametrize(("key", "value"), [("bytes", "text"), ("text", b"bytes"), ("text", 1), ("bytes", 1)])
async def test_text_is_text_and_bytes_are_binary(key: str, value: object) -> None:
    """What stands under the wrong key is an error of the application's, not another kind of message."""
    raised: list[Exception] = []

    async def talk(receive: Receive, send: Send) -> None:
        try:
            await send({"type": "websocket.send", key: value})
        except TypeError as error:
            raised.append(error)
        await send({"type": "websocket.send", "bytes": None, "text": "fine"})

    with serving(Record(talk)) as running:
        async with wscore.connect(running.url) as ws:
            assert [message async for message in ws] == ["fine"]
    assert len(raised) == 1


async def test_what_nobody_wants_is_not_inflated() -> None:
    """While we close, 64 KiB of compressed data could be 60 MB; what is no DEFLATE at all is not even noticed."""
    protocols: list[Any] = []

    async def leave(receive: Receive, send: Send) -> None:
        protocols.append(protocol_of(receive))
        await send({"type": "websocket.close", "code": 4000})

    extension = {"Sec_WebSocket_Extensions": "permessage-deflate; client_no_context_takeover"}
    with serving(Record(leave)) as running:
        raw = await running.dial()
        await raw.upgrade(**extension)
        assert await raw.frames(1) == [Frame(CLOSE, close_payload(4000))]
        await raw.send(from_client(BINARY, b"\xff" * 100, rsv=4) * 64 + from_client(CLOSE, close_payload(4000)))
        assert await raw.rest() == b""
        await raw.aclose()
    assert protocols[0]._connection.close_event.code == 4000


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such limit")
async def test_little_waits_in_the_system_before_sending_waits() -> None:
    with serving(Record()) as running:
        raw = await opened(running)
        protocol = await running.in_loop(lambda: running.protocol)
        sock = protocol.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == NOTSENT_LOWAT
        await raw.aclose()
