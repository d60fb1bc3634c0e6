"""How a session ends, in every phase and from either side; what it says of it; and a thousand ends told right."""

import random
from math import inf

import pytest

from wscore.codec import CLIENT, SERVER, LocalProtocolError
from wscore.session import (
    EMPTY,
    Cause,
    ConnectionClosed,
    ConnectionEnded,
    ConnectionLost,
    End,
    Phase,
    Wakeup,
)
from wscore.session.errors import Closed, Lost

from .peer import Wire

ALL = Wakeup.RECEIVE | Wakeup.SEND | Wakeup.PING


def wire(**options):
    return Wire(**{"ping_interval": None} | options)


def in_phase(phase, **options):
    life = wire(**options)
    if phase is Phase.BROKEN:
        life.sending_breaks()
    elif phase is Phase.CLOSING:
        life.session.close(3000)
    elif phase is Phase.DRAINING:
        life.session.fail(1011)
    elif phase is Phase.CLOSED:
        life.session.broken(life.now)
    life.look()
    assert life.session.phase is phase
    life.woken = Wakeup.NOBODY
    return life


def errors_of(session):
    """What those get who receive and who send."""
    kinds = []
    for call in (session.receive, session.ping):
        with pytest.raises(ConnectionEnded) as caught:
            call()
        kinds.append(type(caught.value))
    return kinds


# Calls, in every phase


@pytest.mark.parametrize("phase", Phase)
def test_abort_ends_at_once(phase):
    life = in_phase(phase)
    end = life.session.end
    life.session.abort()
    life.look()
    assert (life.session.phase, life.session.resets) == (Phase.CLOSED, False)
    assert life.woken == (Wakeup.NOBODY if phase is Phase.CLOSED else ALL | Wakeup.OVER)
    if end is None:
        causes = {Phase.OPEN: Cause.ABORT, Phase.BROKEN: Cause.RESET, Phase.CLOSING: Cause.ABORT}
        assert (life.session.end.code, life.session.end.cause) == (1006, causes[phase])
    else:
        assert life.session.end is end


def test_after_abort_nothing_is_received():
    life = wire()
    life.peer_sends("x")
    life.session.abort()
    assert life.session.receive_queue == (0, 0)
    assert errors_of(life.session) == [ConnectionEnded, ConnectionEnded]


def test_after_abort_nothing_leaves():
    life = wire(blocks=True)
    life.session.send("x")
    life.look()
    life.session.send("y")
    life.session.abort()
    assert (life.session.output(), life.session.unsent, life.session.held) == (b"", 0, 0)
    life.session.sent(len(life.pump), life.now)  # a pump may be in the middle of writing


@pytest.mark.parametrize("phase", Phase)
def test_fail_gives_up_what_is_not_closing_yet(phase):
    life = in_phase(phase)
    end = life.session.end
    life.session.fail(1011, "oops")
    life.look()
    if phase <= Phase.BROKEN:
        assert life.session.end == End(1011, "oops", False, Cause.FAILED)
        assert life.session.phase is (Phase.DRAINING if phase is Phase.OPEN else Phase.CLOSED)
        assert life.woken & ALL == ALL
    else:
        assert (life.session.end, life.session.phase) == (end, phase)


def test_a_code_that_must_not_be_sent_fails_nothing():
    life = wire()
    with pytest.raises(LocalProtocolError):
        life.session.fail(1006)
    with pytest.raises(LocalProtocolError):
        life.session.close(999)
    assert life.session.receive() is EMPTY
    life.bytes_come(b"\xff" * 8)
    assert life.session.end.cause is Cause.RULE


@pytest.mark.parametrize("phase", Phase)
def test_close_begins_once(phase):
    life = in_phase(phase)
    assert life.session.close(4000) is (phase <= Phase.BROKEN)
    assert life.session.phase is max(phase, Phase.CLOSING)


