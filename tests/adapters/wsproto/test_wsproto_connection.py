"""Messages, control frames and states, by wsproto's rules; with other people's extensions it is all the same."""

import dataclasses
import pickle
import tracemalloc

import pytest

from wscore.adapters.wsproto import Limits
from wscore.adapters.wsproto.connection import ConnectionState
from wscore.adapters.wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
from wscore.adapters.wsproto.frame_protocol import CloseReason
from wscore.adapters.wsproto.utilities import LocalProtocolError
from wscore.codec import DEFLATE_LIBRARY

from ...wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, close_payload, decode
from .peers import Shout, deflate, receive

# None, and one with which every frame is looked at.
EXTENSIONS = pytest.mark.parametrize("extensions", [(), (Shout,)], ids=["codec", "frames"])


@pytest.fixture(params=[(), (Shout,)], ids=["codec", "frames"])
def connection(peers, request):
    return peers.connection(*(make() for make in request.param))


def test_whole_messages_are_one_event_each(peers, connection):
    data = peers.frame(TEXT, "żółw".encode()) + peers.frame(BINARY, b"\x00" * 200) + peers.frame(TEXT)
    assert receive(connection, data) == [TextMessage("żółw"), BytesMessage(b"\x00" * 200), TextMessage("")]


def test_what_comes_late_comes_in_parts(peers, connection):
    first = peers.frame(TEXT, "aé".encode(), fin=False)
    assert receive(connection, first[:-1]) == [TextMessage("a", frame_finished=False, message_finished=False)]
    assert receive(connection, first[-1:]) == [TextMessage("é", message_finished=False)]
    assert receive(connection, peers.frame(PING, b"p")) == [Ping(b"p")]
    assert receive(connection, peers.frame(CONTINUATION, fin=False)) == [TextMessage("", message_finished=False)]
    assert receive(connection, peers.frame(CONTINUATION, b"z")) == [TextMessage("z")]


def test_large_messages_come_whole_too(peers, connection):
    payload = bytes(range(256)) * 1024
    assert receive(connection, peers.frame(BINARY, payload)) == [BytesMessage(payload)]


@pytest.mark.parametrize("extra", [(), (Shout,)])
def test_compressed_messages_come_inflated(peers, extra):
    sender, receiver = peers.other(deflate(), *(each() for each in extra)), peers.connection(deflate())
    if extra:
        receiver = peers.connection(deflate(), Shout())
    for text in ("the same " * 20, "the same " * 20, "", "x" * 300_000):
        frames = sender.send(TextMessage(text))
        # zlib-ng's fastest level needs 2,855.
        assert len(frames) < (3000 if "zlib-ng" in DEFLATE_LIBRARY else 2000)
        assert "".join(event.data for event in receive(receiver, frames)).rstrip("!").lower() == text


def test_fragments_can_be_compressed(peers):
    sender, receiver = peers.other(deflate()), peers.connection(deflate())
    first = sender.send(BytesMessage(b"first", message_finished=False))
    assert receive(receiver, first) == [BytesMessage(b"first", message_finished=False)]
    assert receive(receiver, sender.send(BytesMessage(b"last"))) == [BytesMessage(b"last")]


def test_other_people_s_extensions_see_each_frame(peers):
    connection = peers.connection(Shout())
    data = peers.frame(TEXT, b"hey ", fin=False, rsv=1) + peers.frame(CONTINUATION, b"you", rsv=1)
    assert receive(connection, data) == [TextMessage("HEY ", message_finished=False), TextMessage("YOU!")]
    assert receive(connection, peers.frame(TEXT, b"quiet")) == [TextMessage("quiet")]
    [frame] = decode(connection.send(TextMessage("x")))
    assert frame.rsv == 1
    assert receive(connection, peers.frame(TEXT, b"x", rsv=2))[0].code is CloseReason.PROTOCOL_ERROR


def test_an_extension_that_is_not_enabled_takes_no_part(peers):
    disabled = Shout()
    disabled.enabled = lambda: False
    connection = peers.connection(disabled)
    assert decode(connection.send(TextMessage("x")))[0].rsv == 0
    assert receive(connection, peers.frame(TEXT, b"x", rsv=1))[0].code is CloseReason.PROTOCOL_ERROR


