"""Security cases 27 to 45: integers, memory safety, the state of parsers. The table of all cases stands in
test_security_cases.py.

Each test is named after the weakness of another library that it keeps out of this one.
"""

import array
import random
import zlib
from contextlib import suppress

import pytest
import trio
import trio.testing

import wscore
from wscore.codec import SERVER, LocalProtocolError
from wscore.protocol.events import Close, Ping
from wscore.protocol.extensions import DeflateParameters, accept_deflate, parse_extensions
from wscore.protocol.head import HeadError, HeadReader, parse_request_head, parse_response_head

from ..raw import UPGRADE, dial, serving, status_of, url_of
from ..wire import BINARY, CLOSE, CONTINUATION, KEY, PING, TEXT, Frame, close_payload, header
from .bombs import RSV1, compress
from .measuring import MIB
from .opened import opened

pytestmark = pytest.mark.usefixtures("each_transport")

HELLO = bytes.fromhex("f248cdc9c90700")
LARGEST = (1 << 63) - 1


def compressed(side, **options):
    return side.open(compression="takeover", deflate=DeflateParameters(), **options)


def declare(side, opcode, length, *, fin=True, rsv=0):
    """The header of a frame, without its payload."""
    return header(Frame(opcode, fin=fin, rsv=rsv, key=KEY if side.role is SERVER else None), length)


def code_of(events):
    """The close code of events that are one `Close` of ours."""
    [close] = events
    assert isinstance(close, Close)
    assert close.origin == "local"
    return close.code


# Integers


def test_case_27_cve_2020_27813_lengths_are_added_without_overflow(side):
    """gorilla: the sum of the lengths of fragments went beyond 64 bits."""
    for limit in (MIB, LARGEST):
        connection = side.open(max_message_size=limit)
        assert connection.receive_data(side.peer(BINARY, b"x" * 10, fin=False)) == []
        assert code_of(connection.receive_data(declare(side, CONTINUATION, LARGEST))) == 1009
    connection = compressed(side, max_message_size=LARGEST)
    assert connection.receive_data(side.peer(BINARY, HELLO[:3], rsv=RSV1, fin=False)) == []
    assert connection.receive_data(side.peer(CONTINUATION, HELLO[3:])) == [b"Hello"]


@pytest.mark.parametrize("length", [1 << 63, (1 << 63) + 5, (1 << 64) - 1])
def test_case_28_cve_2020_13935_the_top_bit_of_a_length_is_refused(side, length):
    """Tomcat: a length with its top bit set was negative, and parsing it never ended."""
    for options in ({}, {"pieces": True}, {"max_message_size": LARGEST}):
        assert code_of(side.open(**options).receive_data(declare(side, BINARY, length))) == 1002


@pytest.mark.parametrize("length", [1 << 31, 1 << 32, (1 << 53) + 1, LARGEST])
def test_case_29_cve_2026_1528_lengths_of_64_bits_are_refused_not_crashed_on(side, length):
    """undici: a large 64-bit length raised out of the parser."""
    assert code_of(side.open().receive_data(declare(side, BINARY, length))) == 1009
    assert code_of(compressed(side).receive_data(declare(side, BINARY, length, rsv=RSV1))) == 1009


@pytest.mark.parametrize("length", [(1 << 32) + 5, (1 << 33) + 5, (1 << 40) + 5])
def test_case_30_aiohttp_13415_lengths_are_not_cut_to_32_bits(side, length):
    """aiohttp: a length of 64 bits went into an int of C. Cut, these would all be 5."""
    data = declare(side, BINARY, length) + b"Hello" + side.peer(TEXT, b"not a frame of its own")
    connection = side.open(max_message_size=1 << 41)
    assert connection.receive_data(data) == []
    assert connection.close_event is None
    pieces = side.open(pieces=True).receive_data(data)
    assert not any(piece.last for piece in pieces)


@pytest.mark.parametrize("length", [(1 << 31) - 1, (1 << 32) - 1, LARGEST])
def test_case_31_gpac_3860_one_more_than_a_length_does_not_wrap(side, length):
    """gpac: length + 1 became 0, and so did the buffer."""
    assert code_of(side.open().receive_data(declare(side, BINARY, length) + b"x" * 100)) == 1009
    [piece] = side.open(pieces=True).receive_data(declare(side, BINARY, length) + bytes(100))
    assert len(piece.data) == 100
    assert not piece.last


# Memory safety


@pytest.mark.parametrize("power", range(4, 19))
def test_case_32_cve_2026_29035_inflated_data_fits_its_buffer_exactly(side, power):
    """CivetWeb: inflating wrote behind its buffer. Sizes around those of buffers, hardly and highly compressible."""
    noise = random.Random(power).randbytes((1 << power) + 1)
    for size in ((1 << power) - 1, 1 << power, (1 << power) + 1):
        for data in (noise[:size], bytes(size)):
            connection = compressed(side, max_message_size=size)
            assert connection.receive_data(side.peer(BINARY, compress(data), rsv=RSV1)) == [data]
            connection = compressed(side, max_message_size=size - 1)
            assert code_of(connection.receive_data(side.peer(BINARY, compress(data), rsv=RSV1))) == 1009


