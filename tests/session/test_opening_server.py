"""A connection of a server from its first byte to the WebSocket or the refusal: each line of the table of stages."""

import logging
from contextvars import ContextVar
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wscore.protocol.handshake
from wscore.protocol.headers import Headers
from wscore.protocol.origin import SitePolicy
from wscore.protocol.request import Accept, Client, Page, Refuse, Request
from wscore.session.logs import repeats
from wscore.session.opening import Opening, Stage
from wscore.session.opening.server import RECEIVE_SIZE, TLS_HANDSHAKE
from wscore.session.rates import Rate
from wscore.session.site.limits import GRACE, MAX_TURNED_AWAY, AddressLimits, Limits
from wscore.session.site.refusals import FULL

from .newcomer import LOCAL, PAGE, PROOF, REMOTE, Server, accept_later, outcome, outcome_of, request, status_of


@pytest.fixture(autouse=True)
def forget_repetitions():
    repeats.clear()


# To the WebSocket


def test_a_good_request_becomes_a_websocket():
    server = Server()
    opening = server.comes()
    assert (opening.stage, opening.deadline, opening.wants_read, opening.most) == (Stage.HEAD, 110, True, RECEIVE_SIZE)
    opening.received(request() + b"frames")
    assert opening.stage is Stage.OPEN
    assert PROOF in opening.output()
    assert opening.output() == b""
    assert (opening.deadline, opening.wants_read, opening.deflate) == (inf, False, None)
    settled = opening.opened
    assert (settled.local_address, settled.remote_address, settled.rest) == (LOCAL, REMOTE, b"frames")
    assert (settled.request.path, settled.request.query) == ("/chat", "room=1")
    assert settled.request.client == Client(REMOTE, "http", None)
    assert settled.request is settled.request
    assert server.counted == {}
    assert server.limits.handshakes == 0


def test_a_request_that_nobody_asks_for_is_not_made(monkeypatch):
    def never(*_):
        raise AssertionError

    server = Server(options={"compression": "shared"}, subprotocols=["chat"])
    opening = server.comes()
    with monkeypatch.context() as patched:
        patched.setattr(wscore.protocol.handshake, "Request", never)
        patched.setattr(Headers, "__init__", never)
        patched.setattr(Headers, "from_distinct", never)
        fields = {"Sec_WebSocket_Extensions": "permessage-deflate", "Sec_WebSocket_Protocol": "a, chat"}
        opening.received(request(Origin="http://example.org", **fields))
    assert opening.stage is Stage.OPEN
    assert opening.opened.subprotocol == "chat"
    assert opening.deflate is not None
    assert opening.opened.request.headers.get("Origin") == "http://example.org"


def test_there_need_be_no_limits_nor_any_account_of_memory():
    server = Server(is_counted=False)
    opening = server.comes(placed=False, is_encrypted=True)
    opening.received(request())
    assert outcome(opening) == (Stage.OPEN, 101)


def test_whoever_is_authorized_is_accepted_where_nobody_else_is_asked():
    opening = Server(authorize=lambda _: Accept(user="me")).comes()
    opening.received(request())
    assert (opening.stage, opening.opened.user) == (Stage.OPEN, "me")


def test_a_request_with_repeated_fields_is_kept_as_well():
    opening = Server().comes()
    opening.received(request().replace(b"\r\n\r\n", b"\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n"))
    assert opening.stage is Stage.OPEN
    assert opening.opened.request.headers.get_all("cookie") == ["a=1", "b=2"]


PIECES = st.lists(st.tuples(st.integers(1, 120), st.sampled_from([0.0, 0.0, 0.1, 4.0])))


