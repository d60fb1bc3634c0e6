"""From bytes to messages (RFC 6455 sections 5 and 8.1, RFC 7692 section 7.2.2), on both twins and in both roles.

What bounds a reader's memory and its time stands in test_reader_limits.py.
"""

import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.codec import CLIENT, SERVER, Piece, Stop, errors

from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

DATA_OPCODES = (CONTINUATION, TEXT, BINARY)
CONTROL_OPCODES = (CLOSE, PING, PONG)
RSV1 = 0b100
HELLO = bytes.fromhex("f248cdc9c90700")  # "Hello", compressed (RFC 7692 section 7.2.3.1)

TEXTS = ["", "a", "Hello", "\x00", "\x7f", "\x80é", "ÿ", "Ā߿", "ࠀ€\ufffd", "\ud7ff\ue000", "𝄞\U0010ffff", "aé€𝄞z"]


def test_a_new_reader_waits_for_data(wire):
    reader = wire.reader()
    assert reader.stop is Stop.NEED_DATA
    assert (reader.control, reader.defect, reader.spent, reader.in_message) == (None, None, 0, False)


# Frames (section 5.2)


@pytest.mark.parametrize(
    ("role", "data", "event"),
    [
        (CLIENT, "810548656c6c6f", "Hello"),
        (SERVER, "818537fa213d7f9f4d5158", "Hello"),
        (CLIENT, "010348656c80026c6f", "Hello"),
        (CLIENT, "890548656c6c6f", (PING, b"Hello")),
        (SERVER, "8a8537fa213d7f9f4d5158", (PONG, b"Hello")),
        (CLIENT, "827e0100" + "05" * 256, b"\x05" * 256),
        (CLIENT, "827f0000000000010000" + "06" * 65536, b"\x06" * 65536),
    ],
)
def test_the_frames_of_the_rfc_are_read(codec, role, data, event):
    """RFC 6455 section 5.7."""
    data = bytes.fromhex(data)
    messages = []
    reader = codec.Reader(role)
    assert reader.read(data, messages) == len(data)
    assert [reader.control] == [event] if isinstance(event, tuple) else messages == [event]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537])
def test_every_form_of_length_is_read(wire, size):
    payload = bytes(i * 7 & 0xFF for i in range(size))
    assert wire.read(wire.reader(), wire.frame(BINARY, payload) * 2) == [payload] * 2
    text = "t" * size
    assert wire.read(wire.reader(), wire.frame(TEXT, text.encode())) == [text]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 13])
@pytest.mark.parametrize("size", [0, 1, 5, 125, 126, 1000])
def test_frames_may_come_in_parts_of_any_size(wire, size, step):
    payload = bytes(i & 0x7F for i in range(size))
    data = wire.frame(BINARY, payload) + wire.frame(PING, payload[:9]) + wire.frame(TEXT, payload)
    chunks = [data[i : i + step] for i in range(0, len(data), step)]
    assert wire.read(wire.reader(), *chunks) == [payload, (PING, payload[:9]), payload.decode()]


@pytest.mark.parametrize(("length", "field"), [(0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)])
def test_a_length_in_more_bytes_than_it_needs_is_a_defect(wire, length, field):
    frame = wire.frame(BINARY, bytes(length), field=field)
    assert wire.read(wire.reader(), frame) == [errors.LENGTH_NOT_MINIMAL]
    assert wire.read_bytewise(wire.reader(), frame) == [errors.LENGTH_NOT_MINIMAL]


@pytest.mark.parametrize("length", [1 << 63, (1 << 63) + 5, (1 << 64) - 1])
@pytest.mark.parametrize("pieces", [False, True])
def test_a_64_bit_length_with_its_top_bit_set_is_a_defect(wire, length, pieces):
    reader = wire.reader(pieces=pieces, max_message_size=1 << 62)
    assert wire.read(reader, wire.frame(BINARY, length=length)) == [errors.LENGTH_TOP_BIT]


@pytest.mark.parametrize("opcode", [*DATA_OPCODES, *CONTROL_OPCODES])
@pytest.mark.parametrize("rsv", range(1, 8))
def test_reserved_bits_are_a_defect_without_an_extension(wire, opcode, rsv):
    assert wire.read(wire.reader(), wire.frame(opcode, rsv=rsv)) == [errors.RESERVED_BITS]