def test_sending_frames_by_the_letter(peers, connection):
    rsv = 1 if connection._proto.extensions else 0
    calls = [
        (TextMessage("é", message_finished=False), Frame(TEXT, "é".encode(), False, rsv)),
        (Ping(b"now"), Frame(PING, b"now")),
        (Pong(), Frame(PONG)),
        (TextMessage("x"), Frame(CONTINUATION, b"x", True, rsv)),
        (BytesMessage(bytearray(b"y")), Frame(BINARY, b"y", True, rsv)),
        (BytesMessage(memoryview(b"z")), Frame(BINARY, b"z", True, rsv)),
        (BytesMessage(bytes(70_000)), Frame(BINARY, bytes(70_000), True, rsv)),
    ]
    for event, expected in calls:
        sent = connection.send(event)
        assert type(sent) is bytes
        [frame] = decode(sent)
        assert (frame.key is not None) is peers.client
        assert (frame.opcode, frame.payload, frame.fin, frame.rsv) == (
            expected.opcode,
            expected.payload,
            expected.fin,
            expected.rsv,
        )


@pytest.mark.parametrize("size", [0, 1023, 1024, 70_000])
def test_texts_of_any_size_are_utf8(peers, connection, size):
    for text in ("x" * size, "é" * size):
        [frame] = decode(connection.send(TextMessage(text)))
        assert (frame.opcode, frame.payload) == (TEXT, text.encode())
    with pytest.raises(UnicodeEncodeError):
        connection.send(TextMessage("x" * size + "\ud800"))


def test_what_cannot_be_sent_is_an_error_and_sends_nothing(connection):
    connection.send(TextMessage("text", message_finished=False))
    for event in (BytesMessage(b"bytes"), Message(5), Message({})):
        with pytest.raises(TypeError):
            connection.send(event)
    with pytest.raises(ValueError, match="125"):
        connection.send(Ping(b"x" * 126))
    with pytest.raises(LocalProtocolError, match="cannot be sent"):
        connection.send(object())
    [frame] = decode(connection.send(TextMessage("end")))
    assert frame.opcode == CONTINUATION


# Closing


def test_the_peer_closes(peers, connection):
    data = peers.frame(TEXT, b"last") + peers.frame(PING) + peers.frame(CLOSE, close_payload(1001, b"bye"))
    connection.receive_data(data + peers.frame(TEXT, b"too late"))
    events = connection.events()
    assert [next(events), next(events)] == [TextMessage("last"), Ping()]
    assert connection.state is ConnectionState.OPEN
    assert connection.send(Pong())
    close = next(events)
    assert close == CloseConnection(1001, "bye")
    assert close.code is CloseReason.GOING_AWAY
    assert connection.state is ConnectionState.REMOTE_CLOSING
    assert list(events) == []
    assert receive(connection, peers.frame(TEXT, b"ignored")) == []
    with pytest.raises(LocalProtocolError):
        connection.send(TextMessage("x"))
    [frame] = decode(connection.send(close.response()))
    assert (frame.opcode, frame.payload) == (CLOSE, close_payload(1001, b"bye"))
    assert connection.state is ConnectionState.CLOSED
    with pytest.raises(LocalProtocolError, match="closed"):
        connection.receive_data(b"")


def test_we_close(peers, connection):
    [frame] = decode(connection.send(CloseConnection(4000, "x" * 200)))
    assert frame.payload == close_payload(4000, b"x" * 123)
    assert connection.state is ConnectionState.LOCAL_CLOSING
    assert receive(connection, peers.frame(TEXT, b"still")) == [TextMessage("still")]
    with pytest.raises(LocalProtocolError):
        connection.send(CloseConnection(1000))
    assert receive(connection, peers.frame(CLOSE)) == [CloseConnection(1005, "")]
    assert connection.state is ConnectionState.CLOSED


def test_a_long_reason_is_cut_between_code_points(connection):
    [frame] = decode(connection.send(CloseConnection(1000, "é" * 100)))
    assert frame.payload[2:].decode() == "é" * 61


@pytest.mark.parametrize(("code", "sent"), [(1005, b""), (None, b""), (1006, b"\x03\xe8"), (1015, b"\x03\xe8")])
def test_codes_that_only_describe_are_not_sent(connection, code, sent):
    [frame] = decode(connection.send(CloseConnection(code)))
    assert frame.payload == sent


