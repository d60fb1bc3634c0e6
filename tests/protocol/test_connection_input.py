"""Ways to feed a `Connection`: in any portions, with a budget, through its own buffer, in pieces, and to the end."""

import array
import random

import pytest

from wscore.codec import CLIENT, SERVER, LocalProtocolError, Piece
from wscore.protocol.events import Close, Ping, Pong

from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, close_payload, from_client


def conversation(side, large=70000):
    """A bit of everything, as the peer sends it; one message has `large` bytes."""
    return b"".join(
        [
            side.peer(TEXT, "Grüße, 世界 🎈".encode()),
            side.peer(BINARY, bytes(300), fin=False),
            side.peer(PING, b"between"),
            side.peer(CONTINUATION),
            side.peer(TEXT),
            side.peer(BINARY, bytes(large)),
            side.peer(PONG),
            side.peer(CLOSE, close_payload(1000, "bye ü".encode())),
        ]
    )


def feed(connection, data, sizes):
    """Feed `data` in portions of the given sizes."""
    events, at = [], 0
    for size in sizes:
        events += connection.receive_data(data[at : at + size])
        at += size
    return events + connection.receive_data(data[at:])


# Portions


@pytest.mark.parametrize("size", [1, 2, 3, 50, 1000])
def test_however_bytes_are_portioned_they_mean_the_same(side, size):
    data = conversation(side, size * 200)
    whole, portioned = side.open(), side.open()
    events = whole.receive_data(data)
    assert len(events) == 7
    assert feed(portioned, data, [size] * (len(data) // size)) == events
    assert side.sent(portioned) == side.sent(whole)


def test_random_portions_mean_the_same(side):
    data = conversation(side)
    events = side.open().receive_data(data)
    chance = random.Random(6455)
    for _ in range(50):
        sizes = [chance.choice([0, 1, 2, 5, 14, 100, 65536]) for _ in range(chance.randrange(40))]
        assert feed(side.open(), data, sizes) == events


@pytest.mark.parametrize("budget", [None, 1, 500, 1 << 20])
def test_a_transport_may_call_the_reader_itself_and_hand_over_where_it_stops(side, budget):
    """As the reactor does, on its own buffer."""
    data = conversation(side)
    usual, own = side.open(), side.open()
    events = []
    offset = own.reader.read(data, events, budget)
    own.after_read(data[offset:], budget, events)
    assert events == usual.receive_data(data, budget)
    assert own.has_rest == usual.has_rest
    while own.has_rest:
        more = own.receive_data(b"", 1 << 20)
        assert more == usual.receive_data(b"", 1 << 20)
        events += more
    assert len(events) == 7
    assert side.sent(own) == side.sent(usual)


def test_no_bytes_mean_nothing(side):
    connection = side.open()
    assert connection.receive_data(b"") == []
    assert connection.buffer_updated(len(connection.get_buffer()[:0])) == []
    assert not connection.has_rest


def kinds_of_buffer(data):
    return [data, bytearray(data), memoryview(data), memoryview(bytearray(data)), array.array("B", data)]


def test_input_is_neither_written_to_nor_kept(side):
    """The caller may use the same memory for the next bytes."""
    data = conversation(side)
    events = side.open().receive_data(data)
    for buffer in kinds_of_buffer(data):
        connection = side.open()
        half = len(data) // 2
        seen = connection.receive_data(memoryview(buffer)[:half], 400)
        while connection.has_rest:
            seen += connection.receive_data(b"", 400)
        assert bytes(buffer) == data
        if isinstance(buffer, bytearray):
            buffer[:half] = bytes(half)
            # Bytes that somebody still looks at could not be moved.
            buffer.append(0)
            buffer.pop()
        seen += connection.receive_data(memoryview(buffer)[half:])
        assert seen == events


def test_input_need_not_consist_of_single_bytes(protocol):
    data = from_client(BINARY, b"\x01\x02")
    wide = memoryview(data).cast("H")
    connection = protocol.Connection(SERVER)
    assert connection.receive_data(wide, 0) == []
    assert connection.has_rest
    assert connection.receive_data(wide) == [b"\x01\x02"] * 2


# Budgets: payload bytes after inflating, and what the object of each event takes


def test_a_budget_ends_reading_after_the_message_that_uses_it_up(side):
    connection = side.open()
    data = side.peer(TEXT, b"x" * 36) * 3
    assert connection.receive_data(data, 36 + 48 + 1) == ["x" * 36] * 2
    assert connection.has_rest
    assert connection.receive_data(b"", 1) == ["x" * 36]
    assert not connection.has_rest


def test_what_is_kept_is_counted(side):
    connection = side.open()
    assert connection.bytes_kept == 0
    message = side.peer(BINARY, b"abc")
    connection.receive_data(side.peer(BINARY, bytes(1000), fin=False))
    assert connection.bytes_kept == 1000
    assert connection.receive_data(side.peer(CONTINUATION) + message * 3, 1) == [bytes(1000)]
    assert connection.bytes_kept == 3 * len(message)
    assert connection.receive_data(b"") == [b"abc"] * 3
    assert connection.bytes_kept == 0


@pytest.mark.parametrize("budget", [0, -1])
def test_without_any_budget_nothing_is_read(side, budget):
    connection = side.open()
    assert connection.receive_data(side.peer(TEXT, b"a"), budget) == []
    assert connection.has_rest
    assert connection.receive_data(b"") == ["a"]
    assert not connection.has_rest


def test_a_budget_that_is_used_up_exactly_leaves_no_rest(side):
    connection = side.open()
    assert connection.receive_data(side.peer(TEXT, b"a"), 1) == ["a"]
    assert not connection.has_rest


def test_empty_messages_cost_something_too(side):
    connection = side.open()
    assert connection.receive_data(side.peer(BINARY) * 100, 5 * 8) == [b""] * 5


def test_control_frames_cost_as_much_as_messages(side):
    connection = side.open()
    data = side.peer(PING) + side.peer(TEXT, b"a") + side.peer(PONG, b"12") + side.peer(TEXT, b"b") + side.peer(PING)
    assert connection.receive_data(data, 8 + 9) == [Ping(b""), "a"]
    assert connection.receive_data(b"", 50) == [Pong(b"12")]
    assert connection.receive_data(b"", 10) == ["b", Ping(b"")]
    assert not connection.has_rest
    assert connection.receive_data(side.peer(PING, b"1") * 3, 10) == [Ping(b"1")] * 2
    assert connection.has_rest


def test_new_bytes_are_read_behind_the_rest(side):
    connection = side.open()
    data = b"".join(side.peer(TEXT, letter.encode()) for letter in "abcdef")
    assert connection.receive_data(data[:-3], 1) == ["a"]
    assert connection.receive_data(b"", 1) == ["b"]
    assert connection.receive_data(data[-3:-1], 1) == ["c"]
    assert connection.receive_data(data[-1:], 1) == ["d"]
    assert connection.receive_data(b"") == ["e", "f"]
    assert not connection.has_rest


def ends(side):
    """What ends a connection, as the peer sends it, and the event that it becomes: a Close frame, and a broken rule."""
    return [
        (side.peer(CLOSE), Close(1005, "", "peer")),
        (side.peer(CLOSE, b"x"), Close(1002, "a Close frame with a body needs two bytes of close code", "local")),
        (side.peer(TEXT, rsv=2), Close(1002, "reserved bits are set without an extension that defines them", "local")),
    ]


def test_with_a_budget_an_end_takes_effect_after_what_came_before_could_be_answered(side):
    for end, event in ends(side):
        connection = side.open()
        assert connection.receive_data(side.peer(TEXT, b"question") + end, 1 << 20) == ["question"]
        assert connection.has_rest
        assert connection.is_ending
        assert connection.close_event is None
        connection.send("answer")
        assert connection.receive_data(b"ignored", 1 << 20) == [event]
        assert not connection.has_rest
        assert not connection.is_ending
        assert [frame.opcode for frame in side.sent(connection)] == [TEXT, CLOSE]


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 1010, 1011])
def test_a_peer_that_has_failed_the_connection_gets_no_answer_to_what_came_before(side, code):
    connection = side.open()
    data = side.peer(TEXT, b"question") + side.peer(CLOSE, code.to_bytes(2, "big") + b"why")
    assert connection.receive_data(data, 1 << 20) == ["question", Close(code, "why", "peer")]
    assert not connection.is_ending
    assert [frame.opcode for frame in side.sent(connection)] == [CLOSE]


