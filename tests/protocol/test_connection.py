"""Messages and control frames of a `Connection`, from both roles (RFC 6455 sections 5.4 to 5.6), and what its caller
may do wrong. Broken rules of the peer, closing, compression, and ways to feed it have files of their own.
"""

import array

import pytest

from wscore.codec import CLIENT, SERVER, LocalProtocolError
from wscore.protocol.events import Close, Ping, Pong

from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame
from .connection_pair import ConnectionPair

# Each form of the length field, at its ends (section 5.2).
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 70000]
BUFFERS = [b"\x00\x80", bytearray(b"\x00\x80"), memoryview(b"\x00\x80"), array.array("b", [0, -128])]
# What is no message and no payload, the numbers and lists that JavaScript libraries took for sizes among them.
NO_BUFFERS = [5, 0, None, [1, 2], 1.5, object()]


# Receiving


def test_text_becomes_str(side):
    """Section 5.6."""
    assert side.open().receive_data(side.peer(TEXT, "Grüße, 世界 🎈".encode())) == ["Grüße, 世界 🎈"]


def test_binary_becomes_bytes(side):
    """Section 5.6."""
    [message] = side.open().receive_data(side.peer(BINARY, bytes(range(256))))
    assert message == bytes(range(256))
    assert type(message) is bytes


@pytest.mark.parametrize("size", SIZES)
def test_payloads_of_any_length_are_received(side, size):
    """Section 5.2."""
    payload = bytes(i & 0x7F for i in range(size))
    data = side.peer(BINARY, payload) + side.peer(TEXT, payload)
    assert side.open().receive_data(data) == [payload, payload.decode()]


def test_fragments_become_one_message(side):
    """Section 5.4."""
    connection = side.open()
    assert connection.receive_data(side.peer(TEXT, b"Hel", fin=False)) == []
    assert connection.receive_data(side.peer(CONTINUATION, b"", fin=False)) == []
    assert connection.receive_data(side.peer(CONTINUATION, b"lo")) == ["Hello"]
    assert connection.receive_data(side.peer(BINARY, b"\xff", fin=False) + side.peer(CONTINUATION)) == [b"\xff"]


def test_a_code_point_may_be_cut_between_fragments(side):
    """Section 5.6: only the whole message is UTF-8."""
    first, second = "é".encode()[:1], "é".encode()[1:]
    data = side.peer(TEXT, first, fin=False) + side.peer(CONTINUATION, second)
    assert side.open().receive_data(data) == ["é"]


def test_control_frames_may_stand_between_fragments(side):
    """Section 5.4."""
    data = (
        side.peer(TEXT, b"Hel", fin=False)
        + side.peer(PING, b"1")
        + side.peer(PONG, b"2")
        + side.peer(CONTINUATION, b"lo")
    )
    assert side.open().receive_data(data) == [Ping(b"1"), Pong(b"2"), "Hello"]


def test_a_close_frame_may_stand_between_fragments(side):
    """Section 5.4; the rest of the message does not matter any more."""
    data = side.peer(TEXT, b"Hel", fin=False) + side.peer(CLOSE) + side.peer(CONTINUATION, b"lo")
    assert side.open().receive_data(data) == [Close(1005, "", "peer")]


# Sending


@pytest.mark.parametrize("size", SIZES)
def test_messages_of_any_length_are_sent_in_one_frame(side, size):
    """Section 5.2; the frames are decoded by a reader that insists on lengths in the fewest bytes."""
    connection = side.open()
    connection.send("x" * size)
    connection.send(bytes(size))
    assert side.sent(connection) == [Frame(TEXT, b"x" * size), Frame(BINARY, bytes(size))]


@pytest.mark.parametrize("message", BUFFERS)
def test_any_buffer_is_sent_as_binary(side, message):
    connection = side.open()
    connection.send(message)
    connection.send_fragment(message, fin=False)
    connection.send_fragment(message, fin=True)
    fragments = [Frame(BINARY, b"\x00\x80", fin=False), Frame(CONTINUATION, b"\x00\x80")]
    assert side.sent(connection) == [Frame(BINARY, b"\x00\x80"), *fragments]


def test_text_is_sent_as_utf_8(side):
    """Section 5.6."""
    connection = side.open()
    connection.send("Grüße, 世界 🎈")
    assert side.sent(connection) == [Frame(TEXT, "Grüße, 世界 🎈".encode())]


def test_a_message_is_sent_in_fragments(side):
    """Section 5.4."""
    connection = side.open()
    assert not connection.sending_message
    connection.send_fragment("Hel", fin=False)
    connection.send_fragment("", fin=False)
    assert connection.sending_message
    connection.send_fragment("lo", fin=True)
    assert not connection.sending_message
    frames = [Frame(TEXT, b"Hel", fin=False), Frame(CONTINUATION, fin=False), Frame(CONTINUATION, b"lo")]
    assert side.sent(connection) == frames


def test_a_single_fragment_is_a_whole_message(side):
    connection = side.open()
    connection.send_fragment(b"all", fin=True)
    assert side.sent(connection) == [Frame(BINARY, b"all")]