@given(PIECES, st.booleans(), st.sampled_from([b"", b"frames"]))
def test_a_head_may_come_in_any_pieces_as_long_as_there_is_time(pieces, is_hooked, rest):
    server = Server(on_request=accept_later if is_hooked else None)
    opening = server.comes()
    head, whole, sent, asked, thinking = len(request()), request() + rest, 0, False, None
    for size, pause in [*pieces, (len(request()), 0.0)]:
        if opening.stage >= Stage.OPEN:
            break
        opening.received(whole[sent : sent + size])
        sent = min(sent + size, len(whole))
        asked = sent >= head
        thinking = opening.question() or thinking
        assert (opening.stage >= Stage.HOOK) == asked
        server.now += pause
        opening.time_is(server.now)
    if thinking is not None:
        assert (opening.stage is Stage.HOOK) == (server.now < 110)
        opening.answered(outcome_of(thinking))
    stage, status = outcome(opening)
    if status == 101:
        assert (stage, opening.opened.rest, server.counted) == (Stage.OPEN, whole[head:sent], {})
    else:
        reason = "slow_answer" if asked else "slow_request"
        assert (stage, status) == (Stage.LINGER, 503 if asked else 408)
        assert (server.now >= 110, is_hooked or not asked) == (True, True)
        assert server.counted == {"refused": {reason: 1}}
    assert server.limits.handshakes == 0


# The head


@pytest.mark.parametrize(
    ("status", "reason", "head"),
    [
        (400, "malformed", request(Sec_WebSocket_Key="short")),
        (400, "malformed", b"\x16\x03\x01"),
        (405, "malformed", request("POST / HTTP/1.1")),
        (426, "malformed", request(Sec_WebSocket_Version="8")),
        (426, "no_upgrade", PAGE),
        (403, "origin", request(Origin="http://evil.example")),
        (403, "host", request(Host="evil.example")),
    ],
)
@pytest.mark.parametrize("on_request", [None, lambda _: Accept()])
def test_a_bad_head_is_refused(status, reason, head, on_request, caplog):
    server = Server(sites=SitePolicy(None, ["example.org"]), on_request=on_request)
    opening = server.comes()
    with caplog.at_level(logging.INFO, "wscore"):
        opening.received(head)
    assert outcome(opening) == (Stage.LINGER, status)
    assert server.counted == {"refused": {reason: 1}}
    assert server.tally.refusals == {status: 1}
    assert f"refused with {status}" in caplog.text
    assert opening.deadline == inf
    assert server.limits.handshakes == 0


def test_refusals_have_a_date():
    opening = Server().comes()
    opening.received(PAGE)
    assert b"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in opening.output()


def test_half_a_head_is_answered_and_silence_is_not():
    server = Server()
    for start, expected in (
        (b"GET / HT", (Stage.LINGER, 400)),
        (b"\r\n", (Stage.CLOSE, None)),
        (b"", (Stage.CLOSE, None)),
    ):
        opening = server.comes()
        if start:
            opening.received(start)
        opening.received_eof()
        assert outcome(opening) == expected
    assert server.counted == {"refused": {"malformed": 1}, "dropped": {"gone": 2}}


def test_rules_may_differ_by_the_address_that_was_reached():
    policies = {LOCAL: SitePolicy(None, ["example.org"])}
    for on_request in (None, lambda _: Accept()):
        server = Server(sites_at=policies.__getitem__, on_request=on_request)
        for host, expected in (("example.org", (Stage.OPEN, 101)), ("evil.example", (Stage.LINGER, 403))):
            opening = server.comes()
            opening.received(request(Host=host))
            assert outcome(opening) == expected


def test_pages_without_tls_are_others_where_the_client_came_by_tls():
    for encrypted, expected in ((False, (Stage.OPEN, 101)), (True, (Stage.LINGER, 403))):
        opening = Server().comes(is_encrypted=encrypted)
        opening.received(request(Origin="http://example.org"))
        assert outcome(opening) == expected


# Hooks


