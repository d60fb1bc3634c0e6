"""How a connection ends: the closing handshake from either side and crossing, every close code, and breaking it off
(RFC 6455 sections 5.5.1 and 7).
"""

import pytest

from wscore.codec import CLIENT, SERVER, CloseCode, LocalProtocolError
from wscore.protocol.events import Close, Ping, Pong

from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, close_payload, decode
from .connection_pair import ConnectionPair

# Section 7.4, and IANA's registry of close codes.
SENDABLE = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
ALL_CODES = [*range(5001), 65535]
REFUSED_CODES = sorted(set(ALL_CODES) - SENDABLE)


def in_every_state(side):
    """A connection in each state, with the output that its state brought about taken."""
    states = {}
    for name in ("OPEN", "LOCAL_CLOSING", "REMOTE_CLOSING", "CLOSED"):
        connection = side.open(auto_close=name != "REMOTE_CLOSING")
        if name == "LOCAL_CLOSING":
            connection.close()
        elif name != "OPEN":
            connection.receive_data(side.peer(CLOSE, close_payload(1001)))
        side.sent(connection)
        assert connection.state is side.protocol.State[name]
        states[name] = connection
    return states


# From either side


def test_the_peer_closes_and_is_answered_with_its_own_code(side):
    """Section 5.5.1; our answer needs no reason."""
    connection = side.open()
    close = Close(1001, "going", "peer")
    assert connection.receive_data(side.peer(CLOSE, close_payload(1001, b"going"))) == [close]
    assert connection.close_event == close
    assert connection.state is side.protocol.State.CLOSED
    assert side.sent(connection) == [Frame(CLOSE, close_payload(1001))]


def test_a_close_frame_without_a_code_is_answered_without_one(side):
    """Section 7.1.5: 1005 says so, and is never sent."""
    connection = side.open()
    assert connection.receive_data(side.peer(CLOSE)) == [Close(1005, "", "peer")]
    assert side.sent(connection) == [Frame(CLOSE)]


def test_we_close_and_the_peer_answers(side):
    """Section 7.1.2; the answer's code and reason are the peer's."""
    connection = side.open()
    connection.close(1001, "going")
    assert connection.state is side.protocol.State.LOCAL_CLOSING
    assert connection.close_event is None
    assert side.sent(connection) == [Frame(CLOSE, close_payload(1001, b"going"))]
    assert connection.receive_data(side.peer(CLOSE, close_payload(1001, b"fine"))) == [Close(1001, "fine", "local")]
    assert connection.state is side.protocol.State.CLOSED
    assert side.sent(connection) == []


def test_close_says_1000_by_default(side):
    connection = side.open()
    connection.close()
    assert side.sent(connection) == [Frame(CLOSE, close_payload(1000))]


def test_closing_without_a_code_sends_an_empty_frame(side):
    """Section 5.5.1."""
    connection = side.open()
    connection.close(None)
    assert side.sent(connection) == [Frame(CLOSE)]


@pytest.mark.parametrize("first", [SERVER, CLIENT])
def test_one_end_closes_and_both_know_who(protocol, first):
    pair = ConnectionPair(protocol)
    ends = {SERVER: pair.server, CLIENT: pair.client}
    ends[first].close(3000, "done")
    pair.exchange()
    second = CLIENT if first is SERVER else SERVER
    assert pair.events[first] == [Close(3000, "", "local")]
    assert pair.events[second] == [Close(3000, "done", "peer")]
    assert pair.server.state is pair.client.state is protocol.State.CLOSED


def test_close_frames_may_cross(protocol):
    """Section 7.1.2: each takes the other's for the answer, and nobody answers twice."""
    pair = ConnectionPair(protocol)
    pair.server.close(1001, "going")
    pair.client.close(3000, "done")
    pair.exchange()
    assert pair.events == {SERVER: [Close(3000, "done", "local")], CLIENT: [Close(1001, "going", "local")]}
    assert pair.server.state is pair.client.state is protocol.State.CLOSED
    assert [len(decode(bytes(pair.carried[role]))) for role in (SERVER, CLIENT)] == [1, 1]


