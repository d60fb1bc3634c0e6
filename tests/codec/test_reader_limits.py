"""What bounds a reader: sizes, counts, budgets and memory (RFC 6455 section 10.4), on both twins and in both roles."""

import random
import sys
import tracemalloc
import zlib

import pytest

from wscore.codec import PIECE_WEIGHT, Piece, Stop, errors, weight
from wscore.codec.pure.deflate import MAX_FINAL_BLOCKS
from wscore.codec.pure.reader import INFLATE_STEP_OUTPUT, PIECE_SIZE, compressed_limit

from ..wire import BINARY, CONTINUATION, PING, TEXT

RSV1 = 0b100
LIMIT = 1000
KIB, MIB = 1 << 10, 1 << 20
NOISE = random.Random(4).randbytes(1 << 17)


def message(wire, opcode, *parts: bytes, rsv: int = 0) -> bytes:
    """One message in as many frames as parts."""
    last = len(parts) - 1
    return b"".join(
        wire.frame(CONTINUATION if i else opcode, part, fin=i == last, rsv=0 if i else rsv)
        for i, part in enumerate(parts)
    )


def compressed(*parts: bytes) -> list[bytes]:
    """The payloads of the frames of one compressed message; each brings all of its part."""
    deflater = zlib.compressobj(wbits=-15)
    payloads = [deflater.compress(part) + deflater.flush(zlib.Z_SYNC_FLUSH) for part in parts]
    return [*payloads[:-1], payloads[-1][:-4] or b"\x00"]


# Size


@pytest.mark.parametrize("cuts", [(1000,), (999, 1), (0, 1000), (1000, 0), (500, 0, 500, 0)])
def test_a_message_of_just_the_limit_passes_and_one_byte_more_does_not(wire, cuts):
    for opcode, expected in ((BINARY, b"x" * LIMIT), (TEXT, "x" * LIMIT)):
        parts = [b"x" * size for size in cuts]
        for rsv, payloads in ((0, parts), (RSV1, compressed(*parts))):
            reader = wire.reader(max_message_size=LIMIT, compressed=True)
            assert wire.read(reader, message(wire, opcode, *payloads, rsv=rsv) * 2) == [expected] * 2
        for i in range(len(parts)):
            larger = [*parts[:i], parts[i] + b"x", *parts[i + 1 :]]
            for rsv, payloads in ((0, larger), (RSV1, compressed(*larger))):
                data = message(wire, opcode, *payloads, rsv=rsv)
                reader = wire.reader(max_message_size=LIMIT, compressed=True)
                assert wire.read(reader, data) == [errors.MESSAGE_TOO_BIG]
                reader = wire.reader(max_message_size=LIMIT, compressed=True)
                assert wire.read_bytewise(reader, data) == [errors.MESSAGE_TOO_BIG]


@pytest.mark.parametrize("cuts", [(1000,), (999, 1), (0, 1000), (1000, 0), (500, 0, 500, 0)])
def test_limits_bind_pieces_that_show_frames_too(wire, cuts):
    for rsv in (0, RSV1):
        parts = [b"x" * size for size in cuts]
        data = message(wire, TEXT, *(compressed(*parts) if rsv else parts), rsv=rsv)
        options = {"max_message_size": LIMIT, "max_fragments": len(cuts), "compressed": True, "frames": True}
        reader = wire.reader(**options)
        for _ in range(2):
            assert "".join(piece.data for piece in wire.read_bytewise(reader, data)) == "x" * LIMIT
        larger = [*parts[:-1], parts[-1] + b"x"]
        data = message(wire, TEXT, *(compressed(*larger) if rsv else larger), rsv=rsv)
        assert wire.read(wire.reader(**options), data)[-1] == errors.MESSAGE_TOO_BIG
        *pieces, end = wire.read_bytewise(wire.reader(**options), data)
        assert sum(len(piece.data) for piece in pieces) <= LIMIT
        assert end == errors.MESSAGE_TOO_BIG
        longer = message(wire, TEXT, *(compressed(*parts, b"") if rsv else [*parts, b""]), rsv=rsv)
        assert wire.read(wire.reader(**options), longer)[-1] == errors.TOO_MANY_FRAGMENTS


