"""The table of defects: which broken rule closes with which code and words."""

import pytest

from wscore.codec import errors
from wscore.codec.errors import Defect, DefectError, LocalProtocolError
from wscore.codec.opcodes import is_sendable_close_code

DEFECTS = {name: value for name, value in vars(errors).items() if isinstance(value, Defect)}
OTHER_CODES = {
    "CLOSE_REASON_NOT_UTF8": 1007,
    "TEXT_NOT_UTF8": 1007,
    "DEFLATE_INVALID": 1007,
    "MESSAGE_TOO_BIG": 1009,
    "TOO_MANY_FRAGMENTS": 1008,
    "TOO_MANY_FINAL_BLOCKS": 1008,
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_fits_a_close_frame_and_says_what_is_wrong(name):
    """RFC 6455 section 5.5: 125 bytes, two of them for the code."""
    code, sentence = DEFECTS[name]
    assert is_sendable_close_code(code)
    assert sentence.isascii()
    assert sentence.isprintable()
    assert 0 < len(sentence) <= 123


@pytest.mark.parametrize("name", DEFECTS)
def test_structure_closes_with_1002_and_the_rest_with_the_code_that_the_rfc_names(name):
    """RFC 6455 section 7.4.1."""
    assert DEFECTS[name].code == OTHER_CODES.get(name, 1002)


def test_no_two_defects_say_the_same():
    assert len({defect.sentence for defect in DEFECTS.values()}) == len(DEFECTS)


def test_a_defect_error_carries_its_defect():
    error = DefectError(errors.DEFLATE_INVALID)
    assert error.defect is errors.DEFLATE_INVALID
    assert str(error) == errors.DEFLATE_INVALID.sentence
    assert isinstance(error, ValueError)


def test_misuse_by_the_caller_is_another_error():
    assert not issubclass(LocalProtocolError, ValueError)
    assert str(LocalProtocolError("do this instead")) == "do this instead"
