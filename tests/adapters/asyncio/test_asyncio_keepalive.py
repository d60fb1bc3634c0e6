"""Pings, and peers that do not answer or do not take what is sent.

The limits are fractions of a second, on the real clock; what must not happen is given several of them.
"""

import asyncio

import pytest

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


async def test_without_an_interval_nobody_is_pinged(aio):
    async with aio.serving(ping_interval=None) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(raw.frame(), 0.1)


async def test_a_peer_that_answers_no_ping_is_closed_with_1011(aio):
    async with aio.serving(ping_interval=0.05, ping_timeout=0.05) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        assert (await raw.frame()).opcode == PING
        raw.say(PONG, b"not this one")
        frame = await raw.frame()
        assert (frame.opcode, frame.payload[:2]) == (CLOSE, close_payload(1011))
        assert await raw.rest() == b""


async def test_without_a_timeout_a_ping_may_stay_unanswered(aio):
    async with aio.serving(ping_interval=0.02, ping_timeout=None) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        assert (await raw.frame()).opcode == PING
        await asyncio.sleep(0.1)
        raw.say(TEXT, b"still there")
        assert (await raw.frame()).payload == b"still there"


async def test_a_slow_handler_never_makes_us_close_with_1011(aio):
    """While reading pauses, a Pong cannot reach us: our own deadline stands still."""
    holder = Holder()
    options = {"ping_interval": 0.05, "ping_timeout": 0.05, "max_receive_queue": 100}
    async with aio.serving(holder, **options) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.send(from_client(BINARY, bytes(1000)) * 3)
        await until(lambda: holder.ws and not holder.ws.transport.is_reading())
        await asyncio.sleep(0.3)
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


async def test_a_peer_that_takes_nothing_is_given_up(aio):
    holder = Holder()
    options = {"send_timeout": 0.2, "max_send_buffer": 1 << 16}
    async with aio.serving(holder, **options) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        transport_buffers_little(raw)
        await fill(holder.ws)
        with pytest.raises(aio.ConnectionLost) as ended:
            await holder.ws.send("no room for this")
        assert ended.value.code == 1006
        holder.released.set()


async def test_a_peer_that_takes_little_by_little_is_not(aio):
    holder = Holder()
    async with aio.serving(holder, send_timeout=0.4) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: holder.ws)
        transport_buffers_little(raw)
        count = await fill(holder.ws)
        raw.writer.transport.resume_reading()
        for number in range(count):
            await raw.frame()
            if number % 8 == 0:
                await asyncio.sleep(0.02)
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


async def test_bytes_of_a_message_under_way_are_life_and_silence_is_not(aio):
    """A Pong cannot stand within a frame; when nothing comes any more, the peer is gone all the same."""
    async with aio.serving(ping_interval=0.1, ping_timeout=0.3) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        (ws,) = server.connections
        data = from_client(BINARY, bytes(200))
        for at in range(0, 100, 5):
            raw.send(data[at : at + 5])
            await asyncio.sleep(0.05)
            assert ws.close_code is None
        assert (await raw.frame()).opcode == PING
        frame = await raw.frame()
        assert (frame.opcode, frame.payload[:2]) == (CLOSE, close_payload(1011))