def test_text_counts_as_utf8(wire):
    for text, passes in (("é" * 500, True), ("é" * 500 + "x", False), ("𝄞" * 250, True), ("𝄞" * 251, False)):
        reader = wire.reader(max_message_size=LIMIT)
        events = wire.read(reader, wire.frame(TEXT, text.encode()))
        assert events == ([text] if passes else [errors.MESSAGE_TOO_BIG])


def test_a_limit_of_one_byte_is_a_limit_like_any_other(wire):
    for payload, events in ((b"", [b""]), (b"x", [b"x"]), (b"xy", [errors.MESSAGE_TOO_BIG])):
        for rsv, [sent] in ((0, [payload]), (RSV1, compressed(payload))):
            reader = wire.reader(max_message_size=1, compressed=True)
            assert wire.read(reader, wire.frame(BINARY, sent, rsv=rsv)) == events


@pytest.mark.parametrize("limit", [1 << 31, 1 << 32, sys.maxsize - 1, sys.maxsize, 1 << 64, 1 << 70])
@pytest.mark.parametrize("pieces", [False, True])
def test_a_limit_or_budget_may_be_as_large_as_any_number(wire, limit, pieces):
    """Who wants no limit passes one, and nothing overflows."""
    data = message(wire, TEXT, b"a", b"b") + message(wire, TEXT, *compressed(b"a", b"b"), rsv=RSV1)
    options = {"max_message_size": limit, "max_fragments": limit, "pieces": pieces}
    whole = []
    assert wire.reader(compressed=True, **options).read(data, whole, limit) == len(data)
    for messages in (whole, wire.read_bytewise(wire.reader(compressed=True, **options), data)):
        assert "".join(part.data if pieces else part for part in messages) == "abab"


@pytest.mark.parametrize("length", [LIMIT + 1, 65536, 1 << 31, 1 << 32, (1 << 63) - 1])
def test_the_header_alone_gives_a_large_message_away(wire, length):
    reader = wire.reader(max_message_size=LIMIT)
    assert wire.read(reader, wire.frame(BINARY, length=length)) == [errors.MESSAGE_TOO_BIG]
    reader = wire.reader(max_message_size=LIMIT)
    start = wire.frame(BINARY, b"x", fin=False)
    assert wire.read(reader, start + wire.frame(CONTINUATION, length=length - 1)) == [errors.MESSAGE_TOO_BIG]


def test_lengths_that_would_overflow_together_are_too_big_as_well(wire):
    """64-bit lengths, one after the other."""
    reader = wire.reader(max_message_size=(1 << 62) - 1)
    start = wire.frame(BINARY, b"x", fin=False)
    assert wire.read(reader, start + wire.frame(CONTINUATION, length=(1 << 63) - 1)) == [errors.MESSAGE_TOO_BIG]


@pytest.mark.parametrize("length", [compressed_limit(LIMIT) + 1, (1 << 63) - 1])
def test_more_compressed_bytes_than_any_message_within_the_limit_needs_are_too_many(wire, length):
    reader = wire.reader(max_message_size=LIMIT, compressed=True)
    assert wire.read(reader, wire.frame(BINARY, length=length, rsv=RSV1)) == [errors.MESSAGE_TOO_BIG]
    reader = wire.reader(max_message_size=LIMIT, compressed=True)
    just = wire.frame(BINARY, b"\x00\x00\x00\xff\xff", length=compressed_limit(LIMIT), rsv=RSV1)
    assert wire.read(reader, just) == []


@pytest.mark.parametrize("size", [1, 10, 1000, 65536, 1 << 17])
@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("mem_level", [1, 9])
def test_incompressible_messages_of_just_the_limit_pass(wire, size, level, mem_level):
    payload = wire.codec.Deflater(level=level, mem_level=mem_level).deflate(NOISE[:size])
    reader = wire.reader(max_message_size=size, compressed=True)
    assert wire.read(reader, wire.frame(BINARY, payload, rsv=RSV1)) == [NOISE[:size]]


def test_a_message_too_big_is_too_big_before_its_text_is_wrong(wire):
    [payload] = compressed(b"x" * LIMIT + b"\xff")
    reader = wire.reader(max_message_size=LIMIT, compressed=True)
    assert wire.read(reader, wire.frame(TEXT, payload, rsv=RSV1)) == [errors.MESSAGE_TOO_BIG]


