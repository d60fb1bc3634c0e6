"""What one peer may cost the others in one turn of the loop is bounded, however it packs what it sends.

Counted in messages and bytes, not in seconds: how many are handed over between two turns of the loop.
"""

import asyncio
import zlib

from ...wire import BINARY, CLOSE, PING, TEXT, close_payload, from_client
from .peers import until

BIG = 900_000
DEFLATE = {"Sec_WebSocket_Extensions": "permessage-deflate; client_no_context_takeover"}
# Whatever arrives, no turn of one connection handles more than so much, and one message.
MOST = 1 << 20


def compressed(count):
    """Messages of 900 kB that take some 900 bytes each."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = (deflater.compress(bytes(BIG)) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return from_client(BINARY, payload, rsv=4) * count


class Turns:
    """Counts the loop's turns, and how much came in each."""

    def __init__(self):
        self.each = [0]
        self.handle = None

    def __enter__(self):
        self._turn()
        return self

    def __exit__(self, *_):
        self.handle.cancel()

    def _turn(self):
        self.each.append(0)
        self.handle = asyncio.get_running_loop().call_soon(self._turn)

    def add(self, amount):
        self.each[-1] += amount


async def test_compressed_messages_for_on_message_come_a_few_in_a_turn(aio):
    turns = Turns()
    options = {"compression": "takeover", "on_message": lambda ws, message: turns.add(len(message))}
    async with aio.serving(**options) as server, aio.dialled(server) as raw:
        await raw.upgrade(**DEFLATE)
        with turns:
            raw.send(compressed(64))
            await until(lambda: sum(turns.each) == 64 * BIG)
    assert max(turns.each) <= MOST + BIG


async def test_messages_for_nobody_are_not_inflated(aio):
    """While we close, they are thrown away: no bomb goes off, and what is no DEFLATE at all is not even noticed."""
    left = []

    async def handler(ws):
        left.append(ws)

    async with aio.serving(handler, compression="takeover") as server, aio.dialled(server) as raw:
        await raw.upgrade(**DEFLATE)
        assert (await raw.frame()).opcode == CLOSE
        raw.send(compressed(64) + from_client(BINARY, b"\xff" * 100, rsv=4) + from_client(CLOSE, close_payload(1000)))
        assert await raw.rest() == b""
        await until(lambda: left[0].close_code is not None)
    assert left[0].close_code == 1000


async def test_small_messages_come_some_thousand_in_a_turn(aio):
    turns = Turns()
    count = 200_000
    async with aio.serving(on_message=lambda ws, message: turns.add(1)) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        with turns:
            raw.send(from_client(TEXT) * count)
            await until(lambda: sum(turns.each) == count)
    assert max(turns.each) <= MOST // 16


async def test_pings_are_answered_and_the_end_is_seen_though_reading_goes_by_turns(aio):
    """What is left of a read waits for the next turn; nothing of it is lost, and its order stays."""
    came = []
    async with aio.serving(on_message=lambda ws, message: came.append(message)) as server:
        async with aio.dialled(server) as raw:
            await raw.upgrade()
            many = b"".join(from_client(TEXT, b"%d" % number) for number in range(30_000))
            raw.send(many + from_client(PING, b"p") + from_client(CLOSE, close_payload(1000)))
            assert (await raw.frame()).payload == b"p"
            assert (await raw.frame()).opcode == CLOSE
        assert came == [str(number) for number in range(30_000)]


async def test_one_who_floods_gets_a_read_in_a_turn(aio, loop_kind):
    """libuv reads up to 32 times on end while reads fill the memory they are given."""
    turns = Turns()
    block = from_client(BINARY, bytes(32_000)) * 64
    total = 16 * 64
    came = []

    def on_message(ws, message):
        turns.add(len(message))
        came.append(None)

    async with aio.serving(on_message=on_message) as server:
        reader, writer = await asyncio.open_connection(*server.addresses[0], limit=1 << 16)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        (ws,) = server.connections
        ws.transport.pause_reading()
        for _ in range(16):
            writer.write(block)
        await until(lambda: writer.transport.get_write_buffer_size() < 32 << 20)
        await asyncio.sleep(0.05)
        with turns:
            ws.transport.resume_reading()
            await until(lambda: len(came) == total)
        writer.transport.abort()
    assert max(turns.each) <= MOST