@pytest.mark.parametrize("opcode", [*DATA_OPCODES, *CONTROL_OPCODES])
@pytest.mark.parametrize("rsv", [0b001, 0b010, 0b011, 0b101, 0b110, 0b111])
def test_compression_defines_rsv1_alone_and_for_messages_only(wire, opcode, rsv):
    """RFC 7692 sections 6 and 6.1: control frames are never compressed."""
    assert wire.read(wire.reader(compressed=True), wire.frame(opcode, rsv=rsv)) == [errors.RESERVED_BITS]
    if opcode in CONTROL_OPCODES:
        assert wire.read(wire.reader(compressed=True), wire.frame(opcode, rsv=RSV1)) == [errors.RESERVED_BITS]


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("fin", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_unknown_opcodes_are_a_defect(wire, opcode, fin, compressed):
    reader = wire.reader(compressed=compressed)
    assert wire.read(reader, wire.frame(opcode, fin=fin)) == [errors.UNKNOWN_OPCODE]


@pytest.mark.parametrize("opcode", [TEXT, BINARY, *CONTROL_OPCODES])
def test_frames_must_be_masked_by_clients_and_by_them_alone(wire, opcode):
    """RFC 6455 section 5.1."""
    wrong = wire.frame(opcode, b"", masked=not wire.masked)
    assert wire.read(wire.reader(), wrong) == [errors.MASK_MISSING if wire.masked else errors.MASK_UNEXPECTED]


# Control frames (section 5.5)


@pytest.mark.parametrize("opcode", CONTROL_OPCODES)
@pytest.mark.parametrize("size", [0, 1, 124, 125])
def test_a_control_frame_stops_the_reader(wire, opcode, size):
    frame = wire.frame(opcode, b"c" * size)
    reader = wire.reader()
    messages = []
    assert reader.read(frame + wire.frame(TEXT, b"next"), messages) == len(frame)
    assert reader.stop is Stop.CONTROL
    assert reader.control == (opcode, b"c" * size)
    assert type(reader.control[1]) is bytes
    assert messages == []
    assert wire.read_bytewise(wire.reader(), frame) == [(opcode, b"c" * size)]


@pytest.mark.parametrize("opcode", CONTROL_OPCODES)
def test_a_control_frame_is_one_frame_of_at_most_125_bytes(wire, opcode):
    assert wire.read(wire.reader(), wire.frame(opcode, fin=False)) == [errors.CONTROL_FRAGMENTED]
    for size in (126, 127, 65536):
        assert wire.read(wire.reader(), wire.frame(opcode, bytes(size))) == [errors.CONTROL_TOO_LONG]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("bytewise", [False, True])
def test_control_frames_may_stand_between_fragments(wire, compressed, bytewise):
    """RFC 6455 section 5.4, in the middle of a code point here; they are never inflated."""
    payload = wire.codec.Deflater().deflate("é€".encode()) if compressed else "é€".encode()
    rsv = RSV1 if compressed else 0
    data = wire.frame(PING, b"1")
    data += wire.frame(TEXT, payload[:1], fin=False, rsv=rsv) + wire.frame(PING, b"2") + wire.frame(PONG)
    data += wire.frame(CONTINUATION, payload[1:3], fin=False) + wire.frame(PING, b"3")
    data += wire.frame(CONTINUATION, payload[3:]) + wire.frame(CLOSE, b"\x03\xe8")
    read = wire.read_bytewise if bytewise else wire.read
    controls = [(PING, b"1"), (PING, b"2"), (PONG, b""), (PING, b"3")]
    assert read(wire.reader(compressed=compressed), data) == [*controls, "é€", (CLOSE, b"\x03\xe8")]


# Fragments (section 5.4)


@pytest.mark.parametrize("sizes", [(0, 0), (0, 5), (5, 0), (3, 2), (0, 0, 5, 0), (1, 1, 1, 1, 1), (70_000, 1, 70_000)])
def test_fragments_make_one_message(wire, sizes):
    payload = bytes(i & 0x7F for i in range(sum(sizes)))
    for opcode, message in ((BINARY, payload), (TEXT, payload.decode())):
        data, at = b"", 0
        for i, size in enumerate(sizes):
            fin = i == len(sizes) - 1
            data += wire.frame(CONTINUATION if i else opcode, payload[at : at + size], fin=fin)
            at += size
        assert wire.read(wire.reader(), data * 2) == [message] * 2


def test_a_reader_tells_how_much_it_keeps_of_a_message_until_it_is_complete(wire):
    reader = wire.reader()
    kept = []
    for part in (wire.frame(BINARY, bytes(1000), fin=False), wire.frame(PING), wire.frame(CONTINUATION, bytes(500))):
        reader.read(part[:-100], [])
        kept.append(reader.kept)
        wire.read(reader, part[-100:])
        kept.append(reader.kept)
    assert kept == [900, 1000, 1000, 1000, 1400, 0]


def test_a_reader_knows_whether_a_message_has_begun(wire):
    reader = wire.reader()
    states = []
    for frame in (wire.frame(TEXT, fin=False), wire.frame(PING), wire.frame(CONTINUATION), wire.frame(TEXT, b"x")):
        wire.read(reader, frame)
        states.append(reader.in_message)
    assert states == [True, True, False, False]
    reader.read(wire.frame(TEXT, b"x")[:-1], [])
    assert reader.in_message


@pytest.mark.parametrize("fin", [False, True])
def test_a_continuation_needs_a_message_to_continue(wire, fin):
    orphan = wire.frame(CONTINUATION, b"x", fin=fin)
    assert wire.read(wire.reader(), orphan) == [errors.CONTINUATION_WITHOUT_START]
    assert wire.read(wire.reader(), wire.frame(TEXT, b"x") + orphan) == ["x", errors.CONTINUATION_WITHOUT_START]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [False, True])
