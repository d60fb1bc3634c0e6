"""Every deadline of a session on both sides: just before it nothing has happened, at it what the table says has."""

from math import inf

import pytest

from wscore.codec import CLIENT
from wscore.protocol.events import Ping
from wscore.session import Cause, Phase

from .peer import Wire

JUST = 1e-3


def wire(**options):
    return Wire(**{"ping_interval": None} | options)


def pings(wire):
    return [event for event in wire.seen if isinstance(event, Ping)]


def comes_at(wire, seconds, happened):
    """Whether `happened()` becomes true so many seconds from now, and not before."""
    wire.wait(seconds - JUST)
    before = happened()
    wire.wait(JUST)
    return not before and happened()


def is_over(wire):
    return lambda: wire.session.phase is Phase.CLOSED


# Keepalive


def test_a_ping_goes_out_in_each_interval():
    life = Wire(ping_interval=20.0)
    for count in (1, 2, 3):
        assert comes_at(life, 20.0, lambda count=count: len(pings(life)) == count)
        life.peer_says()
    assert life.session.end is None


def test_no_ping_goes_out_while_one_is_unanswered():
    life = Wire(ping_interval=5.0, ping_timeout=None)
    life.wait(1000.0)
    assert len(pings(life)) == 1
    life.peer_says()
    assert comes_at(life, 5.0, lambda: len(pings(life)) == 2)


def test_a_silent_peer_is_given_up_once_its_pong_is_overdue():
    life = Wire(ping_interval=20.0, ping_timeout=7.0)
    life.wait(20.0)
    assert comes_at(life, 7.0, lambda: life.session.end is not None)
    end = life.session.end
    assert (end.code, end.cause, end.seconds) == (1011, Cause.SILENT, pytest.approx(7.0))


def test_whatever_comes_is_life():
    life = Wire(ping_interval=20.0, ping_timeout=7.0)
    life.wait(20.0)
    upload = b"\x82\xfe\x01\x00" + bytes(4 + 256)  # a message of 256 bytes, masked with zeros
    for byte in upload[:-1]:
        life.wait(5.0)
        life.bytes_come(bytes([byte]))
    assert life.session.end is None
    assert comes_at(life, 7.0, lambda: life.session.end is not None)


def test_no_bytes_are_no_life():
    life = Wire(ping_interval=20.0, ping_timeout=7.0)
    life.wait(25.0)
    life.bytes_come(b"")
    life.wait(2.0)
    assert life.session.end.cause is Cause.SILENT


def test_silence_counts_from_when_the_ping_has_left_the_pump():
    life = Wire(ping_interval=20.0, ping_timeout=7.0, blocks=True)
    life.wait(30.0)
    life.write()
    assert comes_at(life, 7.0, lambda: life.session.end is not None)


def test_while_reading_is_paused_no_pong_is_due():
    life = Wire(ping_interval=20.0, ping_timeout=7.0, max_receive_queue=1)
    life.wait(20.0)
    life.peer.send("x")
    data = life.peer.data_to_send()
    assert len(pings(life)) == 1
    life.bytes_come(data[-7:])
    life.wait(100.0)
    assert (life.session.end, life.session.wants_read) == (None, False)
    assert life.received() == ["x"] or life.session.wants_read
    assert comes_at(life, 7.0, lambda: life.session.end is not None)


# Our own bytes, on their way to the peer


def backlog(*, knows_system=True):
    """Five bytes wait in the system, and behind them a Ping."""
    life = Wire(ping_interval=20.0, ping_timeout=7.0)
    life.knows_system = knows_system
    life.reads = False
    life.session.send("abc")
    life.look()
    life.wait(20.0)
    return life


def test_a_pong_is_not_due_while_bytes_before_the_ping_reach_the_peer():
    life = backlog()
    for _ in range(5):
        life.wait(6.0)
        life.peer_reads(1)
    life.wait(6.9)
    assert life.session.end is None


