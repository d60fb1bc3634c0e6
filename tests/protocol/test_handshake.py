"""The opening handshake as a machine, both sides (RFC 6455 section 4), most of it between two machines."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.codec.errors import LocalProtocolError
from wscore.codec.opcodes import CLIENT, SERVER
from wscore.protocol.extensions import DeflateParameters
from wscore.protocol.handshake import (
    Accept,
    ClientHandshake,
    Handshake,
    HandshakeError,
    Refuse,
    Request,
    ServerHandshake,
)
from wscore.protocol.response import Response
from wscore.protocol.uri import parse_uri

URL = "ws://example.org/chat?room=1"
GOOD = (
    b"GET /chat HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PLAIN = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"


def server(**options: Any) -> ServerHandshake:
    handshake = Handshake(SERVER, **options)
    assert isinstance(handshake, ServerHandshake)
    return handshake


def client(url: str = URL, **options: Any) -> ClientHandshake:
    handshake = Handshake(CLIENT, url, **options)
    assert isinstance(handshake, ClientHandshake)
    return handshake


def asked(data: bytes = GOOD, **options: Any) -> ServerHandshake:
    """A server that has a request and owes an answer."""
    handshake = server(**options)
    assert isinstance(handshake.receive_data(data), Request)
    assert handshake.data_to_send() == b""
    return handshake


def shake_hands(ours: ClientHandshake, theirs: ServerHandshake, answer: Accept) -> None:
    assert isinstance(theirs.receive_data(ours.data_to_send()), Request)
    theirs.answer(answer)
    response = ours.receive_data(theirs.data_to_send())
    assert response is ours.response
    assert response is not None
    assert response.status == 101


def refusal_of(data: bytes, **options: Any) -> tuple[int, bytes]:
    """The status with which a server refuses a head, and the response."""
    handshake = server(**options)
    refuse = handshake.receive_data(data)
    assert isinstance(refuse, Refuse)
    assert handshake.status == refuse.status
    assert not handshake.accepted
    response = handshake.data_to_send()
    assert response.startswith(b"HTTP/1.1 %d " % refuse.status)
    return refuse.status, response


# The two machines.


def test_role_makes_the_machine() -> None:
    assert type(Handshake(SERVER)) is ServerHandshake
    assert type(Handshake(CLIENT, URL)) is ClientHandshake
    assert type(ServerHandshake()) is ServerHandshake
    assert client().uri == ClientHandshake(CLIENT, parse_uri(URL)).uri
    with pytest.raises(TypeError, match="SERVER or CLIENT"):
        Handshake("server")  # type: ignore[call-overload]


def test_client_and_server_agree() -> None:
    ours, theirs = client(), server()
    shake_hands(ours, theirs, Accept(headers={"X": "y"}))
    assert theirs.accepted
    assert theirs.status == 101
    assert theirs.request is not None
    assert (theirs.request.path, theirs.request.query) == ("/chat", "room=1")
    assert ours.response is not None
    assert ours.response.headers.get("x") == "y"
    assert ours.rest == theirs.rest == b""
    assert ours.subprotocol is theirs.subprotocol is None
    assert ours.deflate is theirs.deflate is None


def test_output_is_handed_out_once() -> None:
    ours = client()
    assert ours.data_to_send().startswith(b"GET /chat?room=1 HTTP/1.1\r\nHost: example.org\r\n")
    assert ours.data_to_send() == b""


def test_server_chooses_the_first_of_its_own_subprotocols() -> None:
    ours, theirs = client(subprotocols=["a", "b"]), server(subprotocols=["c", "b", "a"])
    shake_hands(ours, theirs, Accept())
    assert ours.subprotocol == theirs.subprotocol == "b"


def test_application_chooses_any_that_the_client_offers() -> None:
    ours, theirs = client(subprotocols=["a", "b"]), server(subprotocols=["b"])
    shake_hands(ours, theirs, Accept("a"))
    assert ours.subprotocol == theirs.subprotocol == "a"


def test_no_subprotocol_in_common_is_no_error() -> None:
    ours, theirs = client(subprotocols=["a"]), server(subprotocols=["b"])
    shake_hands(ours, theirs, Accept())
    assert ours.subprotocol is theirs.subprotocol is None


def test_compression_is_negotiated() -> None:
    ours, theirs = client(compression="takeover"), server(compression="takeover")
    shake_hands(ours, theirs, Accept())
    assert ours.deflate == theirs.deflate == DeflateParameters(True, True)


@pytest.mark.parametrize(("client_policy", "server_policy"), [(None, "shared"), ("shared", None)])
def test_compression_needs_both(client_policy: str | None, server_policy: str | None) -> None:
    ours, theirs = client(compression=client_policy), server(compression=server_policy)
    shake_hands(ours, theirs, Accept())
    assert ours.deflate is theirs.deflate is None


@given(st.integers(0, 300), st.integers(0, 300), st.binary(max_size=5))
def test_bytes_may_be_split_anywhere_and_what_follows_the_head_is_kept(first: int, second: int, more: bytes) -> None:
    ours, theirs = client(), server()
    request = ours.data_to_send()
    received = [theirs.receive_data(piece) for piece in split(request, first, more)]
    assert isinstance(received[-1], Request)
    assert received[:-1] == [None] * len(received[:-1])
    assert theirs.rest == more
    assert theirs.received == request + more
    theirs.answer(Accept())
    answers = [ours.receive_data(piece) for piece in split(theirs.data_to_send(), second, more)]
    assert isinstance(answers[-1], Response)
    assert ours.rest == more


def split(head: bytes, at: int, more: bytes) -> list[bytes]:
    at = min(at, len(head) - 1)
    return [head[:at], head[at:] + more]


# The server.


def test_server_takes_a_head_byte_by_byte() -> None:
    handshake = server()
    *early, request = [handshake.receive_data(GOOD[at : at + 1]) for at in range(len(GOOD))]
    assert not any(early)
    assert isinstance(request, Request)
    assert request.is_upgrade
    assert request is handshake.request


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"GET", b"POST", 405),
        (b"HTTP/1.1", b"HTTP/1.0", 505),
        (b"HTTP/1.1", b"HTTP/3.0", 505),
        (b"Host: example.org", b"Host: example.org\r\nContent-Length: 1", 413),
        (b"Host: example.org", b"Host: example.org\r\nTransfer-Encoding: chunked", 413),
        (b"Host: example.org\r\n", b"", 400),
        (b"Host: example.org", b"Host: ex\x1bample", 400),
        (b"Host: example.org", b"Host: [", 400),
        (b"keep-alive, Upgrade", b"notupgrade", 400),
        (b"Version: 13", b"Version: 8", 426),
        (b"Version: 13", b"Version: " + b"9" * 5000, 426),
        (b"Version: 13", b"Version: 13\r\nSec-WebSocket-Extensions: a b", 400),
        (b"Version: 13", b"Version: 13\r\nSec-WebSocket-Protocol: a, a", 400),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"x", 400),
        (b"/chat", b"/" + b"x" * 20_000, 414),
        (b"Version: 13", b"Version: 13\r\nX: " + b"x" * 20_000, 431),
        (b"Version: 13", b"Version: 13" + b"\r\nX: y" * 128, 431),
    ],
)
def test_request_that_breaks_a_rule_is_refused_at_once(old: bytes, new: bytes, status: int) -> None:
    refused, response = refusal_of(GOOD.replace(old, new))
    assert refused == status
    assert b"\r\nConnection: close\r\n" in response or status == 426
    assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in response


def test_refusals_say_what_else_would_do() -> None:
    assert b"\r\nAllow: GET\r\n" in refusal_of(GOOD.replace(b"GET", b"PUT"))[1]
    _, response = refusal_of(GOOD.replace(b"Version: 13", b"Version: 12"))
    assert b"\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n" in response
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in response


def test_refused_head_request_gets_no_body() -> None:
    _, response = refusal_of(GOOD.replace(b"GET", b"HEAD"))
    assert response.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "place", [b"GET", b"/chat", b"HTTP/1.1", b"example.org", b"keep-alive, Upgrade", b"13", b"Host"]
)
def test_nothing_of_the_peer_stands_in_a_refusal(place: bytes) -> None:
    """Security case 61: the answer and the log are no place for a peer's control characters."""
    _, response = refusal_of(GOOD.replace(place, b"\x1b[31mEVIL"))
    assert b"EVIL" not in response
    assert b"\x1b" not in response