def test_messages_still_come_while_we_close(side):
    """Section 7.1.2: until the peer's Close frame."""
    connection = side.open()
    connection.close()
    data = side.peer(TEXT, b"a", fin=False) + side.peer(PONG, b"p") + side.peer(CONTINUATION, b"b") + side.peer(CLOSE)
    assert connection.receive_data(data) == [Pong(b"p"), "ab", Close(1005, "", "local")]


def test_pings_are_answered_until_the_peers_close_frame_has_come(side):
    """Section 5.5.2: only a Close frame of the peer's excuses from a Pong; section 5.5.1 forbids data frames alone."""
    connection = side.open()
    connection.receive_data(side.peer(PING, b"1"))
    connection.close()
    assert side.sent(connection) == [Frame(PONG, b"1"), Frame(CLOSE, close_payload(1000))]
    assert connection.receive_data(side.peer(PING, b"2")) == [Ping(b"2")]
    assert side.sent(connection) == [Frame(PONG, b"2")]


def test_messages_that_wait_are_sent_before_the_close_frame(side):
    connection = side.open()
    connection.send("last words")
    connection.close()
    assert [frame.opcode for frame in side.sent(connection)] == [TEXT, CLOSE]


def test_a_message_in_fragments_may_be_left_unfinished(side):
    """Section 5.4: a Close frame may stand between fragments."""
    connection = side.open()
    connection.send_fragment("half", fin=False)
    connection.close()
    assert [frame.opcode for frame in side.sent(connection)] == [TEXT, CLOSE]
    with pytest.raises(LocalProtocolError, match="closing or closed"):
        connection.send_fragment("done", fin=True)


def test_nothing_is_read_behind_the_peers_close_frame(side):
    """Section 5.5.1."""
    connection = side.open()
    assert connection.receive_data(side.peer(CLOSE) + side.peer(TEXT, b"late") + b"\xff\xff") == [
        Close(1005, "", "peer")
    ]
    assert connection.receive_data(side.peer(TEXT, b"later")) == []
    assert len(side.sent(connection)) == 1


# Codes and reasons


@pytest.mark.parametrize("codes", [sorted(SENDABLE), REFUSED_CODES], ids=["sendable", "refused"])
def test_every_close_code_is_accepted_or_refused_as_the_rfc_says(side, codes):
    """Section 7.4."""
    for code in codes:
        connection = side.open()
        [close] = connection.receive_data(side.peer(CLOSE, close_payload(code)))
        [frame] = side.sent(connection)
        if code in SENDABLE:
            assert close == Close(code, "", "peer")
            assert frame.payload == close_payload(code)
        else:
            assert (close.code, close.origin) == (1002, "local"), code
            assert frame.payload[:2] == close_payload(1002)


def test_every_close_code_that_may_be_sent_can_be(side):
    """Section 7.4."""
    for code in sorted(SENDABLE):
        connection = side.open()
        connection.close(code)
        assert side.sent(connection) == [Frame(CLOSE, close_payload(code))]


def test_a_close_code_may_be_given_by_name(side):
    connection = side.open()
    connection.close(CloseCode.GOING_AWAY)
    assert side.sent(connection) == [Frame(CLOSE, close_payload(1001))]


@pytest.mark.parametrize("method", ["close", "fail"])
def test_no_other_close_code_can_be_sent(side, method):
    """Section 7.4; the connection goes on as if nothing had been asked."""
    connection = side.open()
    for code in [*REFUSED_CODES, -1, 1 << 16, 1 << 64]:
        with pytest.raises(LocalProtocolError, match="this code must not be sent"):
            getattr(connection, method)(code)
    assert connection.state is side.protocol.State.OPEN
    assert side.sent(connection) == []


@pytest.mark.parametrize("method", ["close", "fail"])
@pytest.mark.parametrize("code", ["1000", b"\x03\xe8", 1000.0, 3000.5])
def test_a_close_code_is_an_int(side, method, code):
    connection = side.open()
    with pytest.raises(TypeError):
        getattr(connection, method)(code)
    assert connection.state is side.protocol.State.OPEN
    assert side.sent(connection) == []


