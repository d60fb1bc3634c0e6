"""Both ways at once: what waits to be received, what waits to be sent, and when which of them pauses."""

from math import inf

import pytest

from wscore.codec import CLIENT, SERVER, LocalProtocolError, Piece, weight
from wscore.protocol.connection import Connection
from wscore.protocol.prepared import prepare
from wscore.session import EMPTY, Cause, ConnectionClosed, ConnectionLost, Options, Phase, Session, Wakeup
from wscore.session._core import DISCARD_LIMIT
from wscore.session.queue import ReceiveQueue
from wscore.session.receiving import TURN_BUDGET

from .peer import Wire


def wire(**options):
    return Wire(**{"ping_interval": None} | options)


# Receiving


def test_messages_come_in_order_and_wake_who_receives():
    life = wire()
    life.peer_sends("one", b"two")
    assert life.woken == Wakeup.RECEIVE
    assert life.received() == ["one", b"two"]
    assert (life.session.messages_received, life.session.receive_queue) == (2, (0, 0))


def test_reading_pauses_when_the_queue_is_full_and_goes_on_when_it_is_half_empty():
    life = wire(max_receive_queue=4 * weight(100))
    life.peer_sends(*[bytes(100)] * 3)
    assert life.session.wants_read
    life.peer_sends(bytes(100))
    assert not life.session.wants_read
    for _ in range(2):
        assert not life.session.wants_read
        assert life.session.deadline == inf
        life.session.receive()
    assert life.session.deadline == -inf
    life.look()
    assert life.session.wants_read


def test_one_message_always_fits():
    life = wire(max_receive_queue=1)
    life.peer_sends(bytes(1000))
    assert life.session.receive_queue[0] == 1
    assert life.received() == [bytes(1000)]
    assert life.session.wants_read


def test_an_empty_queue_has_nothing_to_give():
    queue = ReceiveQueue(100)
    for take in (queue.first, queue.get):
        with pytest.raises(IndexError):
            take()
    queue.put("x")
    assert (queue.first(), queue.get(), len(queue), queue.size) == ("x", "x", 0, 0)
    with pytest.raises(IndexError):
        queue.get()


def test_what_is_told_while_reading_is_paused_is_kept_and_counted():
    life = wire(max_receive_queue=1)
    life.peer_sends("one", "two")
    life.peer_sends("three")
    assert life.session.receive_queue[0] == 1
    assert life.session.held == life.session.receive_queue[1] + 9 + 11
    got = []
    while len(got) < 3:
        got += life.received()
    assert got == ["one", "two", "three"]


@pytest.mark.parametrize("last", [0, 2, 11])
def test_what_was_told_during_a_pause_is_read_in_order_once_we_have_closed(last):
    """The pump may tell more before it has called `time_is`; whatever comes, the peer's Close frame is found."""
    life = wire(max_receive_queue=1)
    life.peer_sends("one", "two")
    for message in ("three", "four"):
        life.peer.send(message)
    life.peer.close(4000)
    data = life.peer.data_to_send()
    life.bytes_come(data[:-last] if last else data)
    life.session.close()
    life.session.received(data[-last:] if last else b"", life.now)
    life.look()
    assert (life.session.end.code, life.session.end.cause) == (4000, Cause.CLOSE)


def test_nothing_that_was_told_during_a_pause_is_skipped_at_a_pong():
    life = wire(max_receive_queue=1)
    life.peer_sends("one")
    life.peer.pong(b"x")
    data = life.peer.data_to_send()
    life.peer.close(4000)
    life.session.received(data, life.now)
    life.session.close()
    life.session.received(life.peer.data_to_send(), life.now)
    life.look()
    assert life.session.end.code == 4000


def test_pieces_come_as_they_are_and_count_as_one_message():
    life = wire(pieces=True)
    life.peer.send_fragment("a", fin=False)
    life.peer.send_fragment("b", fin=True)
    life.peer_says()
    assert life.received() == [Piece("a", True, False), Piece("b", False, True)]
    assert life.session.messages_received == 1


def test_the_end_while_reading_is_paused_comes_after_what_came_before():
    life = wire(max_receive_queue=1)
    life.peer_sends("one", "two", "three")
    life.eof_comes()
    assert life.session.end is None
    got = []
    for _ in range(3):
        got.append(life.session.receive())
        life.look()
    assert (got, life.session.end) == (["one", "two", "three"], None)
    assert life.session.receive() is EMPTY
    life.look()
    assert life.session.end.cause is Cause.EOF