def test_close_without_a_code_is_1005():
    life = wire()
    life.session.close(None)
    with pytest.raises(ConnectionClosed) as caught:
        life.session.receive()
    assert (caught.value.code, caught.value.reason, caught.value.by_peer) == (1005, "", False)
    life.look()
    life.peer_says()
    assert life.session.end == End(1005, "", False, Cause.CLOSE)


@pytest.mark.parametrize("phase", [Phase.CLOSING, Phase.DRAINING])
def test_forget_throws_away_what_was_not_received(phase):
    life = wire()
    life.peer_sends("x")
    life.session.close() if phase is Phase.CLOSING else life.session.fail(1011)
    assert life.session.receive_queue[0] == 1
    life.session.forget()
    assert life.session.receive_queue == (0, 0)
    assert errors_of(life.session) == [ConnectionEnded, ConnectionEnded]


@pytest.mark.parametrize("phase", Phase)
def test_a_broken_transport_ends_every_phase(phase):
    life = in_phase(phase)
    end = life.session.end
    life.session.broken(life.now)
    life.look()
    assert life.session.phase is Phase.CLOSED
    assert life.session.end == (end or End(1006, "", False, Cause.RESET))
    assert life.session.deadline == inf


@pytest.mark.parametrize("phase", Phase)
def test_the_end_of_the_bytes_ends_every_phase(phase):
    life = in_phase(phase)
    end = life.session.end
    life.eof_comes()
    assert life.session.phase is Phase.CLOSED
    assert life.session.end == (end or End(1006, "", False, Cause.RESET if phase is Phase.BROKEN else Cause.EOF))


# Nothing leaves any more


def test_what_has_come_is_received_though_nothing_leaves_any_more():
    life = wire()
    life.peer_sends("one")
    life.peer.send("two")
    life.sending_breaks()
    assert life.woken == Wakeup.RECEIVE | Wakeup.SEND | Wakeup.PING
    life.peer_says()
    assert life.received() == ["one", "two"]
    with pytest.raises(ConnectionLost) as caught:
        life.session.send("x")
    assert (caught.value.code, caught.value.end.cause) == (1006, Cause.RESET)
    life.peer.close(4000)
    life.peer_says()
    assert life.session.end == End(4000, "", True, Cause.CLOSE)
    assert life.session.phase is Phase.CLOSED


def test_an_end_waits_for_no_answer_once_nothing_leaves_any_more():
    for breaks_first in (False, True):
        life = wire()
        if breaks_first:
            life.sending_breaks()
        life.peer.send("question")
        life.peer.close(4000)
        life.peer_says()
        if not breaks_first:
            assert life.session.phase is Phase.OPEN
            life.sending_breaks()
        assert (life.session.phase, life.session.end.code) == (Phase.CLOSED, 4000)
        assert life.received_before_the_end() == ["question"]


@pytest.mark.parametrize("phase", Phase)
def test_whoever_is_given_up_is_reset(phase):
    life = in_phase(phase)
    end = life.session.end
    life.session.give_up()
    assert (life.session.phase, life.session.resets) == (Phase.CLOSED, phase is not Phase.CLOSED)
    causes = {Phase.OPEN: Cause.LIMIT, Phase.BROKEN: Cause.RESET, Phase.CLOSING: Cause.LIMIT}
    assert life.session.end == (end or End(1006, "", False, causes.get(phase)))


def test_short_of_memory_what_was_received_is_given_back_and_the_peer_told():
    life = wire()
    life.peer_sends("x" * 1000)
    life.session.send("y")
    life.session.run_short()
    life.look()
    assert life.session.end == End(1013, "the server is short of memory", False, Cause.LIMIT)
    assert (life.session.receive_queue, life.session.phase) == ((0, 0), Phase.DRAINING)
    assert errors_of(life.session) == [ConnectionLost, ConnectionLost]