def test_a_hook_gets_the_request_and_its_answer_counts():
    seen = []

    def on_request(asked):
        seen.append(asked)
        return Accept(user="me", headers={"X-Room": "1"})

    server = Server(on_request=on_request)
    opening = server.comes()
    opening.received(request())
    assert b"\r\nX-Room: 1\r\n" in opening.output()
    assert opening.stage is Stage.OPEN
    assert (opening.opened.user, opening.opened.request) == ("me", seen[0])
    assert seen[0] is opening.opened.request
    assert seen[0].client == Client(REMOTE, "http", None)


def test_hooks_and_pages_run_in_the_context_of_the_connection():
    variable = ContextVar("variable", default="another's")

    def on_request(asked):
        variable.set("its own")
        return Page()

    server = Server(on_request=on_request, page=lambda _: variable.get().encode())
    opening = server.comes(in_context=True)
    opening.received(request())
    assert opening.output() == b"its own"
    assert variable.get() == "another's"


def test_while_a_hook_thinks_what_comes_is_for_the_websocket():
    server = Server(on_request=accept_later)
    opening = server.comes()
    opening.received(request() + b"a")
    assert (opening.stage, opening.output(), opening.wants_read) == (Stage.HOOK, b"", True)
    opening.received(b"b" * 20_000)
    assert not opening.wants_read
    opening.answered(outcome_of(opening.question()))
    assert outcome(opening) == (Stage.OPEN, 101)
    assert opening.opened.rest == b"a" + b"b" * 20_000


def test_who_goes_while_a_hook_thinks_is_not_waited_for_unless_it_wants_a_page():
    server = Server(on_request=accept_later)
    for head, stage in ((request(), Stage.CLOSE), (PAGE, Stage.HOOK)):
        opening = server.comes()
        opening.received(head)
        thinking = opening.question()
        opening.received_eof()
        assert opening.stage is stage
        outcome_of(thinking)
    opening.answered(Refuse(404, "No."))
    assert outcome(opening) == (Stage.LINGER, 404)
    assert server.counted == {"dropped": {"gone": 1}, "refused": {"application": 1}}


def test_an_answer_that_comes_too_late_is_not_given():
    server = Server(on_request=accept_later)
    opening = server.comes()
    opening.received(request())
    thinking = opening.question()
    opening.time_is(109.9)
    assert opening.stage is Stage.HOOK
    opening.time_is(110.0)
    assert outcome(opening) == (Stage.LINGER, 503)
    opening.answered(Accept())
    assert outcome(opening) == (Stage.LINGER, None)
    outcome_of(thinking)
    assert server.counted == {"refused": {"slow_answer": 1}}


def test_an_answer_that_cannot_be_given_is_a_failure(caplog):
    for hook, page in (
        (lambda _: Accept("not offered"), None),
        (lambda _: Page(), None),
        (lambda _: Page(), lambda _: 1 / 0),
    ):
        repeats.clear()
        server = Server(on_request=hook, page=page)
        opening = server.comes()
        opening.received(request())
        assert outcome(opening) == (Stage.LINGER, 500)
        assert (server.counted["refused"], server.counted["errors"]) == ({"error": 1}, 1)
    assert "the answer to GET /chat failed" in caplog.text


def test_pages_are_answered_where_there_are_any():
    server = Server(page=lambda received: b"HTTP/1.1 200 OK\r\n\r\n" + received[:9], has_pages=True)
    opening = server.comes()
    opening.received(PAGE)
    assert (opening.stage, opening.output()) == (Stage.LINGER, b"HTTP/1.1 200 OK\r\n\r\nGET /page")
    opening.closed()
    upgraded = server.comes()
    upgraded.received(request())
    assert outcome(upgraded) == (Stage.OPEN, 101)
    assert server.counted == {"pages": 1}


def test_what_is_no_exception_goes_to_the_caller():
    def on_request(_):
        raise KeyboardInterrupt

    server = Server(on_request=on_request)
    opening = server.comes()
    with pytest.raises(KeyboardInterrupt):
        opening.received(request())
    opening.closed("error")
    assert server.counted == {"dropped": {"error": 1}}