@pytest.mark.parametrize("number", [0, 5, 125, 1 << 20])
def test_case_33_cve_2016_10518_a_number_is_no_payload(side, number):
    """ws: ping(number) sent as many bytes of uninitialized memory. In Python bytes(number) is zeros."""
    connection, codec = side.open(), side.protocol.codec
    for method in (connection.ping, connection.pong, connection.send, side.protocol.prepare):
        with pytest.raises(TypeError):
            method(number)
    for function in (codec.is_valid_utf8, lambda n: codec.mask(n, KEY), lambda n: codec.encode_frame(2, n)):
        with pytest.raises(TypeError):
            function(number)
    assert connection.data_to_send() == b""


@pytest.mark.parametrize("reason", [array.array("B", b"bye"), bytearray(8), memoryview(b"bye"), b"bye", 5])
def test_case_34_cve_2026_45736_a_reason_is_text(side, reason):
    """ws: a reason given as an array of numbers sent uninitialized memory."""
    connection = side.open()
    for method in (connection.close, connection.fail):
        with pytest.raises(TypeError):
            method(1000, reason)
    assert connection.data_to_send() == b""


async def test_case_35_cve_2025_11677_a_callback_during_the_upgrade_may_end_what_it_is_called_for():
    """libwebsockets: a connection that ended in the callback of its own upgrade was used on. Here the peer goes away,
    the callback raises, and the whole server closes.
    """
    asked = trio.Event()
    answers = ["go", "raise", "close"]

    async def on_request(_request):
        what = answers.pop(0)
        asked.set()
        if what == "go":
            await gone.wait()
        elif what == "raise":
            raise RuntimeError("out of the callback")
        else:
            await server.aclose(drain=0)
        return wscore.Accept()

    gone = trio.Event()
    async with serving(on_request=on_request) as server:
        async with dial(server) as raw:
            await raw.ask()
            await asked.wait()
        gone.set()
        async with dial(server) as raw:
            await raw.ask()
            assert status_of(await raw.rest()) == 500
        async with dial(server) as raw:
            await raw.ask()
            with suppress(trio.BrokenResourceError):
                # Nobody waits for the one that closes the server; if it is not cut off before, it has an answer.
                rest = await raw.rest()
                assert not rest or status_of(rest) == 503


ODD_EXTENSIONS = [
    *("", ";", ",", "=", '"', "permessage-deflate;", "permessage-deflate;=", "permessage-deflate;;", "; a", "a; =b"),
    *("permessage-deflate; server_max_window_bits", 'a; b="', 'a; b="\\', 'a; b="\\"', 'a; b="c" d', "a\x00", "é; b"),
    *("permessage-deflate; server_max_window_bits=" + "9" * 10_000, "a; " * 3000, "\t", "a; b=" + "c" * 15_000),
]


def test_case_36_cve_2025_1866_odd_extensions_are_refused_or_declined():
    """libwebsockets: reading behind the end of a header of extensions. (HTTP/2, CVE-2026-19773, is not spoken here.)"""
    for text in ODD_EXTENSIONS:
        for cut in {*range(min(len(text), 60) + 1), len(text)}:
            try:
                parse_extensions([text[:cut]])
            except ValueError:
                continue
            assert accept_deflate([text[:cut]], "takeover") is None or text.startswith("permessage-deflate")


async def test_case_37_cve_2025_11234_a_peer_may_leave_at_any_byte_of_the_handshake():
    """QEMU: the state of a handshake was used after its client had gone."""
    head = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
    request = f"GET / HTTP/1.1\r\n{head}\r\n".encode()
    async with serving() as server:
        for size in range(0, len(request) + 1, 7):
            async with dial(server) as raw:
                await raw.send(request[:size])
        async with wscore.connect(url_of(server)) as ws:
            await ws.send("still there")
            assert await ws.receive() == "still there"


def status_of_head(data, parse):
    """The status with which a head is refused, or None."""
    try:
        head = HeadReader(1000).feed(data)
        if head is not None:
            parse(head)
    except HeadError as error:
        return error.status
    return None


def test_case_38_cve_2021_45945_damaged_heads_are_parsed_or_refused():
    """uWebSockets: its HTTP parser read behind the end, found by fuzzing. (Its tree of topics comes with channels.)

    Nothing but `HeadError` is raised, with a status for the answer.
    """
    fields = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
    chance = random.Random(38)
    noise = [b"\r\n", b"\n", b":", b" ", b"\x00", b"\xff", b"\t", b"\r\n\r\n", b"Host: ", b"HTTP/1.1", b"," * 50, b""]
    for first, parse in ((b"GET / HTTP/1.1\r\n", parse_request_head), (b"HTTP/1.1 101 x\r\n", parse_response_head)):
        whole = first + fields.encode() + b"\r\n"
        for _ in range(3000):
            data = bytearray(whole)
            for _ in range(chance.randrange(1, 4)):
                at = chance.randrange(len(data))
                data[at : at + chance.randrange(6)] = chance.choice(noise)
            assert status_of_head(data, parse) in {None, 400, 414, 431, 505}