def test_control_frames_are_sent_between_fragments(side):
    """Section 5.4."""
    connection = side.open()
    connection.send_fragment(b"a", fin=False)
    connection.ping(b"1")
    connection.pong(b"2")
    connection.send_fragment(b"b", fin=True)
    frames = [Frame(BINARY, b"a", fin=False), Frame(PING, b"1"), Frame(PONG, b"2"), Frame(CONTINUATION, b"b")]
    assert side.sent(connection) == frames


def test_output_is_handed_out_once(side):
    connection = side.open()
    assert connection.bytes_to_send == 0
    assert connection.data_to_send() == b""
    assert connection.buffers_to_send() == []
    connection.send("Hello")
    assert connection.bytes_to_send == (7 if side.role is SERVER else 11)
    assert len(connection.data_to_send()) == (7 if side.role is SERVER else 11)
    assert connection.bytes_to_send == 0
    assert connection.data_to_send() == b""


def test_buffers_are_the_same_output_and_large_payloads_of_a_server_are_not_copied(protocol):
    payload = bytes(1 << 20)
    connection, other = protocol.Connection(SERVER), protocol.Connection(SERVER)
    for each in (connection, other):
        each.send("small")
        each.send(payload)
        each.send(b"behind")
    buffers = connection.buffers_to_send()
    assert b"".join(buffers) == other.data_to_send()
    assert any(buffer is payload for buffer in buffers)
    assert connection.bytes_to_send == 0


def test_two_connections_understand_each_other(protocol):
    pair = ConnectionPair(protocol)
    messages = ["", b"", "text", b"\x00" * 70000, "é" * 40000]
    for message in messages:
        pair.client.send(message)
        pair.server.send(message)
    pair.client.ping(b"are you there?")
    pair.exchange()
    assert pair.events[SERVER] == [*messages, Ping(b"are you there?")]
    assert pair.events[CLIENT] == [*messages, Pong(b"are you there?")]


# Ping and Pong


@pytest.mark.parametrize("payload", [b"", b"\x00\xff", b"x" * 125])
def test_a_ping_is_answered_with_its_own_payload(side, payload):
    """Sections 5.5.2 and 5.5.3."""
    connection = side.open()
    assert connection.receive_data(side.peer(PING, payload)) == [Ping(payload)]
    assert connection.bytes_to_send == len(payload) + (2 if side.role is SERVER else 6)
    assert side.sent(connection) == [Frame(PONG, payload)]


def test_a_pong_is_not_answered(side):
    """Section 5.5.3."""
    connection = side.open()
    assert connection.receive_data(side.peer(PONG, b"unasked")) == [Pong(b"unasked")]
    assert side.sent(connection) == []


def test_pongs_stand_before_the_messages_that_wait(side):
    """Section 5.5.2: as soon as is practical."""
    connection = side.open()
    connection.send("first")
    connection.send_fragment("half", fin=False)
    connection.receive_data(side.peer(PING, b"1") + side.peer(PING, b"2"))
    frames = [Frame(PONG, b"1"), Frame(PONG, b"2"), Frame(TEXT, b"first"), Frame(TEXT, b"half", fin=False)]
    assert side.sent(connection) == frames


def test_pongs_stand_before_the_close_frame(side):
    """Section 5.5.1: nothing follows it."""
    connection = side.open()
    connection.receive_data(side.peer(PING, b"1") + side.peer(CLOSE))
    assert side.sent(connection) == [Frame(PONG, b"1"), Frame(CLOSE)]


def test_pongs_come_first_in_buffers_too(side):
    connection = side.open()
    connection.send("message")
    connection.receive_data(side.peer(PING, b"1"))
    pong, *rest = connection.buffers_to_send()
    assert pong[:1] == b"\x8a"
    assert b"".join(rest)[:1] == b"\x81"


def test_sixteen_pongs_wait_and_the_next_replaces_the_oldest(side):
    """Section 5.5.3: one may answer the most recent Pings only."""
    connection = side.open()
    payloads = [str(i).encode() for i in range(17)]
    for payload in payloads[:16]:
        connection.receive_data(side.peer(PING, payload))
    waiting = connection.bytes_to_send
    connection.receive_data(side.peer(PING, payloads[16]))
    assert connection.bytes_to_send == waiting - len(payloads[0]) + len(payloads[16])
    assert side.sent(connection) == [Frame(PONG, payload) for payload in payloads[1:]]


def test_pongs_that_were_taken_wait_no_longer(side):
    connection = side.open()
    for round_ in range(3):
        connection.receive_data(side.peer(PING, b"x") * 16)
        assert side.sent(connection) == [Frame(PONG, b"x")] * 16, round_


def test_without_auto_pong_the_caller_answers(side):
    connection = side.open(auto_pong=False)
    assert connection.receive_data(side.peer(PING, b"1")) == [Ping(b"1")]
    assert side.sent(connection) == []
    connection.pong(b"1")
    assert side.sent(connection) == [Frame(PONG, b"1")]


