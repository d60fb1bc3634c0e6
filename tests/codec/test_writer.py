"""From messages to bytes (RFC 6455 section 5, RFC 7692 section 7.2.1), on both twins and in both roles."""

import array
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.codec import CLIENT, SERVER, LocalProtocolError

from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, decode

RSV1 = 0b100
LARGE = 1 << 14  # from here on `take_buffers` hands out payloads as they are
TAIL = b"\x00\x00\xff\xff"
JSON = b'{"id": 17, "price": 4.25, "name": "widget", "tags": ["a", "b", "c"], "stock": true, "note": null}'


def sent(writer, wire) -> list[Frame]:
    """The frames that the writer holds, without their keys, after a look at them."""
    frames = decode(writer.take())
    assert [frame.key is not None for frame in frames] == [wire.role is CLIENT] * len(frames)
    for frame in frames:
        frame.key = None
    return frames


def inflated(*payloads: bytes) -> list[bytes]:
    inflater = zlib.decompressobj(-15)
    return [inflater.decompress(payload + TAIL) for payload in payloads]


@pytest.fixture
def writer(wire):
    return wire.codec.Writer(wire.role)


@pytest.fixture
def compressing(wire):
    return wire.codec.Writer(wire.role, deflater=wire.codec.Deflater())


# Messages


def test_the_unmasked_hello_of_the_rfc(codec):
    """RFC 6455 section 5.7."""
    writer = codec.Writer(SERVER)
    writer.write("Hello")
    assert writer.take() == bytes.fromhex("810548656c6c6f")


@pytest.mark.parametrize("text", ["", "a", "\x00", "é", "ÿĀ", "߿ࠀ", "€", "\ud7ff\ue000", "𝄞\U0010ffff", "aé€𝄞" * 99])
def test_a_str_becomes_one_text_frame_of_utf8(writer, wire, text):
    """RFC 6455 section 5.6."""
    writer.write(text)
    assert sent(writer, wire) == [Frame(TEXT, text.encode())]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537])