@pytest.mark.parametrize("code", [0, 999, 1004, 1016, 2999, 5000, 70_000])
def test_codes_that_nobody_may_send_are_an_error(connection, code):
    with pytest.raises(LocalProtocolError):
        connection.send(CloseConnection(code))
    assert connection.state is ConnectionState.OPEN
    with pytest.raises(TypeError):
        connection.send(CloseConnection(None, "a reason needs a code"))


def test_the_end_of_the_bytes_is_a_loss(connection):
    assert receive(connection, None) == [CloseConnection(1006)]
    assert connection.state is ConnectionState.CLOSED


@pytest.mark.parametrize(
    ("opcode", "payload", "options", "code"),
    [
        (TEXT, b"\xff", {}, 1007),
        (TEXT, b"\xe2\x82", {}, 1007),
        (CLOSE, b"\x03", {}, 1002),
        (CLOSE, close_payload(1005), {}, 1002),
        (CLOSE, close_payload(1000, b"\xff"), {}, 1007),
        (CONTINUATION, b"", {}, 1002),
        (3, b"", {}, 1002),
        (PING, b"", {"fin": False}, 1002),
        (PING, b"x" * 126, {}, 1002),
        (TEXT, b"", {"rsv": 4}, 1002),
    ],
)
def test_a_broken_rule_is_a_close_event_with_its_code(peers, connection, opcode, payload, options, code):
    data = peers.frame(BINARY, b"before") + peers.frame(opcode, payload, **options) + peers.frame(TEXT, b"after")
    *before, close = receive(connection, data)
    assert before[0] == BytesMessage(b"before")
    assert close.code is CloseReason(code)
    assert 0 < len(close.reason) < 123
    assert receive(connection, peers.frame(TEXT, b"more")) == []
    # As wsproto has it, it is for the caller to close.
    assert connection.state is ConnectionState.OPEN
    [frame] = decode(connection.send(close.response()))
    assert frame.payload == close_payload(code, close.reason.encode())


def test_frames_of_a_wrong_mask_break_the_connection(peers, connection):
    wrong = type(peers)(not peers.client).frame(TEXT, b"x")
    [close] = receive(connection, wrong)
    assert close.code is CloseReason.PROTOCOL_ERROR
    assert "masked" in close.reason


@pytest.mark.parametrize(("header", "rule"), [(b"\x82\x7e\x00\x05", "fewest"), (b"\x82\x7f" + b"\x80" * 8, "64-bit")])
def test_lengths_keep_the_rules(peers, connection, header, rule):
    if not peers.client:
        header = header[:1] + bytes([header[1] | 0x80]) + header[2:] + bytes(4)
    [close] = receive(connection, header)
    assert rule in close.reason


# Taking events


def test_events_that_were_left_come_with_the_next_call(peers, connection):
    connection.receive_data(b"".join(peers.frame(TEXT, b"%d" % i) for i in range(5)))
    for event in connection.events():
        assert event == TextMessage("0")
        break
    connection.receive_data(peers.frame(PING, b"six")[:4])
    connection.receive_data(peers.frame(PING, b"six")[4:] + peers.frame(TEXT, b"7"))
    assert [getattr(event, "data", event) for event in connection.events()] == [*"1234", Ping(b"six"), "7"]
    assert list(connection.events()) == []


def test_bytes_may_come_one_by_one_and_in_any_buffer(peers, connection):
    data = peers.frame(TEXT, "é€".encode()) + peers.frame(CLOSE, close_payload(1000))
    events = []
    for i in range(len(data)):
        byte = bytearray(data[i : i + 1])
        connection.receive_data(byte)
        byte[0] ^= 0xFF  # it was copied
        events += connection.events()
    assert "".join(event.data for event in events[:-1]) == "é€"
    assert events[-1] == CloseConnection(1000, "")


def test_what_piles_up_unread_is_read_in_order(peers, connection):
    for i in range(200):
        connection.receive_data(peers.frame(TEXT, b"%d" % i) + peers.frame(PING))
    assert [event.data for event in connection.events() if isinstance(event, TextMessage)] == list(map(str, range(200)))