def test_a_message_must_end_before_the_next_begins(wire, opcode, fin):
    data = wire.frame(opcode, b"x", fin=False) + wire.frame(opcode, b"y", fin=fin)
    assert wire.read(wire.reader(), data) == [errors.MESSAGE_INTERRUPTED]


# Which check comes first, and what happens after it


@pytest.mark.parametrize(
    ("defect", "frame"),
    [
        (errors.RESERVED_BITS, {"opcode": 3, "rsv": 1}),
        (errors.COMPRESSED_CONTINUATION, {"opcode": CONTINUATION, "rsv": RSV1}),
        (errors.UNKNOWN_OPCODE, {"opcode": 3, "rsv": RSV1, "wrong_mask": True}),
        (errors.UNKNOWN_OPCODE, {"opcode": 11, "fin": False, "wrong_mask": True}),
        (None, {"opcode": PING, "fin": False, "wrong_mask": True}),
        (None, {"opcode": CONTINUATION, "wrong_mask": True}),
        (errors.CONTROL_FRAGMENTED, {"opcode": PING, "fin": False, "length": 200}),
        (errors.CONTROL_TOO_LONG, {"opcode": PING, "length": 5, "field": 2}),
        (errors.CONTINUATION_WITHOUT_START, {"opcode": CONTINUATION, "length": 5, "field": 8}),
        (errors.LENGTH_NOT_MINIMAL, {"opcode": BINARY, "length": 5, "field": 8}),
        (errors.LENGTH_TOP_BIT, {"opcode": BINARY, "length": 1 << 63}),
    ],
)
def test_the_first_broken_rule_is_the_one_that_counts(wire, defect, frame):
    wrong_mask = frame.get("wrong_mask", False)
    defect = defect or (errors.MASK_MISSING if wire.masked else errors.MASK_UNEXPECTED)
    options = {key: value for key, value in frame.items() if key != "wrong_mask"}
    data = wire.frame(**options, masked=wire.masked is not wrong_mask)
    assert wire.read(wire.reader(compressed=True, max_message_size=100), data) == [defect]


