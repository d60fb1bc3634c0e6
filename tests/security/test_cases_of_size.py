"""Security cases 1 to 26: size, memory, CPU. The table of all cases stands in test_security_cases.py.

Each test is named after the weakness of another library that it keeps out of this one.
"""

import inspect
import threading

import pytest
import trio
import trio.testing

import wscore
from wscore.codec import CLIENT, SERVER, Piece
from wscore.codec.messages import PINGS_KEPT
from wscore.protocol.events import Close, Ping
from wscore.protocol.extensions import DeflateParameters, parse_extensions
from wscore.protocol.head import HeadReader
from wscore.protocol.headers import Headers, unique_tokens
from wscore.session.options import Options

from ..raw import dial, serving, url_of
from ..wire import BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, Frame, close_payload, header
from .bombs import RSV1, bomb, compress, compressed_message
from .measuring import KIB, MIB, guard_against_hanging, memory
from .opened import opened, send_forever

pytestmark = pytest.mark.usefixtures("each_transport")

UNBOUNDED = (1 << 62) - 1


def compressed(side, **options):
    return side.open(compression="takeover", deflate=DeflateParameters(), **options)


def declare(side, opcode, length, *, fin=True):
    """The header of a frame, without its payload."""
    return header(Frame(opcode, fin=fin, key=KEY if side.role is SERVER else None), length)


def assert_closes(events, code):
    [close] = events
    assert isinstance(close, Close)
    assert (close.code, close.origin) == (code, "local")


# Inflating


def test_case_01_cve_2018_1000518_inflating_is_bounded(side):
    """websockets: the limit was not applied to what comes out of the inflater."""
    data = compressed_message(side, bomb(64))
    connection = compressed(side)
    with memory() as used:
        events = connection.receive_data(data)
    assert_closes(events, 1009)
    assert used.peak < 4 * MIB


def test_case_02_cve_2016_10544_size_is_checked_after_inflating_too(side):
    """uws: a message was measured before inflating only."""
    connection = compressed(side, max_message_size=1000)
    assert connection.receive_data(compressed_message(side, compress(bytes(1000)))) == [bytes(1000)]
    data = compressed_message(side, compress(bytes(1001)))
    assert len(data) < 100
    assert_closes(connection.receive_data(data), 1009)


def test_case_03_cve_2026_1526_a_server_cannot_bomb_its_client(protocol):
    """undici: a client inflated without a limit, whatever policy was agreed on."""
    for policy in ("takeover", "shared", "dedicated"):
        connection = protocol.Connection(CLIENT, compression=policy, deflate=DeflateParameters())
        data = header(Frame(BINARY, rsv=RSV1), len(bomb(64))) + bomb(64)
        with memory() as used:
            events = connection.receive_data(data)
        assert_closes(events, 1009)
        assert used.peak < 4 * MIB


