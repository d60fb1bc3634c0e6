"""What a cancelled call has done, for every call that can be cancelled."""

import asyncio
from functools import partial

import pytest

from ...wire import CLOSE, TEXT, close_payload, from_client
from .peers import answer_upgrade, feed, turns, until
from .test_asyncio_flow import Holder, fill, transport_buffers_little


async def cancelled(coroutine, when=lambda: True) -> None:
    """Start it, let it wait until `when` says so, and cancel it."""
    task = asyncio.ensure_future(coroutine)
    await turns()
    await until(when)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_receive_has_taken_nothing(aio):
    holder = Holder()
    async with aio.serving(holder) as server, aio.connect(server) as ws:
        await until(lambda: holder.ws)
        await cancelled(holder.ws.receive())
        await ws.send("one")
        assert await holder.ws.receive() == "one"
        holder.released.set()


async def test_a_receive_cancelled_while_its_message_comes_leaves_it_for_the_next(aio):
    holder = Holder()
    async with aio.serving(holder) as server, aio.connect(server):
        await until(lambda: holder.ws)
        task = asyncio.ensure_future(holder.ws.receive())
        await asyncio.sleep(0)
        feed(holder.ws, from_client(TEXT, b"one"))
        task.cancel()
        received = [each for each in await asyncio.gather(task, return_exceptions=True) if isinstance(each, str)]
        if not received:
            received.append(await holder.ws.receive())
        assert received == ["one"]
        holder.released.set()


async def test_a_cancelled_send_has_sent_nothing_and_the_others_go_on(aio):
    holder = Holder()
    async with aio.serving(holder, max_send_buffer=1 << 16) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        transport_buffers_little(raw)
        count = await fill(holder.ws)
        tasks = [asyncio.ensure_future(holder.ws.send(name)) for name in ("first", "cancelled", "last")]
        await turns()
        tasks[1].cancel()
        raw.writer.transport.resume_reading()
        for _ in range(count):
            await raw.frame()
        assert [(await raw.frame()).payload for _ in range(2)] == [b"first", b"last"]
        assert tasks[1].cancelled()
        holder.released.set()


async def test_a_send_cancelled_when_its_turn_has_come_passes_it_on(aio):
    holder = Holder()
    async with aio.serving(holder, max_send_buffer=1 << 16) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        transport_buffers_little(raw)
        count = await fill(holder.ws)
        tasks = [asyncio.ensure_future(holder.ws.send(name)) for name in ("cancelled", "last")]
        await turns()
        holder.ws.resume_writing()
        tasks[0].cancel()
        raw.writer.transport.resume_reading()
        for _ in range(count):
            await raw.frame()
        assert (await raw.frame()).payload == b"last"
        assert tasks[0].cancelled()
        holder.released.set()


async def test_a_cancelled_ping_has_been_sent_and_its_pong_is_nobodys(aio):
    holder = Holder()
    async with aio.serving(holder) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        await cancelled(holder.ws.ping())
        frame = await raw.frame()
        raw.say(10, frame.payload)
        raw.say(TEXT, b"next")
        assert await holder.ws.receive() == "next"
        assert holder.ws.latency > 0
        holder.released.set()


async def test_a_cancelled_aclose_has_closed_at_once(aio):
    holder = Holder()
    async with aio.serving(holder) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        await cancelled(holder.ws.aclose())
        assert await raw.rest() == b"\x88\x02\x03\xe8"
        assert holder.ws.transport is None
        holder.released.set()


async def test_a_cancelled_wait_closed_has_changed_nothing(aio):
    async with aio.serving() as server, aio.connect(server) as ws:
        await cancelled(ws.wait_closed())
        await ws.send("still there")
        assert await ws.receive() == "still there"


async def test_a_cancelled_client_closes_at_once(aio):
    ends = []
    opened = asyncio.Event()

    async def talk(raw):
        await answer_upgrade(raw)
        ends.append(await raw.rest())

    async def client(url):
        async with aio.names.connect(url):
            opened.set()
            await asyncio.Event().wait()

    async with aio.raw_server(talk) as url:
        task = asyncio.ensure_future(client(url))
        await opened.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: ends)
    assert ends == [b""]


async def test_a_cancelled_opening_handshake_closes_at_once(aio):
    heads, ends = [], []

    async def talk(raw):
        heads.append(await raw.head())
        ends.append(await raw.rest())

    async def client(url):
        async with aio.names.connect(url):
            pass

    async with aio.raw_server(talk) as url:
        await cancelled(client(url), when=lambda: heads)
        await until(lambda: ends)
    assert ends == [b""]


async def test_a_cancelled_handler_closes_its_connection_at_once(aio):
    tasks = []

    async def handler(ws):
        tasks.append(asyncio.current_task())
        await ws.receive()

    async with aio.serving(handler) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: tasks)
        tasks[0].cancel()
        assert await raw.rest() == b""


@pytest.mark.parametrize("how", ["aclose", "serve_forever"])
async def test_a_cancelled_server_leaves_nobody_behind(aio, how):
    holder = Holder()
    async with aio.serving(holder) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        task = asyncio.ensure_future(getattr(server, how)())
        await turns()
        task.cancel()
        if how == "serve_forever":
            # It closes as `aclose` does: the peer answers, the handler ends.
            assert (await raw.frame()).payload == close_payload(1001)
            raw.say(CLOSE, close_payload(1001))
            holder.released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: holder.ws.transport is None)
        holder.released.set()


async def test_a_cancelled_serve_does_not_listen(aio):
    task = asyncio.ensure_future(aio.names.serve(partial(asyncio.sleep, 0), "localhost", 0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_frames_that_come_while_nothing_waits_are_kept(aio):
    """A cancelled receive between two messages of one read."""
    holder = Holder()
    async with aio.serving(holder) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        raw.send(from_client(TEXT, b"one") + from_client(TEXT, b"two"))
        assert await holder.ws.receive() == "one"
        task = asyncio.ensure_future(holder.ws.receive())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await holder.ws.receive() == "two"
        holder.released.set()