@pytest.mark.parametrize(
    "frame",
    [
        {"opcode": TEXT, "rsv": 1},
        {"opcode": 7},
        {"opcode": PING, "fin": False},
        {"opcode": PING, "length": 126},
        {"opcode": CONTINUATION},
    ],
)
def test_two_bytes_are_enough_to_see_it(wire, frame):
    reader = wire.reader()
    assert reader.read(wire.frame(**frame)[:2], []) == 2
    assert reader.stop is Stop.DEFECT
    reader = wire.reader()
    reader.read(wire.frame(**frame)[:1], [])
    assert reader.stop is Stop.NEED_DATA


def test_after_a_defect_nothing_is_read_any_more(wire):
    reader = wire.reader()
    messages = []
    data = wire.frame(TEXT, b"before") + wire.frame(7) + wire.frame(TEXT, b"after")
    assert reader.read(data, messages) == len(data)
    assert messages == ["before"]
    assert (reader.stop, reader.defect, reader.in_message) == (Stop.DEFECT, errors.UNKNOWN_OPCODE, False)
    assert reader.read(data, messages) == len(data)
    assert reader.read(b"", messages, 0) == 0
    assert messages == ["before"]
    assert (reader.stop, reader.defect, reader.spent) == (Stop.DEFECT, errors.UNKNOWN_OPCODE, 0)


# Text (sections 5.6 and 8.1)


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
@pytest.mark.parametrize("padding", [0, 3, 15, 16, 40])
def test_text_of_every_width_is_a_true_str_wherever_it_is_split(wire, text, padding):
    text = "p" * padding + text
    payload = text.encode()
    for split in range(len(payload) + 1):
        whole = wire.frame(TEXT, payload)
        cut = len(whole) - len(payload) + split
        parts = wire.frame(TEXT, payload[:split], fin=False), wire.frame(CONTINUATION, payload[split:])
        for chunks in ((whole[:cut], whole[cut:]), parts):
            [message] = wire.read(wire.reader(), *chunks)
            assert type(message) is str
            assert message == text
            assert hash(message) == hash(text)
            assert (message.isascii(), len(message)) == (text.isascii(), len(text))


INVALID = [
    (b"\x80", 0),
    (b"\xc0\x80", 0),
    (b"\xe0\x80\x80", 1),
    (b"\xed\xa0\x80", 1),
    (b"\xe1\x80A", 2),
    (b"\xf0\x80\x80\x80", 1),
    (b"\xf4\x90\x80\x80", 1),
    (b"\xf1\x80\x80A", 3),
    (b"\xf5\x80\x80\x80", 0),
    (b"\xff", 0),
]


@pytest.mark.parametrize(("wrong", "good"), INVALID)
@pytest.mark.parametrize("before", ["", "a", "a" * 31, "é€𝄞", "é" * 40])
@pytest.mark.parametrize("pieces", [False, True])
def test_invalid_text_fails_at_its_first_wrong_byte(wire, wrong, good, before, pieces):
    """RFC 6455 section 8.1: within a frame, within a message, and before either has ended."""
    good += len(before.encode())
    payload = before.encode() + wrong + b"end"
    one = wire.frame(TEXT, payload)
    two = wire.frame(TEXT, payload[: good + 1], fin=False)
    header = len(one) - len(payload)
    for data, first_wrong in ((one, header + good), (two, len(two) - 1)):
        reader = wire.reader(pieces=pieces)
        for i in range(first_wrong):
            reader.read(data[i : i + 1], [])
            assert reader.stop is Stop.NEED_DATA
        reader.read(data[first_wrong : first_wrong + 1], [])
        assert reader.defect == errors.TEXT_NOT_UTF8
    assert wire.read(wire.reader(), one) == [errors.TEXT_NOT_UTF8]
    assert wire.read(wire.reader(), two) == [errors.TEXT_NOT_UTF8]
    assert wire.read(wire.reader(), wire.frame(BINARY, payload)) == [payload]


@pytest.mark.parametrize("cut", ["é".encode()[:1], "€".encode()[:2], "𝄞".encode()[:1], "𝄞".encode()[:3]])
@pytest.mark.parametrize("pieces", [False, True])
def test_text_must_not_end_inside_a_code_point(wire, cut, pieces):
    for payload in (cut, b"before" + cut):
        for data in (wire.frame(TEXT, payload), wire.frame(TEXT, payload, fin=False) + wire.frame(CONTINUATION)):
            events = wire.read(wire.reader(pieces=pieces), data)
            assert events[-1] == errors.TEXT_NOT_UTF8
            assert not any(isinstance(event, str) or getattr(event, "last", False) for event in events)