def test_a_close_frame_before_the_end_of_the_bytes_is_answered():
    life = wire()
    life.peer.send("question")
    life.peer.close(4000)
    life.session.received(life.peer.data_to_send(), life.now)
    life.session.received_eof(life.now)
    assert life.session.end is None  # until what came before could be answered
    life.wait(5.0)
    assert (life.session.end.code, life.session.phase) == (4000, Phase.CLOSED)
    assert life.system or life.seen


def test_no_more_than_the_limit_is_discarded():
    life = wire()
    life.session.close()
    life.look()
    life.peer_says()
    assert life.session.phase is Phase.DRAINING
    life.session.received(bytes(DISCARD_LIMIT - 1), life.now)
    assert life.session.phase is Phase.DRAINING
    life.session.received(b"x", life.now)
    assert (life.session.phase, life.session.resets) == (Phase.CLOSED, False)


def test_what_comes_after_the_end_changes_nothing():
    life = wire(blocks=True)
    life.session.send("x")
    life.look()
    life.wait(40.0)
    end = life.session.end
    life.session.wakeups()
    life.session.received(bytes(DISCARD_LIMIT), life.now)
    life.session.received_eof(life.now)
    life.session.broken(life.now)
    life.session.cannot_send(life.now)
    life.session.sent(0, life.now)
    life.session.hold_back(True, life.now)
    life.session.fail(1011)
    life.session.abort()
    life.session.acknowledged(0, life.now)
    assert (life.session.end, life.session.resets) == (end, True)
    assert not life.session.wakeups()
    assert (life.session.output(), life.session.unsent, life.session.deadline) == (b"", 0, inf)
    assert not life.session.close()


# Held back


def test_held_back_nothing_is_read_until_it_is_over():
    life = wire()
    life.session.hold_back(True, life.now)
    assert not life.session.wants_read
    life.peer_sends("one")
    assert life.session.receive() is EMPTY
    assert life.session.deadline == inf
    life.session.hold_back(False, life.now)
    assert life.session.wants_read
    assert life.received() == ["one"]


def test_held_back_messages_that_are_queued_can_be_received():
    life = wire()
    life.peer_sends("one", "two")
    life.session.hold_back(True, life.now)
    assert life.received() == ["one", "two"]
    assert not life.session.wants_read


def test_held_back_no_pong_is_due():
    life = Wire(ping_interval=20.0, ping_timeout=7.0)
    life.wait(20.0)
    life.session.hold_back(True, life.now)
    life.wait(1000.0)
    life.session.hold_back(False, life.now)
    life.wait(6.9)
    assert life.session.end is None
    life.wait(0.2)
    assert life.session.end.cause is Cause.SILENT


def test_nobody_who_closes_is_held_back():
    life = wire()
    life.session.hold_back(True, life.now)
    life.session.close()
    life.look()
    life.session.hold_back(True, life.now)
    assert life.session.wants_read
    life.peer_says()
    assert life.session.end.cause is Cause.CLOSE


# Rates


def test_above_a_rate_reading_pauses_until_the_rate_allows_more():
    life = wire(message_rate=10.0)
    life.peer_sends(*["x"] * 25)
    assert (life.session.messages_received, life.session.wants_read) == (10, False)
    life.wait(0.099)
    life.session.time_is(life.now)  # too early
    assert life.session.messages_received == 10
    life.wait(0.002)
    assert life.session.messages_received == 11
    life.wait(1.4)
    assert life.session.messages_received == 25
    life.wait(0.2)
    assert life.session.wants_read
    assert life.received() == ["x"] * 25


def test_a_rate_of_bytes_counts_what_is_on_the_wire():
    life = wire(byte_rate=1000.0)
    life.peer_sends(bytes(1492))  # and 8 of header and mask
    assert not life.session.wants_read
    life.wait(0.499)
    assert not life.session.wants_read
    life.wait(0.01)
    assert life.session.wants_read


def test_pings_count_for_a_rate():
    life = wire(message_rate=2.0)
    for _ in range(3):
        life.peer.ping()
    life.peer_says()
    assert not life.session.wants_read


