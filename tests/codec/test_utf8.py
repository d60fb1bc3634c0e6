"""UTF-8 validation, whole and in parts (RFC 3629, RFC 6455 section 8.1), on both twins."""

import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

VALID = {
    "nothing": b"",
    "ASCII": b"Hello",
    "U+0000": b"\x00",
    "U+007F": b"\x7f",
    "U+0080, first of two bytes": b"\xc2\x80",
    "U+07FF, last of two bytes": b"\xdf\xbf",
    "U+0800, first of three bytes": b"\xe0\xa0\x80",
    "U+D7FF, last before the surrogates": b"\xed\x9f\xbf",
    "U+E000, first after the surrogates": b"\xee\x80\x80",
    "U+FFFF, last of three bytes": b"\xef\xbf\xbf",
    "U+10000, first of four bytes": b"\xf0\x90\x80\x80",
    "U+10FFFF, last of all": b"\xf4\x8f\xbf\xbf",
    "byte order mark": b"\xef\xbb\xbf",
    "all widths": "aßẞ𝄞".encode(),
}

# The bytes, and how many of them can still become valid: the next one is the first that is wrong.
INVALID = {
    "continuation byte alone": (b"\x80", 0),
    "last continuation byte alone": (b"\xbf", 0),
    "overlong lead C0": (b"\xc0\x80", 0),
    "overlong lead C1": (b"\xc1\xbf", 0),
    "overlong in three bytes": (b"\xe0\x9f\xbf", 1),
    "overlong in four bytes": (b"\xf0\x8f\xbf\xbf", 1),
    "first surrogate": (b"\xed\xa0\x80", 1),
    "last surrogate": (b"\xed\xbf\xbf", 1),
    "surrogate pair": (b"\xed\xa0\xbd\xed\xb8\x80", 1),
    "U+110000": (b"\xf4\x90\x80\x80", 1),
    "lead F5": (b"\xf5\x80\x80\x80", 0),
    "five bytes": (b"\xf8\x88\x80\x80\x80", 0),
    "six bytes": (b"\xfc\x84\x80\x80\x80\x80", 0),
    "FE": (b"\xfe", 0),
    "FF": (b"\xff", 0),
    "two bytes, ASCII for the second": (b"\xc2A", 1),
    "two bytes, lead for the second": (b"\xc2\xc2", 1),
    "three bytes, ASCII for the second": (b"\xe1A\x80", 1),
    "three bytes, ASCII for the third": (b"\xe1\x80A", 2),
    "three bytes, lead for the third": (b"\xe1\x80\xe1", 2),
    "four bytes, ASCII for the second": (b"\xf1A\x80\x80", 1),
    "four bytes, ASCII for the third": (b"\xf1\x80A\x80", 2),
    "four bytes, ASCII for the fourth": (b"\xf1\x80\x80A", 3),
    "one continuation byte too many": (b"\xc2\x80\x80", 2),
    "after valid text": ("κόσμε".encode() + b"\xed\xa0\x80edited", 11),  # Autobahn 6.3.1
}

valid = pytest.mark.parametrize("data", VALID.values(), ids=VALID.keys())
invalid = pytest.mark.parametrize(("data", "good"), INVALID.values(), ids=INVALID.keys())

# Text that is long enough for wide loads, with each kind of code point at each place in them.
PADDINGS = range(67)


def decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# Whole


@valid
def test_valid_text_is_valid_wherever_it_stands(codec, data):
    for padding in PADDINGS:
        assert codec.is_valid_utf8(b"a" * padding + data + b"z" * (66 - padding))
    assert codec.is_valid_utf8(data)


@invalid
def test_invalid_text_is_invalid_wherever_it_stands(codec, data, good):
    for padding in PADDINGS:
        assert not codec.is_valid_utf8(b"a" * padding + data + b"z" * (66 - padding))
        assert not codec.is_valid_utf8("é".encode() * padding + data)
    assert not codec.is_valid_utf8(data)


@valid
def test_text_that_ends_inside_a_code_point_is_invalid(codec, data):
    for end in range(len(data)):
        assert codec.is_valid_utf8(data[:end]) is decodes(data[:end])


def test_every_pair_of_bytes_is_judged_as_python_does(codec):
    for first in range(256):
        for second in range(256):
            data = bytes((first, second))
            assert codec.is_valid_utf8(data) is decodes(data), data


