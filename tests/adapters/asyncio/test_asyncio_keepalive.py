"""Pings, and peers that do not answer or do not take what is sent.

What must come is waited for, on either loop's real clock; where something must not come, or has to come late, the test
sets the clock.
"""

import asyncio

import pytest

from ...clocks import pass_time
from ...wire import BINARY, CLOSE, PING, PONG, TEXT, close_payload, from_client
from .peers import until
from .test_asyncio_flow import Holder, fill, transport_buffers_little


async def test_an_idle_connection_is_pinged_every_interval(aio):
    async with aio.serving(ping_interval=0.05) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        payloads = set()
        for _ in range(3):
            frame = await raw.frame()
            assert frame.opcode == PING
            payloads.add(frame.payload)
            raw.say(PONG, frame.payload)
        assert len(payloads) == 3


async def test_without_an_interval_nobody_is_pinged(clocked):
    async with clocked.serving(ping_interval=None) as server, clocked.dialled(server) as raw:
        await raw.upgrade()
        await pass_time(30)
        raw.say(TEXT, b"the first")
        assert (await raw.frame()).payload == b"the first"


async def test_a_peer_that_answers_no_ping_is_closed_with_1011(aio):
    async with aio.serving(ping_interval=0.05, ping_timeout=0.05) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        assert (await raw.frame()).opcode == PING
        raw.say(PONG, b"not this one")
        frame = await raw.frame()
        assert (frame.opcode, frame.payload[:2]) == (CLOSE, close_payload(1011))
        assert await raw.rest() == b""


async def test_without_a_timeout_a_ping_may_stay_unanswered(clocked):
    async with clocked.serving(ping_interval=2, ping_timeout=None) as server, clocked.dialled(server) as raw:
        await raw.upgrade()
        await pass_time(2.1)
        assert (await raw.frame()).opcode == PING
        await pass_time(30)
        raw.say(TEXT, b"still there")
        assert (await raw.frame()).payload == b"still there"


async def test_a_slow_handler_never_makes_us_close_with_1011(clocked):
    """While reading pauses, a Pong cannot reach us: our own deadline stands still."""
    holder = Holder()
    options = {"ping_interval": 2, "ping_timeout": 2, "max_receive_queue": 100}
    async with clocked.serving(holder, **options) as server, clocked.dialled(server) as raw:
        await raw.upgrade()
        raw.send(from_client(BINARY, bytes(1000)) * 3)
        await until(lambda: holder.ws and not holder.ws.transport.is_reading())
        await pass_time(12)
        assert holder.ws.close_code is None
        for _ in range(3):
            await holder.ws.receive()
        await until(lambda: holder.ws.transport.is_reading())
        frame = await raw.frame()
        assert frame.opcode == PING
        raw.say(PONG, frame.payload)
        raw.say(TEXT, b"alive")
        assert await holder.ws.receive() == "alive"
        holder.released.set()


async def test_ping_tells_the_latency(aio):
    async with aio.serving() as server, aio.connect(server) as ws:
        assert ws.latency is None
        assert 0 < await ws.ping() == ws.latency


async def test_the_newest_pong_answers_older_pings(aio):
    holder = Holder()
    async with aio.serving(holder) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        pings = [asyncio.ensure_future(holder.ws.ping()) for _ in range(3)]
        payloads = [(await raw.frame()).payload for _ in range(3)]
        raw.say(PONG, payloads[1])
        await asyncio.gather(*pings[:2])
        assert not pings[2].done()
        holder.ws.abort()
        with pytest.raises(aio.ConnectionClosed):
            await pings[2]
        holder.released.set()


async def test_a_peer_that_takes_nothing_is_given_up(clocked):
    holder = Holder()
    options = {"send_timeout": 4, "max_send_buffer": 1 << 16}
    async with clocked.serving(holder, **options) as server, clocked.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        transport_buffers_little(raw)
        await fill(holder.ws)
        waiting = asyncio.ensure_future(holder.ws.send("no room for this"))
        await pass_time(3)
        assert not waiting.done()
        await pass_time(3)
        with pytest.raises(clocked.ConnectionLost) as ended:
            await waiting
        assert ended.value.code == 1006
        holder.released.set()


async def test_a_peer_that_takes_little_by_little_is_not(clocked):
    holder = Holder()
    async with clocked.serving(holder, send_timeout=4) as server, clocked.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        transport_buffers_little(raw)
        count = await fill(holder.ws)
        raw.writer.transport.resume_reading()
        for number in range(count):
            await raw.frame()
            if number % 8 == 0:
                await pass_time(0.4)
        assert holder.ws.close_code is None
        holder.released.set()


async def test_pings_are_answered_though_a_message_is_under_way(aio):
    async with aio.serving() as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.send(from_client(BINARY, bytes(1000))[:500])
        raw.send(b"")
        await asyncio.sleep(0.005)
        raw.send(from_client(BINARY, bytes(1000))[500:])
        raw.say(PING, b"payload")
        frames = [await raw.frame(), await raw.frame()]
        assert sorted(frame.opcode for frame in frames) == [BINARY, PONG]


async def test_bytes_of_a_message_under_way_are_life_and_silence_is_not(clocked):
    """A Pong cannot stand within a frame; when nothing comes any more, the peer is gone all the same."""
    async with clocked.serving(ping_interval=1, ping_timeout=3) as server, clocked.dialled(server) as raw:
        await raw.upgrade()
        (ws,) = server.connections
        data = from_client(BINARY, bytes(200))
        for at in range(0, 100, 5):
            raw.send(data[at : at + 5])
            await pass_time(0.8)
            assert ws.close_code is None
        assert (await raw.frame()).opcode == PING
        await pass_time(5)
        frame = await raw.frame()
        assert (frame.opcode, frame.payload[:2]) == (CLOSE, close_payload(1011))