# Fragments


@pytest.mark.parametrize("part", [b"", b"x"])
@pytest.mark.parametrize("rsv", [0, RSV1])
def test_so_many_fragments_and_not_one_more(wire, part, rsv):
    """Empty ones count: they cost a header each and never reach the size limit."""
    for count, passes in ((10, True), (11, False)):
        parts = compressed(*[part] * count) if rsv else [part] * count
        reader = wire.reader(max_fragments=10, compressed=True)
        data = message(wire, BINARY, *parts, rsv=rsv)
        assert wire.read(reader, data) == ([part * count] if passes else [errors.TOO_MANY_FRAGMENTS])


def test_fragments_are_counted_anew_in_each_message_and_control_frames_are_none(wire):
    data = wire.frame(BINARY, fin=False) + wire.frame(PING) * 20 + wire.frame(CONTINUATION)
    events = wire.read(wire.reader(max_fragments=2), data * 3)
    assert events == [*[(PING, b"")] * 20, b""] * 3


def test_too_many_fragments_come_before_too_many_bytes(wire):
    reader = wire.reader(max_fragments=1, max_message_size=1)
    data = wire.frame(BINARY, fin=False) + wire.frame(CONTINUATION, b"xx")
    assert wire.read(reader, data) == [errors.TOO_MANY_FRAGMENTS]


def test_the_limits_by_default_are_one_mebibyte_and_4096_fragments(wire):
    assert wire.read(wire.reader(), wire.frame(BINARY, length=MIB)) == []
    assert wire.read(wire.reader(), wire.frame(BINARY, length=MIB + 1)) == [errors.MESSAGE_TOO_BIG]
    assert wire.read(wire.reader(), message(wire, BINARY, *[b""] * 4096)) == [b""]
    assert wire.read(wire.reader(), message(wire, BINARY, *[b""] * 4097)) == [errors.TOO_MANY_FRAGMENTS]


# Inflating


def test_a_fragment_that_fills_the_limit_leaves_room_for_nothing(wire):
    """A remaining budget of 0 must not reach zlib, which takes it for "no limit"."""
    full = b"x" * LIMIT
    bomb = bytes(10 * MIB)
    for rest, event in ((b"", full), (b"y", errors.MESSAGE_TOO_BIG), (bomb, errors.MESSAGE_TOO_BIG)):
        reader = wire.reader(max_message_size=LIMIT, compressed=True)
        assert wire.read(reader, message(wire, BINARY, *compressed(full, b"", rest), rsv=RSV1)) == [event]


@pytest.mark.parametrize("pieces", [False, True])
def test_final_blocks_are_bounded(wire, pieces):
    block = zlib.compress(b"ab", wbits=-15)
    most = block * MAX_FINAL_BLOCKS + b"\x00"
    frame = wire.frame(BINARY, most, rsv=RSV1)
    expected = b"ab" * MAX_FINAL_BLOCKS
    reader = wire.reader(compressed=True, pieces=pieces)
    assert wire.read(reader, frame * 2) == [Piece(expected, True, True) if pieces else expected] * 2
    for rest in (block, zlib.compress(b"", wbits=-15)):
        reader = wire.reader(compressed=True, pieces=pieces)
        frame = wire.frame(BINARY, rest + most, rsv=RSV1)
        assert wire.read(reader, frame)[-1] == errors.TOO_MANY_FINAL_BLOCKS


@pytest.mark.parametrize("limit", [KIB, MIB])
def test_a_bomb_costs_no_more_than_the_limit(wire, limit):
    [bomb] = compressed(bytes(64 * MIB))
    assert len(bomb) < 70_000
    reader = wire.reader(max_message_size=limit, compressed=True)
    frame = wire.frame(BINARY, bomb[: compressed_limit(limit)], rsv=RSV1)
    with Memory() as memory:
        assert wire.read(reader, frame) == [errors.MESSAGE_TOO_BIG]
    assert memory.peak < 4 * limit + 256 * KIB


# Budget


