"""What a peer may not send, and what it is told: broken rules of frames, fragments and text, and our own limits.

Every one fails the connection (RFC 6455 section 7.1.7): a last `Close` event, our Close frame in the output with the
code that the RFC names, and nothing read any more.
"""

import re

import pytest

from wscore.codec import SERVER
from wscore.protocol.events import Close, Ping

from ..wire import BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, Frame, close_payload, encode, header

MIB = 1 << 20
INVALID_TEXTS = {
    "a byte that begins nothing": b"\xff",
    "a continuation byte alone": b"\x80",
    "an overlong slash": b"\xc0\xaf",
    "an overlong NUL": b"\xe0\x80\x80",
    "a surrogate": b"\xed\xa0\x80",
    "above U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "ASCII within a code point": b"\xe4\xb8a",
}


def key_of(side):
    return KEY if side.role is SERVER else None


def assert_failed(side, connection, events, code, words=""):
    """The events end with the `Close` that the output carries, and nothing is read any more."""
    close = events[-1]
    assert (close.code, close.origin) == (code, "local")
    assert re.search(words, close.reason)
    assert connection.close_event == close
    assert connection.state is side.protocol.State.CLOSED
    [frame] = side.sent(connection)
    assert frame == Frame(CLOSE, close_payload(code, close.reason.encode()))
    assert len(frame.payload) <= 125
    assert connection.receive_data(side.peer(TEXT, b"late") + side.peer(PING)) == []
    assert connection.receive_eof() == []
    assert connection.data_to_send() == b""


def check(side, data, code, words="", before=()):
    """Feed `data` at once, and byte by byte."""
    connection = side.open()
    events = connection.receive_data(data)
    assert events[:-1] == list(before)
    assert_failed(side, connection, events, code, words)
    connection, events = side.open(), []
    for i in range(len(data)):
        events += connection.receive_data(data[i : i + 1])
    assert events[:-1] == list(before)
    assert_failed(side, connection, events, code, words)


# Frames


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING, PONG])
def test_reserved_bits_are_not_set(side, rsv, opcode):
    """Section 5.2: no extension was agreed on that gives them a meaning."""
    check(side, side.peer(opcode, rsv=rsv), 1002, "reserved bits")


@pytest.mark.parametrize("rsv", range(1, 8))
def test_reserved_bits_are_not_set_on_continuations_either(side, rsv):
    """Section 5.2."""
    check(side, side.peer(TEXT, b"a", fin=False) + side.peer(CONTINUATION, rsv=rsv), 1002, "reserved bits")


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("fin", [True, False])
def test_unknown_opcodes_are_refused(side, opcode, fin):
    """Section 5.2."""
    check(side, side.peer(opcode, fin=fin), 1002, "unknown opcode")


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING, PONG])
def test_frames_are_masked_in_one_direction_only(side, opcode):
    """Section 5.1."""
    wrong = encode(Frame(opcode, key=None if side.role is SERVER else KEY))
    check(side, wrong, 1002, "must be masked" if side.role is SERVER else "must not be masked")


@pytest.mark.parametrize(("size", "field_size"), [(0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)])
def test_lengths_take_the_fewest_bytes(side, size, field_size):
    """Section 5.2."""
    data = encode(Frame(BINARY, bytes(size), key=key_of(side)), field_size)
    connection = side.open()
    assert_failed(side, connection, connection.receive_data(data), 1002, "fewest bytes")
    check(side, data[:14], 1002, "fewest bytes")


@pytest.mark.parametrize("length", [1 << 63, (1 << 63) + 1, (1 << 64) - 1])
def test_the_top_bit_of_a_length_is_not_set(side, length):
    """Section 5.2."""
    check(side, header(Frame(BINARY, key=key_of(side)), length), 1002, "most significant bit")


