"""The timer wheel: whatever else is due, whenever, nothing is early, and nothing later than a slot."""

import math
import socket
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.native

SLOT = 1 / 32
# The wheel has room for 64 seconds: near ones, those about its end, and those far beyond.
DELAYS = st.one_of(st.floats(0, 2), st.floats(60, 68), st.floats(0, 1000), st.sampled_from([0.0, 63.96875, 64.0]))
STEPS = st.lists(st.tuples(st.floats(0, 70), DELAYS), min_size=1, max_size=12)


class Timer:
    """Something with a deadline: a connected socket of which nobody knows more."""

    def __init__(self, reactor, clock: Callable[[], float]) -> None:
        from wscore.transport.reactor.arrival import Arrival

        ours, self._theirs = socket.socketpair()
        ours.setblocking(False)
        self._clock = clock
        self._arrival = Arrival(reactor, ours.detach(), guest=self)
        self.due = math.inf
        self.called: list[tuple[float, float]] = []

    def call_at(self, when: float) -> None:
        self.due = when
        self._arrival.call_at(when)

    def expired(self) -> None:
        self.called.append((self.due, self._clock()))
        self.due = math.inf

    def closed(self) -> None:
        """For the reactor."""

    def close(self) -> None:
        self._arrival.close()
        self._theirs.close()


class Wheel:
    """A reactor whose time is told by hand, and which is looked at when it has asked for it, as `running` does."""

    def __init__(self) -> None:
        from wscore.transport.reactor.engine import Reactor

        self.now = 0.0
        self.reactor = Reactor(self.look, lambda: None, self.now)
        self.next = math.inf
        self.timers: list[Timer] = []

    def look(self) -> None:
        self.next = self.reactor.next_deadline()

    def add(self, delay: float) -> Timer:
        timer = Timer(self.reactor, lambda: self.now)
        self.timers.append(timer)
        self.set(timer, self.now + delay)
        return timer

    def set(self, timer: Timer, when: float) -> None:
        timer.call_at(when)
        self.reactor.turn()

    def pass_to(self, when: float) -> None:
        while self.next <= when:
            self.now = max(self.now, self.next)
            self.reactor.expire(self.now)
            self.look()
        self.now = when

    def close(self) -> None:
        for timer in self.timers:
            timer.close()


def check(wheel: Wheel) -> None:
    """What was due was called, in time; the sorted list of those that wait begins with one that is not overdue."""
    for timer in wheel.timers:
        for due, called_at in timer.called:
            assert due <= called_at <= due + SLOT
    waiting = sorted(timer.due for timer in wheel.timers)
    assert waiting[0] >= wheel.now - SLOT


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_deadlines_near_and_far_are_kept_as_in_a_sorted_list(steps: list[tuple[float, float]]) -> None:
    wheel = Wheel()
    try:
        for gap, delay in steps:
            wheel.add(delay)
            wheel.pass_to(wheel.now + gap)
            check(wheel)
        wheel.pass_to(wheel.now + 1100)
        assert all(len(timer.called) == 1 for timer in wheel.timers)
        check(wheel)
    finally:
        wheel.close()


@pytest.mark.parametrize("far", [65, 100, 100_000])
def test_a_far_deadline_hides_no_near_one(far: float) -> None:
    wheel = Wheel()
    wheel.add(far)
    wheel.add(20)
    wheel.pass_to(55)
    near = wheel.add(10)
    wheel.pass_to(66)
    wheel.close()
    assert [called_at for _, called_at in near.called] == [pytest.approx(65, abs=SLOT)]


def test_a_deadline_may_change_before_it_comes() -> None:
    wheel = Wheel()
    timer = wheel.add(100)
    wheel.pass_to(20)
    wheel.set(timer, 30)
    wheel.pass_to(25)
    wheel.set(timer, 500)
    wheel.pass_to(499)
    assert timer.called == []
    wheel.pass_to(501)
    wheel.close()
    assert [due for due, _ in timer.called] == [500]


def test_who_was_not_looked_at_for_longer_than_the_wheel_goes_round_is_told_then() -> None:
    wheel = Wheel()
    timers = [wheel.add(delay) for delay in (63, 65, 1, 199)]
    later = wheel.add(201)
    wheel.now = 200.0
    wheel.reactor.expire(wheel.now)
    wheel.look()
    assert [len(timer.called) for timer in timers] == [1, 1, 1, 1]
    assert later.called == []
    wheel.pass_to(202)
    assert len(later.called) == 1
    wheel.close()