@pytest.mark.parametrize("phase", Phase)
def test_short_of_memory_whoever_keeps_what_waits_to_be_sent_is_reset(phase):
    life = in_phase(phase)
    end = life.session.end
    life.session.run_short()
    life.look()
    assert life.session.resets is (phase is Phase.CLOSING)
    assert life.session.phase is (
        Phase.CLOSED if phase in (Phase.BROKEN, Phase.CLOSING) else max(phase, Phase.DRAINING)
    )
    assert life.session.end is end or end is None


@pytest.mark.parametrize("closes", [False, True])
def test_short_of_memory_a_peer_that_takes_nothing_is_reset(closes):
    life = wire(blocks=True)
    life.session.send("y" * 1000)
    if closes:
        life.session.fail(1011)
    life.look()
    life.session.run_short()
    assert (life.session.phase, life.session.resets) == (Phase.CLOSED, True)
    assert life.session.end.code == (1011 if closes else 1013)
    assert life.session.held == 0


def test_a_close_frame_waits_for_nobody_if_nothing_came_before():
    life = wire()
    life.peer.close(4000)
    life.peer_says()
    assert life.session.phase is Phase.DRAINING


@pytest.mark.parametrize("closes", [False, True])
def test_nothing_is_said_once_nothing_leaves_any_more(closes):
    life = wire(blocks=True)
    life.session.send("x")
    life.look()
    life.sending_breaks()
    if closes:
        life.session.close()
    life.peer.ping(b"x")
    life.session.received(life.peer.data_to_send(), life.now)
    assert life.session.output() == b""
    assert life.session.unsent == 0


def test_no_longer_than_close_timeout_is_waited_for_what_a_broken_peer_still_says():
    life = wire(close_timeout=10.0)
    life.sending_breaks()
    life.wait(9.9)
    assert life.session.phase is Phase.BROKEN
    life.wait(0.2)
    assert (life.session.phase, life.session.end.cause, life.session.end.seconds) == (Phase.CLOSED, Cause.RESET, 0.0)


def test_a_transport_that_breaks_while_we_close():
    life = in_phase(Phase.CLOSING, close_timeout=10.0)
    life.sending_breaks()
    assert life.session.phase is Phase.CLOSING
    life.wait(10.0)
    assert life.session.end.cause is Cause.RESET


@pytest.mark.parametrize("unsent", [False, True])
def test_a_transport_that_breaks_after_the_end_is_closed(unsent):
    life = wire(blocks=unsent)
    life.session.fail(1011)
    life.look()
    life.sending_breaks()
    assert (life.session.phase, life.session.resets) == (Phase.CLOSED, False)


def test_a_second_break_changes_nothing():
    life = in_phase(Phase.BROKEN)
    life.session.cannot_send(life.now)
    life.session.sent(0, life.now)
    assert life.session.phase is Phase.BROKEN


# Which error, and what it says


@pytest.mark.parametrize(
    ("end", "errors"),
    [
        (lambda life: life.session.close(), [ConnectionClosed, ConnectionLost]),
        (lambda life: life.session.fail(1011), [ConnectionLost, ConnectionLost]),
        (lambda life: life.session.broken(life.now), [ConnectionLost, ConnectionLost]),
        (lambda life: life.eof_comes(), [ConnectionLost, ConnectionLost]),
        (lambda life: life.bytes_come(b"\xff\xff"), [ConnectionLost, ConnectionLost]),
        (lambda life: life.session.abort(), [ConnectionEnded, ConnectionEnded]),
    ],
    ids=["close", "fail", "broken", "eof", "rule", "abort"],
)
@pytest.mark.parametrize("later", [False, True])
def test_which_error_is_whose(end, errors, later):
    life = wire()
    assert life.session.receive() is EMPTY
    end(life)
    life.look()
    if later:
        life.wait(1000.0)
    assert errors_of(life.session) == errors