def test_bytes_behind_the_ping_do_not_count():
    life = backlog()
    life.peer_reads()
    for _ in range(20):
        life.session.send("more")
        life.look()
    for _ in range(7):
        life.wait(0.99)
        life.peer_reads(1)
    assert life.session.end is None
    life.wait(0.2)
    assert life.session.end.cause is Cause.SILENT


@pytest.mark.parametrize("seconds", [0.01, 0.5, 3.0, 6.0])
def test_when_the_ping_has_arrived_is_noticed_soon(seconds):
    """Later than it has by as long as that has taken, at most, and by a 64th of the time."""
    life = backlog()
    life.wait(seconds)
    life.peer_reads()
    life.wait(6.9)
    assert life.session.end is None
    life.wait(0.1 + seconds + 7 / 64)
    assert life.session.end.cause is Cause.SILENT
    assert life.session.end.seconds == pytest.approx(7.0)


def test_a_peer_that_acknowledges_nothing_is_silent_on_time():
    life = backlog()
    assert comes_at(life, 7.0, lambda: life.session.end is not None)
    assert life.session.end.cause is Cause.SILENT


def test_where_nobody_knows_what_was_acknowledged_all_was():
    life = backlog(knows_system=False)
    for _ in range(7):
        life.wait(0.99)
        life.peer_reads(1)
    assert life.session.end is None
    life.wait(0.1)
    assert life.session.end.cause is Cause.SILENT


def test_a_pong_is_not_due_while_there_is_always_more_to_send():
    """A peer that takes all we have as fast as it can need not answer in time: that it takes it shows that it lives."""
    life = Wire(ping_interval=20.0, ping_timeout=7.0, send_timeout=30.0, blocks=True)
    life.wait(20.0)
    for _ in range(5):
        life.session.send("more")  # before what was taken last has left
        life._push(len(life.pump))
        life.look()
        life.wait(6.9)
    assert life.session.end is None
    life.write()
    assert comes_at(life, 7.0, lambda: life.session.end is not None)
    assert life.session.end.cause is Cause.SILENT


def test_what_is_acknowledged_when_nothing_is_owed_means_nothing():
    life = Wire(ping_interval=20.0)
    life.session.acknowledged(0, life.now)
    life.session.acknowledged(None, life.now + 1000)
    assert life.session.deadline == life.now + 20.0
    life.wait(20.0)
    life.peer_says()
    life.session.acknowledged(3, life.now + 1000)
    assert (life.session.end, life.session.wants_acknowledged) == (None, False)


def test_a_peer_that_answers_soon_makes_nobody_ask_the_system():
    life = Wire(ping_interval=20.0)
    life.wait(20.0)
    life.wait(0.3)
    life.peer_says()
    life.wait(19.0)
    assert (life.times_asked, life.session.end) == (0, None)
    life.wait(2.0)
    assert life.times_asked == 1


def test_an_answer_that_has_come_needs_no_acknowledgement():
    """The pump was to ask, and something has come before it did."""
    life = Wire(ping_interval=20.0)
    life.now += 20.0
    life.session.time_is(life.now)
    life.peer.receive_data(life.session.output())
    life.session.sent(0, life.now)
    life.now += 20.0 / 64
    life.session.time_is(life.now)
    assert life.session.wants_acknowledged
    life.session.received(life.peer.data_to_send(), life.now)
    assert not life.session.wants_acknowledged


# Our own loop


def stand_still(life, seconds):
    life.now += seconds
    life.session.time_is(life.now)
    life.look()


@pytest.mark.parametrize("late", [0.6, 3.0, 100.0])
def test_time_in_which_our_own_loop_stood_still_is_given_back_once(late):
    life = Wire(ping_interval=20.0, ping_timeout=7.0)
    life.wait(20.0)
    stand_still(life, 7.0 + late)
    assert life.session.end is None
    assert comes_at(life, min(late, 7.0), lambda: life.session.end is not None)
    end = life.session.end
    assert (end.cause, end.standstill) == (Cause.SILENT, pytest.approx(late))
    assert end.seconds == pytest.approx(7.0)
    assert "our own loop stood still" in str(end)


