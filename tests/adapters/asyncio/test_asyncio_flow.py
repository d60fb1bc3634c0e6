"""Flow control in both directions: what waits is bounded, and nothing of it is lost."""

import asyncio
import socket

import pytest

from ...wire import BINARY, CLOSE, TEXT, close_payload, from_client
from .peers import feed, turns, until

KIB = 1024
BLOCK = bytes(16 * KIB)


def transport_buffers_little(raw):
    """Let the peer's system take little, so that what we send waits with us soon."""
    raw.writer.transport.pause_reading()


class Holder:
    """A handler that keeps its WebSocket, and waits until it is released."""

    def __init__(self) -> None:
        self.ws = None
        self.released = asyncio.Event()

    async def __call__(self, ws):
        self.ws = ws
        await self.released.wait()


async def fill(ws):
    """Send until nothing more is taken, be it ever so small, and nothing leaves; how many messages that were."""
    count, before = 0, -1
    while count != before:
        before = count
        for message in (BLOCK, BLOCK[:1000], BLOCK[:50], b""):
            while ws.send_nowait(message):
                count += 1
                await asyncio.sleep(0)
        await asyncio.sleep(0.01)
    return count


async def test_reading_pauses_when_the_queue_is_full_and_goes_on_when_it_is_half_empty(aio):
    holder = Holder()
    async with aio.serving(holder, max_receive_queue=1000) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        message = from_client(BINARY, bytes(100))  # each weighs 148 bytes
        feed(holder.ws, message * 6)
        assert holder.ws.transport.is_reading()
        feed(holder.ws, message)
        assert not holder.ws.transport.is_reading()
        for _ in range(3):
            await holder.ws.receive()
        await asyncio.sleep(0)
        assert not holder.ws.transport.is_reading()
        await holder.ws.receive()
        await until(lambda: holder.ws.transport.is_reading())
        raw.send(message * 5)
        assert [len(await holder.ws.receive()) for _ in range(8)] == [100] * 8
        holder.released.set()


async def test_a_queue_of_any_size_takes_one_message_of_any_size(aio):
    async with aio.serving(max_receive_queue=1) as server, aio.connect(server) as ws:
        for size in (0, 10, 100_000):
            await ws.send(bytes(size))
            assert len(await ws.receive()) == size


async def test_a_peer_that_sends_without_end_is_stopped(aio):
    holder = Holder()
    async with aio.serving(holder) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        frame = from_client(BINARY, BLOCK)
        sent = 0
        while True:
            raw.send(frame)
            sent += len(frame)
            try:
                async with asyncio.timeout(0.3):
                    await raw.writer.drain()
            except TimeoutError:
                break
            assert sent < 200 << 20
        assert not holder.ws.transport.is_reading()
        for _ in range(sent // len(frame)):
            assert len(await holder.ws.receive()) == len(BLOCK)
        holder.released.set()


async def test_send_nowait_says_when_there_is_no_room_and_what_was_taken_arrives(aio):
    holder = Holder()
    async with aio.serving(holder, max_send_buffer=256 * KIB) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws is not None)
        transport_buffers_little(raw)
        count = await fill(holder.ws)
        assert not holder.ws.send_nowait(b"")
        raw.writer.transport.resume_reading()
        for _ in range(count):
            assert (await raw.frame()).opcode == BINARY
        assert holder.ws.send_nowait(b"")
        holder.released.set()


async def test_send_waits_in_the_order_of_calls(aio):
    holder = Holder()
    async with aio.serving(holder, max_send_buffer=64 * KIB) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws is not None)
        transport_buffers_little(raw)
        count = await fill(holder.ws)
        tasks = [asyncio.ensure_future(holder.ws.send(str(number) + "x" * 70_000)) for number in range(5)]
        await turns()
        assert not any(task.done() for task in tasks)
        assert not holder.ws.send_nowait("not before the others")
        raw.writer.transport.resume_reading()
        for _ in range(count):
            await raw.frame()
        for number in range(5):
            head = await raw.reader.readexactly(10)
            payload = await raw.reader.readexactly(int.from_bytes(head[2:], "big"))
            assert payload.startswith(str(number).encode() + b"x")
        await asyncio.gather(*tasks)
        holder.released.set()


async def test_with_drop_a_slow_peer_misses_messages(aio):
    holder = Holder()
    options = {"max_send_buffer": 64 * KIB, "slow_consumer": "drop"}
    async with aio.serving(holder, **options) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws is not None)
        transport_buffers_little(raw)
        count = await fill(holder.ws)
        await holder.ws.send("dropped")
        raw.writer.transport.resume_reading()
        for _ in range(count):
            assert (await raw.frame()).opcode == BINARY
        await holder.ws.send("next")
        assert (await raw.frame()).payload == b"next"
        holder.released.set()