def test_where_a_rate_closes_the_connection_ends_with_1008():
    life = wire(message_rate=10.0, fast_producer="close")
    life.peer_sends(*["x"] * 10)
    assert life.session.end is None
    life.peer_sends("x")
    assert (life.session.end.code, life.session.end.cause) == (1008, Cause.LIMIT)


def test_a_pause_for_a_rate_does_not_outlive_our_own_close():
    life = wire(message_rate=1.0)
    life.peer_sends(*["x"] * 5)
    life.session.close()
    life.look()
    life.peer_says()
    assert life.session.end.cause is Cause.CLOSE


# Sending


def test_what_fits_below_the_mark_may_be_sent_and_no_byte_more():
    life = wire(max_send_buffer=100, blocks=True)
    assert life.session.send(bytes(50))
    assert not life.session.send(bytes(35))
    assert life.session.send(bytes(34))
    assert (life.session.unsent, life.session.messages_sent) == (52 + 36, 2)


def test_one_message_always_goes():
    life = wire(max_send_buffer=1, blocks=True)
    assert life.session.send(bytes(1000))
    assert not life.session.send(b"")
    assert life.session.fits(0) is False


def test_those_who_wait_for_room_are_woken_by_each_part_that_leaves():
    life = wire(max_send_buffer=1, blocks=True)
    life.session.send("x")
    life.look()
    life.session.send("y")
    life.session.senders_waiting = 1
    life.look()
    assert not life.woken
    life.write(1)
    assert life.woken == Wakeup.SEND


@pytest.mark.parametrize("fragment", [False, True])
def test_who_was_refused_for_want_of_room_is_woken_once_something_has_left(fragment):
    life = wire(max_send_buffer=1, blocks=True)
    life.session.send("x")
    life.look()
    assert not (life.session.send_fragment("y", fin=True) if fragment else life.session.send("y"))
    life.look()
    assert not life.woken
    life.write(1)
    assert life.woken == Wakeup.SEND
    life.woken = Wakeup.NOBODY
    life.write()
    assert not life.woken


def test_nobody_is_woken_who_does_not_wait():
    life = wire()
    life.session.send("x")
    life.look()
    assert not life.woken


def test_more_cannot_be_left_than_was_taken():
    life = wire(blocks=True)
    life.session.send("x")
    for n_left in (-1, 1, 4):
        with pytest.raises(ValueError, match="cannot be left"):
            life.session.sent(n_left, life.now)
    life.look()
    with pytest.raises(ValueError, match="of 3 bytes 4 cannot be left"):
        life.session.sent(4, life.now)
    life.session.sent(3, life.now)
    assert life.session.unsent == 3


def test_output_that_nobody_has_looked_at_is_not_forgotten():
    life = wire()
    life.session.send("x")
    assert life.session.deadline == -inf
    life.session.output()
    assert life.session.deadline == inf


def test_a_slow_consumer_loses_messages():
    life = wire(max_send_buffer=1, slow_consumer="drop", blocks=True)
    assert life.session.send("x")
    assert not life.session.send("y")
    assert life.session.messages_dropped == 1
    life.write()
    assert life.session.send("z")


def test_a_slow_consumer_is_closed_with_1013():
    life = wire(max_send_buffer=1, slow_consumer="close", blocks=True)
    assert life.session.send("x")
    with pytest.raises(ConnectionLost) as caught:
        life.session.send("y")
    assert (caught.value.code, caught.value.end.cause) == (1013, Cause.LIMIT)


def test_fragments_wait_for_room_and_count_as_one_message():
    life = wire(max_send_buffer=1, blocks=True)
    assert life.session.send_fragment("a", fin=False)
    life.look()
    assert not life.session.send_fragment("b", fin=True)
    life.write()
    assert life.session.send_fragment("b", fin=True)
    life.write()
    assert (life.session.messages_sent, life.seen) == (1, ["ab"])


@pytest.mark.parametrize("message", ["text", b"bytes", bytearray(b"array"), memoryview(b"view"), "\u20ac"])
def test_any_buffer_is_a_message(message):
    life = wire(max_send_buffer=64, blocks=True)
    assert life.session.send(message)
    assert life.session.send(prepare(message))
    life.write()
    expected = message if isinstance(message, str) else bytes(message)
    assert life.seen == [expected, expected]