def test_a_little_late_is_no_standstill():
    life = Wire(ping_interval=20.0, ping_timeout=7.0)
    life.wait(20.0)
    stand_still(life, 7.4)
    assert (life.session.end.cause, life.session.end.standstill) == (Cause.SILENT, 0.0)


def test_what_came_while_our_own_loop_stood_still_is_heard():
    life = Wire(ping_interval=20.0, ping_timeout=7.0)
    life.wait(20.0)
    stand_still(life, 60.0)
    life.peer_says()
    life.wait(8.0)
    assert life.session.end is None


def test_a_standstill_after_signs_of_life_is_excused_again():
    life = Wire(ping_interval=20.0, ping_timeout=7.0)
    life.wait(20.0)
    for byte in b"\x82\xfe\x01":  # of a header
        stand_still(life, 10.0)
        assert life.session.end is None
        life.bytes_come(bytes([byte]))


def test_bytes_that_could_not_leave_while_our_own_loop_stood_still_are_not_stuck():
    life = wire(send_timeout=30.0, blocks=True)
    life.session.send("x")
    life.look()
    stand_still(life, 60.0)
    assert life.session.end is None
    life.write()
    life.wait(100.0)
    assert life.session.end is None


# Bytes that do not leave


def test_bytes_of_which_none_leaves_are_stuck():
    life = wire(send_timeout=30.0, blocks=True)
    life.session.send("x")
    life.look()
    assert comes_at(life, 30.0, is_over(life))
    assert (life.session.end.cause, life.session.end.seconds) == (Cause.STUCK, pytest.approx(30.0))
    assert life.session.resets


def test_each_byte_that_leaves_is_progress():
    life = wire(send_timeout=30.0, blocks=True)
    life.session.send("abc")
    life.look()
    for _ in range(4):
        life.wait(29.0)
        life.write(1)
    assert comes_at(life, 30.0, is_over(life))


def test_more_to_send_is_no_progress():
    life = wire(send_timeout=30.0, blocks=True)
    for _ in range(30):
        assert life.session.send("x")
        life.look()
        life.wait(1.0)
    assert life.session.phase is Phase.CLOSED


@pytest.mark.parametrize("before", [0.0, 5.0, 25.0])
def test_bytes_that_do_not_leave_cannot_delay_closing(before):
    life = wire(send_timeout=30.0, close_timeout=10.0, blocks=True)
    life.session.send("x")
    life.look()
    life.wait(before)
    life.session.close()
    life.look()
    assert comes_at(life, min(10.0, 30.0 - before), is_over(life))
    assert life.session.resets


def test_bytes_on_their_way_are_hurried_though_the_pump_asks_for_nothing_but_the_deadline():
    life = wire(send_timeout=30.0, close_timeout=10.0, blocks=True)
    life.session.send("x")
    life.look()
    life.wait(5.0)
    life.session.close()
    assert (life.session.wants_write, life.session.deadline) == (False, -inf)
    life.session.time_is(life.now)
    assert life.session.deadline == life.now + 10.0


# Closing


def closing(**options):
    life = wire(close_timeout=10.0, **options)
    life.session.close()
    return life


def test_a_close_frame_that_nobody_answers():
    life = closing()
    life.look()
    assert comes_at(life, 10.0, is_over(life))
    assert (life.session.end.code, life.session.end.cause) == (1006, Cause.UNCLOSED)
    assert (life.session.end.seconds, life.session.resets) == (pytest.approx(10.0), True)


def test_the_time_to_close_counts_from_when_our_close_frame_has_left():
    life = closing(blocks=True)
    life.look()
    life.wait(9.0)
    life.write()
    assert comes_at(life, 10.0, is_over(life))


def test_a_peer_that_reads_on_is_waited_for():
    life = wire(close_timeout=10.0)
    life.reads = False
    life.session.send("abc")
    life.session.close()
    life.look()
    for _ in range(4):
        life.wait(9.0)
        life.peer_reads(1)
    assert life.session.phase is Phase.CLOSING
    life.wait(20.0)  # what it has read is noticed when that is asked next
    assert life.session.end.cause is Cause.UNCLOSED