@pytest.mark.parametrize("payload", [*BUFFERS, b"", b"x" * 125])
def test_pings_and_pongs_carry_up_to_125_bytes(side, payload):
    """Section 5.5."""
    connection = side.open()
    connection.ping(payload)
    connection.pong(payload)
    assert side.sent(connection) == [Frame(PING, bytes(payload)), Frame(PONG, bytes(payload))]


# Misuse by the caller


@pytest.mark.parametrize("name", ["ping", "pong"])
def test_a_longer_payload_of_a_ping_or_pong_is_refused(side, name):
    """Section 5.5."""
    connection = side.open()
    with pytest.raises(LocalProtocolError, match="at most 125 bytes"):
        getattr(connection, name)(bytes(126))
    assert side.sent(connection) == []


@pytest.mark.parametrize("wrong", NO_BUFFERS)
@pytest.mark.parametrize("name", ["send", "ping", "pong", "receive_data"])
def test_what_is_no_buffer_is_refused(side, name, wrong):
    connection = side.open()
    with pytest.raises(TypeError):
        getattr(connection, name)(wrong)
    with pytest.raises(TypeError):
        connection.send_fragment(wrong, fin=True)
    assert side.sent(connection) == []
    assert not connection.sending_message


@pytest.mark.parametrize("name", ["ping", "pong", "receive_data"])
def test_text_is_refused_where_bytes_are_meant(side, name):
    connection = side.open()
    with pytest.raises(TypeError):
        getattr(connection, name)("text")
    assert side.sent(connection) == []


def test_buffers_with_gaps_are_refused(side):
    connection = side.open()
    gaps = memoryview(b"a.b.")[::2]
    for method in (connection.send, connection.ping, connection.receive_data):
        with pytest.raises(TypeError):
            method(gaps)
    assert side.sent(connection) == []


def test_lone_surrogates_are_refused(side):
    """Section 8.1; and a fragment that was refused has not begun a message."""
    connection = side.open()
    with pytest.raises(UnicodeEncodeError):
        connection.send("\ud800")
    with pytest.raises(UnicodeEncodeError):
        connection.send_fragment("\ud800", fin=False)
    assert not connection.sending_message
    connection.send("fine")
    assert side.sent(connection) == [Frame(TEXT, b"fine")]


def test_no_other_message_may_interrupt_one_in_fragments(side):
    """Section 5.4."""
    connection = side.open()
    connection.send_fragment("Hel", fin=False)
    for message in ("other", b"other", side.protocol.prepare("other")):
        with pytest.raises(LocalProtocolError, match="fin=True"):
            connection.send(message)
    connection.send_fragment("lo", fin=True)
    assert side.sent(connection) == [Frame(TEXT, b"Hel", fin=False), Frame(CONTINUATION, b"lo")]


def test_fragments_of_one_message_are_of_one_type(side):
    """Section 5.4."""
    connection = side.open()
    connection.send_fragment("Hel", fin=False)
    with pytest.raises(LocalProtocolError, match="all text or all binary"):
        connection.send_fragment(b"lo", fin=True)
    connection.send_fragment("lo", fin=True)
    assert side.sent(connection) == [Frame(TEXT, b"Hel", fin=False), Frame(CONTINUATION, b"lo")]


@pytest.mark.parametrize("role", ["server", None, 0, 1])
def test_the_role_is_one_of_two_constants(protocol, role):
    with pytest.raises(TypeError, match=r"SERVER or wscore\.CLIENT"):
        protocol.Connection(role)


@pytest.mark.parametrize("limit", ["max_message_size", "max_fragments"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_are_at_least_one(side, limit, value):
    """Zero does not mean that there is none."""
    with pytest.raises(ValueError, match="at least 1"):
        side.open(**{limit: value})


@pytest.mark.parametrize("compression", ["", "Takeover", "deflate", "none"])
def test_the_compression_policy_is_one_of_those_that_there_are(side, compression):
    with pytest.raises(ValueError, match='"takeover", "shared" or "dedicated"'):
        side.open(compression=compression)


# Prepared messages without compression


def test_a_prepared_message_is_sent_to_any_number_of_peers(side):
    """Section 5.3: with another mask key for each, which `sent` sees to."""
    message = side.protocol.prepare("Hello")
    connection = side.open()
    connection.send(message)
    connection.send(message)
    assert side.sent(connection) == [Frame(TEXT, b"Hello")] * 2
    other = side.open()
    other.send(message)
    assert side.sent(other) == [Frame(TEXT, b"Hello")]


def test_a_server_sends_a_prepared_message_without_a_copy(protocol):
    message = protocol.prepare(bytes(1 << 20))
    connections = [protocol.Connection(SERVER) for _ in range(2)]
    for connection in connections:
        connection.send(message)
    [one], [other] = [connection.buffers_to_send() for connection in connections]
    assert one is other


def test_the_two_roles_are_not_interchangeable(protocol):
    """Section 5.1: a server that is sent its own output fails the connection, and so does a client."""
    for role in (SERVER, CLIENT):
        connection, twin = protocol.Connection(role), protocol.Connection(role)
        connection.send("Hello")
        [close] = twin.receive_data(connection.data_to_send())
        assert (close.code, close.origin) == (1002, "local")