@pytest.mark.parametrize("blocks", [False, True])
def test_what_is_no_message_is_refused_whether_or_not_there_is_room(blocks):
    life = wire(blocks=blocks)
    life.session.send("x")
    life.look()
    with pytest.raises(TypeError):
        life.session.send(5)
    with pytest.raises(UnicodeEncodeError):
        life.session.send("\ud800")
    assert life.session.messages_sent == 1


def test_an_answer_has_room_if_the_next_message_would_fit():
    life = wire(max_send_buffer=100, blocks=True, pieces=True)
    assert life.session.has_room_for_answer()
    life.peer_sends(bytes(50))
    assert life.session.has_room_for_answer()
    life.session.send(bytes(40))
    assert not life.session.has_room_for_answer()
    life.write()
    assert life.session.has_room_for_answer()


# Messages that are answered at once


def echoing(**options):
    """A wire whose messages are echoed by a hook, and which of them were."""
    echoed = []

    def echo(message):
        echoed.append(message)
        assert life.session.send(message)

    life = wire(hook=echo, **options)
    return life, echoed


def test_a_hook_gets_all_messages_that_come_in_one_read():
    life, echoed = echoing()
    life.peer_sends("one", b"two", "three")
    assert echoed == ["one", b"two", "three"]
    assert (life.session.receive_queue, life.session.wants_read) == ((0, 0), True)


def test_no_more_is_read_than_answers_have_room_for():
    life, echoed = echoing(max_send_buffer=1000, blocks=True)
    life.peer_sends(*[bytes([number]) * 600 for number in range(10)])
    assert (len(echoed), life.session.unsent) == (1, 604)
    assert life.session.receive_queue == (1, weight(600))
    assert not life.session.wants_read
    for count in range(2, 11):
        life.write()
        assert len(echoed) == count
    assert life.session.wants_read
    life.write()
    assert life.seen == echoed


def test_a_message_above_the_mark_is_read_and_waits_for_an_empty_buffer():
    life, echoed = echoing(max_send_buffer=10, blocks=True)
    life.peer_sends("a" * 100, "b" * 100)
    assert echoed == ["a" * 100]
    life.write(50)
    assert echoed == ["a" * 100]
    life.write()
    assert echoed == ["a" * 100, "b" * 100]


def test_while_a_message_waits_for_its_answers_room_no_pong_is_due():
    life, echoed = echoing(max_send_buffer=10, blocks=True, ping_interval=20.0, ping_timeout=5.0, send_timeout=1000.0)
    life.peer_sends("a" * 100, "b" * 100)
    life.wait(500.0)
    assert (len(echoed), life.session.end) == (1, None)


def test_a_close_frame_waits_until_a_hook_has_got_what_came_before():
    life, echoed = echoing(max_send_buffer=10, blocks=True)
    life.peer.send("a" * 100)
    life.peer.send("b" * 100)
    life.peer.close()
    life.peer_says()
    assert (len(echoed), life.session.phase) == (1, Phase.OPEN)
    life.write()
    assert (len(echoed), life.session.phase) == (2, Phase.DRAINING)
    life.write()
    assert life.seen[:2] == echoed


def test_what_is_on_its_way_out_does_not_hurry_the_pump():
    """It comes back with `sent`, and fetches then what waits."""
    life = wire(blocks=True)
    life.session.send("x")
    assert life.session.deadline == -inf
    life.look()
    life.session.send("y")
    assert life.session.deadline > life.now
    life.session.sent(0, life.now)
    assert life.session.deadline == -inf


# Pings


def test_a_pong_answers_its_ping_and_all_before_it():
    life = wire()
    keys = [life.session.ping(), life.session.ping(b"mine")]
    life.look()
    life.wait(3.0)
    life.peer.data_to_send()  # it answers neither by itself
    for payload in (b"nobody's", b"mine", keys[0]):
        life.peer.pong(payload)
    life.session.received(life.peer.data_to_send(), life.now)
    life.look()
    assert life.woken == Wakeup.PING
    assert life.session.pings.answered == {key: pytest.approx(3.0) for key in keys}
    assert life.session.pings.latency == pytest.approx(3.0)