# Compressed messages (RFC 7692 section 7.2.2)


@pytest.mark.parametrize(
    ("frames", "messages"),
    [
        ([(TEXT, HELLO, True, RSV1)], ["Hello"]),  # 7.2.3.1
        ([(TEXT, HELLO[:3], False, RSV1), (CONTINUATION, HELLO[3:], True, 0)], ["Hello"]),
        ([(TEXT, HELLO, True, RSV1), (TEXT, bytes.fromhex("f200110000"), True, RSV1)], ["Hello"] * 2),  # 7.2.3.2
        ([(TEXT, bytes.fromhex("000500faff48656c6c6f00"), True, RSV1)], ["Hello"]),  # 7.2.3.3
        ([(TEXT, bytes.fromhex("f348cdc9c9070000"), True, RSV1)], ["Hello"]),  # 7.2.3.4
        ([(TEXT, bytes.fromhex("f24805000000ffffcac9c90700"), True, RSV1)], ["Hello"]),  # 7.2.3.5
        ([(TEXT, b"\x00", True, RSV1)], [""]),  # 7.2.3.6
        ([(TEXT, b"", False, RSV1), (CONTINUATION, b"", False, 0), (CONTINUATION, HELLO, True, 0)], ["Hello"]),
    ],
)
def test_the_compressed_messages_of_the_rfc_are_read(wire, frames, messages):
    """RFC 7692 section 7.2.3."""
    data = b"".join(wire.frame(opcode, payload, fin=fin, rsv=rsv) for opcode, payload, fin, rsv in frames)
    assert wire.read(wire.reader(compressed=True), data) == messages
    assert wire.read_bytewise(wire.reader(compressed=True), data) == messages
    pieces = wire.read(wire.reader(compressed=True, pieces=True), data)
    assert "".join(piece.data for piece in pieces) == "".join(messages)


def test_uncompressed_messages_pass_by_the_inflater(wire):
    """RFC 7692 section 6.2: the window is that of the compressed ones."""
    data = wire.frame(TEXT, HELLO, rsv=RSV1) + wire.frame(BINARY, b"\xff" * 9)
    data += wire.frame(TEXT, bytes.fromhex("f200110000"), rsv=RSV1)
    assert wire.read(wire.reader(compressed=True), data) == ["Hello", b"\xff" * 9, "Hello"]


def test_without_takeover_a_message_cannot_refer_to_the_last(wire):
    data = wire.frame(TEXT, HELLO, rsv=RSV1) + wire.frame(TEXT, bytes.fromhex("f200110000"), rsv=RSV1)
    reader = wire.reader(compressed=True, context_takeover=False)
    assert wire.read(reader, data) == ["Hello", errors.DEFLATE_INVALID]


@pytest.mark.parametrize("pieces", [False, True])
def test_only_the_first_frame_of_a_message_has_rsv1(wire, pieces):
    """RFC 7692 section 6.1."""
    data = wire.frame(TEXT, HELLO[:3], fin=False, rsv=RSV1) + wire.frame(CONTINUATION, HELLO[3:], rsv=RSV1)
    assert wire.read(wire.reader(compressed=True, pieces=pieces), data)[-1] == errors.COMPRESSED_CONTINUATION


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("fin", [False, True])
def test_what_does_not_inflate_is_a_defect(wire, pieces, fin):
    reader = wire.reader(compressed=True, pieces=pieces)
    assert wire.read(reader, wire.frame(BINARY, b"\xff" * 9, rsv=RSV1, fin=fin)) == [errors.DEFLATE_INVALID]


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("cut", [1, 3, 6])
def test_a_compressed_message_that_was_cut_off_is_not_delivered_as_a_whole(wire, pieces, cut):
    data = wire.frame(TEXT, HELLO[:-cut], rsv=RSV1)
    for events in (
        wire.read(wire.reader(compressed=True, pieces=pieces), data),
        wire.read_bytewise(wire.reader(compressed=True, pieces=pieces), data),
    ):
        assert events[-1] == errors.DEFLATE_INVALID
        assert not any(event.last for event in events[:-1])