@pytest.mark.parametrize("reason", ["x" * 123, "é" * 61, "世" * 41, "🎈" * 30 + "abc"])
def test_a_reason_has_up_to_123_bytes(side, reason):
    """Section 5.5: 125 with the code."""
    connection = side.open()
    connection.close(1000, reason)
    assert side.sent(connection) == [Frame(CLOSE, close_payload(1000, reason.encode()))]
    other = side.open()
    [close] = other.receive_data(side.peer(CLOSE, close_payload(1000, reason.encode())))
    assert close == Close(1000, reason, "peer")


@pytest.mark.parametrize("method", ["close", "fail"])
@pytest.mark.parametrize("reason", ["x" * 124, "é" * 62, "世" * 42, "🎈" * 31])
def test_a_longer_reason_is_refused(side, method, reason):
    """Section 5.5: it is counted in bytes, and never cut."""
    connection = side.open()
    with pytest.raises(LocalProtocolError, match="at most 123 bytes"):
        getattr(connection, method)(1000, reason)
    assert connection.state is side.protocol.State.OPEN
    assert side.sent(connection) == []


@pytest.mark.parametrize("method", ["close", "fail"])
@pytest.mark.parametrize("reason", [b"bye", bytearray(b"bye"), memoryview(b"bye"), None, 5, ["bye"]])
def test_a_reason_is_text(side, method, reason):
    connection = side.open()
    with pytest.raises(TypeError):
        getattr(connection, method)(1000, reason)
    assert connection.state is side.protocol.State.OPEN
    assert side.sent(connection) == []


@pytest.mark.parametrize("method", ["close", "fail"])
def test_a_reason_without_lone_surrogates(side, method):
    connection = side.open()
    with pytest.raises(UnicodeEncodeError):
        getattr(connection, method)(1000, "\ud800")
    assert connection.state is side.protocol.State.OPEN


def test_a_reason_needs_a_code(side):
    """Section 5.5.1: they stand in this order."""
    connection = side.open()
    with pytest.raises(LocalProtocolError, match="needs a code"):
        connection.close(None, "why")
    assert side.sent(connection) == []


def test_breaking_off_needs_a_code(side):
    connection = side.open()
    with pytest.raises(TypeError, match="code"):
        connection.fail(None)
    assert connection.state is side.protocol.State.OPEN
    assert side.sent(connection) == []


@pytest.mark.parametrize("payload", [b"\x00", b"\x03", b"\xff"])
def test_a_close_frame_with_half_a_code_breaks_the_rules(side, payload):
    """Section 5.5.1."""
    connection = side.open()
    [close] = connection.receive_data(side.peer(CLOSE, payload))
    assert (close.code, close.origin) == (1002, "local")
    assert "two bytes of close code" in close.reason
    assert [frame.payload[:2] for frame in side.sent(connection)] == [close_payload(1002)]


@pytest.mark.parametrize("reason", [b"\xff", b"ok\xc3", b"\xed\xa0\x80", b"\xc0\xaf"])
def test_a_reason_that_is_not_utf_8_breaks_the_rules(side, reason):
    """Sections 5.5.1 and 8.1."""
    connection = side.open()
    [close] = connection.receive_data(side.peer(CLOSE, close_payload(1000, reason)))
    assert (close.code, close.origin) == (1007, "local")
    assert [frame.payload[:2] for frame in side.sent(connection)] == [close_payload(1007)]


@pytest.mark.parametrize("payload", [b"\x00", close_payload(1005), close_payload(1000, b"\xff")])
def test_a_bad_answer_to_our_close_frame_is_not_answered(side, payload):
    """Section 7.1.7; our Close frame is out already."""
    connection = side.open()
    connection.close()
    side.sent(connection)
    [close] = connection.receive_data(side.peer(CLOSE, payload))
    assert close.origin == "local"
    assert close.code in (1002, 1007)
    assert side.sent(connection) == []


def test_a_rule_broken_while_we_close_ends_the_connection_in_silence(side):
    connection = side.open()
    connection.close()
    side.sent(connection)
    [close] = connection.receive_data(side.peer(3))
    assert (close.code, close.origin) == (1002, "local")
    assert connection.state is side.protocol.State.CLOSED
    assert side.sent(connection) == []


# Without auto_close