def test_a_pong_that_comes_before_we_know_that_its_ping_has_left():
    life = wire(blocks=True)
    life.session.ping(b"x")
    life.look()
    life.peer.pong(b"x")
    life.peer_says()
    assert life.session.pings.answered == {b"x": 0.0}


def test_a_payload_is_under_way_once():
    life = wire()
    life.session.ping(b"x")
    with pytest.raises(LocalProtocolError, match="under way"):
        life.session.ping(b"x")
    with pytest.raises(LocalProtocolError, match="125"):
        life.session.ping(bytes(126))
    life.session.pings.forget(b"x")
    assert life.session.ping(b"x") == b"x"


def test_answers_that_nobody_waits_for_are_forgotten():
    life = wire(blocks=True)
    for payload in (b"x", b"y"):
        life.session.ping(payload)
    life.look()
    life.peer.pong(b"x")
    life.peer_says()
    life.session.forget_answers()
    assert (life.session.pings.answered, life.session.pings_under_way) == ({}, True)
    life.peer.pong(b"y")
    life.peer_says()
    for _ in range(2):  # then there are none, and nothing to forget
        life.session.forget_answers()
        assert not life.session.pings_under_way


def test_no_pong_comes_any_more_after_the_end():
    life = wire()
    life.session.ping(b"x")
    life.look()
    life.session.close()
    assert life.session.wakeups() & Wakeup.PING
    life.peer.pong(b"x")
    life.peer_says()
    assert life.session.pings.answered == {}


@pytest.mark.parametrize("switch", ["auto_pong", "auto_close"])
def test_a_connection_that_leaves_its_duties_to_others_is_refused(switch):
    with pytest.raises(LocalProtocolError, match=switch):
        Session(Connection(SERVER, **{switch: False}), Options(), 0.0)


def test_in_one_go_no_more_is_read_than_leaves_others_their_turn():
    life = wire(max_receive_queue=1 << 30)
    for _ in range(4):
        for _ in range(TURN_BUDGET // weight(0)):
            life.peer.send("")
    life.session.received(life.peer.data_to_send(), life.now)
    assert life.session.messages_received <= 2 * TURN_BUDGET // weight(0)
    assert life.session.deadline == -inf
    life.look()
    assert life.session.messages_received == 4 * TURN_BUDGET // weight(0)
    assert life.session.wants_read


def test_messages_for_nobody_are_passed_over():
    """No limit binds what is not kept, and nothing is unmasked or checked."""
    life = wire(max_message_size=100)
    life.session.close()
    life.look()
    life.peer.data_to_send()
    life.bytes_come(b"\x81\xfe\x10\x00" + bytes(4) + b"\xff" * 4096)
    assert (life.session.end, life.session.messages_received) == (None, 0)
    life.bytes_come(b"\x88\x80" + bytes(4))
    assert life.session.end.cause is Cause.CLOSE


# Two sessions


def test_two_sessions_talk_and_close():
    ours, theirs = (
        Session(Wire(role=role).session.connection, Options(ping_interval=None), 0.0) for role in (SERVER, CLIENT)
    )

    def run(now):
        moved = True
        while moved:
            moved = False
            for one, other in ((ours, theirs), (theirs, ours)):
                if data := one.output():
                    moved = True
                    other.received(data, now)
                one.sent(0, now)
                if one.wants_acknowledged:
                    one.acknowledged(0, now)
                if one.deadline == -inf:
                    one.time_is(now)
                    moved = True

    ours.send("question")
    run(0.0)
    assert theirs.receive() == "question"
    theirs.send("answer")
    theirs.receive()
    ours.close(4000, "done")
    run(1.0)
    with pytest.raises(ConnectionClosed):
        theirs.receive()
    assert (ours.end.by_peer, theirs.end.by_peer) == (False, True)
    assert (ours.shuts_sending, theirs.shuts_sending) == (True, False)
    theirs.received_eof(1.0)
    ours.received_eof(1.0)
    assert (ours.phase, theirs.phase) == (Phase.CLOSED, Phase.CLOSED)


def test_a_queue_that_is_never_empty_keeps_no_places_of_what_was_taken():
    queue = ReceiveQueue(1 << 20)
    for number in range(3):
        queue.put(str(number))
    for number in range(1000):
        queue.put(str(number + 3))
        assert queue.get() == str(number)
    assert len(queue) == 3
    assert len(queue._items) < 10