@pytest.mark.parametrize(("role", "seconds"), [(None, 2.0), (CLIENT, 10.0)], ids=["server", "client"])
def test_the_peer_that_keeps_the_transport_open(role, seconds):
    """A server ends its side first, a client waits for that (RFC 6455 section 7.1.1)."""
    life = closing(**({} if role is None else {"role": role}))
    life.look()
    life.peer_says()
    assert (life.session.phase, life.session.shuts_sending) == (Phase.DRAINING, role is None)
    assert comes_at(life, seconds, is_over(life))
    assert not life.session.resets
    assert life.session.end.cause is Cause.CLOSE


def test_the_end_of_a_slow_reader_is_waited_for_while_it_reads():
    life = wire(close_timeout=10.0)
    life.reads = False
    life.session.send("abcdef")
    life.look()
    life.peer.close()
    life.peer_says()
    for _ in range(5):
        life.wait(9.0)
        life.peer_reads(1)
    assert life.session.phase is Phase.DRAINING
    life.peer_reads()
    life.wait(2.0)
    life.wait(2.0)
    assert (life.session.phase, life.session.resets) == (Phase.CLOSED, False)


def test_a_peer_that_never_reads_our_answer_is_reset():
    life = wire(close_timeout=10.0)
    life.reads = False
    life.session.send("abcdef")
    life.session.receive()
    life.look()
    life.peer.close()
    life.peer_says()
    assert comes_at(life, 10.0, is_over(life))
    assert life.session.resets
    assert life.session.end.cause is Cause.CLOSE


# Patience


def test_what_came_before_a_close_frame_may_be_answered_for_half_of_close_timeout():
    life = wire(close_timeout=10.0)
    life.peer.send("question")
    life.peer.close(4000)
    life.peer_says()
    assert comes_at(life, 5.0, lambda: life.session.phase is Phase.DRAINING)
    assert life.session.end.code == 4000
    assert life.received_before_the_end() == ["question"]


def test_it_takes_effect_once_somebody_waits_for_more():
    life = wire()
    life.peer.send("question")
    life.peer.close()
    life.peer_says()
    assert life.session.receive() == "question"
    life.session.send("answer")
    life.look()
    assert life.session.phase is Phase.OPEN
    life.session.receive()
    life.look()
    assert life.session.phase is Phase.DRAINING
    assert life.seen[0] == "answer"


def test_but_not_before_senders_who_wait_for_room_had_their_turn():
    life = wire(max_send_buffer=1, blocks=True)
    life.session.send("first")
    life.look()
    assert not life.session.send("second")
    life.session.senders_waiting = 1
    life.peer.close()
    life.peer_says()
    life.session.receive()
    life.look()
    assert life.session.phase is Phase.OPEN
    life.write()
    assert life.session.send("second")
    life.session.senders_waiting = 0
    assert life.session.deadline == -inf
    life.look()
    assert life.session.phase is Phase.DRAINING
    life.write()
    assert life.seen[:2] == ["first", "second"]


def test_a_close_frame_behind_a_full_queue_waits_for_its_answers_too():
    life = wire(max_receive_queue=100, close_timeout=10.0)
    for number in range(5):
        life.peer.send(bytes([number]) * 40)
    life.peer.close(4000)
    life.peer_says()
    for number in range(5):
        life.wait(1.0)
        assert life.session.receive() == bytes([number]) * 40
        life.session.send("answer")
        life.look()
    assert life.session.phase is Phase.OPEN
    life.session.receive()
    life.look()
    assert life.session.phase is Phase.DRAINING
    assert life.seen.count("answer") == 5


def test_no_deadline_is_left_behind():
    """After the end there is none, whatever was due."""
    life = Wire(ping_interval=20.0, blocks=True)
    life.session.send("x")
    life.session.ping()
    life.look()
    life.session.abort()
    assert life.session.deadline == inf
    life.session.time_is(life.now + 1000)
    assert life.session.end.cause is Cause.ABORT
