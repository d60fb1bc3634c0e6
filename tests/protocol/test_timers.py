"""The deadlines of a connection, without a clock."""

from math import inf

from wscore.protocol.timers import Timers


def test_a_ping_is_due_once_an_interval_has_passed() -> None:
    timers = Timers(20, 5, now=100)
    assert timers.next() == 120
    assert not timers.ping_is_due(119)
    assert timers.ping_is_due(120)
    assert timers.next() == 140


def test_its_answer_is_due_from_when_it_has_left() -> None:
    timers = Timers(20, 5, now=100)
    assert timers.ping_is_due(120)
    assert timers.pong_by == inf
    timers.pinged(123)
    assert timers.pong_by == 128
    timers.answered(124)
    assert timers.next() == 140


def test_no_second_ping_is_due_while_the_first_is_unanswered() -> None:
    timers = Timers(20, 60, now=0)
    assert timers.ping_is_due(20)
    timers.pinged(20)
    assert not timers.ping_is_due(40)
    timers.answered(39)
    assert timers.next() == 40
    assert timers.ping_is_due(40)


def test_nothing_is_looked_at_before_the_answer_is_due_and_after_a_late_one_an_interval_passes() -> None:
    timers = Timers(20, 60, now=0)
    assert timers.ping_is_due(20)
    timers.pinged(20)
    assert timers.next() == 80
    timers.answered(50)
    assert timers.next() == 70


def test_while_reading_pauses_no_answer_is_due() -> None:
    timers = Timers(20, 5, now=0)
    timers.pinged(20)
    timers.pause()
    assert timers.pong_by == inf
    timers.resume(90)
    assert timers.pong_by == 95


def test_a_ping_that_leaves_during_a_pause_is_due_after_it() -> None:
    timers = Timers(20, 5, now=0)
    timers.pause()
    timers.pinged(20)
    assert timers.pong_by == inf
    timers.resume(30)
    assert timers.pong_by == 35


def test_going_on_without_a_pause_changes_nothing() -> None:
    timers = Timers(20, 5, now=0)
    timers.pinged(20)
    timers.resume(24)
    assert timers.pong_by == 25


def test_switched_off_nothing_is_ever_due() -> None:
    timers = Timers(None, None, now=0)
    assert timers.next() == inf
    timers.pinged(1)
    assert timers.next() == inf


def test_closing_ends_the_pings_and_sets_a_last_deadline() -> None:
    timers = Timers(20, 5, now=0)
    timers.pinged(1)
    timers.closing(3, 10)
    assert timers.next() == timers.close_by == 13
    timers.closing(5, 10)
    timers.resume(6)
    assert timers.next() == 13


# Where bytes count as life


def test_whoever_sends_nothing_is_silent_when_the_answer_is_due() -> None:
    timers = Timers(20, 8, now=0)
    timers.pinged(100, received=50)
    for now in (102, 104, 106):
        assert timers.pong_by == now
        assert not timers.is_silent(50, now)
    assert timers.pong_by == 108
    assert timers.is_silent(50, 108)


def test_whoever_sends_has_its_time_anew_from_the_look_that_has_seen_it() -> None:
    timers = Timers(20, 8, now=0)
    timers.pinged(100, received=50)
    assert not timers.is_silent(51, 102)
    for now in (104, 106, 108):
        assert timers.pong_by == now
        assert not timers.is_silent(51, now)
    assert timers.pong_by == 110
    assert not timers.is_silent(52, 110)
    assert not timers.is_silent(52, 117.5)
    assert timers.pong_by == 118
    assert timers.is_silent(52, 118)


def test_after_a_pause_the_silence_begins_anew() -> None:
    timers = Timers(20, 8, now=0)
    timers.pinged(100, received=50)
    timers.pause()
    assert timers.pong_by == inf
    timers.resume(107)
    assert timers.pong_by == 109
    assert not timers.is_silent(50, 114)
    assert timers.is_silent(50, 115)


def test_without_a_timeout_nobody_is_silent() -> None:
    timers = Timers(20, None, now=0)
    timers.pinged(20, received=0)
    assert timers.pong_by == inf


def test_whether_reading_has_paused_is_known() -> None:
    timers = Timers(20, 5, now=100)
    assert not timers.is_paused
    timers.pause()
    assert timers.is_paused
    timers.resume(101)
    assert not timers.is_paused