def test_many_headers_do_not_hide_the_upgrade() -> None:
    """Security case 50: at the limit all is well, above it the request is refused."""
    fields = b"".join(b"X-%d: y\r\n" % number for number in range(123))
    assert asked(GOOD.replace(b"Upgrade: web", fields + b"Upgrade: web")).request is not None
    assert refusal_of(GOOD.replace(b"Upgrade: web", fields + b"Z: y\r\nUpgrade: web"))[0] == 431


def test_limits_are_options() -> None:
    assert refusal_of(GOOD, max_head_size=100)[0] == 431
    assert refusal_of(GOOD, max_head_size=10)[0] == 414
    assert refusal_of(GOOD, max_headers=4)[0] == 431


def test_request_without_upgrade_is_handed_out_and_an_acceptance_becomes_426() -> None:
    handshake = asked(PLAIN)
    assert handshake.request is not None
    assert not handshake.request.is_upgrade
    handshake.answer(Accept())
    assert handshake.status == 426
    assert not handshake.accepted
    assert handshake.data_to_send().startswith(b"HTTP/1.1 426 Upgrade Required\r\n")


def test_request_with_a_body_and_without_upgrade_is_handed_out_with_what_came() -> None:
    data = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo"
    handshake = asked(data)
    assert handshake.rest == b"bo"
    assert handshake.received == data


