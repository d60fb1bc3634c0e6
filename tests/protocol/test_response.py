"""The client's half of the opening handshake (RFC 6455 section 4.1): checks and bodies, without the machine."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.protocol.extensions import DeflateParameters
from wscore.protocol.head import ResponseHead
from wscore.protocol.headers import Headers
from wscore.protocol.response import (
    BodyReader,
    HandshakeError,
    Response,
    basic_authorization,
    check_extensions,
    check_switch,
    encode_request,
    new_key,
)
from wscore.protocol.uri import parse_uri

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = [
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
]
LIMIT = 64 * 1024


def switch(*fields: tuple[str, str], version: str = "1.1") -> ResponseHead:
    """A good answer, with fields in place of those of the same name; an empty value leaves one out."""
    names = {name for name, _ in fields}
    kept = [pair for pair in FIELDS if pair[0] not in names]
    return ResponseHead(101, "", version, Headers([*kept, *(pair for pair in fields if pair[1])]))


def refusal(status: int = 404, **fields: str) -> ResponseHead:
    pairs = {name.replace("_", "-"): value for name, value in fields.items()}
    return ResponseHead(status, "", "1.1", Headers(pairs))


# The request.


def test_request_on_the_wire() -> None:
    request = encode_request(parse_uri("ws://u:p@[::1]:81/a?b"), KEY, (), None, Headers())
    assert request == (
        b"GET /a?b HTTP/1.1\r\nHost: [::1]:81\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )


def test_request_carries_offers_and_headers_of_the_user() -> None:
    request = encode_request(parse_uri("wss://h"), KEY, ["a", "b"], "permessage-deflate", Headers({"Origin": "ä"}))
    assert request.endswith(
        b"\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\nOrigin: \xe4\r\n\r\n"
    )


def test_keys_are_16_bytes_and_never_the_same() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {16}


def test_user_and_password_become_basic_authentication() -> None:
    """The example of RFC 7617 section 2."""
    assert basic_authorization(parse_uri("ws://Aladdin:open%20sesame@h")) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert basic_authorization(parse_uri("ws://test:123%C2%A3@h")) == "Basic dGVzdDoxMjPCow=="
    assert basic_authorization(parse_uri("ws://h")) is None


# The answer.


def test_good_answer_passes() -> None:
    assert check_switch(switch(), KEY, []) is None
    assert check_switch(switch(("upgrade", "WebSocket"), ("connection", "x, UPGRADE")), KEY, ["a"]) is None
    assert check_switch(switch(("sec-websocket-protocol", "b")), KEY, ["a", "b"]) == "b"


@pytest.mark.parametrize(
    "fields",
    [
        [("upgrade", "")],
        [("upgrade", "h2c")],
        [("upgrade", "websocket, h2c")],
        [("upgrade", "websocket"), ("upgrade", "h2c")],
        [("connection", "")],
        [("connection", "notupgrade")],
        [("sec-websocket-accept", "")],
        [("sec-websocket-accept", "S3PPLMBITXAQ9KYGZZHZRBK+XOO=")],
        [("sec-websocket-accept", FIELDS[2][1]), ("sec-websocket-accept", FIELDS[2][1])],
        [("sec-websocket-protocol", "c")],
        [("sec-websocket-protocol", "A")],
        [("sec-websocket-protocol", "a, b")],
        [("sec-websocket-protocol", "a"), ("sec-websocket-protocol", "a")],
    ],
)
def test_answer_that_breaks_a_rule_fails(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        check_switch(switch(*fields), KEY, ["a", "b"])


def test_upgrade_may_be_said_twice() -> None:
    assert check_switch(switch(("upgrade", "websocket"), ("upgrade", "WebSocket")), KEY, []) is None


def test_subprotocol_fails_where_none_was_offered() -> None:
    with pytest.raises(ValueError, match="not offered"):
        check_switch(switch(("sec-websocket-protocol", "a")), KEY, [])


def test_switch_in_http_1_0_fails() -> None:
    with pytest.raises(ValueError, match=r"HTTP/1\.1"):
        check_switch(switch(version="1.0"), KEY, [])


def test_extensions_of_the_answer_are_checked() -> None:
    head = switch(("sec-websocket-extensions", "permessage-deflate"))
    assert check_extensions(head, "dedicated") == DeflateParameters()
    assert check_extensions(switch(), "dedicated") is None
    with pytest.raises(ValueError, match="not offered"):
        check_extensions(head, None)


def test_handshake_error_carries_the_response() -> None:
    response = Response(404, "Not Found")
    error = HandshakeError("No.", response)
    assert str(error) == "No."
    assert error.response is response
    assert HandshakeError("No.").response is None


# Bodies.


def collect(head: ResponseHead, *pieces: bytes) -> tuple[bytes, bool]:
    reader = BodyReader(head)
    for piece in pieces:
        reader.feed(piece)
    return reader.body, reader.complete


def test_body_of_known_length_is_cut_there() -> None:
    head = refusal(content_length="5")
    assert collect(head, b"he") == (b"he", False)
    assert collect(head, b"he", b"llo, and more") == (b"hello", True)
    assert collect(refusal(content_length="0")) == (b"", True)


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_are_complete_at_once(status: int) -> None:
    assert BodyReader(refusal(status)).complete


def test_body_of_unknown_length_is_read_up_to_the_limit() -> None:
    assert collect(refusal(), b"x" * 1000) == (b"x" * 1000, False)
    assert collect(refusal(), b"x" * 60_000, b"x" * 60_000) == (b"x" * LIMIT, True)
    assert collect(refusal(content_length="9" * 20), b"x" * 100_000) == (b"x" * LIMIT, True)


def test_chunks_are_joined() -> None:
    head = refusal(transfer_encoding="chunked")
    wire = b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"
    assert collect(head, wire) == (b"abc0123456789", True)
    assert collect(head, *(wire[at : at + 1] for at in range(len(wire)))) == (b"abc0123456789", True)
    assert collect(head, wire[:-4]) == (b"abc0123456789", False)
    assert collect(head, b"3\r\nabc\r\nnonsense\r\n") == (b"abc", False)
    assert collect(head, b"ff\r\nab") == (b"ab", False)


def test_chunked_body_without_data_is_complete() -> None:
    assert collect(refusal(transfer_encoding="chunked"), b"0\r\n\r\n") == (b"", True)


@pytest.mark.parametrize(
    "last", [b"0\r\n\r\n", b"000\r\n\r\n", b"0;x=y\r\n\r\n", b"0\r\nX-Trailer: 1\r\n\r\n", b"0\r\n"]
)
@pytest.mark.parametrize("codings", ["chunked", "Chunked", "gzip, chunked", "identity,chunked"])
def test_the_last_chunk_ends_the_body_however_it_is_written(codings: str, last: bytes) -> None:
    head = refusal(transfer_encoding=codings)
    assert collect(head, b"2\r\nno\r\n" + last) == (b"no", True)
    assert collect(head, *(bytes([byte]) for byte in b"2\r\nno\r\n" + last)) == (b"no", True)


def test_a_chunk_that_looks_like_the_last_is_none() -> None:
    head = refusal(transfer_encoding="chunked")
    assert collect(head, b"5\r\n0\r\n\r\n") == (b"0\r\n\r\n", False)
    assert collect(head, b"5\r\n0\r\n\r\n", b"\r\n0\r\n") == (b"0\r\n\r\n", True)


@pytest.mark.parametrize(
    "fields",
    [
        [("transfer-encoding", "identity")],
        [("transfer-encoding", "chunked, gzip")],
        [("transfer-encoding", "gzip"), ("content-length", "1")],
        [("content-length", "1"), ("content-length", "2")],
        [("content-length", "1, 2")],
        [("content-length", "+1")],
        [("content-length", "9" * 21)],
        [("content-length", "")],
    ],
)
def test_where_nobody_can_tell_the_end_the_connection_does(fields: list[tuple[str, str]]) -> None:
    head = ResponseHead(502, "", "1.1", Headers(fields))
    assert collect(head, b"all of it") == (b"all of it", False)


@pytest.mark.parametrize("fields", [[("content-length", "2")] * 2, [("content-length", "2, 2")]])
def test_a_length_that_is_said_twice_is_one(fields: list[tuple[str, str]]) -> None:
    assert collect(ResponseHead(503, "", "1.1", Headers(fields)), b"no more") == (b"no", True)


def test_chunks_are_read_up_to_the_limit() -> None:
    body, complete = collect(refusal(transfer_encoding="chunked"), b"FFFFFFFF\r\n" + b"x" * 100_000)
    assert complete
    assert body == b"x" * (LIMIT - 10)


@given(st.lists(st.binary(max_size=20)))
def test_any_bytes_can_be_read_as_chunks(pieces: list[bytes]) -> None:
    body, _ = collect(refusal(transfer_encoding="chunked"), *pieces)
    assert len(body) <= sum(map(len, pieces))