@pytest.mark.parametrize("length", [MIB + 1, 1 << 31, 1 << 32, (1 << 63) - 1])
def test_a_length_above_the_limit_is_refused_before_any_payload(side, length):
    """Section 10.4; lengths of 64 bits are read as such."""
    check(side, header(Frame(BINARY, key=key_of(side)), length), 1009, "larger than the limit")


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_control_frames_are_not_fragmented(side, opcode):
    """Section 5.5."""
    check(side, side.peer(opcode, b"a", fin=False), 1002, "must not be fragmented")


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("size", [126, 65536])
def test_control_frames_carry_at_most_125_bytes(side, opcode, size):
    """Section 5.5."""
    check(side, side.peer(opcode, bytes(size))[:14], 1002, "at most 125 bytes")


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_control_frames_carry_at_most_125_bytes_whatever_their_length_field_says(side, opcode):
    """Sections 5.2 and 5.5: both rules are broken, and the first byte that shows it is enough."""
    check(side, header(Frame(opcode, key=key_of(side)), 5, 2), 1002, "at most 125 bytes")


# Fragments


@pytest.mark.parametrize("fin", [True, False])
def test_a_continuation_needs_a_start(side, fin):
    """Section 5.4."""
    check(side, side.peer(CONTINUATION, b"a", fin=fin), 1002, "without a message to continue")
    data = side.peer(TEXT, b"whole") + side.peer(CONTINUATION, fin=fin)
    check(side, data, 1002, "without a message to continue", before=["whole"])


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [True, False])
def test_messages_do_not_interrupt_each_other(side, opcode, fin):
    """Section 5.4."""
    data = side.peer(TEXT, b"a", fin=False) + side.peer(opcode, b"b", fin=fin)
    check(side, data, 1002, "before the last one had ended")


def test_what_came_before_a_broken_rule_is_delivered(side):
    data = side.peer(TEXT, b"a") + side.peer(PING, b"p") + side.peer(3) + side.peer(TEXT, b"b")
    connection = side.open()
    *before, close = connection.receive_data(data)
    assert before == ["a", Ping(b"p")]
    assert close.code == 1002
    pong, last = side.sent(connection)
    assert (pong, last.opcode) == (Frame(PONG, b"p"), CLOSE)


# Text


@pytest.mark.parametrize("text", INVALID_TEXTS.values(), ids=INVALID_TEXTS)
def test_text_is_utf_8(side, text):
    """Section 8.1."""
    check(side, side.peer(TEXT, b"ok" + text + b"ok"), 1007, "not valid UTF-8")


@pytest.mark.parametrize("cut", [b"\xc3", b"\xe4\xb8", b"\xf0\x9f\x8e"])
def test_text_does_not_end_inside_a_code_point(side, cut):
    """Section 8.1; the next message cannot mend it."""
    check(side, side.peer(TEXT, b"ok" + cut), 1007, "not valid UTF-8")
    check(side, side.peer(TEXT, cut, fin=False) + side.peer(CONTINUATION), 1007, "not valid UTF-8")


@pytest.mark.parametrize("text", INVALID_TEXTS.values(), ids=INVALID_TEXTS)
def test_bad_text_fails_the_connection_at_its_first_bad_byte(side, text):
    """Section 8.1: within a frame that has not ended, of a message that has not ended."""
    data = side.peer(TEXT, text + bytes(100), fin=False)
    connection, events = side.open(), []
    for i in range(len(data) - 100):
        events += connection.receive_data(data[i : i + 1])
    assert_failed(side, connection, events, 1007)


def test_bad_text_in_a_later_fragment_fails_the_connection_before_the_message_ends(side):
    """Section 8.1."""
    connection = side.open()
    assert connection.receive_data(side.peer(TEXT, "é".encode()[:1], fin=False)) == []
    assert_failed(side, connection, connection.receive_data(side.peer(CONTINUATION, b"!", fin=False)), 1007)