def test_every_code_point_and_no_surrogate_is_valid(codec):
    assert codec.is_valid_utf8("".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)])).encode())
    for surrogate in range(0xD800, 0xE000):
        assert not codec.is_valid_utf8(chr(surrogate).encode(errors="surrogatepass"))


@given(st.binary(max_size=80) | st.text().map(str.encode))
def test_any_bytes_are_judged_as_python_does(codec, data):
    assert codec.is_valid_utf8(data) is decodes(data)


# In parts


@valid
def test_valid_text_is_complete_however_it_is_split(codec, data):
    for split in range(len(data) + 1):
        validator = codec.Utf8Validator()
        assert validator.validate(data[:split])
        assert validator.complete() is decodes(data[:split])
        assert validator.validate(data[split:])
        assert validator.complete()


@invalid
@pytest.mark.parametrize("padding", [0, 1, 7, 15, 16, 31, 64])
def test_text_fails_at_the_first_wrong_byte_and_not_before(codec, data, good, padding):
    """RFC 6455 section 8.1; Autobahn 6.4 calls it fail-fast."""
    data, good = b"a" * padding + data, padding + good
    bytewise = codec.Utf8Validator()
    for i, byte in enumerate(data):
        assert bytewise.validate(bytes([byte])) is (i < good)
    assert codec.Utf8Validator().validate(data[:good])
    assert not codec.Utf8Validator().validate(data[: good + 1])
    for split in range(len(data) + 1):
        validator = codec.Utf8Validator()
        assert validator.validate(data[:split]) is (split <= good)
        assert not validator.validate(data[split:])
        assert not validator.complete()


def test_a_validator_that_failed_fails_for_ever(codec):
    validator = codec.Utf8Validator()
    assert not validator.validate(b"\xff")
    assert not validator.validate(b"fine")
    assert not validator.validate(b"")
    assert not validator.complete()


@pytest.mark.parametrize("before", [b"\xff", b"\xe2\x82", b"fine", b""])
def test_after_a_reset_nothing_is_left_of_what_came_before(codec, before):
    validator = codec.Utf8Validator()
    validator.validate(before)
    assert validator.reset() is None
    assert validator.complete()
    assert not validator.validate(b"\xac")
    validator.reset()
    assert validator.validate("€".encode())
    assert validator.complete()


def test_nothing_at_all_is_complete_text(codec):
    validator = codec.Utf8Validator()
    assert validator.complete()
    assert validator.validate(b"")
    assert validator.complete()


@given(st.lists(st.binary(max_size=5) | st.text(max_size=5).map(str.encode)))
def test_parts_are_judged_as_their_whole(codec, parts):
    validator = codec.Utf8Validator()
    verdicts = [validator.validate(part) for part in parts]
    whole = b"".join(parts)
    assert validator.complete() is decodes(whole)
    assert verdicts == sorted(verdicts, reverse=True)
    if decodes(whole):
        assert all(verdicts)


# Buffers


BUFFERS = [bytearray(b"text"), memoryview(b"xtextx")[1:-1], array.array("H", b"text")]


@pytest.mark.parametrize("data", BUFFERS, ids=lambda data: type(data).__name__)
def test_any_contiguous_buffer_is_taken(codec, data):
    assert codec.is_valid_utf8(data)
    assert codec.Utf8Validator().validate(data)


@pytest.mark.parametrize("wrong", ["text", 5, None, [97]])
def test_what_is_no_buffer_is_refused(codec, wrong):
    with pytest.raises(TypeError):
        codec.is_valid_utf8(wrong)
    with pytest.raises(TypeError):
        codec.Utf8Validator().validate(wrong)


def test_memory_with_gaps_is_refused(codec):
    with pytest.raises(TypeError):
        codec.is_valid_utf8(memoryview(b"text")[::2])
    with pytest.raises(TypeError):
        codec.Utf8Validator().validate(memoryview(b"text")[::2])


def test_no_view_on_the_data_is_left_open(codec):
    data = bytearray(b"\xc3")
    validator = codec.Utf8Validator()
    assert not codec.is_valid_utf8(data)
    assert validator.validate(data)
    data.clear()
    assert validator.validate(b"\xa9")