def test_the_peers_close_frame_ends_in_order():
    life = wire()
    life.session.receive()
    life.peer.close(4000, "enough")
    life.peer_says()
    assert errors_of(life.session) == [ConnectionClosed, ConnectionLost]
    with pytest.raises(ConnectionClosed) as caught:
        life.session.receive()
    error = caught.value
    assert (error.code, error.reason, error.by_peer) == (4000, "enough", True)
    assert str(error) == "the peer closed the connection: 4000 'enough'"


def test_an_end_without_a_reason_says_its_code():
    assert str(End(1006, "", False, Cause.EOF)) == "the peer's bytes ended without a Close frame: 1006"
    assert len({str(End(1006, "", False, cause)) for cause in Cause}) == len(Cause)


def test_the_faces_errors_say_who_closed_and_why_it_was_lost_and_show_the_peers_words_harmlessly():
    class OfOrder(Closed, EOFError):
        pass

    class OfLoss(Lost, ConnectionError):
        pass

    assert str(OfOrder(1000, "", True)) == "the peer closed the connection with 1000"
    assert str(OfOrder(1001, "x\x1b[2J", False)) == r"this side closed the connection with 1001 'x\x1b[2J'"
    end = End(1011, "late", False, Cause.SILENT, 20.0, 3.0)
    assert str(OfLoss(1011, "late", end)) == (
        "the connection is gone: the peer was silent for 20.0 s: 1011 'late' (our own loop stood still for 3.0 s)"
    )
    unknown = OfLoss(1006, "\u202e")
    assert (str(unknown), unknown.code, unknown.end) == (r"the connection is gone: 1006 '\u202e'", 1006, None)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"\x88\x80\0\0\0\0", Cause.CLOSE),
        (b"\x88\x82\0\0\0\0\x03\xea", Cause.CLOSE),  # 1002
        (b"\x88\x81\0\0\0\0\x03", Cause.RULE),
        (b"\x88\x82\0\0\0\0\x03\xed", Cause.RULE),  # 1005
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", Cause.RULE),
        (b"\xff\xff", Cause.RULE),
    ],
)
def test_an_answer_to_our_close_frame_is_judged_as_any_frame(answer, cause):
    life = in_phase(Phase.CLOSING)
    life.bytes_come(answer)
    assert life.session.end.cause is cause


def test_the_peers_close_frame_that_waits_counts_though_the_transport_breaks():
    life = wire()
    life.peer_sends("x")
    life.peer.close(4000)
    life.peer_says()
    assert life.session.phase is Phase.OPEN
    life.session.broken(life.now)
    assert (life.session.end.code, life.session.end.by_peer, life.session.phase) == (4000, True, Phase.CLOSED)
    assert life.received_before_the_end() == ["x"]


# The end of the peer's bytes, which takes effect as its Close frame does


def asked_and_ended(**options):
    """A peer that has sent a message and then ended its side, which nobody has received yet."""
    life = wire(**options)
    life.peer_sends("question")
    life.eof_comes()
    assert life.session.end is None
    return life


def test_a_message_before_the_end_of_the_bytes_can_be_answered():
    life = asked_and_ended()
    assert life.session.receive() == "question"
    assert life.session.send("answer")
    life.look()
    assert (life.session.phase, life.seen) == (Phase.OPEN, ["answer"])
    assert life.session.receive() is EMPTY
    life.look()
    assert life.session.end == End(1006, "", False, Cause.EOF)
    assert (life.session.phase, life.woken & ALL) == (Phase.CLOSED, ALL)


@pytest.mark.parametrize("closes", [False, True])
def test_what_was_said_still_leaves_after_the_end_of_the_bytes(closes):
    life = asked_and_ended(blocks=True)
    life.session.receive()
    life.session.send("answer")
    life.look()
    assert life.session.close(4000) if closes else life.session.receive() is EMPTY
    life.look()
    assert (life.session.phase, life.session.end.cause, life.seen) == (Phase.DRAINING, Cause.EOF, [])
    life.blocks = False
    life.write()
    assert (life.session.phase, life.session.resets) == (Phase.CLOSED, False)
    assert life.seen[0] == "answer"
    assert [event.code for event in life.seen[1:]] == [4000] * closes