def test_reading_stops_after_the_message_that_uses_up_the_budget(wire):
    frames = [wire.frame(BINARY, bytes(10)), wire.frame(TEXT, "é".encode() * 10), wire.frame(BINARY)]
    data = b"".join(frames)
    costs = [10 + 48, 20 + 48, 8]
    for budget in range(1, sum(costs) + 5):
        read = 1 if budget <= costs[0] else 2 if budget <= costs[0] + costs[1] else 3
        reader = wire.reader()
        messages = []
        assert reader.read(data, messages, budget) == len(b"".join(frames[:read]))
        assert reader.stop is (Stop.BUDGET if read < 3 else Stop.NEED_DATA)
        assert reader.spent == sum(costs[:read])
        assert messages == [bytes(10), "é" * 10, b""][:read]


def test_reading_goes_on_where_a_budget_stopped_it(wire):
    data = b"".join(wire.frame(TEXT, b"%d" % i) for i in range(50))
    reader = wire.reader()
    messages, offset, calls = [], 0, 0
    while offset < len(data):
        offset = reader.read(data, messages, 1, offset)
        calls += 1
    assert messages == [str(i) for i in range(50)]
    assert calls == 50


@pytest.mark.parametrize("budget", [0, -1, -1000])
def test_without_any_budget_nothing_is_read(wire, budget):
    frame = wire.frame(TEXT, b"x")
    reader = wire.reader()
    messages = []
    assert reader.read(frame, messages, budget) == 0
    assert reader.stop is Stop.BUDGET
    assert reader.read(b"", messages, budget) == 0
    assert reader.stop is Stop.NEED_DATA
    assert messages == []
    assert wire.read(reader, frame) == ["x"]


def test_one_message_always_fits_and_incomplete_ones_cost_nothing_yet(wire):
    frame = wire.frame(BINARY, bytes(LIMIT))
    reader = wire.reader()
    messages = []
    assert reader.read(frame[:-1], messages, 1) == len(frame) - 1
    assert (reader.stop, reader.spent) == (Stop.NEED_DATA, 0)
    assert reader.read(frame[-1:] + frame, messages, 1) == 1
    assert (reader.stop, reader.spent) == (Stop.BUDGET, LIMIT + 48)


def test_control_frames_cost_as_much_as_messages_and_tell_what_was_spent(wire):
    reader = wire.reader()
    messages = []
    data = wire.frame(TEXT, b"x") + wire.frame(PING) + wire.frame(TEXT, b"y")
    offset = reader.read(data, messages, 1000)
    assert (reader.stop, reader.spent) == (Stop.CONTROL, 9 + 8)
    assert reader.read(data, messages, 1000, offset) == len(data)
    assert (reader.stop, reader.spent) == (Stop.NEED_DATA, 9)
    # A control frame behind the message that used up the budget waits.
    assert reader.read(data, messages, 1) == len(wire.frame(TEXT, b"x"))
    assert reader.stop is Stop.BUDGET


def test_a_budget_counts_what_inflating_makes_of_a_message(wire):
    [payload] = compressed(b"x" * LIMIT)
    reader = wire.reader(compressed=True)
    frame = wire.frame(BINARY, payload, rsv=RSV1)
    assert reader.read(frame * 2, [], LIMIT + 48) == len(frame)
    assert (reader.stop, reader.spent) == (Stop.BUDGET, LIMIT + 48)


# Pieces


def test_no_limit_binds_pieces(wire):
    reader = wire.reader(pieces=True, max_message_size=10, max_fragments=3)
    pieces = wire.read(reader, message(wire, BINARY, *[bytes(100)] * 10))
    assert pieces == [Piece(bytes(100), i == 0, i == 9) for i in range(10)]
    reader = wire.reader(pieces=True, max_message_size=10, compressed=True)
    assert wire.read(reader, wire.frame(BINARY, *compressed(bytes(100)), rsv=RSV1)) == [Piece(bytes(100), True, True)]
    assert wire.read(reader, wire.frame(BINARY, b"x", length=(1 << 63) - 1)) == [Piece(b"x", True, False)]