@pytest.mark.parametrize("code", [1000, 1001, 1012, 1013, 1014, 3000, 4999])
def test_a_peer_that_only_ends_may_be_answered(side, code):
    connection = side.open()
    data = side.peer(TEXT, b"question") + side.peer(CLOSE, code.to_bytes(2, "big"))
    assert connection.receive_data(data, 1 << 20) == ["question"]
    assert connection.is_ending
    assert connection.receive_data(b"", 1 << 20) == [Close(code, "", "peer")]


def test_without_a_budget_an_end_takes_effect_at_once(side):
    for end, event in ends(side):
        connection = side.open()
        assert connection.receive_data(side.peer(TEXT, b"question") + end) == ["question", event]
        assert not connection.is_ending


def test_once_we_have_closed_an_end_takes_effect_at_once_with_a_budget_too(side):
    connection = side.open()
    connection.close()
    assert connection.receive_data(side.peer(CLOSE), 1 << 20) == [Close(1005, "", "local")]


def test_an_end_that_was_held_back_takes_effect_at_the_end_of_the_bytes(side):
    for end, event in ends(side):
        connection = side.open()
        assert connection.receive_data(end, 1) == []
        assert connection.receive_eof() == [event]
        assert connection.receive_eof() == []


def test_failing_does_away_with_an_end_that_was_held_back(side):
    for end, _ in ends(side):
        connection = side.open()
        assert connection.receive_data(end, 1) == []
        assert connection.fail(1011) == [Close(1011, "", "local")]
        assert not connection.has_rest
        assert connection.receive_data(b"") == []