def test_body_of_a_refused_upgrade_is_never_a_request() -> None:
    """Security case 47: the refusal closes, and the machine reads no more."""
    handshake = server()
    smuggled = GOOD.replace(b"Version: 13", b"Version: 13\r\nContent-Length: %d" % len(GOOD)) + GOOD
    assert isinstance(handshake.receive_data(smuggled), Refuse)
    assert b"\r\nConnection: close\r\n" in handshake.data_to_send()
    with pytest.raises(LocalProtocolError, match="complete"):
        handshake.receive_data(GOOD)


def test_application_refuses_with_any_status_body_and_headers() -> None:
    handshake = asked()
    handshake.answer(Refuse(429, "Later.", {"Retry-After": "3"}))
    response = handshake.data_to_send()
    assert response.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"\r\nRetry-After: 3\r\n" in response
    assert response.endswith(b"\r\n\r\nLater.")
    assert (handshake.status, handshake.accepted) == (429, False)


def test_refusal_may_come_before_the_request() -> None:
    handshake = server()
    handshake.receive_data(GOOD[:20])
    handshake.answer(Refuse(408, "Too slow."))
    assert handshake.data_to_send().startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    with pytest.raises(LocalProtocolError, match="complete"):
        handshake.receive_data(GOOD[20:])


def test_misuse_of_the_server_raises() -> None:
    with pytest.raises(LocalProtocolError, match="no request yet"):
        server().answer(Accept())
    handshake = asked()
    with pytest.raises(LocalProtocolError, match="complete"):
        handshake.receive_data(b"x")
    with pytest.raises(LocalProtocolError, match="offers"):
        handshake.answer(Accept("chat"))
    assert handshake.data_to_send() == b""
    handshake.answer(Accept())
    with pytest.raises(LocalProtocolError, match="already"):
        handshake.answer(Refuse(400, "No."))


