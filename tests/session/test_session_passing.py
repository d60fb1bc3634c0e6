"""A pump that moves plain messages by itself, with the Reader and the Writer, and tells the session what has passed."""

import pytest

from wscore.codec import Stop
from wscore.session import Cause, ConnectionEnded, PassingSession, Phase, Wakeup

from .peer import Wire


class Passing(Wire):
    """A pump that does so."""

    new_session = PassingSession

    def read(self, data, budget=1 << 18):
        """Read what is plain, and let the session do the rest; what was read."""
        session, messages = self.session, []
        assert session.is_plain
        taken = session.connection.reader.read(data, messages, budget)
        stop = session.connection.reader.stop
        session.passed(
            received=len(data), came=len(messages), sent=0, said=0, waiting=messages, is_answered=not messages
        )
        if stop is not Stop.NEED_DATA:
            session.read_on(data[taken:], budget, self.now)
        return messages

    def say(self, *messages):
        """As the peer, without being heard by the session's own way."""
        for message in messages:
            self.peer.send(message)
        return self.peer.data_to_send()


def passing(**options):
    return Passing(**{"ping_interval": None} | options)


def test_an_open_connection_is_plain_until_something_else_is_under_way():
    life = passing(blocks=True, max_receive_queue=100)
    assert life.session.is_plain
    life.session.send("x")
    assert life.session.is_plain  # what is in the output is the pump's to take
    life.look()
    assert not life.session.is_plain  # in flight
    life.write()
    assert life.session.is_plain


@pytest.mark.parametrize(
    "act",
    [
        lambda life: life.session.ping(b"x"),
        lambda life: life.peer_sends("x"),
        lambda life: life.session.close(),
        lambda life: life.session.fail(1011),
        lambda life: life.session.abort(),
        lambda life: life.sending_breaks(),
        lambda life: setattr(life.session, "senders_waiting", 1),
        lambda life: life.session.hold_back(True, life.now),
    ],
)
def test_whatever_else_is_under_way_is_not_plain(act):
    life = passing()
    act(life)
    assert not life.session.is_plain


def test_with_a_rate_nothing_is_plain():
    assert not passing(message_rate=1000.0).session.is_plain


def test_it_is_plain_again_once_a_ping_was_answered():
    life = passing(ping_interval=20.0)
    life.wait(20.0)
    assert not life.session.is_plain
    life.peer_says()
    assert life.session.is_plain


def test_what_has_passed_is_counted_as_if_the_session_had_moved_it():
    life = passing()
    life.session.passed(received=11, came=2, sent=7, said=1)
    session = life.session
    assert (session.bytes_received, session.messages_received) == (11, 2)
    assert (session.bytes_sent, session.messages_sent) == (7, 1)
    assert session.receive_queue == (0, 0)


def test_messages_that_were_read_and_not_received_wait_in_the_session():
    life = passing(max_receive_queue=100)
    life.read(life.say("one", "two"))
    assert not life.session.is_plain
    assert life.session.receive_queue[0] == 2
    life.look()
    assert life.received() == ["one", "two"]


def test_a_close_frame_behind_them_waits_for_their_answer():
    life = passing()
    data = life.say("question")
    life.peer.close(4000)
    life.read(data + life.peer.data_to_send())
    life.look()
    assert (life.session.phase, life.session.wants_read) == (Phase.OPEN, False)
    assert life.received() == ["question"]
    assert life.session.end.code == 4000


def test_a_close_frame_waits_for_nobody_when_all_was_answered():
    life = passing()
    life.read(life.say("question"))
    assert life.received() == ["question"]
    life.session.passed(received=0, came=0, sent=0, said=0, is_answered=True)
    life.peer.close(4000)
    life.bytes_come(life.peer.data_to_send())
    assert life.session.phase is Phase.DRAINING


def test_what_is_asked_and_answered_meanwhile_is_not_forgotten():
    """Nothing is told of it when nothing has changed."""
    life = passing()
    life.read(life.say("question"))
    assert life.session.receive() == "question"
    life.session.passed(received=0, came=0, sent=0, said=0)
    life.peer.close(4000)
    life.session.received(life.peer.data_to_send(), life.now)
    assert life.session.phase is Phase.OPEN


def test_what_the_budget_keeps_from_being_read_is_read_later():
    life = passing(max_receive_queue=100)
    messages = life.read(life.say("one", "two", "three"), budget=60)
    assert messages == ["one", "two"]
    assert not life.session.wants_read
    assert life.received() == ["one", "two"]
    assert life.received() == ["three"]
    assert life.session.wants_read


def test_a_pong_wakes_who_waits_for_it():
    life = passing()
    life.session.ping(b"payload")
    life.look()
    data, messages = life.peer.data_to_send(), []
    taken = life.session.connection.reader.read(data, messages, 100)
    life.session.read_on(data[taken:], 100, life.now)
    life.look()
    assert life.woken & Wakeup.PING


def test_a_broken_rule_ends_it():
    life = passing()
    life.read(b"\xff" * 8)
    life.look()
    assert life.session.end.cause is Cause.RULE


def test_after_an_abort_nothing_that_was_read_is_received():
    life = passing()
    data = life.say("x")
    life.session.abort()
    life.session.passed(received=len(data), came=1, sent=0, said=0, waiting=["x"], is_answered=False)
    life.session.read_on(b"\x88\x80abcd", 100, life.now)
    assert life.session.receive_queue == (0, 0)
    with pytest.raises(ConnectionEnded):
        life.session.receive()


def test_what_did_not_leave_is_in_flight_and_has_a_deadline():
    life = passing(send_timeout=30.0)
    life.session.passed(received=0, came=0, sent=5, said=1)
    life.session.fell_behind(7, life.now)
    session = life.session
    assert (session.in_flight, session.unsent, session.bytes_sent) == (7, 7, 5)
    assert session.deadline == life.now + 30.0
    session.sent(0, life.now)
    assert (session.in_flight, session.bytes_sent) == (0, 12)
