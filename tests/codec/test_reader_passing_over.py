"""What a reader passes over when it is told to: Pings that are answered later, Pongs that nobody waits for, and
messages that are for nobody.
"""

import zlib

import pytest

from wscore.codec import Stop, errors, weight

from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from .conftest import in_steps

RSV1 = 4


def test_without_being_told_every_control_frame_is_a_reason_to_stop(wire):
    reader = wire.reader()
    data = wire.frame(PING, b"1") + wire.frame(PONG, b"2") + wire.frame(CLOSE)
    assert wire.read(reader, data) == [(PING, b"1"), (PONG, b"2"), (CLOSE, b"")]
    assert (reader.controls, reader.pings_size, reader.take_pings()) == (2, 0, [])


@pytest.mark.parametrize("step", [1000, 3, 1])
def test_pings_are_kept_and_pongs_passed_over(wire, step: int):
    reader = wire.reader()
    reader.expect_pongs([])
    data = b"".join(
        [
            wire.frame(PING, b"one"),
            wire.frame(TEXT, b"x", fin=False),
            wire.frame(PONG, b"nobody asked for this"),
            wire.frame(PING),
            wire.frame(CONTINUATION, b"y"),
            wire.frame(PONG),
            wire.frame(PING, bytes(125)),
        ]
    )
    assert wire.read(reader, *in_steps(data, step)) == ["xy"]
    assert reader.controls == 5
    assert reader.pings_size == 3 * (2 if wire.masked else 6) + 3 + 125
    assert reader.take_pings() == [b"one", b"", bytes(125)]
    assert (reader.pings_size, reader.take_pings()) == (0, [])


@pytest.mark.parametrize("count", [16, 17, 40])
def test_of_many_pings_the_last_sixteen_are_kept(wire, count: int):
    reader = wire.reader()
    reader.expect_pongs([])
    assert wire.read(reader, b"".join(wire.frame(PING, b"%d" % number) for number in range(count))) == []
    assert reader.take_pings() == [b"%d" % number for number in range(count - 16, count)]
    assert wire.read(reader, wire.frame(PING, b"later")) == []
    assert reader.take_pings() == [b"later"]


@pytest.mark.parametrize("step", [1000, 1])
def test_a_pong_that_is_waited_for_is_a_reason_to_stop_as_long_as_it_is(wire, step: int):
    reader, awaited = wire.reader(), {b"asked": None, b"": None}
    reader.expect_pongs(awaited)
    data = wire.frame(PONG, b"other") + wire.frame(PONG, b"asked") + wire.frame(PING, b"asked") + wire.frame(PONG)
    assert wire.read(reader, *in_steps(data, step)) == [(PONG, b"asked"), (PONG, b"")]
    awaited.clear()
    assert wire.read(reader, *in_steps(data, step)) == []


def test_a_pong_half_of_which_was_waited_for_leaves_nothing_behind(wire):
    reader, awaited = wire.reader(), {b"asked": None}
    reader.expect_pongs(awaited)
    data = wire.frame(PONG, b"asked")
    assert wire.read(reader, data[:-2]) == []
    awaited.clear()
    assert wire.read(reader, data[-2:] + wire.frame(CLOSE, b"\x03\xe8")) == [(CLOSE, b"\x03\xe8")]


def test_close_frames_and_broken_rules_stop_all_the_same(wire):
    for last, end in (
        (wire.frame(CLOSE, b"\x03\xe8"), (CLOSE, b"\x03\xe8")),
        (wire.frame(PONG, length=126), errors.CONTROL_TOO_LONG),
        (wire.frame(PING, fin=False), errors.CONTROL_FRAGMENTED),
        (wire.frame(PONG, masked=not wire.masked), errors.MASK_MISSING if wire.masked else errors.MASK_UNEXPECTED),
        (wire.frame(PONG, rsv=RSV1), errors.RESERVED_BITS),
        (wire.frame(11), errors.UNKNOWN_OPCODE),
    ):
        for awaited in ([], [b"asked"]):
            reader = wire.reader()
            reader.expect_pongs(awaited)
            assert wire.read(reader, wire.frame(PONG) * 3 + last) == [end]


