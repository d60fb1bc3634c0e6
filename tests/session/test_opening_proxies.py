"""A connection of a server behind proxies: the PROXY protocol, forwarded headers, and whose limits count."""

import pytest

from wscore.protocol.request import Accept, Client
from wscore.session.logs import repeats
from wscore.session.opening import Stage
from wscore.session.opening.server import RECEIVE_SIZE
from wscore.session.site.forwarded import TrustedProxies
from wscore.session.site.limits import MAX_TURNED_AWAY, AddressLimits, Limits

from .newcomer import Server, outcome, request

PROXY = ("10.0.0.1", 5000)
HEADER = b"PROXY TCP4 203.0.113.9 192.0.2.1 1234 443\r\n"
LOOK = b"PROXY UNKNOWN\r\n"


def behind_proxies(**more):
    """A server whose proxies begin with a header of the PROXY protocol."""
    proxies = TrustedProxies(["10.0.0.0/8"], proxy_protocol=True)
    return Server(proxies=proxies, proxy_protocol=True, **more)


@pytest.fixture(autouse=True)
def forget_repetitions():
    repeats.clear()


def test_the_header_names_the_client_and_what_follows_is_the_request():
    server = behind_proxies()
    opening = server.comes(PROXY)
    assert (opening.stage, opening.most < RECEIVE_SIZE) == (Stage.HEADER, True)
    opening.received(HEADER[:10])
    opening.received(HEADER[10:] + request())
    assert outcome(opening) == (Stage.OPEN, 101)
    assert opening.opened.remote_address == ("203.0.113.9", 1234)
    assert opening.opened.local_address == ("192.0.2.1", 443)
    assert server.comes().stage is Stage.HEAD


def test_what_follows_the_header_may_be_tls():
    server = behind_proxies()
    opening = server.comes(PROXY, speaks_tls=True)
    opening.received(HEADER + b"hello")
    assert (opening.stage, opening.rest) == (Stage.TLS, b"hello")
    named = server.comes(PROXY)
    named.received(HEADER)
    assert named.stage is Stage.HEAD


def test_the_header_may_tell_of_tls():
    tlv = b"\x20\x00\x05\x01\x00\x00\x00\x00"
    block = bytes([203, 0, 113, 9, 192, 0, 2, 1, 4, 210, 1, 187]) + tlv
    opening = behind_proxies().comes(PROXY)
    opening.received(b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + len(block).to_bytes(2) + block + request())
    assert opening.opened.request.client.scheme == "https"


def half_a_header(opening):
    opening.received(HEADER[:5])
    opening.received_eof()


@pytest.mark.parametrize(
    ("happens", "stage", "counted"),
    [
        (lambda opening: opening.received(b"GET / HTTP/1.1\r\n"), Stage.RESET, {"dropped": {"proxy_header": 1}}),
        (lambda opening: opening.received_eof(), Stage.RESET, {"dropped": {"gone": 1}}),
        (
            lambda opening: (opening.received(b"PROXY"), opening.received_eof()),
            Stage.RESET,
            {"dropped": {"proxy_header": 1}},
        ),
        (lambda opening: opening.time_is(110), Stage.RESET, {"dropped": {"proxy_header": 1}}),
        (lambda opening: opening.turn_away(), Stage.RESET, {"dropped": {"closing": 1}}),
        (lambda opening: opening.give_way(), Stage.RESET, {"dropped": {"crowded": 1}}),
        (lambda opening: (opening.received(LOOK), opening.received_eof()), Stage.CLOSE, {}),
    ],
)
def test_without_a_header_nothing_is_said(happens, stage, counted):
    server = behind_proxies()
    opening = server.comes(PROXY)
    happens(opening)
    assert (opening.stage, opening.output(), server.counted) == (stage, b"", counted)


def test_a_balancer_that_looks_at_tls_is_no_failure():
    for at_end, counted in ((True, {}), (False, {"tls": 1})):
        server = behind_proxies()
        opening = server.comes(PROXY, speaks_tls=True)
        opening.received(LOOK)
        opening.tls_failed(ConnectionResetError(), at_end=at_end)
        assert (opening.stage, server.counted) == (Stage.LINGER, counted)


def test_the_limits_are_those_of_the_client_that_is_named():
    limits = Limits(100, 100, addresses=AddressLimits(1), clock=lambda: 100.0)
    server = behind_proxies(limits=limits)
    for number in range(MAX_TURNED_AWAY + 2):
        opening = server.comes(PROXY)
        opening.received(HEADER + b"GET")
        expected = Stage.HEAD if not number else Stage.LINGER if number <= MAX_TURNED_AWAY else Stage.RESET
        assert opening.stage is expected
    assert server.comes(PROXY).stage is Stage.HEADER


def test_forwarded_headers_of_a_proxy_say_who_asks():
    limits = Limits(100, 100, addresses=AddressLimits(1), clock=lambda: 100.0)
    told = {"X_Forwarded_For": "203.0.113.9", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "example.com"}
    for on_request in (None, lambda _: Accept()):
        server = Server(proxies=TrustedProxies(["10.0.0.0/8"]), limits=limits, on_request=on_request)
        opening = server.comes(PROXY)
        opening.received(request(Origin="https://example.com", **told))
        assert outcome(opening) == (Stage.OPEN, 101)
        assert opening.opened.request.client == Client(("203.0.113.9", 0), "https", "example.com")
        assert opening.opened.remote_address == ("203.0.113.9", 0)
        outcomes = []
        for _ in range(MAX_TURNED_AWAY + 1):
            other = server.comes(PROXY)
            other.received(request(**told))
            outcomes.append(outcome(other))
        assert set(outcomes) == {(Stage.LINGER, 429), (Stage.RESET, None)}
        limits = Limits(100, 100, addresses=AddressLimits(1), clock=lambda: 100.0)


def test_a_header_that_nobody_is_trusted_to_send_is_misuse():
    with pytest.raises(ValueError, match="trusted_proxies"):
        Server(proxy_protocol=True)
