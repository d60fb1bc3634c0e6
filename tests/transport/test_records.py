"""What the opening handshake settled comes out of its fold as it went in."""

import sys
from dataclasses import replace

import pytest

from wscore.protocol.headers import Headers
from wscore.protocol.request import Client, Request, tell_user
from wscore.protocol.response import Response
from wscore.session.opening.facts import KeptRequest, Opening
from wscore.transport.records import fold, unfold

DISTINCT = Headers.from_distinct({"host": "example.org", "x-name": "J\xe9r\xf4me"})
REPEATED = Headers([("host", "a"), ("cookie", "one=1"), ("cookie", "two=2")])
REQUEST = Request("GET", "/chat?token=x", DISTINCT)


def opening(request: Request, remote: object = ("192.0.2.1", 40_000), **more: object) -> Opening:
    return Opening(request=request, local_address=("0.0.0.0", 443), remote_address=remote, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("headers", [DISTINCT, REPEATED, Headers()])
@pytest.mark.parametrize("remote", [("192.0.2.1", 1), ("2001:db8::1", 1, 0, 3), "/run/peer", b"\0abstract", "", None])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_all_of_it_comes_back(headers: Headers, remote: object, scheme: str) -> None:
    request = Request("GET", "/", headers, client=Client(remote, scheme, "example.org"))
    before = opening(request, remote, subprotocol="chat")
    folded = fold(before)
    assert isinstance(folded, bytes)
    after = unfold(folded)
    assert after == before
    assert after.request is not None
    assert after.request.client == request.client
    assert after.request.headers.get_all("Cookie") == headers.get_all("cookie")


def test_the_user_is_the_same_object_and_the_rest_is_left_out() -> None:
    user = object()
    request = replace(REQUEST)
    tell_user(request, user)
    after = unfold(fold(opening(request, user=user, rest=b"abc")))  # type: ignore[arg-type]
    assert after.request is not None
    assert (after.user, after.request.user, after.rest) == (user, user, b"")


@pytest.mark.parametrize("user", [None, "ada"])
def test_a_request_that_nobody_has_asked_for_is_folded_as_it_came(user: object) -> None:
    kept = KeptRequest(b"GET /chat?token=x HTTP/1.1\r\nHost: a\r\nCookie: one=1\r\nCookie: two=2", "https", "b")
    before = Opening(request=kept, subprotocol="chat", user=user, remote_address=("192.0.2.1", 1), rest=b"abc")
    after = unfold(fold(before))  # type: ignore[arg-type]
    assert after.kept is not None
    assert after == before.without_rest()
    assert before.request is not None
    assert before.request.client == Client(("192.0.2.1", 1), "https", "b")
    assert before.request.headers.get_all("cookie") == ["one=1", "two=2"]
    assert before.request.user == user


def test_it_takes_little_more_than_the_text() -> None:
    folded = fold(opening(REQUEST))
    assert sys.getsizeof(folded) < 33 + sum(len(name) + len(value) + 6 for name, value in DISTINCT) + 100


@pytest.mark.parametrize(
    "before",
    [
        Opening(),
        Opening(response=Response(101, "", Headers())),
        opening(REQUEST, user="another than the request's"),
        opening(REQUEST, remote=object()),
    ],
)
def test_what_cannot_be_folded_stays_as_it_is(before: Opening) -> None:
    assert fold(before) is before
