"""The application's two hooks: who is asked what, which answer counts, and that a failure lets nobody in."""

import asyncio
import logging
from collections.abc import Awaitable

import pytest

from wscore.protocol.request import Accept, Page, Refuse, Request
from wscore.session.logs import repeats
from wscore.session.site.application import Application, described
from wscore.session.site.refusals import Refusal
from wscore.session.site.statistics import Tally

UPGRADE = Request("GET", "/chat?token=secret", {"upgrade": "websocket"}, "1.1")
PAGE = Request("GET", "/page", {}, "1.1")


def as_request(request: Request) -> Request:
    from wscore.protocol.headers import Headers

    return Request(request.method, request.target, Headers(request.headers), request.http_version)


def ask(authorize, on_request, request=UPGRADE, tally=None):
    """What the application says in the end."""
    said = Application(authorize, on_request, tally or Tally()).ask(as_request(request))
    if not isinstance(said, Awaitable):
        return said

    async def wait():
        return await said

    return asyncio.run(wait())


def later(value):
    async def hook(request):
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    return hook


def at_once(value):
    def hook(request):
        if isinstance(value, Exception):
            raise value
        return value

    return hook


@pytest.fixture(params=[at_once, later])
def hook(request):
    return request.param


@pytest.fixture(autouse=True)
def forget_repetitions():
    repeats.clear()


@pytest.mark.parametrize("answer", [Accept(user="me"), Refuse(404, "No."), Page()])
def test_without_authorize_on_request_alone_decides(hook, answer):
    assert ask(None, hook(answer)) is answer


@pytest.mark.parametrize("then", [at_once, later])
def test_both_say_what_the_websocket_gets_and_on_request_has_the_last_word(hook, then):
    verdict = Accept("chat", {"X-One": "1"}, "me")
    joined = ask(hook(verdict), then(Accept(None, {"X-Two": "2"})))
    assert (joined.subprotocol, joined.user) == ("chat", "me")
    assert list(joined.headers) == [("X-One", "1"), ("X-Two", "2")]
    assert ask(hook(verdict), then(Accept("other", user="you"))) == Accept("other", {"X-One": "1"}, "you")
    assert ask(hook(verdict), then(Refuse(404, "No."))) == Refuse(404, "No.")


def test_on_request_finds_whom_authorize_let_in(hook):
    seen = []

    def on_request(request):
        seen.append(request.user)
        return Accept()

    assert ask(hook(Accept(user="me")), on_request).user == "me"
    assert seen == ["me"]


def test_whom_authorize_refuses_is_counted_as_that(hook):
    refusal = ask(hook(Refuse(401, "Who?", {"WWW-Authenticate": "Basic"})), at_once(Accept()))
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.sentence, refusal.reason) == (401, "Who?", "unauthorized")
    assert list(refusal.headers) == [("WWW-Authenticate", "Basic")]


def test_only_those_who_want_a_websocket_are_asked_who_they_are():
    assert ask(at_once(Refuse(401, "Who?")), at_once(Page()), PAGE) == Page()


@pytest.mark.parametrize("bad", [None, Page(), True, ValueError("broken")])
def test_an_authorize_that_fails_lets_nobody_in(hook, bad, caplog):
    tally = Tally()
    with caplog.at_level(logging.ERROR, "wscore"):
        answer = ask(hook(bad), at_once(Accept()), tally=tally)
    assert (answer.status, answer.reason, tally.errors) == (500, "error", 1)
    assert "authorize to GET /chat failed" in caplog.text
    assert "secret" not in caplog.text.partition("\n")[0]


@pytest.mark.parametrize("bad", [None, True, ValueError("broken")])
@pytest.mark.parametrize("authorize", [None, at_once(Accept())])
def test_an_on_request_that_fails_lets_nobody_in(hook, bad, authorize, caplog):
    tally = Tally()
    with caplog.at_level(logging.ERROR, "wscore"):
        answer = ask(authorize, hook(bad), tally=tally)
    assert (answer.status, answer.reason, tally.errors) == (500, "error", 1)
    assert "on_request to GET /chat failed" in caplog.text


def test_a_request_in_a_log_has_no_query():
    assert described(as_request(UPGRADE)) == "GET /chat"
    assert described(None) == "a request"
