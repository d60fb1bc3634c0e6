"""What a connection tells of itself, from its session and from what its pump knows."""

from wscore.session.counts import statistics_of

from .peer import Wire


def test_what_was_counted_is_told():
    life = Wire(blocks=True, max_send_buffer=100, slow_consumer="drop")
    life.peer_sends("one", b"two")
    assert life.session.receive() == "one"
    assert life.session.send("answer")
    assert not life.session.send("x" * 100)
    told = statistics_of(life.session, failed=False, senders_waiting=2)
    assert (told.messages_received, told.messages_sent, told.messages_dropped) == (2, 1, 1)
    assert (told.bytes_received, told.bytes_sent, told.send_buffer) == (life.session.bytes_received, 0, 8)
    assert (told.messages_waiting, told.receive_queue) == (1, 3 + 48)
    assert (told.senders_waiting, told.latency, told.reset, told.failed) == (2, None, False, False)


def test_what_a_hook_got_is_what_was_received():
    life = Wire()
    life.peer_sends("one", "two")
    told = statistics_of(life.session, failed=True, senders_waiting=0, messages_received=1)
    assert (told.messages_received, told.failed) == (1, True)