async def test_with_close_a_slow_peer_is_closed_with_1013(aio):
    holder = Holder()
    options = {"max_send_buffer": 64 * KIB, "slow_consumer": "close"}
    async with aio.serving(holder, **options) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws is not None)
        transport_buffers_little(raw)
        count = 0
        while holder.ws.send_nowait(BLOCK):
            count += 1
            await asyncio.sleep(0)
        assert holder.ws.close_code == 1013
        with pytest.raises(aio.ConnectionLost):
            await holder.ws.send("more")
        raw.writer.transport.resume_reading()
        for _ in range(count):
            await raw.frame()
        frame = await raw.frame()
        assert (frame.opcode, frame.payload[:2]) == (CLOSE, close_payload(1013))
        holder.released.set()


async def test_an_echo_to_a_peer_that_does_not_read_is_bounded_and_loses_nothing(aio):
    """With `on_message` reading pauses while the answers cannot leave."""
    sockets = []
    async with (
        aio.serving(on_open=sockets.append, on_message=lambda ws, message: ws.send_nowait(message)) as server,
        aio.dialled(server) as raw,
    ):
        await raw.upgrade()
        transport_buffers_little(raw)
        frame, sent = from_client(BINARY, BLOCK), 0
        while True:
            raw.send(frame)
            sent += 1
            try:
                async with asyncio.timeout(0.3):
                    await raw.writer.drain()
            except TimeoutError:
                break
            assert sent < 10_000
        (ws,) = sockets
        assert ws.transport.get_write_buffer_size() < (1 << 20) + 128 * KIB
        assert not ws.transport.is_reading()
        raw.writer.transport.resume_reading()
        for _ in range(sent):
            assert len((await raw.frame()).payload) == len(BLOCK)


async def test_a_user_may_pause_reading(aio):
    came, sockets = [], []
    async with (
        aio.serving(on_open=sockets.append, on_message=lambda ws, message: came.append(message)) as server,
        aio.connect(server) as client,
    ):
        await until(lambda: sockets)
        sockets[0].pause_reading()
        feed(sockets[0], from_client(TEXT, b"one"))
        await client.send("two")
        assert came == []
        sockets[0].resume_reading()
        await until(lambda: len(came) == 2)
        await client.send("three")
        await until(lambda: len(came) == 3)
    assert came == ["one", "two", "three"]


async def test_messages_that_wait_for_on_message_are_handed_over_before_the_end(aio):
    told, sockets = [], []
    hooks = {
        "on_message": lambda ws, message: told.append(message),
        "on_close": lambda ws, code, reason: told.append(code),
    }

    def on_open(ws):
        ws.pause_reading()
        sockets.append(ws)

    async with aio.serving(on_open=on_open, **hooks) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: sockets)
        feed(sockets[0], from_client(TEXT, b"one") + from_client(CLOSE, close_payload(1000)))
        raw.writer.write_eof()
        assert told == []
        sockets[0].resume_reading()
        assert await raw.rest() == b"\x88\x02\x03\xe8"
    assert told == ["one", 1000]


async def test_a_task_that_only_sends_lets_others_run(aio):
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def sink(ws):
        async for _ in ws:
            pass

    async with aio.serving(sink) as server, aio.connect(server) as ws:
        counting = asyncio.ensure_future(count())
        for _ in range(5000):
            await ws.send(bytes(1000))
        counting.cancel()
    assert turns >= 5000 * 1000 // (80 * KIB)


async def test_compressed_messages_count_as_what_they_become(aio):
    holder = Holder()
    options = {"compression": "takeover", "max_receive_queue": 100_000}
    async with aio.serving(holder, **options) as server, aio.connect(server, compression="takeover") as ws:
        for _ in range(50):
            await ws.send(bytes(50_000))
        await until(lambda: holder.ws is not None and not holder.ws.transport.is_reading())
        for _ in range(50):
            assert len(await holder.ws.receive()) == 50_000
        holder.released.set()


@pytest.mark.parametrize("policy", ["drop", "close"])
async def test_a_peer_is_not_slow_because_another_task_is_sending(aio, policy):
    """`send` gives way once much has gathered; nothing waits for the peer then, and there is room."""
    done = asyncio.Event()
    taken = 0

    async def handler(ws):
        nonlocal taken

        async def news():
            nonlocal taken
            while not done.is_set():
                await asyncio.sleep(0)
                assert ws.send_nowait("news")
                taken += 1

        telling = asyncio.ensure_future(news())
        for _ in range(100):
            await ws.send(bytes(70_000))
            await ws.send(bytes(100))
        done.set()
        await telling

    options = {"slow_consumer": policy, "max_send_buffer": 64 << 20}
    async with aio.serving(handler, **options) as server, aio.connect(server) as ws:
        sizes = [len(message) async for message in ws]
        assert (ws.close_code, ws.close_reason) == (1000, "")
    assert sizes.count(70_000) == sizes.count(100) == 100
    assert sizes.count(4) == taken


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such limit")
async def test_little_waits_in_the_system_before_sending_waits(aio):
    """A peer that does not read stops a sender after what its own buffers take, not megabytes later."""
    holder = Holder()
    async with aio.serving(holder, max_send_buffer=64 * KIB) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        sock = holder.ws.transport.get_extra_info("socket")
        assert 0 < sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) <= 1 << 20
        holder.released.set()
