"""What a `Connection` hands out beside messages (RFC 6455 section 5.5)."""

import pytest

from wscore.adapters.asyncio import errors as adapter
from wscore.codec import CloseCode
from wscore.protocol.events import Close, Ping, Pong
from wscore.transport import errors as transport


@pytest.mark.parametrize("kind", [Ping, Pong])
def test_pings_and_pongs_are_equal_if_their_payloads_are(kind):
    assert kind(b"a") == kind(b"a")
    assert kind(b"a") != kind(b"b")
    assert kind(b"a") != b"a"


def test_a_ping_is_no_pong():
    assert Ping(b"a") != Pong(b"a")


def test_closes_are_equal_if_all_they_say_is():
    assert Close(1000, "bye", "peer") == Close(1000, "bye", "peer")
    assert Close(1000, "bye", "peer") != Close(1001, "bye", "peer")
    assert Close(1000, "bye", "peer") != Close(1000, "", "peer")
    assert Close(1000, "bye", "peer") != Close(1000, "bye", "local")
    assert Close(1000, "bye", "peer") != (1000, "bye", "peer")


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (Ping(b"\x00"), r"Ping(b'\x00')"),
        (Pong(b""), "Pong(b'')"),
        (Close(1000, "bye\n", "peer"), r"Close(1000, 'bye\n', 'peer')"),
    ],
)
def test_events_show_what_they_hold(event, shown):
    assert repr(event) == shown


def test_events_read_well_in_match():
    def describe(event):
        match event:
            case Ping(payload):
                return f"ping {payload!r}"
            case Pong(payload):
                return f"pong {payload!r}"
            case Close(code, reason, origin):
                return f"close {code} {reason} {origin}"

    assert describe(Ping(b"1")) == "ping b'1'"
    assert describe(Pong(b"2")) == "pong b'2'"
    assert describe(Close(1001, "away", "local")) == "close 1001 away local"


def test_codes_are_plain_numbers():
    """What is logged and compared is 1006, not CloseCode.ABNORMAL."""
    for code in (CloseCode.ABNORMAL, 1006):
        assert type(Close(code, "", "lost").code) is int
        for error in (transport.ConnectionClosed(code, "", True), transport.ConnectionLost(code, "")):
            assert type(error.code) is type(error.args[0]) is int
        for error in (adapter.ConnectionClosed(code, "", True), adapter.ConnectionLost(code, "")):
            assert type(error.code) is type(error.args[0]) is int


@pytest.mark.parametrize("event", [Ping(b""), Pong(b""), Close(1000, "", "peer")])
def test_events_can_be_changed_and_so_are_not_hashable_and_keep_nothing_else(event):
    with pytest.raises(TypeError):
        hash(event)
    assert not hasattr(event, "__dict__")