def test_case_04_cve_2026_39804_a_mebibyte_does_not_become_a_gibibyte(side):
    """Bandit: 6 MiB inflated to gibibytes. As pieces, which have no limit, each is small and may be the last."""
    payload = bomb(1000)
    assert len(payload) < MIB
    data = compressed_message(side, payload)
    for connection in (compressed(side), compressed(side, pieces=True)):
        with memory() as used:
            [event] = connection.receive_data(data, 1) or connection.receive_data(b"", 1)
        assert isinstance(event, Close) or (isinstance(event, Piece) and len(event.data) <= MIB // 2)
        assert used.peak < 8 * MIB


def test_case_05_cve_2021_21419_large_frames_and_bombs(side):
    """eventlet: neither frames nor what they inflate to had a limit."""
    with memory() as used:
        assert_closes(side.open().receive_data(declare(side, BINARY, 1 << 30)), 1009)
        assert_closes(compressed(side).receive_data(declare(side, BINARY, 1 << 30)), 1009)
        assert_closes(compressed(side).receive_data(compressed_message(side, bomb(16))), 1009)
    assert used.peak < 4 * MIB


def test_case_06_centrifugo_1162_the_limit_is_not_one_of_compressed_bytes(side):
    """Centrifugo: the limit bound the compressed size. Ours is that of the message: what inflates to more is refused,
    and what compressing has made larger is not.
    """
    limit = 10_000
    noise = b"".join(i.to_bytes(2, "big") for i in range(limit // 2))
    stored = b"\x00" + limit.to_bytes(2, "little") + (limit ^ 0xFFFF).to_bytes(2, "little") + noise + b"\x00"
    assert len(stored) > limit
    assert compressed(side, max_message_size=limit).receive_data(compressed_message(side, stored)) == [noise]
    small = compress(bytes(limit + 1))
    assert len(small) < 100
    assert_closes(compressed(side, max_message_size=limit).receive_data(compressed_message(side, small)), 1009)


def test_case_07_undici_5435_fragments_share_one_budget(side):
    """undici: each fragment was inflated up to the whole limit anew."""
    payload = compress(bytes(3 * MIB // 2))
    step = len(payload) // 8
    fragments = [side.peer(BINARY, payload[:step], rsv=RSV1, fin=False)]
    fragments += [side.peer(CONTINUATION, payload[i : i + step], fin=False) for i in range(step, len(payload), step)]
    connection, events = compressed(side), []
    with memory() as used:
        for fragment in fragments:
            events += connection.receive_data(fragment)
    assert_closes(events, 1009)
    assert used.peak < 4 * MIB


def test_case_08_zlib_a_budget_of_zero_is_never_taken_for_no_limit(side):
    """To zlib a max_length of 0 means that there is none: here the first fragment fills the limit exactly."""
    exactly = side.peer(BINARY, compress(bytes(MIB)) + b"\x00\x00\xff\xff", rsv=RSV1, fin=False)
    connection = compressed(side)
    assert connection.receive_data(exactly) == []
    assert connection.receive_data(side.peer(CONTINUATION, b"\x00")) == [bytes(MIB)]
    connection = compressed(side)
    with memory() as used:
        assert connection.receive_data(exactly) == []
        assert_closes(connection.receive_data(side.peer(CONTINUATION, bomb(64))), 1009)
    assert used.peak < 4 * MIB
    with pytest.raises(ValueError, match="at least 1"):
        side.protocol.codec.Inflater().inflate(bomb(1), 0)


def test_case_09_aiohttp_13362_many_final_blocks_and_tiny_outputs_are_bounded(side):
    """aiohttp: each DEFLATE stream that ends within a message costs a new window, each output a buffer."""
    final, empty = b"\x03\x00", b"\x00\x00\x00\xff\xff"
    assert compressed(side).receive_data(compressed_message(side, final * 64 + b"\x00")) == [b""]
    assert_closes(compressed(side).receive_data(compressed_message(side, final * 1000)), 1008)
    # Blocks without output are one message without content, and one piece.
    data = compressed_message(side, empty * 100_000 + b"\x00")
    assert compressed(side).receive_data(data) == [b""]
    assert compressed(side, pieces=True).receive_data(data) == [Piece(b"", True, True)]


# Memory


def test_case_10_cve_2026_54274_size_is_checked_before_payload_is_kept(side):
    """aiohttp: an incomplete payload was buffered before anybody looked at its size."""
    connection = side.open()
    part = bytes(MIB)
    with memory() as used:
        assert_closes(connection.receive_data(declare(side, BINARY, 64 * MIB)), 1009)
        for _ in range(64):
            assert connection.receive_data(part) == []
    assert used.peak < 256 * KIB


def test_case_11_aiohttp_13350_a_dribbled_frame_takes_no_more_memory_than_its_bytes(side):
    """aiohttp: a frame that came byte by byte held about 28 times its size."""
    size = 8 * KIB
    connection, data = side.open(), side.peer(BINARY, bytes(size))
    parts = [data[i : i + 1] for i in range(len(data) - 1)]
    with memory() as used:
        for part in parts:
            connection.receive_data(part)
    assert used.peak < 3 * size + 16 * KIB


async def test_case_12_aiohttp_13393_empty_messages_weigh_something():
    """aiohttp: a queue whose limit was in bytes took any number of empty messages."""
    async with opened(max_receive_queue=80) as (raw, ws, nursery):
        nursery.start_soon(send_forever, raw, TEXT, b"")
        await trio.testing.wait_all_tasks_blocked()
        assert ws.statistics().messages_waiting == 10


def test_case_13_cve_2026_48779_tiny_and_empty_fragments_are_counted(side):
    """ws: fragments without content cost memory, and were not counted."""
    for payload in (b"", b"x"):
        connection = side.open()
        data = side.peer(BINARY, payload, fin=False) + side.peer(CONTINUATION, payload, fin=False) * 4096
        with memory() as used:
            events = connection.receive_data(data)
        assert_closes(events, 1008)
        assert used.peak < 64 * KIB


def test_case_14_cve_2026_9675_fragments_have_a_limit_of_size_and_one_of_number(side):
    """undici: first their size together was not bounded (CVE-2026-9675), then their number (CVE-2026-12151)."""
    connection = side.open(max_message_size=10, max_fragments=100)
    data = side.peer(BINARY, b"12345", fin=False) + side.peer(CONTINUATION, b"67890", fin=False)
    assert connection.receive_data(data) == []
    assert_closes(connection.receive_data(side.peer(CONTINUATION, b"!")), 1009)
    connection = side.open(max_message_size=10, max_fragments=3)
    data = side.peer(BINARY, b"1", fin=False) + side.peer(CONTINUATION, b"2", fin=False) * 2
    assert connection.receive_data(data) == []
    assert_closes(connection.receive_data(side.peer(CONTINUATION, b"3")), 1008)


def test_case_15_cve_2026_42786_a_message_that_never_ends_is_not_collected(side):
    """Bandit: fragments were put together without a limit."""
    connection = side.open()
    first = side.peer(BINARY, bytes(16 * KIB), fin=False)
    more = side.peer(CONTINUATION, bytes(16 * KIB), fin=False)
    with memory() as used:
        events = connection.receive_data(first)
        for _ in range(1000):
            events += connection.receive_data(more)
    assert_closes(events, 1009)
    assert used.peak < 3 * MIB


def test_case_16_fastwebsockets_100_the_limit_is_one_of_the_whole_message(side):
    """fastwebsockets: each fragment was below the limit, their sum was not looked at."""
    connection = side.open(max_message_size=1000)
    assert connection.receive_data(side.peer(BINARY, bytes(999), fin=False)) == []
    assert_closes(connection.receive_data(declare(side, CONTINUATION, 2)), 1009)


def test_case_17_cve_2022_35922_nothing_is_allocated_because_a_header_says_so(side):
    """rust-websocket: memory was taken from the declared length. Here the limit allows it, and little has come."""
    for options in ({}, {"pieces": True}):
        connection = side.open(max_message_size=UNBOUNDED, **options)
        with memory() as used:
            connection.receive_data(declare(side, BINARY, 1 << 40))
            connection.receive_data(bytes(100))
        assert used.peak < 64 * KIB
        with memory() as used:
            for _ in range(64):
                connection.receive_data(bytes(16 * KIB))
        assert used.peak < 4 * MIB


def test_case_18_cve_2026_19204_the_opcode_is_looked_at_before_the_length(side):
    """Jetty: memory for a huge frame was taken before its unknown opcode was noticed. Two bytes are enough."""
    for opcode in (3, 7, 11, 15):
        connection = side.open(max_message_size=UNBOUNDED)
        with memory() as used:
            events = connection.receive_data(declare(side, opcode, 1 << 61)[:2])
        assert_closes(events, 1002)
        assert used.peak < 64 * KIB


async def test_case_19_cve_2020_35896_output_is_bounded():
    """ws-rs: whatever was sent to a peer that does not read was kept."""
    async with opened(max_send_buffer=10_000) as (_, ws, nursery):
        sent = 0
        while ws.send_nowait(bytes(1000)):
            sent += 1
        assert 9 <= sent <= 10
        nursery.start_soon(ws.send, bytes(1000))
        await trio.testing.wait_all_tasks_blocked()
        assert ws.statistics().senders_waiting == 1
        assert ws.statistics().send_buffer <= 10_000
    for role in (SERVER, CLIENT):
        connection = wscore.Connection(role)
        ping = header(Frame(PING, key=KEY if role is SERVER else None), 125) + bytes(125)
        for _ in range(1000):
            connection.receive_data(ping)
        assert connection.bytes_to_send <= PINGS_KEPT * (6 + 125)


def test_case_20_cve_2016_10542_the_default_limit_is_one_mebibyte():
    """ws: 256 MiB by default. The same for whoever takes a limit."""
    for function in (wscore.Connection, wscore.serve, wscore.serve_stream, wscore.connect, Options):
        assert inspect.signature(function).parameters["max_message_size"].default == MIB


async def test_case_21_cve_2026_44545_limits_are_passed_on():
    """daphne: the library below had no limit by default, and was told none."""
    async with serving(max_message_size=10) as server, dial(server) as raw:
        await raw.upgrade()
        await raw.say(BINARY, bytes(11))
        [close] = await raw.frames(1)
        assert close.payload[:2] == close_payload(1009)
    async with serving(max_fragments=1) as server, dial(server) as raw:
        await raw.upgrade()
        await raw.say(BINARY, fin=False)
        await raw.say(CONTINUATION)
        [close] = await raw.frames(1)
        assert close.payload[:2] == close_payload(1008)

    async def talk(ws):
        await ws.send(bytes(11))

    async with serving(talk) as server, wscore.connect(url_of(server), max_message_size=10) as ws:
        with pytest.raises(wscore.ConnectionLost) as lost:
            await ws.receive()
        assert lost.value.code == 1009
    for limit in ("max_message_size", "max_fragments", "max_receive_queue", "max_send_buffer", "max_head_size"):
        with pytest.raises(ValueError, match=limit):
            Options(**{limit: 0})


async def test_case_22_undici_5503_who_does_not_receive_stops_the_peer():
    """undici: what came was queued without end."""
    async with opened(max_receive_queue=10_000) as (raw, ws, nursery):
        nursery.start_soon(send_forever, raw, BINARY, bytes(1000))
        await trio.testing.wait_all_tasks_blocked()
        statistics = ws.statistics()
        assert 9_000 < statistics.receive_queue < 12_000
        # What the peer has got rid of beside the queue is at most one read.
        assert statistics.bytes_received < 12_000 + 64 * KIB


async def test_case_23_cve_2026_34824_messages_start_no_threads():
    """Mesop: one thread for each message."""
    threads = set()

    async def echo(ws):
        async for message in ws:
            threads.update(threading.enumerate())
            await ws.send(message)

    before = set(threading.enumerate())
    async with opened(echo) as (raw, _, _):
        for _ in range(100):
            await raw.say(TEXT, b"x")
            await raw.frames(1)
    assert threads == before


# CPU


def test_case_24_cve_2023_43669_a_dribbled_head_is_looked_at_once():
    """tungstenite: the head was parsed from its start with every byte that came."""
    reader, data = HeadReader(), b"GET / HTTP/1.1\r\n" + b"X: " + b"x" * 16_000
    for i in range(len(data)):
        assert reader.feed(data[i : i + 1]) is None
        assert reader.searched >= len(reader.received) - 3
    server, client = wscore.Handshake(SERVER), wscore.Handshake(CLIENT, "ws://localhost/")
    for machine, start in ((server, data), (client, data.replace(b"GET / HTTP/1.1", b"HTTP/1.1 101"))):
        for i in range(len(start)):
            assert machine.receive_data(start[i : i + 1]) is None


LONG = 256 * KIB
HOSTILE_LISTS = [
    "a" + " " * LONG + "b",
    " " * LONG,
    "," * LONG,
    " ," * LONG,
    "a;" * LONG,
    'a;b="' + "\\c" * LONG,
    "a" * LONG,
    '"' * LONG,
    "=" * LONG,
]


@pytest.mark.parametrize("value", HOSTILE_LISTS, ids=range(len(HOSTILE_LISTS)))
def test_case_25_cve_2021_32640_lists_are_read_in_linear_time(value):
    """ws: a regular expression on Sec-WebSocket-Protocol took quadratic time. Far longer values than a head may have
    would take hours.
    """
    with guard_against_hanging():
        Headers({"upgrade": value}).has_token("upgrade", "websocket")
        for parse in (unique_tokens, parse_extensions):
            try:
                parse([value])
            except ValueError:
                continue


async def test_case_26_websockets_10_0_a_ping_while_closing_is_no_crash():
    """websockets: a Ping that came while the connection was closing raised."""
    for role in (SERVER, CLIENT):
        connection = wscore.Connection(role)
        connection.close()
        ping = header(Frame(PING, key=KEY if role is SERVER else None), 0)
        assert connection.receive_data(ping) == [Ping(b"")]
    async with opened() as (raw, ws, nursery):
        nursery.start_soon(ws.aclose)
        [close] = await raw.frames(1)
        assert close.opcode == CLOSE
        await raw.say(PING, b"late")
        [pong] = await raw.frames(1)
        assert (pong.opcode, pong.payload) == (PONG, b"late")
        await raw.say(CLOSE, close_payload(1000))
        assert await raw.rest() == b""