def test_misconfigured_server_raises() -> None:
    with pytest.raises(ValueError, match="takeover"):
        server(compression="gzip")
    with pytest.raises(ValueError, match="token"):
        server(subprotocols=["a b"])


def test_end_within_a_head_is_refused() -> None:
    handshake = server()
    handshake.receive_data(GOOD[:-1])
    refuse = handshake.receive_eof()
    assert isinstance(refuse, Refuse)
    assert refuse.status == 400
    assert handshake.data_to_send().startswith(b"HTTP/1.1 400 ")
    assert handshake.receive_eof() is None


def test_end_elsewhere_needs_no_answer() -> None:
    assert server().receive_eof() is None
    handshake = asked()
    assert handshake.receive_eof() is None
    assert handshake.status is None


# The client.


def answer_to(ours: ClientHandshake, *changes: tuple[bytes, bytes]) -> bytes:
    """A good answer of a server, with changes."""
    theirs = server(subprotocols=["a"], compression="dedicated")
    assert isinstance(theirs.receive_data(ours.data_to_send()), Request)
    theirs.answer(Accept())
    answer = theirs.data_to_send()
    for old, new in changes:
        assert old in answer
        answer = answer.replace(old, new)
    return answer


def failure(ours: ClientHandshake, *pieces: bytes) -> HandshakeError:
    *early, last = pieces
    assert [ours.receive_data(piece) for piece in early] == [None] * len(early)
    with pytest.raises(HandshakeError) as error:
        ours.receive_data(last)
    return error.value


def test_two_clients_send_different_keys() -> None:
    assert client().data_to_send() != client().data_to_send()


def test_user_of_the_url_is_sent_as_authorization_only() -> None:
    request = client("ws://user:secret@example.org/x").data_to_send()
    assert b"secret" not in request
    assert b"\r\nAuthorization: Basic dXNlcjpzZWNyZXQ=\r\n" in request
    assert request.startswith(b"GET /x HTTP/1.1\r\nHost: example.org\r\n")
    with pytest.raises(LocalProtocolError, match="not both"):
        client("ws://user:secret@example.org/x", headers={"authorization": "Bearer x"})


def test_headers_of_the_user_are_sent() -> None:
    assert b"\r\nOrigin: http://x\r\nX: y\r\n" in client(headers=[("Origin", "http://x"), ("X", "y")]).data_to_send()


@pytest.mark.parametrize("headers", [{"X": "a\r\nb: c"}, {"Host": "x"}, {"sec-websocket-key": "x"}, {"Upgrade": "x"}])
def test_headers_that_cannot_be_sent_raise_at_once(headers: dict[str, str]) -> None:
    """Security case 54."""
    with pytest.raises(LocalProtocolError):
        client(headers=headers)


def test_misconfigured_client_raises() -> None:
    for options in ({"compression": "gzip"}, {"subprotocols": ["a", "a"]}):
        with pytest.raises(ValueError):
            client(**options)
    with pytest.raises(ValueError, match="ws://"):
        client("http://example.org")


def test_answer_that_breaks_a_rule_fails_and_is_carried() -> None:
    ours = client()
    error = failure(ours, answer_to(ours, (b"Upgrade: websocket", b"Upgrade: h2c")))
    assert error.response is not None
    assert error.response.status == 101
    assert "WebSocket" in str(error)
    assert ours.response is None