def test_what_was_said_and_does_not_leave_after_the_end_of_the_bytes_is_stuck():
    life = asked_and_ended(blocks=True, close_timeout=10.0)
    life.session.receive()
    life.session.send("answer")
    life.look()
    life.session.receive()
    life.look()
    life.wait(9.9)
    assert life.session.phase is Phase.DRAINING
    life.wait(0.2)
    assert (life.session.phase, life.session.resets, life.session.end.cause) == (Phase.CLOSED, True, Cause.EOF)


def test_half_of_close_timeout_is_waited_for_an_answer_after_the_end_of_the_bytes():
    life = asked_and_ended(close_timeout=10.0)
    assert life.session.receive() == "question"
    life.wait(4.9)
    assert life.session.phase is Phase.OPEN
    life.wait(0.2)
    assert (life.session.phase, life.session.end.cause) == (Phase.CLOSED, Cause.EOF)


def test_who_waits_for_room_is_waited_for_after_the_end_of_the_bytes():
    life = asked_and_ended(blocks=True, max_send_buffer=10)
    life.session.receive()
    assert life.session.send("answer")
    assert not life.session.send("and more")
    life.session.senders_waiting = 1
    assert life.session.receive() is EMPTY
    life.look()
    assert life.session.phase is Phase.OPEN
    life.write()
    assert life.session.send("and more")
    life.session.senders_waiting = 0
    life.write()
    assert (life.session.phase, life.seen) == (Phase.CLOSED, ["answer", "and more"])


def test_who_was_refused_has_the_time_until_there_is_room_after_the_end_of_the_bytes():
    life = asked_and_ended(blocks=True, max_send_buffer=10)
    life.session.receive()
    assert life.session.send("answer")
    assert not life.session.send("and more")
    assert life.session.receive() is EMPTY
    life.look()
    assert life.session.phase is Phase.OPEN
    life.write()
    assert (life.session.phase, life.seen) == (Phase.CLOSED, ["answer"])


def test_a_hook_answers_what_came_before_the_end_of_the_bytes():
    life = wire(hook=lambda message: life.session.send(message))
    life.peer_sends("one", "two")
    life.eof_comes()
    assert (life.seen, life.session.phase) == (["one", "two"], Phase.CLOSED)


def test_whoever_closes_waits_no_longer_for_room_for_what_came_before_the_end_of_the_bytes():
    life = wire(max_receive_queue=1)
    life.peer_sends("one", "two", "three")
    life.eof_comes()
    life.session.close()
    life.look()
    assert (life.session.phase, life.session.end.cause) == (Phase.CLOSED, Cause.EOF)


def test_the_end_of_the_bytes_waits_for_nobody_where_nothing_is_read_for_other_reasons():
    life = wire()
    life.session.hold_back(True, life.now)
    life.eof_comes()
    assert (life.session.phase, life.session.end.cause) == (Phase.CLOSED, Cause.EOF)


@pytest.mark.parametrize("breaks_first", [False, True])
def test_the_end_of_the_bytes_waits_for_no_answer_that_cannot_leave(breaks_first):
    life = wire()
    life.peer_sends("question")
    for act in (life.sending_breaks, life.eof_comes) if breaks_first else (life.eof_comes, life.sending_breaks):
        act()
    # What came first is why: a peer that ends both ways resets what is sent to it afterwards.
    assert (life.session.phase, life.session.end.cause) == (Phase.CLOSED, Cause.RESET if breaks_first else Cause.EOF)
    assert life.received_before_the_end() == ["question"]


def test_a_broken_transport_does_not_wait_for_an_answer():
    life = asked_and_ended()
    life.session.broken(life.now)
    assert (life.session.phase, life.session.end.cause) == (Phase.CLOSED, Cause.EOF)


