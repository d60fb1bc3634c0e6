"""Building frames (RFC 6455 section 5.2), on both twins."""

import array

import pytest

from wscore.codec import Opcode

from ..wire import KEY, xor

DATA_OPCODES = (0, 1, 2)
CONTROL_OPCODES = (8, 9, 10)
OPCODES = DATA_OPCODES + CONTROL_OPCODES

# The smallest and the largest payload of each form of length, and the bytes that must stand for it.
LENGTHS = [
    (0, "00"),
    (1, "01"),
    (125, "7d"),
    (126, "7e007e"),
    (127, "7e007f"),
    (65535, "7effff"),
    (65536, "7f0000000000010000"),
    (1 << 20, "7f0000000000100000"),
]


def test_the_frames_of_the_rfc(codec):
    """RFC 6455 section 5.7."""
    encode = codec.encode_frame
    assert encode(1, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert encode(1, b"Hello", key=KEY) == bytes.fromhex("818537fa213d7f9f4d5158")
    assert encode(1, b"Hel", fin=False) == bytes.fromhex("010348656c")
    assert encode(0, b"lo") == bytes.fromhex("80026c6f")
    assert encode(9, b"Hello") == bytes.fromhex("890548656c6c6f")
    assert encode(10, b"Hello", key=KEY) == bytes.fromhex("8a8537fa213d7f9f4d5158")
    assert encode(2, bytes(256)) == bytes.fromhex("827e0100") + bytes(256)
    assert encode(2, bytes(65536)) == bytes.fromhex("827f0000000000010000") + bytes(65536)


def test_the_compressed_hello_of_the_rfc(codec):
    """RFC 7692 section 7.2.3.1."""
    payload = bytes.fromhex("f248cdc9c90700")
    assert codec.encode_frame(1, payload, rsv1=True) == bytes.fromhex("c107") + payload
    assert codec.encode_frame(1, payload[:3], fin=False, rsv1=True) == bytes.fromhex("4103") + payload[:3]


@pytest.mark.parametrize(("size", "length"), LENGTHS)
def test_a_length_takes_the_fewest_bytes(codec, size, length):
    """RFC 6455 section 5.2."""
    payload = bytes(i & 0xFF for i in range(size))
    header = bytearray.fromhex("82" + length)
    assert codec.encode_frame(2, payload) == header + payload
    header[1] |= 0x80
    assert codec.encode_frame(2, payload, key=KEY) == header + KEY + xor(payload, KEY)


@pytest.mark.parametrize("opcode", DATA_OPCODES)
@pytest.mark.parametrize(("fin", "rsv1"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_the_first_byte_has_fin_rsv1_and_the_opcode(codec, opcode, fin, rsv1):
    frame = codec.encode_frame(opcode, b"x", fin=fin, rsv1=rsv1)
    assert frame == bytes([fin * 0x80 | rsv1 * 0x40 | opcode, 1]) + b"x"


def test_a_frame_is_final_uncompressed_and_unmasked_unless_told_otherwise(codec):
    assert codec.encode_frame(2, b"") == bytes([0x82, 0])


@pytest.mark.parametrize("opcode", CONTROL_OPCODES)
@pytest.mark.parametrize("key", [None, KEY])
def test_control_frames_carry_up_to_125_bytes(codec, opcode, key):
    """RFC 6455 section 5.5."""
    assert codec.encode_frame(opcode, bytes(125), key=key)[0] == 0x80 | opcode
    for size in (126, 127, 65536):
        with pytest.raises(ValueError, match="125"):
            codec.encode_frame(opcode, bytes(size), key=key)


@pytest.mark.parametrize("opcode", CONTROL_OPCODES)
def test_control_frames_are_never_fragmented_or_compressed(codec, opcode):
    """RFC 6455 section 5.5, RFC 7692 section 6.1."""
    with pytest.raises(ValueError, match="control frame"):
        codec.encode_frame(opcode, b"", fin=False)
    with pytest.raises(ValueError, match="control frame"):
        codec.encode_frame(opcode, b"", rsv1=True)


@pytest.mark.parametrize("opcode", [*set(range(16)).difference(OPCODES), -1, 16, 0x81, 257])
def test_unknown_opcodes_are_refused(codec, opcode):
    with pytest.raises(ValueError, match="unknown opcode"):
        codec.encode_frame(opcode, b"")


@pytest.mark.parametrize("opcode", OPCODES)
def test_opcodes_are_plain_numbers_or_members_of_opcode(codec, opcode):
    assert codec.encode_frame(Opcode(opcode), b"x") == codec.encode_frame(opcode, b"x")


@pytest.mark.parametrize("size", [0, 3, 5])
@pytest.mark.parametrize("payload", [b"", b"payload"])
def test_a_key_of_another_length_is_refused(codec, payload, size):
    with pytest.raises(ValueError, match="4 bytes"):
        codec.encode_frame(2, payload, key=bytes(size))


@pytest.mark.parametrize("payload", [bytearray(b"abcd"), memoryview(b"xabcdx")[1:-1], array.array("H", b"abcd")])
@pytest.mark.parametrize("key", [None, KEY, bytearray(KEY), memoryview(KEY)])
def test_any_buffer_is_a_payload_or_a_key(codec, payload, key):
    expected = codec.encode_frame(2, b"abcd", key=None if key is None else KEY)
    frame = codec.encode_frame(2, payload, key=key)
    assert type(frame) is bytes
    assert frame == expected


@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2, 3, 4]])
def test_what_is_no_buffer_is_refused(codec, wrong):
    """A number in particular: as a count of bytes it would send as many zeros, or worse, what is in memory."""
    with pytest.raises(TypeError):
        codec.encode_frame(2, wrong)
    if wrong is not None:
        with pytest.raises(TypeError):
            codec.encode_frame(2, b"data", key=wrong)


# A header of each size, and characters of each width.
ALPHABETS = ("x", "\xe9", "\u043f", "\u6f22", "\U0001f600", "", "a\U0001f600")
TEXTS = [alphabet * count for alphabet in ALPHABETS for count in (1, 60, 20_000)]


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("text", TEXTS)
def test_text_is_encoded(codec, text, key):
    for opcode in (0, 1):
        assert codec.encode_frame(opcode, text, key=key) == codec.encode_frame(opcode, text.encode(), key=key)


@pytest.mark.parametrize("opcode", [2, 5, 8, 9, 10, -1, 1 << 70])
def test_only_text_is_a_str(codec, opcode):
    with pytest.raises(TypeError, match="only text"):
        codec.encode_frame(opcode, "text")


@pytest.mark.parametrize("text", ["\ud800", "\U0001f600\udfff"])
def test_lone_surrogates_are_refused(codec, text):
    with pytest.raises(UnicodeEncodeError):
        codec.encode_frame(1, text)


@pytest.mark.parametrize("text", ["text", "\u6f22"])
def test_text_is_refused_with_a_key_of_another_length(codec, text):
    with pytest.raises(ValueError, match="4 bytes"):
        codec.encode_frame(1, text, key=b"abc")


def test_memory_with_gaps_is_refused(codec):
    with pytest.raises(TypeError):
        codec.encode_frame(2, memoryview(b"abcd")[::2])
    with pytest.raises(TypeError):
        codec.encode_frame(2, b"abcd", key=memoryview(bytes(8))[::2])


def test_the_payload_is_copied_and_let_go(codec):
    payload = bytearray(b"abc")
    frame = codec.encode_frame(2, payload, key=KEY)
    assert payload == b"abc"
    payload.clear()
    assert frame[-3:] == xor(b"abc", KEY)