@pytest.mark.parametrize(("opcode", "size"), [(PING, 0), (PING, 1), (PING, 125), (PONG, 0), (PONG, 1), (PONG, 125)])
def test_each_that_is_passed_over_takes_its_part_of_the_budget(wire, opcode: int, size: int):
    reader = wire.reader()
    reader.expect_pongs([])
    frame = wire.frame(opcode, bytes(size))
    cost = size + (8 if size <= 1 else 48)
    assert cost == weight(size)
    for budget, read in ((1, 1), (cost, 1), (cost + 1, 2), (3 * cost, 3), (3 * cost + 1, 4)):
        assert reader.read(frame * 10, [], budget) == read * len(frame)
        assert (reader.stop, reader.spent) == (Stop.BUDGET, read * cost)
    assert reader.read(frame * 10, [], 10 * cost) == 10 * len(frame)
    assert reader.stop is Stop.NEED_DATA


# Messages for nobody


def test_messages_for_nobody_are_not_handed_out_and_control_frames_are(wire):
    reader = wire.reader()
    reader.discard_messages()
    data = wire.frame(TEXT, b"x") + wire.frame(PING, b"1") + wire.frame(BINARY, bytes(300)) + wire.frame(CLOSE)
    assert wire.read(reader, data) == [(PING, b"1"), (CLOSE, b"")]


@pytest.mark.parametrize("step", [1000, 7, 1])
def test_what_has_begun_is_dropped(wire, step: int):
    reader = wire.reader()
    data = wire.frame(BINARY, bytes(200), fin=False) + wire.frame(CONTINUATION, bytes(100)) + wire.frame(CLOSE)
    assert wire.read(reader, data[:150]) == []
    assert reader.kept > 100
    reader.discard_messages()
    assert reader.kept == 0
    assert wire.read(reader, *in_steps(data[150:], step)) == [(CLOSE, b"")]
    assert not reader.in_message


def test_no_limit_and_no_rule_for_payloads_binds_them(wire):
    reader = wire.reader(max_message_size=10, max_fragments=2, compressed=True)
    reader.discard_messages()
    fragments = [wire.frame(CONTINUATION, bytes(100), fin=False)] * 5 + [wire.frame(CONTINUATION)]
    for data in (
        wire.frame(BINARY, bytes(11)),
        wire.frame(TEXT, b"\xff"),
        wire.frame(BINARY, b"no DEFLATE", rsv=RSV1),
        wire.frame(BINARY, fin=False) + b"".join(fragments),
    ):
        assert wire.read(reader, data) == []
        assert not reader.in_message


def test_rules_for_frames_bind_them(wire):
    for data, defect in (
        (wire.frame(CONTINUATION), errors.CONTINUATION_WITHOUT_START),
        (wire.frame(TEXT, fin=False) + wire.frame(TEXT), errors.MESSAGE_INTERRUPTED),
        (wire.frame(TEXT, rsv=2), errors.RESERVED_BITS),
        (wire.frame(TEXT, b"x", field=8), errors.LENGTH_NOT_MINIMAL),
    ):
        reader = wire.reader()
        reader.discard_messages()
        assert wire.read(reader, data) == [defect]


@pytest.mark.parametrize("pieces", [False, True])
def test_what_is_for_nobody_is_not_inflated(wire, pieces: bool, monkeypatch: pytest.MonkeyPatch):
    """A bomb takes as long as its header: the inflater has not even seen the first byte of it."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    inflater = wire.codec.Inflater()
    reader = wire.codec.Reader(wire.role, inflater=inflater, pieces=pieces)
    reader.discard_messages()
    assert wire.read(reader, wire.frame(BINARY, bomb, rsv=RSV1) * 60) == []
    # Had it seen any, this would refer to it.
    assert inflater.inflate(b"\x00", 100) == b""
    assert inflater.finish(100) == b""


def test_frames_for_nobody_take_their_part_of_the_budget(wire):
    reader = wire.reader()
    reader.discard_messages()
    for frame in (wire.frame(BINARY), wire.frame(BINARY, bytes(100))):
        assert reader.read(frame * 10, [], 17) == 3 * len(frame)
        assert (reader.stop, reader.spent) == (Stop.BUDGET, 24)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("compressed", [False, True])
def test_messages_of_one_byte_take_no_memory_of_their_own(wire, opcode: int, compressed: bool):
    """Which is why they cost a budget no more than their place in a list."""
    payload, rsv = (b"b\x04\x00", RSV1) if compressed else (b"\x01", 0)
    reader = wire.reader(compressed=compressed)
    [one, other] = wire.read(reader, wire.frame(opcode, payload, rsv=rsv) * 2)
    assert one is other
    assert reader.spent == 2 * 9