def test_without_auto_close_the_caller_answers_the_peers_close_frame(side):
    connection = side.open(auto_close=False)
    assert connection.receive_data(side.peer(CLOSE, close_payload(1000, b"bye"))) == [Close(1000, "bye", "peer")]
    assert connection.state is side.protocol.State.REMOTE_CLOSING
    assert side.sent(connection) == []
    connection.send("one more thing")
    connection.ping(b"1")
    connection.close(1000, "bye yourself")
    assert connection.state is side.protocol.State.CLOSED
    frames = [Frame(TEXT, b"one more thing"), Frame(PING, b"1"), Frame(CLOSE, close_payload(1000, b"bye yourself"))]
    assert side.sent(connection) == frames
    with pytest.raises(LocalProtocolError):
        connection.close()


def test_without_auto_close_nothing_is_read_behind_the_peers_close_frame_either(side):
    connection = side.open(auto_close=False)
    data = side.peer(CLOSE) + side.peer(PING)
    assert connection.receive_data(data) == [Close(1005, "", "peer")]
    assert connection.receive_data(data) == []
    assert not connection.has_rest
    assert side.sent(connection) == []


def test_without_auto_close_our_own_close_ends_with_the_peers_answer(side):
    connection = side.open(auto_close=False)
    connection.close()
    side.sent(connection)
    assert connection.receive_data(side.peer(CLOSE)) == [Close(1005, "", "local")]
    assert connection.state is side.protocol.State.CLOSED
    assert side.sent(connection) == []


def test_without_auto_close_broken_rules_still_send_a_close_frame(side):
    """Section 7.1.7: nobody is left to be asked."""
    connection = side.open(auto_close=False)
    assert [close.code for close in connection.receive_data(side.peer(3))] == [1002]
    assert len(side.sent(connection)) == 1


# Every method in every state


def test_only_who_has_sent_no_close_frame_may_send(side):
    """Section 5.5.1."""
    for name, connection in in_every_state(side).items():
        calls = [
            lambda each: each.send("a"),
            lambda each: each.send(side.protocol.prepare("a")),
            lambda each: each.send_fragment(b"a", fin=True),
            lambda each: each.ping(b"a"),
            lambda each: each.pong(b"a"),
        ]
        for call in calls:
            if name in ("OPEN", "REMOTE_CLOSING"):
                call(connection)
            else:
                with pytest.raises(LocalProtocolError, match="nothing can be sent any more"):
                    call(connection)
        assert len(side.sent(connection)) == (len(calls) if name in ("OPEN", "REMOTE_CLOSING") else 0)


def test_only_one_close_frame_is_sent(side):
    """Section 5.5.1."""
    for name, connection in in_every_state(side).items():
        if name in ("OPEN", "REMOTE_CLOSING"):
            connection.close()
        else:
            with pytest.raises(LocalProtocolError, match="closing or closed already"):
                connection.close()
        assert len(side.sent(connection)) == (1 if name in ("OPEN", "REMOTE_CLOSING") else 0)


def test_the_end_of_the_bytes_in_every_state(side):
    """Section 7.1.5: a loss unless the peer's Close frame has come. Exactly one `Close` event ends a connection."""
    for name, connection in in_every_state(side).items():
        lost = [Close(1006, "", "lost")] if name in ("OPEN", "LOCAL_CLOSING") else []
        assert connection.receive_eof() == lost, name
        assert connection.close_event == (lost[0] if lost else Close(1001, "", "peer"))
        assert connection.state is side.protocol.State.CLOSED
        assert connection.receive_eof() == []
        assert side.sent(connection) == []


def test_breaking_off_in_every_state(side):
    """Section 7.1.7: a Close frame unless one was sent, a `Close` event unless there was one, and the end."""
    for name, connection in in_every_state(side).items():
        failed = [Close(1011, "no answer", "local")] if name in ("OPEN", "LOCAL_CLOSING") else []
        assert connection.fail(1011, "no answer") == failed, name
        assert connection.close_event == (failed[0] if failed else Close(1001, "", "peer"))
        assert connection.state is side.protocol.State.CLOSED
        frames = [Frame(CLOSE, close_payload(1011, b"no answer"))] if name in ("OPEN", "REMOTE_CLOSING") else []
        assert side.sent(connection) == frames
        assert connection.receive_data(side.peer(BINARY, b"late") + side.peer(CLOSE)) == []
        assert connection.fail(1011) == []
        assert connection.receive_eof() == []