def test_what_was_read_is_not_kept_where_something_always_is_left(peers, connection):
    ping = peers.frame(PING, b"x" * 125)
    connection.receive_data(ping * 2)

    def go_on(times):
        for _ in range(times):
            assert next(connection.events()) == Ping(b"x" * 125)
            connection.receive_data(ping)

    tracemalloc.start()
    try:
        go_on(100)
        before, _ = tracemalloc.get_traced_memory()
        go_on(1000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100 * len(ping)


# Limits, which wsproto does not have


@EXTENSIONS
@pytest.mark.parametrize("compressed", [False, True])
def test_a_message_of_just_the_limit_passes_and_one_byte_more_does_not(peers, extensions, compressed):
    made = [*([deflate] if compressed else []), *extensions]
    sender = peers.other(*(make() for make in made))
    receiver = peers.connection(*(make() for make in made), limits=Limits(max_message_size=1000))
    # The extension adds an exclamation mark.
    for first, second in [(600, 399), (998, 1), (0, 999)] if extensions else [(600, 400), (999, 1), (0, 1000)]:
        data = sender.send(BytesMessage(b"x" * first, message_finished=False)) + sender.send(
            BytesMessage(b"x" * second)
        )
        events = receive(receiver, data)
        assert events[-1].message_finished
        assert sum(len(event.data) for event in events) == 1000
    data = sender.send(BytesMessage(b"x" * 600, message_finished=False)) + sender.send(BytesMessage(b"x" * 401))
    *parts, close = receive(receiver, data)
    assert sum(len(event.data) for event in parts) <= 1000
    assert close.code is CloseReason.MESSAGE_TOO_BIG


@EXTENSIONS
def test_a_message_of_just_as_many_fragments_passes_and_one_more_does_not(peers, extensions):
    connection = peers.connection(*(make() for make in extensions), limits=Limits(max_fragments=3))
    message = [peers.frame(TEXT, fin=False), peers.frame(CONTINUATION, fin=False), peers.frame(CONTINUATION)]
    for _ in range(2):
        assert receive(connection, b"".join(message)) == [
            *[TextMessage("", message_finished=False)] * 2,
            TextMessage(""),
        ]
    *_, close = receive(connection, b"".join([*message[:2], *message[1:]]))
    assert close.code is CloseReason.POLICY_VIOLATION


@pytest.mark.parametrize("extra", [(), (Shout,)])
def test_a_bomb_is_stopped_at_the_limit(peers, extra):
    sender = peers.other(deflate())
    bomb = sender.send(BytesMessage(bytes(1 << 26)))
    connection = peers.connection(deflate(), *(make() for make in extra), limits=Limits(max_message_size=1 << 20))
    *parts, close = receive(connection, bomb)
    assert sum(len(event.data) for event in parts) <= 1 << 20
    assert close.code is CloseReason.MESSAGE_TOO_BIG


def test_no_limit_is_a_limit_too(peers):
    connection = peers.connection(limits=Limits(max_message_size=None, max_fragments=None))
    [first] = receive(connection, peers.frame(BINARY, bytes(1 << 20), fin=False))
    assert len(first.data) == 1 << 20
    parts = receive(connection, peers.frame(CONTINUATION, fin=False) * 70_000)
    assert len(parts) == 70_000


@pytest.mark.parametrize("bad", [{"max_message_size": 0}, {"max_fragments": -1}])
def test_a_limit_below_one_is_an_error(bad):
    with pytest.raises(ValueError, match="at least 1"):
        Limits(**bad)


# Events


def test_messages_are_frozen_dataclasses_with_cheap_constructors():
    event = TextMessage(data="x", message_finished=False)
    assert event == TextMessage("x", True, False) != TextMessage("x")
    assert repr(TextMessage("x")) == "TextMessage(data='x', frame_finished=True, message_finished=True)"
    assert dataclasses.asdict(TextMessage("x")) == {"data": "x", "frame_finished": True, "message_finished": True}
    assert dataclasses.replace(event, message_finished=True) == TextMessage("x")
    assert pickle.loads(pickle.dumps(event)) == event
    assert hash(TextMessage("x")) == hash(TextMessage("x"))
    assert TextMessage("x") != BytesMessage("x")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.data = "y"