def test_failed_after_the_end_of_the_bytes_says_why():
    life = asked_and_ended()
    life.session.fail(1011)
    life.look()
    assert (life.session.phase, life.session.end.cause) == (Phase.CLOSED, Cause.FAILED)
    assert [event.code for event in life.seen] == [1011]


# A thousand ends


def ends_by_close(life, chance):
    life.session.receive()
    life.peer.close(chance.choice([1000, 1001, 4000]))
    life.peer_says()


def ends_by_ours(life, chance):
    life.session.close(chance.choice([1000, 1001, 4000]))
    life.look()
    life.peer_says()


def ends_by_rule(life, chance):
    bad = chance.choice([b"\xff\xff", b"\x83\x80\0\0\0\0", b"\x81\x81\0\0\0\0\xff", b"\x88\x81\0\0\0\0\x03"])
    life.session.receive()
    if life.session.connection.role is CLIENT:
        bad = b"\xff\xff"
    life.bytes_come(bad)


def ends_by_limit(life, chance):
    life.session.receive()
    if chance.random() < 0.5:
        life.peer_sends(bytes(life.options.max_message_size + 1))
    else:
        life.blocks = True
        life.session.send(bytes(100))
        with pytest.raises(ConnectionLost):
            life.session.send(bytes(100))


def ends_by_failure(life, chance):
    life.session.fail(chance.choice([1011, 1001]))


def ends_silent(life, chance):
    life.wait(20.0 + 7.0 + chance.random())


def ends_unclosed(life, chance):
    life.session.close()
    life.look()
    life.wait(10.0 + chance.random())


def ends_stuck(life, chance):
    life.blocks = True
    life.session.send("x")
    life.look()
    if chance.random() < 0.5:
        life.peer.ping()
        life.peer_says()
    life.wait(6.0 + chance.random())


def ends_by_eof(life, chance):
    if chance.random() < 0.5:
        life.bytes_come(b"\x82")
    life.eof_comes()


def ends_by_reset(life, chance):
    if chance.random() < 0.5:
        life.sending_breaks()
        life.wait(20.0)
    life.session.broken(life.now)


def ends_by_abort(life, chance):
    if chance.random() < 0.5:
        life.session.close()
        life.look()
    life.session.abort()


KINDS = {
    ends_by_close: Cause.CLOSE,
    ends_by_ours: Cause.CLOSE,
    ends_by_rule: Cause.RULE,
    ends_by_limit: Cause.LIMIT,
    ends_by_failure: Cause.FAILED,
    ends_silent: Cause.SILENT,
    ends_unclosed: Cause.UNCLOSED,
    ends_stuck: Cause.STUCK,
    ends_by_eof: Cause.EOF,
    ends_by_reset: Cause.RESET,
    ends_by_abort: Cause.ABORT,
}


def live(life, chance):
    """Some talk before the end."""
    for _ in range(chance.randrange(4)):
        if chance.random() < 0.5:
            life.peer_sends("hello", b"world")
            life.received()
        else:
            life.session.send("answer")
            life.look()
        life.wait(chance.random() * 5)
        life.peer_says()
    life.received()


def test_a_thousand_ends_are_told_right():
    assert set(KINDS.values()) == set(Cause)
    chance = random.Random(14)
    for number in range(1000):
        inject, cause = chance.choice(list(KINDS.items()))
        life = Wire(
            role=chance.choice([SERVER, CLIENT]),
            ping_interval=20.0,
            ping_timeout=7.0,
            close_timeout=10.0,
            send_timeout=6.0,
            max_message_size=5000,
            max_send_buffer=100,
            slow_consumer="close",
        )
        live(life, chance)
        inject(life, chance)
        assert life.session.end is not None, (number, inject)
        assert life.session.end.cause is cause, (number, inject, str(life.session.end))
        life.wait(1000.0)
        assert life.session.phase is Phase.CLOSED