def test_binary_need_not_be_utf_8(side):
    for text in INVALID_TEXTS.values():
        assert side.open().receive_data(side.peer(BINARY, text)) == [text]


# Our own limits


def test_a_message_may_be_as_large_as_the_limit_and_no_larger(side):
    """Section 10.4; text counts as UTF-8."""
    connection = side.open(max_message_size=6)
    assert connection.receive_data(side.peer(BINARY, bytes(6)) + side.peer(TEXT, "ééé".encode())) == [bytes(6), "ééé"]
    assert_failed(side, connection, connection.receive_data(side.peer(TEXT, "éééa".encode())), 1009, "larger")


def test_fragments_together_may_be_as_large_as_the_limit_and_no_larger(side):
    """Section 10.4."""
    connection = side.open(max_message_size=6)
    first = side.peer(BINARY, b"abc", fin=False)
    assert connection.receive_data(first + side.peer(CONTINUATION, b"def")) == [b"abcdef"]
    assert connection.receive_data(first) == []
    too_large = header(Frame(CONTINUATION, fin=False, key=key_of(side)), 4)
    assert_failed(side, connection, connection.receive_data(too_large), 1009, "larger")


def test_the_default_limit_is_one_mebibyte(side):
    connection = side.open()
    assert connection.receive_data(side.peer(BINARY, bytes(MIB))) == [bytes(MIB)]


def test_the_peer_is_told_1009_in_the_middle_of_its_upload(side):
    """The bytes that still come are taken in silence."""
    connection = side.open()
    data = header(Frame(BINARY, key=key_of(side)), 16 * MIB)
    assert_failed(side, connection, connection.receive_data(data + bytes(1000)), 1009)
    assert connection.receive_data(bytes(MIB)) == []
    assert not connection.has_rest


def test_a_message_may_have_as_many_fragments_as_the_limit_and_no_more(side):
    """Section 10.4; empty fragments count."""
    connection = side.open(max_fragments=3)
    fragments = side.peer(TEXT, fin=False) + side.peer(CONTINUATION, fin=False)
    assert connection.receive_data((fragments + side.peer(CONTINUATION)) * 2) == ["", ""]
    assert connection.receive_data(fragments + side.peer(PING) + side.peer(CONTINUATION, fin=False)) == [Ping(b"")]
    side.sent(connection)
    assert_failed(side, connection, connection.receive_data(side.peer(CONTINUATION)), 1008, "more fragments")


def test_a_message_of_one_frame_is_one_fragment(side):
    connection = side.open(max_fragments=1)
    assert connection.receive_data(side.peer(TEXT, b"a") * 2) == ["a", "a"]
    assert_failed(side, connection, connection.receive_data(side.peer(TEXT, fin=False) + side.peer(CONTINUATION)), 1008)


def test_limits_do_not_bind_what_we_send(side):
    connection = side.open(max_message_size=1, max_fragments=1)
    connection.send(bytes(10))
    connection.send_fragment(b"a", fin=False)
    connection.send_fragment(b"b", fin=True)
    assert len(side.sent(connection)) == 3


# Which rule is named, if several are broken


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (Frame(3, rsv=1, fin=False), "reserved bits"),
        (Frame(3, fin=False), "unknown opcode"),
        (Frame(11, fin=False), "unknown opcode"),
    ],
)
def test_the_first_broken_rule_is_named(side, frame, words):
    """The order that the codec states, with the mask bit wrong as well."""
    frame.key = None if side.role is SERVER else KEY
    check(side, encode(frame), 1002, words)


def test_nothing_of_what_the_peer_sent_is_sent_back(side):
    """The sentence names the rule, not the bytes."""
    connection = side.open()
    [close] = connection.receive_data(side.peer(TEXT, b"secret\xff"))
    assert "secret" not in close.reason
    assert close == Close(1007, close.reason, "local")
    assert b"secret" not in b"".join(frame.payload for frame in side.sent(connection))