# Limits


def test_above_the_limit_it_is_said_at_once():
    server = Server(limits=Limits(1, 10, clock=lambda: 100.0))
    server.comes()
    opening = server.comes()
    assert outcome(opening) == (Stage.LINGER, 503)
    opening.received(request())
    opening.received_eof()
    opening.time_is(inf)
    opening.turn_away()
    opening.give_way()
    opening.tls_is_up()
    assert outcome(opening) == (Stage.LINGER, None)
    assert server.counted == {"refused": {"full": 1}}


def test_of_an_address_with_too_many_a_few_are_told_and_others_dropped():
    server = Server(limits=Limits(100, 100, addresses=AddressLimits(1, Rate(1000)), clock=lambda: 100.0))
    server.comes()
    told = [server.comes() for _ in range(MAX_TURNED_AWAY)]
    assert {outcome(opening) for opening in told} == {(Stage.LINGER, 429)}
    assert outcome(server.comes()) == (Stage.RESET, None)
    assert server.comes(("203.0.113.1", 1)).stage is Stage.HEAD
    assert server.counted == {"refused": {"address_connections": 32}, "dropped": {"address_connections": 1}}


def test_who_is_too_many_learns_when_to_try_again_unless_the_server_is_full():
    limits = Limits(1, 10, addresses=AddressLimits(1), clock=lambda: 100.0)
    server = Server(limits=limits)
    server.comes()
    assert server.comes().output().startswith(b"HTTP/1.1 503 ")
    one = Server(limits=Limits(5, 10, addresses=AddressLimits(1), clock=lambda: 100.0))
    one.comes()
    assert b"\r\nRetry-After: 10\r\n" in one.comes().output()


def test_where_memory_is_short_websockets_are_refused_and_pages_are_not():
    server = Server(page=lambda _: b"HTTP/1.1 200 OK\r\n\r\n", has_pages=True)
    server.buffers.is_over = True
    for head, status in ((request(), 503), (PAGE, 200)):
        opening = server.comes()
        opening.received(head)
        assert outcome(opening) == (Stage.LINGER, status)
    assert server.counted == {"refused": {"memory": 1}, "pages": 1}


def test_who_waits_for_its_peer_gives_way():
    clock = [100.0]
    server = Server(limits=Limits(10, 1, clock=lambda: clock[0]))
    opening = server.comes()
    clock[0] += GRACE
    other = server.comes()
    assert outcome(opening) == (Stage.CLOSE, 503)
    other.received(request())
    assert other.stage is Stage.OPEN
    assert server.counted == {"refused": {"crowded": 1}}


def test_who_has_asked_does_not_give_way():
    clock = [100.0]
    server = Server(limits=Limits(10, 1, clock=lambda: clock[0]), on_request=accept_later)
    opening = server.comes()
    opening.received(request())
    clock[0] += GRACE
    server.comes()
    opening.give_way()
    assert opening.stage is Stage.HOOK
    outcome_of(opening.question())


def test_a_verdict_of_the_drivers_own_is_said_to_any_good_request():
    for head, status in ((request(), 503), (PAGE, 503), (request(Sec_WebSocket_Key="short"), 400)):
        opening = Server().comes(verdict=FULL)
        assert opening.stage is Stage.HEAD
        opening.received(head)
        assert outcome(opening) == (Stage.LINGER, status)


# TLS


def test_tls_comes_before_the_head_and_what_it_takes_is_held():
    server = Server()
    opening = server.comes(speaks_tls=True)
    assert (opening.stage, opening.rest, server.buffers.held) == (Stage.TLS, b"", TLS_HANDSHAKE)
    opening.tls_is_up()
    assert (opening.stage, server.buffers.held) == (Stage.HEAD, TLS_HANDSHAKE)
    opening.received(request())
    assert outcome(opening) == (Stage.OPEN, 101)
    assert server.buffers.held == 0
    assert opening.opened.request.client == Client(REMOTE, "https", None)
    opening.tls_failed(OSError("too late"))
    assert (opening.stage, server.counted) == (Stage.OPEN, {})