def test_messages_of_every_form_of_length_are_framed(writer, wire, size):
    """In the fewest bytes: `decode` checks that."""
    payload = bytes(i * 7 & 0xFF for i in range(size))
    writer.write(payload)
    writer.write("t" * size)
    writer.write("é" * (size // 2))
    assert sent(writer, wire) == [
        Frame(BINARY, payload),
        Frame(TEXT, b"t" * size),
        Frame(TEXT, "é".encode() * (size // 2)),
    ]


@pytest.mark.parametrize(
    "message",
    [b"data", bytearray(b"data"), memoryview(b"xdatax")[1:-1], array.array("H", b"data")],
    ids=lambda message: type(message).__name__,
)
def test_any_buffer_becomes_one_binary_frame(writer, wire, message):
    """RFC 6455 section 5.6."""
    writer.write(message)
    assert sent(writer, wire) == [Frame(BINARY, b"data")]


def test_subclasses_of_str_and_bytes_are_text_and_binary(writer, wire):
    writer.write(type("Text", (str,), {})("text"))
    writer.write(type("Data", (bytes,), {})(b"data"))
    assert sent(writer, wire) == [Frame(TEXT, b"text"), Frame(BINARY, b"data")]


@pytest.mark.parametrize("size", [4, LARGE, 1 << 17])
@pytest.mark.parametrize("take", ["take", "take_buffers"])
def test_a_message_can_be_changed_once_it_is_written(writer, wire, size, take):
    message = bytearray(b"a" * size)
    writer.write(message)
    message[:] = b"b" * size
    message.clear()
    output = getattr(writer, take)()
    [frame] = decode(output if take == "take" else b"".join(output))
    assert frame.payload == b"a" * size


# Masks


def test_a_client_masks_every_frame_with_a_key_of_its_own(codec):
    """RFC 6455 sections 5.3 and 10.3."""
    writer = codec.Writer(CLIENT)
    for i in range(50):
        writer.write(b"%d" % i)
        writer.write_fragment("fragment", False)
        writer.write_control(PING, b"%d" % i)
        writer.write_fragment("fragment", True)
    keys = [frame.key for frame in decode(writer.take())]
    assert None not in keys
    assert len(set(keys)) >= 199  # two of 200 may be the same once in 200,000 runs


# Fragments (section 5.4)


@pytest.mark.parametrize(("opcode", "parts"), [(TEXT, ["Hé", "", "llo"]), (BINARY, [b"\xff", b"", b"\x00"])])
def test_fragments_continue_what_the_first_one_began(writer, wire, opcode, parts):
    states = []
    for i, part in enumerate(parts):
        writer.write_fragment(part, i == 2)
        states.append(writer.in_message)
    writer.write_fragment(parts[0], True)
    raw = [part.encode() if isinstance(part, str) else part for part in parts]
    assert states == [True, True, False]
    assert sent(writer, wire) == [
        Frame(opcode, raw[0], fin=False),
        Frame(CONTINUATION, raw[1], fin=False),
        Frame(CONTINUATION, raw[2]),
        Frame(opcode, raw[0]),
    ]


def test_the_fragments_of_a_message_are_of_one_type(writer, wire):
    for first, second in (("text", b"data"), (b"data", "text")):
        writer.write_fragment(first, False)
        with pytest.raises(LocalProtocolError, match="all text or all binary"):
            writer.write_fragment(second, True)
        assert writer.in_message
        writer.write_fragment(first, True)
    assert [frame.opcode for frame in sent(writer, wire)] == [TEXT, CONTINUATION, BINARY, CONTINUATION]


def test_nothing_but_control_frames_may_stand_between_fragments(writer, wire):
    writer.write_fragment("a", False)
    with pytest.raises(LocalProtocolError, match="fin=True"):
        writer.write("b")
    with pytest.raises(LocalProtocolError, match="fin=True"):
        writer.write_raw(b"\x81\x00")
    writer.write_control(PONG, b"c")
    writer.write_fragment("d", True)
    writer.write("e")
    assert [frame.payload for frame in sent(writer, wire)] == [b"a", b"c", b"d", b"e"]


# Control frames (section 5.5)


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("size", [0, 1, 125])
def test_control_frames_carry_up_to_125_bytes(writer, wire, opcode, size):
    for payload in (bytes(size), bytearray(size), memoryview(bytes(size))):
        writer.write_control(opcode, payload)
    assert sent(writer, wire) == [Frame(opcode, bytes(size))] * 3
    for too_long in (126, 127, 70_000):
        with pytest.raises(ValueError, match="at most 125 bytes"):
            writer.write_control(opcode, bytes(too_long))
    assert writer.take() == b""


def test_a_control_frame_may_be_empty(writer, wire):
    writer.write_control(PING)
    assert sent(writer, wire) == [Frame(PING)]


@pytest.mark.parametrize("opcode", [-1, 0, 1, 2, 3, 7, 11, 15, 16, 0x89, 265])
def test_what_is_no_control_opcode_is_refused(writer, opcode):
    with pytest.raises(ValueError, match="control frame"):
        writer.write_control(opcode, b"")
    assert writer.pending == 0


def test_control_frames_are_never_compressed(compressing, wire):
    """RFC 7692 section 6.1."""
    compressing.write_control(PING, b"a" * 100)
    assert sent(compressing, wire) == [Frame(PING, b"a" * 100)]


# Frames from elsewhere


def test_raw_frames_keep_their_place(writer, wire):
    writer.write("a")
    writer.write_raw(wire.frame(BINARY, b"b", masked=wire.role is CLIENT))
    writer.write("c")
    assert sent(writer, wire) == [Frame(TEXT, b"a"), Frame(BINARY, b"b"), Frame(TEXT, b"c")]


# Misuse


@pytest.mark.parametrize("wrong", [5, None, 1.5, ["text"], object()])
def test_what_is_neither_text_nor_a_buffer_is_refused_and_nothing_is_written(writer, wrong):
    """A number in particular: as a count of bytes it would send as many zeros, or worse, what is in memory."""
    with pytest.raises(TypeError):
        writer.write(wrong)
    with pytest.raises(TypeError):
        writer.write_fragment(wrong, True)
    with pytest.raises(TypeError):
        writer.write_control(PING, wrong)
    with pytest.raises(TypeError):
        writer.write_control(PING, "text")
    assert (writer.pending, writer.in_message, writer.take()) == (0, False, b"")


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff", "\ud83d\ude00", "a" * 200 + "\udc00", "€𝄞\ud800"])
def test_lone_surrogates_are_refused_and_nothing_is_written(writer, compressing, text):
    """They have no UTF-8 (RFC 3629 section 3)."""
    for each in (writer, compressing):
        with pytest.raises(UnicodeEncodeError):
            each.write(text)
        with pytest.raises(UnicodeEncodeError):
            each.write_fragment(text, False)
        assert (each.pending, each.in_message, each.take()) == (0, False, b"")


def test_a_fragment_that_is_refused_leaves_its_message_open(writer, wire):
    writer.write_fragment("a", False)
    for wrong, error in (("\ud800", UnicodeEncodeError), (5, TypeError)):
        with pytest.raises(error):
            writer.write_fragment(wrong, True)
    assert writer.in_message
    writer.write_fragment("b", True)
    assert [frame.payload for frame in sent(writer, wire)] == [b"a", b"b"]


def test_memory_with_gaps_is_refused(writer):
    gaps = memoryview(b"abcd")[::2]
    with pytest.raises(TypeError):
        writer.write(gaps)
    with pytest.raises(TypeError):
        writer.write_fragment(gaps, False)
    with pytest.raises(TypeError):
        writer.write_control(PING, gaps)
    assert (writer.pending, writer.in_message) == (0, False)


# Compression (RFC 7692 section 7.2.1)


def test_a_compressed_message_has_rsv1_and_no_tail(compressing, wire):
    for message in (JSON.decode(), JSON, "", b"", "é" * 500):
        compressing.write(message)
    frames = sent(compressing, wire)
    assert [(frame.opcode, frame.rsv) for frame in frames] == [(opcode, RSV1) for opcode in (1, 2, 1, 2, 1)]
    assert inflated(*(frame.payload for frame in frames)) == [JSON, JSON, b"", b"", "é".encode() * 500]
    assert len(frames[1].payload) < 10 < len(frames[0].payload)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_the_header_fits_what_compressing_makes_of_a_message(compressing, wire, size):
    """Incompressible data grows, and may need a longer length than the message has."""
    noise = random.Random(size).randbytes(size)
    compressing.write(noise)
    [frame] = sent(compressing, wire)
    assert inflated(frame.payload) == [noise]


def test_compressed_sizes_on_either_side_of_a_length_form_are_framed(wire):
    writer = wire.codec.Writer(wire.role, deflater=wire.codec.Deflater(context_takeover=False))
    noise = random.Random(5).randbytes(65_560)
    for sizes in (range(100, 140), range(65_490, 65_560)):
        for size in sizes:
            writer.write(noise[:size])
            [frame] = sent(writer, wire)
            assert inflated(frame.payload) == [noise[:size]]
        assert len(frame.payload) > (1 << 16 if size > 1000 else 126)


@pytest.mark.parametrize("threshold", [0, 1, 100])
def test_messages_below_the_threshold_are_not_compressed(wire, threshold):
    """In bytes of UTF-8."""
    writer = wire.codec.Writer(wire.role, deflater=wire.codec.Deflater(), compression_threshold=threshold)
    for size in (0, 1, 2, 98, 99, 100, 101, 102):
        for message in ("a" * size, b"a" * size, "é" * (size // 2)):
            writer.write(message)
            octets = len(message.encode() if isinstance(message, str) else message)
            assert [frame.rsv for frame in sent(writer, wire)] == [RSV1 if octets >= threshold else 0]
            assert writer.compresses(octets) is (octets >= threshold)


def test_a_call_may_say_whether_a_message_is_compressed(wire):
    writer = wire.codec.Writer(wire.role, deflater=wire.codec.Deflater(), compression_threshold=100)
    for compress in (True, False, None):
        for size in (10, 200):
            writer.write("a" * size, compress)
            writer.write(b"a" * size, compress=compress)
            expected = size >= 100 if compress is None else compress
            assert [frame.rsv for frame in sent(writer, wire)] == [RSV1 if expected else 0] * 2
            assert writer.compresses(size, compress) is expected


@pytest.mark.parametrize("compress", [True, False, None])
def test_without_a_deflater_nothing_is_compressed(writer, wire, compress):
    writer.write("a" * 2000, compress)
    writer.write_fragment("a" * 2000, True, compress)
    assert [frame.rsv for frame in sent(writer, wire)] == [0, 0]
    assert not writer.compresses(2000, compress)


def test_what_is_sent_uncompressed_passes_by_the_window(compressing, wire):
    compressing.write(JSON)
    compressing.write(b"in between", compress=False)
    compressing.write(JSON)
    first, between, last = (frame.payload for frame in sent(compressing, wire))
    assert between == b"in between"
    assert inflated(first, last) == [JSON, JSON]


@pytest.mark.parametrize("parts", [["one", "two", "three"], ["", ""], ["one", ""], ["", "one"], [b"x" * 50_000, b"y"]])
def test_the_fragments_of_a_compressed_message_are_one_stream(compressing, wire, parts):
    """RFC 7692 sections 6.1 and 7.2.3.1: RSV1 on the first frame only."""
    for _ in range(2):
        for i, part in enumerate(parts):
            compressing.write_fragment(part, i == len(parts) - 1)
    frames = sent(compressing, wire)
    assert [frame.rsv for frame in frames] == [RSV1, *[0] * (len(parts) - 1)] * 2
    half = len(frames) // 2
    streams = [b"".join(frame.payload for frame in frames[:half]), b"".join(frame.payload for frame in frames[half:])]
    whole = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    assert inflated(*streams) == [whole] * 2


def test_the_first_fragment_decides_whether_a_message_is_compressed(wire):
    """No threshold: its size says nothing about the message's."""
    writer = wire.codec.Writer(wire.role, deflater=wire.codec.Deflater(), compression_threshold=100)
    for first, later, rsv in ((None, False, RSV1), (True, False, RSV1), (False, True, 0)):
        writer.write_fragment("a", False, first)
        writer.write_fragment("b", False, later)
        writer.write_fragment("c", True, later)
        assert [frame.rsv for frame in sent(writer, wire)] == [rsv, 0, 0]


# Output


def test_output_is_counted_until_it_is_taken(writer, wire):
    assert (writer.pending, writer.take(), writer.take_buffers()) == (0, b"", [])
    total = 0
    for write in (
        lambda: writer.write("text"),
        lambda: writer.write(bytes(70_000)),
        lambda: writer.write_control(PING, b"x"),
        lambda: writer.write_fragment("x", False),
        lambda: writer.write_fragment("x", True),
        lambda: writer.write_raw(bytes(10)),
        lambda: writer.write_raw(b""),
    ):
        before = writer.pending
        write()
        assert writer.pending >= before
        total = writer.pending
    data = writer.take()
    assert type(data) is bytes
    assert len(data) == total
    assert (writer.pending, writer.take(), writer.take_buffers()) == (0, b"", [])


@pytest.mark.parametrize("sizes", [(1,), (1, 2), (0, LARGE), (LARGE, LARGE), (1, LARGE - 1, LARGE, 2, 3, 1 << 17)])
def test_buffers_are_the_same_bytes_in_the_same_order(wire, sizes):
    writer = wire.codec.Writer(wire.role)
    for size in sizes:
        writer.write(bytes([size & 0xFF]) * size)
    pending = writer.pending
    buffers = writer.take_buffers()
    assert all(type(buffer) is bytes and buffer for buffer in buffers)
    assert [frame.payload for frame in decode(b"".join(buffers))] == [bytes([size & 0xFF]) * size for size in sizes]
    assert sum(map(len, buffers)) == pending
    assert (writer.pending, writer.take_buffers()) == (0, [])


def test_large_unmasked_payloads_are_not_copied(codec):
    writer = codec.Writer(SERVER)
    large, small = bytes(LARGE), bytes(LARGE - 1)
    for payload in (large, small, large):
        writer.write(payload)
    writer.write("end")
    buffers = writer.take_buffers()
    assert [buffer is large for buffer in buffers] == [False, True, False, True, False]
    writer.write_raw(large)
    assert writer.take_buffers()[0] is large


def test_no_memory_is_kept_for_output_that_was_taken(writer):
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for take in (writer.take, writer.take_buffers):
        for _ in range(100):
            writer.write(bytes(10_000))
        take()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 1 << 16


# Both ways

MESSAGES = st.lists(
    st.tuples(st.text(max_size=50) | st.binary(max_size=300), st.booleans(), st.sampled_from([None, True, False])),
    max_size=8,
)


@given(MESSAGES, st.booleans(), st.sampled_from([0, 20]))
def test_the_reader_on_the_other_side_gets_what_was_written(codec, messages, takeover, threshold):
    for role, other in ((SERVER, CLIENT), (CLIENT, SERVER)):
        deflater = codec.Deflater(context_takeover=takeover)
        writer = codec.Writer(role, deflater=deflater, compression_threshold=threshold)
        for message, in_fragments, compress in messages:
            if in_fragments:
                writer.write_fragment(message[:2], False, compress)
                writer.write_fragment(message[2:], True)
            else:
                writer.write(message, compress)
        received = []
        reader = codec.Reader(other, inflater=codec.Inflater(context_takeover=takeover))
        reader.read(writer.take(), received)
        assert received == [message for message, _, _ in messages]


def test_frames_made_elsewhere_must_be_bytes_that_nobody_can_change(codec):
    with pytest.raises(TypeError):
        codec.Writer(SERVER).write_raw(bytearray(b"\x81\x00"))


class Shared:
    """A message as `wscore.prepare` makes it: here its frames only say what was asked for."""

    size = 10

    def frame(self, window_bits):
        return f"<{window_bits}>".encode()

    def masked_frame(self, window_bits, key):
        assert len(key) == 4
        return f"<{window_bits} masked>".encode()


def test_a_shared_frame_is_chosen_by_role_threshold_and_window(codec):
    for bits in (9, 12):
        deflater = codec.Deflater(bits)
        writer = codec.Writer(SERVER, deflater=deflater, compression_threshold=11)
        for compress in (None, True, False):
            writer.write_prepared(Shared(), compress)
        assert writer.pending == len(writer.take()) == len(f"<None><{bits}><None>")
    client = codec.Writer(CLIENT, deflater=codec.Deflater(10))
    client.write_prepared(Shared())
    client.write_prepared(Shared(), False)
    assert client.take() == b"<10 masked><None masked>"


def test_a_shared_frame_does_not_cut_into_a_fragmented_message(codec):
    writer = codec.Writer(SERVER)
    writer.write_fragment("a", False)
    with pytest.raises(LocalProtocolError):
        writer.write_prepared(Shared())
    assert writer.take() == b"\x01\x01a"


def test_a_shared_frame_goes_to_all_who_are_between_messages(codec):
    plain, busy, client = codec.Writer(SERVER), codec.Writer(SERVER), codec.Writer(CLIENT)
    small, large = (codec.Writer(SERVER, deflater=codec.Deflater(bits)) for bits in (9, 15))
    busy.write_fragment(b"", False)
    busy.take()
    writers = [plain, small, large, busy, client, small, plain]
    assert codec.write_to_all(iter(writers), Shared()) == 6
    outputs = [writer.take() for writer in (plain, small, large, busy, client)]
    assert outputs == [b"<None><None>", b"<9><9>", b"<15>", b"", b"<None masked>"]
    with pytest.raises((TypeError, AttributeError)):
        codec.write_to_all([object()], Shared())


def test_a_shared_compressed_frame_makes_the_compressor_forget(codec):
    """The peer's window has moved on without it (RFC 7692 section 7.2.3.2)."""
    deflater = codec.Deflater()
    writer = codec.Writer(SERVER, deflater=deflater)
    writer.write(b"abcdefgh" * 20)
    first = writer.take()
    writer.write_prepared(Shared())
    writer.take()
    writer.write(b"abcdefgh" * 20)
    assert writer.take() == first