@pytest.mark.parametrize("pieces", [False, True])
def test_invalid_text_fails_fast_after_inflating_too(wire, pieces):
    deflater = wire.codec.Deflater()
    reader = wire.reader(compressed=True, pieces=pieces)
    assert wire.read(reader, wire.frame(TEXT, deflater.deflate("é".encode()[:1], False), fin=False, rsv=RSV1)) == []
    rest = wire.frame(CONTINUATION, deflater.deflate(b"A", False), fin=False)
    assert wire.read(reader, rest) == [errors.TEXT_NOT_UTF8]


# Pieces


@pytest.mark.parametrize("compressed", [False, True])
def test_pieces_come_with_the_bytes(wire, compressed):
    parts = [b"abc", b"def", b"ghi"]
    deflater = wire.codec.Deflater()
    payloads = [deflater.deflate(part, part is parts[-1]) for part in parts] if compressed else parts
    frame = wire.frame(BINARY, b"".join(payloads), rsv=RSV1 if compressed else 0)
    cuts = [len(frame) - len(b"".join(payloads[i:])) for i in (1, 2)]
    reader = wire.reader(pieces=True, compressed=compressed)
    chunks = [frame[: cuts[0]], frame[cuts[0] : cuts[1]], frame[cuts[1] :]]
    assert [wire.read(reader, chunk) for chunk in chunks] == [
        [Piece(b"abc", True, False)],
        [Piece(b"def", False, False)],
        [Piece(b"ghi", False, True)],
    ]
    assert wire.read(reader, wire.frame(TEXT, b"next")) == [Piece("next", True, True)]


def test_pieces_mark_the_ends_of_the_message_and_not_of_the_frames(wire):
    data = wire.frame(TEXT, b"a", fin=False) + wire.frame(CONTINUATION, b"b", fin=False) + wire.frame(PING)
    data += wire.frame(CONTINUATION, b"c") + wire.frame(BINARY, b"d")
    assert wire.read(wire.reader(pieces=True), data) == [
        Piece("a", True, False),
        Piece("b", False, False),
        (PING, b""),
        Piece("c", False, True),
        Piece(b"d", True, True),
    ]


@pytest.mark.parametrize(("opcode", "empty"), [(TEXT, ""), (BINARY, b"")])
def test_an_empty_piece_comes_only_to_end_a_message(wire, opcode, empty):
    empties = wire.frame(opcode, fin=False) + wire.frame(CONTINUATION, fin=False) + wire.frame(CONTINUATION)
    assert wire.read(wire.reader(pieces=True), wire.frame(opcode) + empties) == [Piece(empty, True, True)] * 2
    assert wire.read(wire.reader(pieces=True), wire.frame(opcode, b"x")[:-1]) == []


def test_pieces_of_text_are_cut_between_code_points(wire):
    text = "aé€𝄞z"
    pieces = wire.read_bytewise(wire.reader(pieces=True), wire.frame(TEXT, text.encode()))
    assert [piece.data for piece in pieces] == list(text)
    assert [(piece.first, piece.last) for piece in pieces] == [(True, False), *[(False, False)] * 3, (False, True)]


# Frames, for those who show them


def borders(events: list) -> list:
    """What came, with the ends of frames, which pieces are not compared by."""
    return [(each.data, each.ends_frame, each.last) if isinstance(each, Piece) else each for each in events]


def test_pieces_can_tell_where_frames_end(wire):
    reader = wire.reader(frames=True)
    first = wire.frame(TEXT, b"abc", fin=False)
    assert borders(wire.read(reader, first[:-1], first[-1:])) == [("ab", False, False), ("c", True, False)]
    assert borders(wire.read(reader, wire.frame(CONTINUATION, fin=False))) == [("", True, False)]
    assert borders(wire.read(reader, wire.frame(PING) + wire.frame(CONTINUATION))) == [(PING, b""), ("", True, True)]
    assert borders(wire.read(reader, wire.frame(BINARY, b"next"))) == [b"next"]