@pytest.mark.parametrize("mem_level", range(1, 10))
def test_case_39_cve_2018_25032_distant_matches_are_compressed_as_they_are(protocol, mem_level):
    """zlib: with many distant matches and little memory, pending output overwrote what was still to come
    (CVE-2018-25032); inflating read outside its tables (CVE-2016-9840). Wheels are to pin a zlib without either.
    """
    chance = random.Random(39)
    words = [chance.randbytes(3) for _ in range(4000)]
    data = b"".join(chance.choice(words) for _ in range(20_000))
    for window_bits in (9, 12, 15):
        deflater = protocol.codec.Deflater(window_bits, mem_level=mem_level)
        for _ in range(2):
            output = deflater.deflate(data)
        fresh = protocol.codec.Deflater(window_bits, mem_level=mem_level).deflate(data)
        assert zlib.decompress(fresh + b"\x00\x00\xff\xff\x03\x00", -15) == data
        inflater = protocol.codec.Inflater(window_bits)
        assert inflater.inflate(fresh, 2 * len(data)) + inflater.finish(100) == data
        assert inflater.inflate(output, 2 * len(data)) + inflater.finish(100) == data


# The state of parsers and compressors


async def test_case_40_aiohttp_11725_a_cancelled_send_leaves_the_compressor_whole():
    """aiohttp: a send that was cancelled while it compressed corrupted what was sent after it."""
    message, inflater = b"first " * 1000, zlib.decompressobj(-15)
    options = {"compression": "dedicated", "extensions": "permessage-deflate", "max_send_buffer": 10}
    async with opened(**options) as (raw, ws, nursery):
        await ws.send(message)
        async with trio.open_nursery() as waiting:
            waiting.start_soon(ws.send, b"never " * 1000)
            await trio.testing.wait_all_tasks_blocked()
            assert ws.statistics().senders_waiting == 1
            waiting.cancel_scope.cancel()
        with pytest.raises(UnicodeEncodeError):
            await ws.send("\ud800")
        nursery.start_soon(ws.send, message)
        payloads = [frame.payload for frame in await raw.frames(2)]
        assert [inflater.decompress(payload + b"\x00\x00\xff\xff") for payload in payloads] == [message] * 2


def test_case_41_aiohttp_12988_control_frames_do_not_touch_compression(side):
    """aiohttp, eventlet: control frames between compressed fragments disturbed them, or were inflated themselves."""
    connection = compressed(side)
    data = side.peer(TEXT, HELLO[:3], rsv=RSV1, fin=False) + side.peer(PING, HELLO) + side.peer(CONTINUATION, HELLO[3:])
    assert connection.receive_data(data + data) == [Ping(HELLO), "Hello"] * 2
    for opcode in (PING, CLOSE):
        assert code_of(compressed(side).receive_data(side.peer(opcode, HELLO, rsv=RSV1))) == 1002


def test_case_42_aiohttp_11862_a_continuation_needs_a_start(side):
    """aiohttp: accepted as a message."""
    for open_side in (side.open, lambda: compressed(side)):
        for fin in (True, False):
            assert code_of(open_side().receive_data(side.peer(CONTINUATION, b"x", fin=fin))) == 1002


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_case_43_aiohttp_12895_close_codes_beyond_4999_are_refused(side, code):
    """aiohttp: accepted above 4999. The others never were codes."""
    assert code_of(side.open().receive_data(side.peer(CLOSE, close_payload(code)))) == 1002
    with pytest.raises(LocalProtocolError):
        side.open().close(code)


def test_case_44_libwebsockets_2794_uncompressed_messages_are_welcome_after_all(side):
    """libwebsockets: an uncompressed message where compression was agreed on looped for ever."""
    connection = compressed(side)
    data = (
        side.peer(TEXT, b"plain") + side.peer(TEXT, HELLO, rsv=RSV1) + side.peer(TEXT, b"") + side.peer(BINARY, HELLO)
    )
    assert connection.receive_data(data) == ["plain", "Hello", "", HELLO]


def test_case_45_websockets_16_1_compressed_messages_are_fragmented_as_the_rfc_says(side):
    """websockets: wrong fragments of compressed messages were accepted. RSV1 stands on the first one only, and no
    message interrupts another.
    """
    first = side.peer(TEXT, HELLO[:3], rsv=RSV1, fin=False)
    for wrong in (
        side.peer(CONTINUATION, HELLO[3:], rsv=RSV1),
        side.peer(TEXT, HELLO[3:], rsv=RSV1),
        side.peer(TEXT, HELLO[3:]),
        side.peer(CONTINUATION, HELLO[3:], rsv=RSV1 | 1),
    ):
        assert code_of(compressed(side).receive_data(first + wrong)) == 1002
    assert code_of(compressed(side).receive_data(side.peer(CONTINUATION, HELLO, rsv=RSV1))) == 1002
