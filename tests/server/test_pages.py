"""The answer to a plain HTTP request, read back with h11 as a client."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.server.pages import Document, Pages, answer, plain

PAGES: Pages = {
    "/": lambda: Document("text/html; charset=utf-8", b"<p>hello", headers=[("X-Of-The-Page", "yes")]),
    "/draining": lambda: plain(503, "draining"),
}


def read(response: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    client.receive_data(response)
    client.receive_data(b"")
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.their_state is h11.MUST_CLOSE  # nothing but the end of the connection may follow
    return head, body


def ask(target: str, method: str = "GET", more: str = "", body: bytes = b"") -> tuple[h11.Response, bytes]:
    request = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode() + body
    return read(answer(request, PAGES), method)


def header(response: h11.Response, name: bytes) -> bytes | None:
    return dict(response.headers).get(name)


def test_a_page_comes_with_its_type_its_headers_and_the_end_of_the_connection() -> None:
    response, body = ask("/")
    assert (response.status_code, response.reason, body) == (200, b"OK", b"<p>hello")
    assert header(response, b"content-type") == b"text/html; charset=utf-8"
    assert header(response, b"x-of-the-page") == b"yes"
    assert header(response, b"connection") == b"close"
    assert header(response, b"cache-control") == b"no-store"
    assert header(response, b"date") is not None


@pytest.mark.parametrize("target", ["/?a=b", "http://localhost/", "http://localhost", "http://localhost/?x"])
def test_a_query_and_an_absolute_form_lead_to_the_same_page(target: str) -> None:
    assert ask(target)[1] == b"<p>hello"


def test_head_gets_the_headers_of_get_and_no_body() -> None:
    response, body = ask("/", "HEAD")
    assert (response.status_code, body) == (200, b"")
    assert header(response, b"content-length") == b"8"


def test_a_page_may_have_another_status() -> None:
    response, body = ask("/draining")
    assert (response.status_code, body) == (503, b"draining\n")


@pytest.mark.parametrize("target", ["/other", "/draining/", "//", "/%2e", "*", "http://[", "x"])
def test_what_is_not_in_the_table_is_404(target: str) -> None:
    assert ask(target)[0].status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW", "get"])
def test_other_methods_get_405_with_allow_and_their_body_is_never_awaited(method: str) -> None:
    response, _ = ask("/", method, "Content-Length: 1000000\r\n", b"only the beginning")
    assert response.status_code == 405
    assert header(response, b"allow") == b"GET, HEAD"


@pytest.mark.parametrize(
    ("more", "body"),
    [
        ("Content-Length: 5\r\n", b""),
        ("Content-Length: 5\r\n", b"hello"),
        ("Transfer-Encoding: chunked\r\n", b""),
        ("Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        ("Content-Length: 5\r\nExpect: 100-continue\r\n", b""),
    ],
)
def test_a_get_with_a_body_is_413_whether_the_body_is_there_or_not(more: str, body: bytes) -> None:
    assert ask("/", more=more, body=body)[0].status_code == 413


def test_a_second_request_behind_the_first_is_not_answered() -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    response = answer(request + b"GET /draining HTTP/1.1\r\nHost: x\r\n\r\n", PAGES)
    assert response.count(b"HTTP/1.1") == 1


def test_http_1_0_without_host_gets_its_page() -> None:
    assert read(answer(b"GET / HTTP/1.0\r\n\r\n", PAGES))[1] == b"<p>hello"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
    ],
)
def test_what_h11_cannot_read_is_400_and_nothing_of_it_is_repeated(request_bytes: bytes) -> None:
    response, body = read(answer(request_bytes, PAGES))
    assert response.status_code == 400
    assert b"nonsense" not in body


def test_a_transfer_coding_that_h11_does_not_know_is_501() -> None:
    assert ask("/", more="Transfer-Encoding: gzip\r\n")[0].status_code == 501


@given(st.binary(max_size=200))
def test_any_bytes_get_one_whole_response(request_bytes: bytes) -> None:
    response, _ = read(answer(b"GET / HTTP/1.1\r\n" + request_bytes, PAGES))
    assert response.status_code in range(200, 600)
