"""Header fields and lists of tokens (RFC 9110 section 5)."""

import pytest

from wscore.codec.errors import LocalProtocolError
from wscore.protocol.headers import (
    Headers,
    encode_headers,
    is_token,
    own_subprotocols,
    sendable_headers,
    split_list,
    unique_tokens,
)

PAIRS = [("Set-Cookie", "a"), ("X", "y"), ("set-cookie", "b")]


def test_headers_are_looked_up_without_regard_to_case() -> None:
    headers = Headers(PAIRS)
    assert headers.get("SET-COOKIE") == "a"
    assert headers.get_all("Set-cookie") == ["a", "b"]
    assert headers.get_all("x") == ["y"]
    assert headers.get("z") is None
    assert headers.get_all("z") == []
    assert "set-COOKIE" in headers
    assert "z" not in headers


def test_headers_keep_the_order_and_the_names_of_what_they_were_made_from() -> None:
    assert list(Headers(PAIRS)) == PAIRS
    assert list(Headers(dict(PAIRS[:2]))) == PAIRS[:2]
    assert list(Headers(Headers(PAIRS))) == PAIRS
    assert list(Headers(pair for pair in PAIRS)) == PAIRS
    assert len(Headers(PAIRS)) == 3
    assert len(Headers()) == 0
    assert repr(Headers(PAIRS[1:2])) == "Headers([('X', 'y')])"


def test_headers_that_the_parser_made_equal_others() -> None:
    parsed = Headers.from_distinct({"x": "y"})
    assert parsed == Headers([("x", "y")])
    assert hash(parsed) == hash(Headers([("x", "y")]))
    assert parsed != Headers([("x", "z")])
    assert parsed != [("x", "y")]
    assert parsed.get_all("X") == ["y"]


def test_tokens() -> None:
    assert is_token("a!#$%&'*+-.^_`|~9Z")
    assert not any(map(is_token, ["", "a b", "a,b", 'a"', "a/b", "ä", "a\n", "a\x00"]))


def test_lists_may_be_spread_over_fields_and_have_empty_elements() -> None:
    assert split_list(["a, b", ",\tc\t,,", ""]) == ["a", "b", "c"]
    assert split_list([]) == []


@pytest.mark.parametrize("value", ["Upgrade", "keep-alive, Upgrade", "UPGRADE,x", ",\tupgrade ,", "x,upgrade"])
def test_token_is_found_in_a_list_in_any_letter_case(value: str) -> None:
    assert Headers({"Connection": value}).has_token("connection", "upgrade")
    assert Headers([("connection", "x"), ("Connection", value)]).has_token("connection", "upgrade")


@pytest.mark.parametrize("value", ["", "notupgrade", "upgrades", "up grade", "upgrade x", '"upgrade"', "upgrade;q=1"])
def test_token_is_not_found_in_what_only_contains_it(value: str) -> None:
    assert not Headers({"Connection": value}).has_token("connection", "upgrade")
    assert not Headers().has_token("connection", "upgrade")


def test_subprotocols_are_distinct_tokens() -> None:
    assert unique_tokens(["chat, superchat", "v1.x"]) == ["chat", "superchat", "v1.x"]
    assert unique_tokens([]) == unique_tokens([""]) == unique_tokens([" , ", ""]) == []
    assert own_subprotocols(("b", "a")) == ["b", "a"]
    assert own_subprotocols(()) == []


@pytest.mark.parametrize("values", [["a b"], ["a/b"], ["a, a"], ["a", "b,a"]])
def test_other_lists_of_subprotocols_are_refused(values: list[str]) -> None:
    with pytest.raises(ValueError, match="subprotocol"):
        unique_tokens(values)


def test_own_subprotocols_are_a_sequence_of_tokens() -> None:
    with pytest.raises(TypeError, match="sequence"):
        own_subprotocols("chat")
    with pytest.raises(TypeError):
        own_subprotocols(None)
    with pytest.raises(ValueError, match="no token"):
        own_subprotocols(["a, b"])


def test_sendable_headers_pass_as_they_are() -> None:
    headers = Headers([("X-Y", "a\tb ä"), ("x-y", "")])
    assert sendable_headers(headers) is headers
    assert list(sendable_headers({"X": "y"})) == [("X", "y")]


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\n", "\r", "a\x00", "\x1b[0m", "\x7f", "€", "\ud800"])
def test_values_that_could_inject_a_header_are_refused(value: str) -> None:
    """Security case 54: CR LF in a header that the application passes on."""
    with pytest.raises(LocalProtocolError, match="header X "):
        sendable_headers([("X", value)])


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "ä", "a\x00"])
def test_names_that_are_no_token_are_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="no header name"):
        sendable_headers([(name, "x")])


def test_reserved_names_are_refused_in_any_letter_case() -> None:
    with pytest.raises(LocalProtocolError, match="handshake itself"):
        sendable_headers([("UpGrade", "x")], frozenset({"upgrade"}))


@pytest.mark.parametrize("pair", [("X", b"y"), ("X", 1), ("X", None)])
def test_headers_are_text(pair: tuple[str, str]) -> None:
    with pytest.raises(TypeError, match="str"):
        sendable_headers([pair])


def test_headers_become_lines() -> None:
    assert encode_headers(PAIRS[:2]) == "Set-Cookie: a\r\nX: y\r\n"
    assert encode_headers([]) == ""