def test_nothing_is_left_of_the_rest_once_the_connection_has_ended(side):
    """Who loops while there is a rest must come to an end."""
    for end in (lambda each: each.fail(1011), lambda each: each.receive_eof()):
        connection = side.open()
        connection.receive_data(side.peer(TEXT, b"a") * 2, 1)
        assert connection.has_rest
        end(connection)
        assert not connection.has_rest
        assert connection.receive_data(b"") == []


# The connection's own buffer


def test_bytes_may_be_received_into_the_buffer_of_the_connection(side):
    connection, data, events = side.open(), conversation(side), []
    for at in range(0, len(data), 1000):
        portion = data[at : at + 1000]
        buffer = connection.get_buffer(1000)
        assert len(buffer) >= 1000
        buffer[: len(portion)] = portion
        events += connection.buffer_updated(len(portion))
    assert events == side.open().receive_data(data)


def test_the_buffer_is_writable_and_as_large_as_was_asked_for(side):
    connection = side.open()
    assert len(connection.get_buffer()) >= 1 << 16
    for hint in (-1, 0, 1, 1 << 17):
        buffer = connection.get_buffer(hint)
        assert len(buffer) >= max(hint, 1)
        assert not buffer.readonly


def test_the_same_buffer_is_there_until_it_is_used(side):
    connection, data = side.open(), side.peer(TEXT, b"Hello")
    connection.get_buffer()[: len(data)] = data
    connection.get_buffer()
    assert connection.buffer_updated(len(data)) == ["Hello"]


def test_a_budget_binds_what_was_received_into_the_buffer(side):
    connection, data = side.open(), side.peer(TEXT, b"a") * 3
    connection.get_buffer()[: len(data)] = data
    assert connection.buffer_updated(len(data), 1) == ["a"]
    connection.get_buffer()[: len(data)] = data
    assert connection.buffer_updated(len(data), 1) == ["a"]
    assert connection.receive_data(b"") == ["a"] * 4


def test_an_update_without_a_buffer_is_refused(side):
    connection = side.open()
    with pytest.raises(LocalProtocolError, match="get_buffer first"):
        connection.buffer_updated(0)
    connection.get_buffer()
    connection.buffer_updated(0)
    with pytest.raises(LocalProtocolError, match="get_buffer first"):
        connection.buffer_updated(0)


def test_an_update_of_more_than_the_buffer_is_refused(side):
    connection = side.open()
    size = len(connection.get_buffer(16))
    for wrong in (-1, size + 1):
        with pytest.raises(LocalProtocolError, match="more bytes than it has room for"):
            connection.buffer_updated(wrong)
    assert connection.buffer_updated(0) == []


# Pieces


def joined(pieces):
    """The messages that the pieces make up; asserts that `first` and `last` stand where they must."""
    messages, current = [], None
    for piece in pieces:
        assert piece.first is (current is None)
        current = piece.data if current is None else current + piece.data
        if piece.last:
            messages.append(current)
            current = None
    assert current is None
    return messages


def test_a_message_that_came_at_once_is_one_piece(side):
    data = side.peer(TEXT, b"Hello") + side.peer(BINARY)
    assert side.open(pieces=True).receive_data(data) == [Piece("Hello", True, True), Piece(b"", True, True)]


def test_pieces_come_inside_frames_too(side):
    connection, data = side.open(pieces=True), side.peer(TEXT, b"Hello")
    assert connection.receive_data(data[:-3]) == [Piece("He", True, False)]
    assert connection.receive_data(data[-3:-1]) == [Piece("ll", False, False)]
    assert connection.receive_data(data[-1:]) == [Piece("o", False, True)]