@pytest.mark.parametrize(
    ("happens", "stage", "counted"),
    [
        (lambda opening: opening.tls_failed(OSError("a cipher")), Stage.LINGER, {"tls": 1}),
        (lambda opening: opening.tls_failed(OSError(), at_end=True), Stage.LINGER, {"tls": 1}),
        (lambda opening: opening.time_is(110), Stage.CLOSE, {"tls": 1}),
        (lambda opening: opening.turn_away(), Stage.CLOSE, {"dropped": {"closing": 1}}),
        (lambda opening: opening.give_way(), Stage.RESET, {"dropped": {"crowded": 1}}),
        (lambda opening: opening.closed(), Stage.CLOSE, {"dropped": {"gone": 1}}),
    ],
)
def test_without_tls_nothing_can_be_said(happens, stage, counted):
    server = Server()
    opening = server.comes(speaks_tls=True)
    happens(opening)
    opening.closed()
    assert (opening.stage, opening.output(), server.counted) == (stage, b"", counted)
    assert server.buffers.held == 0


def test_what_is_refused_anyway_is_told_once_tls_is_up():
    server = Server(limits=Limits(1, 10, clock=lambda: 100.0))
    server.comes()
    opening = server.comes(speaks_tls=True)
    assert opening.stage is Stage.TLS
    opening.tls_is_up()
    assert outcome(opening) == (Stage.LINGER, 503)


# The end of the server, of the peer, of the time


@pytest.mark.parametrize("on_request", [None, accept_later])
def test_a_server_that_closes_waits_for_nobody_and_lets_nobody_in(on_request):
    server = Server(on_request=on_request)
    waits, asks, early = server.comes(), server.comes(), server.comes(speaks_tls=True)
    if on_request is not None:
        asks.received(request())
    server.admission.close()
    for opening in (waits, asks):
        opening.turn_away()
    early.tls_is_up()
    late = server.comes()
    if on_request is not None:
        asks.answered(outcome_of(asks.question()))
    assert {outcome(opening) for opening in (waits, asks, early, late)} == {(Stage.LINGER, 503)}
    assert server.counted == {"refused": {"closing": 4}}


def test_without_hooks_a_request_that_comes_with_the_end_of_the_server_is_turned_away():
    server = Server()
    opening = server.comes()
    server.admission.close()
    opening.received(request())
    assert outcome(opening) == (Stage.LINGER, 503)


def test_who_has_not_asked_in_time_is_told():
    server = Server(options={"handshake_timeout": 2.5})
    opening = server.comes()
    opening.received(b"GET /")
    opening.time_is(102.4)
    assert opening.stage is Stage.HEAD
    opening.time_is(102.5)
    assert outcome(opening) == (Stage.LINGER, 408)
    assert server.counted == {"refused": {"slow_request": 1}}


def test_a_websocket_that_cannot_even_be_told_so_has_gone():
    server = Server()
    opening = server.comes()
    opening.received(request())
    opening.closed()
    opening.closed("error")
    assert opening.stage is Stage.CLOSE
    assert server.counted == {"dropped": {"gone": 1}}


# What was settled


def test_what_was_settled_can_be_compared_and_shown():
    asked = Request("GET", "/", Headers())
    one, two = Opening(request=asked, rest=b"abc"), Opening(request=asked, rest=b"abc")
    assert one == two
    assert one != one.without_rest()
    assert one != 5
    assert one.without_rest().rest == b""
    assert one.without_rest().without_rest().request is asked
    assert (one.kept, status_of(b"HTTP/1.1 101 ")) == (None, 101)
    assert "GET" in repr(one)
