"""Refusals whose body comes piece by piece: how it is framed, as h11 reads it, and what is refused."""

import h11
import pytest

from wscore import LocalProtocolError
from wscore.protocol.refusal import StreamedRefusal

TEXT = [("content-type", "text/plain")]


def as_h11_reads(response: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a complete response, after which nothing follows."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "example.org")]))
    client.send(h11.EndOfMessage())
    client.receive_data(response)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data[0] == b""
    return head.status_code, {name.decode(): value.decode() for name, value in head.headers}, body


def test_length_of_a_body_that_is_all_there_is_told() -> None:
    refusal = StreamedRefusal(403, TEXT)
    assert refusal.start() == b""
    assert not refusal.begun
    status, headers, body = as_h11_reads(refusal.body(b"no", more=False))
    assert (status, headers["content-length"], body) == (403, "2", b"no")
    assert (headers["connection"], headers["content-type"]) == ("close", "text/plain")
    assert refusal.begun
    assert refusal.complete


def test_pieces_of_unknown_length_go_in_chunks() -> None:
    refusal = StreamedRefusal(401, TEXT)
    pieces = [refusal.start(), *(refusal.body(piece, more=True) for piece in (b"a" * 20, b"", b"b"))]
    assert not refusal.complete
    pieces.append(refusal.body(b"c", more=False))
    status, headers, body = as_h11_reads(b"".join(pieces))
    assert (status, headers["transfer-encoding"], body) == (401, "chunked", b"a" * 20 + b"bc")


def test_a_last_piece_may_be_empty() -> None:
    refusal = StreamedRefusal(401, TEXT)
    assert as_h11_reads(refusal.body(b"a", more=True) + refusal.body(b"", more=False))[2] == b"a"


def test_declared_length_lets_the_head_go_first() -> None:
    refusal = StreamedRefusal(404, [("Content-Length", "3"), ("Connection", "keep-alive"), ("X-Reason", "gone")])
    head = refusal.start()
    assert refusal.begun
    status, headers, body = as_h11_reads(head + refusal.body(b"ab", more=True) + refusal.body(b"c", more=False))
    assert (status, headers["content-length"], headers["x-reason"], body) == (404, "3", "gone", b"abc")
    assert headers["connection"] == "close"


@pytest.mark.parametrize(("piece", "more"), [(b"abcd", True), (b"abcd", False), (b"ab", False)])
def test_body_of_another_length_than_declared_is_an_error(piece: bytes, more: bool) -> None:
    refusal = StreamedRefusal(404, [("content-length", "3")])
    refusal.start()
    with pytest.raises(LocalProtocolError, match="Content-Length"):
        refusal.body(piece, more=more)
    assert refusal.body(b"abc", more=False) == b"abc"


def test_status_without_a_body_has_none() -> None:
    refusal = StreamedRefusal(204, [("content-length", "3")])
    head = refusal.start()
    with pytest.raises(LocalProtocolError):
        refusal.body(b"abc", more=False)
    status, headers, body = as_h11_reads(head + refusal.body(b"", more=False))
    assert (status, body) == (204, b"")
    assert "content-length" not in headers


def test_nothing_follows_the_last_piece() -> None:
    refusal = StreamedRefusal(403, TEXT)
    refusal.body(b"", more=False)
    with pytest.raises(LocalProtocolError, match="complete"):
        refusal.body(b"", more=False)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (199, []),
        (600, []),
        (403, [("a b", "c")]),
        (403, [("a", "b\r\nc: d")]),
        (403, [("content-length", "+3")]),
        (403, [("content-length", "³")]),
    ],
)
def test_what_cannot_be_sent_is_an_error(status: int, headers: list[tuple[str, str]]) -> None:
    with pytest.raises(LocalProtocolError):
        StreamedRefusal(status, headers)