def test_text_is_cut_at_code_points(side):
    connection, data = side.open(pieces=True), side.peer(TEXT, "a🎈".encode())
    assert connection.receive_data(data[:-3]) == [Piece("a", True, False)]
    assert connection.receive_data(data[-3:-1]) == []
    assert connection.receive_data(data[-1:]) == [Piece("🎈", False, True)]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_pieces_make_up_the_messages_however_they_came(side, size):
    data = conversation(side, size * 200)
    messages = [event for event in side.open().receive_data(data) if isinstance(event, str | bytes)]
    connection = side.open(pieces=True)
    events = feed(connection, data, [size] * (len(data) // size))
    assert joined([event for event in events if isinstance(event, Piece)]) == messages


def test_no_limit_binds_pieces(side):
    connection = side.open(pieces=True, max_message_size=1, max_fragments=1)
    data = (
        side.peer(BINARY, b"abc", fin=False)
        + side.peer(CONTINUATION, b"def", fin=False)
        + side.peer(CONTINUATION, b"g")
    )
    assert joined(connection.receive_data(data)) == [b"abcdefg"]


def test_a_budget_binds_pieces(side):
    connection = side.open(pieces=True)
    data = side.peer(BINARY, b"abc", fin=False) + side.peer(CONTINUATION, b"def")
    assert connection.receive_data(data, 1) == [Piece(b"abc", True, False)]
    assert connection.receive_data(b"", 1) == [Piece(b"def", False, True)]


def test_text_in_pieces_must_be_utf_8_at_once_and_at_the_end(side):
    """RFC 6455 section 8.1."""
    connection, data = side.open(pieces=True), side.peer(TEXT, b"ab\xff more")
    assert connection.receive_data(data[:-6]) == [Piece("ab", True, False)]
    [close] = connection.receive_data(data[-6:-5])
    assert (close.code, close.origin) == (1007, "local")
    connection = side.open(pieces=True)
    assert [close.code for close in connection.receive_data(side.peer(TEXT, b"\xf0\x9f"))] == [1007]


# The end of the bytes


def test_the_end_without_a_close_frame_is_a_loss(side):
    """RFC 6455 section 7.1.5."""
    connection = side.open()
    assert connection.receive_eof() == [Close(1006, "", "lost")]
    assert connection.close_event == Close(1006, "", "lost")
    assert connection.state is side.protocol.State.CLOSED
    assert side.sent(connection) == []


@pytest.mark.parametrize("cut", [1, 3, 8])
def test_what_was_incomplete_at_the_end_is_dropped(side, cut):
    connection = side.open()
    assert connection.receive_data(side.peer(TEXT, b"Hello, you")[:cut]) == []
    assert connection.receive_eof() == [Close(1006, "", "lost")]


def test_the_end_after_the_end_means_nothing_more(side):
    connection = side.open()
    connection.receive_eof()
    assert connection.receive_eof() == []
    assert connection.receive_data(side.peer(TEXT, b"late")) == []


def test_a_pong_that_waits_is_still_sent_after_the_end_of_the_bytes(side):
    """A peer may end its own direction only; what was to be said to it still is."""
    connection = side.open()
    connection.send("last")
    connection.receive_data(side.peer(PING, b"1"))
    connection.receive_eof()
    assert [frame.payload for frame in side.sent(connection)] == [b"1", b"last"]


def test_roles_do_not_differ_in_what_they_own(protocol):
    """An idle connection owns no buffer, and nothing can be hung on it."""
    for role in (SERVER, CLIENT):
        connection = protocol.Connection(role)
        assert not hasattr(connection, "__dict__")
        assert connection.role is role


def test_frames_of_the_wire_helper_are_those_of_the_rfc():
    """Section 5.7: what these tests send is not only what these tests think."""
    assert from_client(TEXT, b"Hello") == bytes.fromhex("818537fa213d7f9f4d5158")
    assert Frame(TEXT, b"Hello", True, 0, None) == Frame(TEXT, b"Hello")


def test_pings_and_pongs_that_nobody_waits_for_may_be_no_events(side):
    connection = side.open()
    connection.expect_pongs({b"asked"})
    assert not connection.has_pongs
    data = side.peer(PING, b"ping") + side.peer(PONG, b"unasked") + side.peer(PONG, b"asked")
    assert connection.receive_data(data) == [Pong(b"asked")]
    assert connection.has_pongs
    assert connection.data_to_send()
    assert not connection.has_pongs


def test_whoever_answers_pings_needs_them_as_events(side):
    connection = side.open(auto_pong=False)
    with pytest.raises(LocalProtocolError, match="auto_pong"):
        connection.expect_pongs({})


def test_messages_for_nobody_are_no_events_and_the_end_is_one(side):
    connection = side.open()
    connection.discard_messages()
    data = side.peer(TEXT, b"text") + side.peer(BINARY, bytes(2 << 20)) + side.peer(CLOSE, close_payload(1000))
    assert connection.receive_data(data) == [Close(1000, "", "peer")]