@pytest.mark.parametrize(
    "change",
    [
        (b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: b"),
        (b"permessage-deflate", b"constructor"),
        (b"permessage-deflate", b"permessage-deflate; client_max_window_bits=8"),
        (b"Connection: Upgrade", b"Connection: close"),
    ],
)
def test_answer_that_was_not_offered_fails(change: tuple[bytes, bytes]) -> None:
    ours = client(subprotocols=["a"], compression="dedicated")
    assert failure(ours, answer_to(ours, change)).response is not None


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-x\r\n\r\n", b"\x15\x03\x01", b"HTTP/1.1 x\r\n\r\n", b"HTTP/1.1 200 \x1b\r\n\r\n"]
)
def test_answer_that_is_no_http_fails(data: bytes) -> None:
    error = failure(client(), data)
    assert error.response is None
    assert "\x1b" not in str(error)


def test_limits_hold_for_answers() -> None:
    assert "128" in str(failure(client(), b"HTTP/1.1 101 x\r\n" + b"X: y\r\n" * 129 + b"\r\n"))
    assert "16384" in str(failure(client(), b"HTTP/1.1 101 x\r\nX: " + b"y" * 20_000))
    assert "64" in str(failure(client(max_head_size=64), b"HTTP/1.1 101 x\r\nX: " + b"y" * 64))


def test_refusal_is_raised_with_its_body() -> None:
    ours, theirs = client(), server()
    theirs.receive_data(ours.data_to_send())
    theirs.answer(Refuse(403, "Not for you.", {"X": "\xe4"}))
    error = failure(ours, theirs.data_to_send())
    assert str(error) == "The server refused the WebSocket with HTTP status 403."
    assert error.response is not None
    assert (error.response.status, error.response.reason, error.response.body) == (403, "Forbidden", b"Not for you.")
    assert error.response.headers.get("X") == "ä"


def test_body_of_a_refusal_may_come_in_pieces_or_end_with_the_connection() -> None:
    ours = client()
    for piece in (b"HTTP/1.0 500 Oh\r\n\r\nab", b"cd"):
        assert ours.receive_data(piece) is None
    with pytest.raises(HandshakeError) as error:
        ours.receive_eof()
    assert error.value.response is not None
    assert error.value.response.body == b"abcd"
    error_in_pieces = failure(client(), b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nab", b"cd")
    assert error_in_pieces.response is not None
    assert error_in_pieces.response.body == b"abcd"


def test_body_without_end_is_cut() -> None:
    error = failure(client(), b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 10_000] * 7)
    assert error.response is not None
    assert error.response.body == b"x" * 65536


def test_end_before_the_answer_fails() -> None:
    ours = client()
    ours.receive_data(b"HTTP/1.1 101 ")
    with pytest.raises(HandshakeError, match="before the server had answered") as error:
        ours.receive_eof()
    assert error.value.response is None


def test_interim_responses_are_skipped() -> None:
    ours = client()
    answer = answer_to(ours)
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    assert ours.receive_data(interim[:30]) is None
    response = ours.receive_data(interim[30:] + answer + b"rest")
    assert response is not None
    assert response.status == 101
    assert ours.rest == b"rest"


def test_interim_responses_without_end_fail() -> None:
    assert "interim" in str(failure(client(), b"HTTP/1.1 100 Continue\r\n\r\n" * 9))


def test_client_that_is_done_takes_no_more() -> None:
    ours = client()
    ours.receive_data(answer_to(ours))
    ours.receive_eof()
    with pytest.raises(LocalProtocolError, match="complete"):
        ours.receive_data(b"x")


# What real servers and proxies answer.


def answer_with(*lines: bytes, ours: ClientHandshake) -> bytes:
    """A good answer of status 101, and further lines in it."""
    theirs = asked(ours.data_to_send())
    theirs.answer(Accept())
    head = theirs.data_to_send().removesuffix(b"\r\n")
    return b"".join((head, *(line + b"\r\n" for line in lines), b"\r\n"))


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 0"],
        [b"Content-Length: 0", b"Content-Length: 0"],
        [b"Content-Length: 5"],
        [b"Content-Length: x"],
        [b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 0"],
        [b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding: "],
        [b"Upgrade: websocket"],
        [b"Connection: keep-alive"],
        [b"Sec-WebSocket-Extensions: "],
        [b"Sec-WebSocket-Version: 13"],
        [b"Sec-WebSocket-Origin: null", b"Sec-WebSocket-Location: ws://x/"],
    ],
)
def test_a_switch_is_one_whatever_else_the_answer_says(lines: list[bytes]) -> None:
    """No 101 has a body, whatever its fields say of one (RFC 9112 section 6.3)."""
    ours = client()
    response = ours.receive_data(answer_with(*lines, ours=ours) + b"\x81\x00")
    assert response is not None
    assert response.status == 101
    assert ours.rest == b"\x81\x00"


