"""The numbers of RFC 6455 sections 5.2 and 7.4.1."""

import pytest

from wscore.codec import opcodes
from wscore.codec.opcodes import CLIENT, SERVER, CloseCode, Opcode, Role, is_sendable_close_code


def test_opcodes_are_those_of_the_rfc():
    """RFC 6455 section 5.2."""
    assert {opcode.name: int(opcode) for opcode in Opcode} == {
        "CONTINUATION": 0,
        "TEXT": 1,
        "BINARY": 2,
        "CLOSE": 8,
        "PING": 9,
        "PONG": 10,
    }


def test_close_codes_are_those_of_the_registry():
    """RFC 6455 section 7.4.1 and 11.7; 1004 is reserved."""
    assert sorted(CloseCode) == [1000, 1001, 1002, 1003, *range(1005, 1016)]


def test_the_roles_have_names_of_their_own():
    assert CLIENT is Role.CLIENT
    assert SERVER is Role.SERVER
    assert len(Role) == 2


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_these_codes_may_stand_in_a_close_frame(code):
    """RFC 6455 section 7.4."""
    assert is_sendable_close_code(code)


@pytest.mark.parametrize("code", [-1, 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535, 70000])
def test_these_codes_must_not(code):
    """RFC 6455 sections 7.4.1 and 7.4.2."""
    assert not is_sendable_close_code(code)


def test_everything_named_is_there():
    assert all(hasattr(opcodes, name) for name in opcodes.__all__)