@pytest.mark.parametrize("compressed", [False, True])
def test_with_frames_a_message_that_comes_late_comes_in_pieces(wire, compressed):
    deflater = wire.codec.Deflater()
    payload = deflater.deflate(b"late") if compressed else b"late"
    frame = wire.frame(BINARY, payload, rsv=RSV1 if compressed else 0)
    *parts, last = wire.read_bytewise(wire.reader(frames=True, compressed=compressed), frame)
    assert b"".join(part.data for part in [*parts, last]) == b"late"
    assert not any(part.ends_frame or part.last for part in parts)
    assert last.ends_frame
    assert last.last


# Limits and budget: that they are there (how they bind stands in test_reader_limits.py)


@pytest.mark.parametrize("rsv", [0, RSV1])
def test_messages_have_limits(wire, rsv):
    reader = wire.reader(max_message_size=4, compressed=True)
    assert wire.read(reader, wire.frame(TEXT, HELLO if rsv else b"Hello", rsv=rsv)) == [errors.MESSAGE_TOO_BIG]
    reader = wire.reader(max_fragments=1, compressed=True)
    data = wire.frame(TEXT, fin=False, rsv=rsv) + wire.frame(CONTINUATION)
    assert wire.read(reader, data) == [errors.TOO_MANY_FRAGMENTS]


def test_a_budget_ends_reading_behind_a_message(wire):
    reader, frame = wire.reader(), wire.frame(TEXT, b"x")
    assert reader.read(frame * 2, [], 1) == len(frame)
    assert (reader.stop, reader.spent) == (Stop.BUDGET, 9)


# Arguments


def test_messages_are_appended_and_reading_starts_at_the_offset(wire):
    first, second = wire.frame(TEXT, b"first"), wire.frame(TEXT, b"second")
    messages = ["zeroth"]
    assert wire.reader().read(first + second, messages, None, len(first)) == len(first + second)
    assert messages == ["zeroth", "second"]
    assert wire.reader().read(first, messages, None, len(first)) == len(first)
    assert messages == ["zeroth", "second"]
    with pytest.raises(ValueError, match="negative"):
        wire.reader().read(first, messages, None, -1)


@pytest.mark.parametrize("convert", [bytearray, lambda data: memoryview(b"x" + data)[1:], array.array])
def test_any_buffer_is_read_left_as_it_was_and_let_go(wire, convert):
    data = wire.frame(TEXT, "é".encode()) + wire.frame(BINARY, b"data") + wire.frame(BINARY, b"half")[:-2]
    buffer = array.array("B", data) if convert is array.array else convert(data)
    reader = wire.reader()
    messages = wire.read(reader, buffer)
    assert bytes(buffer) == data
    if isinstance(buffer, bytearray):
        buffer[:] = bytes(len(buffer))
        buffer.clear()
    assert [*messages, *wire.read(reader, wire.frame(BINARY, b"half")[-2:])] == ["é", b"data", b"half"]


@pytest.mark.parametrize("wrong", ["text", 5, None, [1]])
def test_what_is_no_buffer_is_refused(wire, wrong):
    reader = wire.reader()
    with pytest.raises(TypeError):
        reader.read(wrong, [])
    with pytest.raises(TypeError):
        reader.read(memoryview(b"abcd")[::2], [])
    assert wire.read(reader, wire.frame(TEXT, b"as before")) == ["as before"]


# All together

FRAMES = st.one_of(
    st.tuples(st.just(TEXT), st.text(max_size=40).map(str.encode)),
    st.tuples(st.just(BINARY), st.binary(max_size=300)),
    st.tuples(st.sampled_from(CONTROL_OPCODES), st.binary(max_size=125)),
)


@given(st.lists(FRAMES, max_size=8), st.data())
def test_what_is_read_does_not_depend_on_how_it_is_split(wire, frames, data):
    stream = b"".join(wire.frame(opcode, payload) for opcode, payload in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = [
        payload.decode() if opcode == TEXT else payload if opcode == BINARY else (opcode, payload)
        for opcode, payload in frames
    ]
    assert wire.read(wire.reader(), *chunks) == expected
    assert wire.read(wire.reader(), stream) == expected