def test_a_budget_stops_between_pieces_of_one_message(wire):
    reader = wire.reader(pieces=True)
    frames = [wire.frame(TEXT, "é".encode(), fin=False), wire.frame(CONTINUATION, b"x")]
    pieces = []
    assert reader.read(b"".join(frames), pieces, 1) == len(frames[0])
    assert (reader.stop, reader.spent) == (Stop.BUDGET, weight(2) + PIECE_WEIGHT)
    assert pieces == [Piece("é", True, False)]
    assert reader.read(frames[1], pieces, 1) == len(frames[1])
    assert (reader.stop, reader.spent) == (Stop.NEED_DATA, weight(1) + PIECE_WEIGHT)


@pytest.mark.parametrize("step", [1 << 20, 1000, 100])
def test_a_bomb_in_pieces_comes_little_by_little(wire, step):
    """Within one frame too: the budget holds what a receiver has to keep."""
    size = 16 * MIB
    [bomb] = compressed(bytes(size))
    data = wire.frame(BINARY, bomb, rsv=RSV1)
    reader = wire.reader(pieces=True, compressed=True)
    total = 0
    with Memory() as memory:
        for start in range(0, len(data), step):
            chunk = data[start : start + step]
            offset = 0
            while offset < len(chunk):
                pieces = []
                offset = reader.read(chunk, pieces, 1, offset)
                assert sum(len(piece.data) for piece in pieces) < PIECE_SIZE + INFLATE_STEP_OUTPUT
                total += sum(len(piece.data) for piece in pieces)
                assert not pieces or pieces[-1].last is (total == size)
    assert total == size
    assert memory.peak < 2 * MIB


# Memory


class Memory:
    """How much more Python's allocators hold than at the start: `growth` at the end, `peak` at worst; in bytes."""

    def __enter__(self) -> "Memory":
        tracemalloc.start()
        self.start = tracemalloc.get_traced_memory()[0]
        return self

    def __exit__(self, *exc: object) -> None:
        now, peak = tracemalloc.get_traced_memory()
        self.growth, self.peak = now - self.start, peak - self.start
        tracemalloc.stop()


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("rsv", [0, RSV1])
def test_memory_does_not_grow_from_a_declared_length(wire, opcode, pieces, rsv):
    limit = 1 << 40
    data = wire.frame(opcode, b"\x00\x00", length=limit, rsv=rsv)
    with Memory() as memory:
        reader = wire.reader(max_message_size=limit, pieces=pieces, compressed=bool(rsv))
        wire.read(reader, data)
    assert reader.stop is Stop.NEED_DATA
    assert memory.peak < 128 * KIB


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("octet", [b"a", b"\xc3\xa9"])
def test_bytes_that_dribble_in_do_not_pin_more_than_they_are(wire, opcode, octet):
    size = 12 * KIB
    data = wire.frame(opcode, octet * (size // len(octet)))
    chunks = [data[i : i + 1] for i in range(len(data) - 1)]
    reader = wire.reader()
    with Memory() as memory:
        assert wire.read(reader, *chunks) == []
    assert memory.growth < 2 * size + 20 * KIB
    assert len(wire.read(reader, data[-1:])) == 1


def test_tiny_fragments_do_not_pin_more_than_they_are(wire):
    start = wire.frame(BINARY, b"x", fin=False)
    parts = [wire.frame(CONTINUATION, b"x", fin=False)] * 4000
    reader = wire.reader()
    with Memory() as memory:
        assert wire.read(reader, start, *parts) == []
    assert memory.growth < 40 * KIB


@pytest.mark.parametrize("rsv", [0, RSV1])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_nothing_is_left_of_a_message_once_it_is_delivered_or_failed(wire, opcode, rsv):
    payload = b"a" * MIB
    [sent] = compressed(payload) if rsv else [payload]
    frames = message(wire, opcode, sent[: len(sent) // 2], sent[len(sent) // 2 :], rsv=rsv)
    reader = wire.reader(compressed=bool(rsv), context_takeover=False)
    with Memory() as memory:
        wire.read(reader, frames)
        wire.read(reader, frames[:-1])
        wire.read(reader, frames[-1:])
    assert memory.growth < 64 * KIB
    with Memory() as memory:
        wire.read(reader, frames[:-1])
        wire.read(reader, frames[-1:] + wire.frame(7))
    assert reader.stop is Stop.DEFECT
    assert memory.growth < 64 * KIB