@pytest.mark.parametrize(
    "line", [b"Upgrade: h2c", b"Sec-WebSocket-Protocol: ", b"Sec-WebSocket-Protocol: x", b"no field"]
)
def test_a_switch_that_says_something_else_is_none(line: bytes) -> None:
    ours = client()
    with pytest.raises(HandshakeError):
        ours.receive_data(answer_with(line, ours=ours))


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize(
    ("answer", "status", "reason", "body"),
    [
        (b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0;x=y\r\n", 404, "Not Found", b"no"),
        (b"HTTP/1.1 502 Bad\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 502, "Bad", b"no"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nno", 503, "Busy", b"no"),
        (b"HTTP/1.1 400 Bad Request\nContent-Length: 0\n\n", 400, "Bad Request", b""),
        (b"HTTP/1.1 431 Large\r\nX: " + b"x" * 20_000, 431, "Large", b""),
        (b"HTTP/1.1 403\r\nBad Name: x\r\n\r\n", 403, "", b""),
        (b"HTTP/2 421 \r\n\r\n", 421, "", b""),
        (b"HTTP/1.1 302 Found\r\nLocation: /\x00\r\n\r\n", 302, "Found", b""),
        (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 429 Too Many\nX: y\n\n", 429, "Too Many", b""),
    ],
)
def test_the_status_of_a_refusal_is_known_at_once_whatever_is_wrong_with_the_rest(
    answer: bytes, status: int, reason: str, body: bytes, size: int
) -> None:
    ours = client()
    pieces = iter([answer[start : start + size] for start in range(0, len(answer), size)])
    with pytest.raises(HandshakeError, match=rf"HTTP status {status}\.") as error:
        assert not any(map(ours.receive_data, pieces))
    response = error.value.response
    assert response is not None
    assert (response.status, response.reason, response.body) == (status, reason, body)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 502 Bad\r\nTransfer-Encoding: identity\r\n\r\nall of it", 502),
        (b"HTTP/1.1 503 Busy\r\nX: ha", 503),
        (b"HTTP/1.1 503 Busy\r\n", 503),
        (b"HTTP/1.1 503 Bu", None),
        (b"HTTP/1.1 101 Switching\r\nX: ha", None),
        (b"HTTP/1.1 103 Early Hints\r\nX: ha", None),
        (b"", None),
    ],
)
def test_the_status_of_a_refusal_that_breaks_off_is_known(answer: bytes, status: int | None) -> None:
    ours = client()
    assert ours.receive_data(answer) is None
    with pytest.raises(HandshakeError) as error:
        ours.receive_eof()
    assert (error.value.response and error.value.response.status) == status


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 101 x\n\n", b"HTTP/1.1 2000 x\n", b"HTTP/1.1 20 x\n", b"ICY 404 x\r\n", b"\x15\x03"]
)
def test_what_is_no_refusal_has_no_status(answer: bytes) -> None:
    with pytest.raises(HandshakeError) as error:
        client().receive_data(answer)
    assert error.value.response is None


def test_empty_lines_in_front_are_no_part_of_a_request() -> None:
    handshake = asked(b"\r\n\r\n" + GOOD + b"\x81\x80")
    assert (handshake.received, handshake.rest) == (GOOD + b"\x81\x80", b"\x81\x80")
