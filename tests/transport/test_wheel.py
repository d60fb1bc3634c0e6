"""The timer wheel, against a sorted list: whatever else is due, whenever, nothing is early, and nothing later than a
slot. Then the same through a reactor.
"""

import gc
import math
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.native

SLOT = 1 / 32
AROUND = 64.0  # seconds for which the wheel has room
# Near ones, those about the wheel's end, and those far beyond; as long ago, too.
DELAYS = st.one_of(
    st.floats(-2, 2), st.floats(60, 68), st.floats(0, 1000), st.sampled_from([0.0, SLOT, AROUND - SLOT, AROUND, 1e6])
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 5), DELAYS),
        st.tuples(st.just("take off"), st.integers(0, 5), st.just(math.inf)),
        st.tuples(st.just("pass"), st.just(0), st.floats(0, 70)),
        st.tuples(st.just("stand still"), st.just(0), st.floats(0, 300)),
    ),
    max_size=40,
)


class SortedList:
    """What a wheel does, without one: the deadlines in order."""

    def __init__(self) -> None:
        self.deadlines: dict[int, float] = {}

    def put(self, which: int, when: float) -> None:
        self.deadlines.pop(which, None)
        if when != math.inf:
            self.deadlines[which] = when

    def expire(self, now: float) -> list[int]:
        due = sorted(which for which, when in self.deadlines.items() if when <= now)
        for which in due:
            del self.deadlines[which]
        return due

    @property
    def first(self) -> float:
        return min(self.deadlines.values(), default=math.inf)


class Both:
    """A wheel and a list that are told the same."""

    def __init__(self) -> None:
        from wscore.transport.reactor.wheel import Timed, Wheel

        self.now = 1000.0
        self.wheel = Wheel(self.now)
        self.list = SortedList()
        self.timers = [Timed() for _ in range(6)]

    def put(self, which: int, when: float) -> None:
        self.wheel.put(self.timers[which], when)
        self.list.put(which, when)

    def look(self, now: float) -> int:
        """What is due must be the same; how much that is."""
        self.now = now
        due = self.wheel.expire(now)
        assert sorted(map(self.timers.index, due)) == self.list.expire(now)
        assert all(timer.deadline == math.inf for timer in due)
        return len(due)

    def pass_to(self, when: float) -> None:
        """Look whenever that is due, as who drives a wheel does."""
        looks = 0
        while (at := self.wheel.next_deadline()) <= when:
            assert at <= max(self.list.first, self.now) + SLOT  # nothing is called later than that
            looks += self.look(max(at, self.now)) == 0
        # What is far away is looked at once in the time that the wheel has room for.
        assert looks <= len(self.timers) * ((when - self.now) / AROUND + 2)
        self.now = when


@given(STEPS)
@settings(max_examples=500, deadline=None)
def test_a_wheel_does_as_a_sorted_list(steps: list[tuple[str, int, float]]) -> None:
    both = Both()
    for what, which, amount in steps:
        if what == "pass":
            both.pass_to(both.now + amount)
        elif what == "stand still":
            both.look(both.now + amount)
        else:
            both.put(which, both.now + amount)
        deadlines = [timer.deadline for timer in both.timers]
        assert deadlines == [both.list.deadlines.get(which, math.inf) for which in range(6)]
    both.look(both.now + 2e6)
    assert both.wheel.next_deadline() == math.inf


def test_who_is_gone_is_not_called() -> None:
    both = Both()
    both.put(0, both.now + 1)
    both.put(1, both.now + 1)
    both.put(2, both.now + 1)
    del both.timers[1]
    both.list.deadlines = {0: both.now + 1, 1: both.now + 1}  # what was the third is the second now
    assert both.look(both.now + 2) == 2


def test_what_waits_on_a_wheel_that_is_gone_waits_for_nothing() -> None:
    from wscore.transport.reactor.wheel import Timed, Wheel

    timers = [Timed() for _ in range(3)]
    first, second = Wheel(0.0), Wheel(0.0)
    for timer in timers:
        first.put(timer, 1.0)
    del first
    gc.collect()
    second.put(timers[0], 2.0)
    assert second.expire(3.0) == [timers[0]]


def test_who_is_put_on_another_wheel_has_left_the_first() -> None:
    from wscore.transport.reactor.wheel import Timed, Wheel

    timer = Timed()
    first, second = Wheel(0.0), Wheel(0.0)
    first.put(timer, 1.0)
    second.put(timer, 2.0)
    assert (first.next_deadline(), first.expire(5.0), second.expire(5.0)) == (math.inf, [], [timer])


def test_what_is_no_time_is_refused() -> None:
    from wscore.transport.reactor.wheel import Timed, Wheel

    with pytest.raises(ValueError, match="a deadline is a time"):
        Wheel(0.0).put(Timed(), math.nan)


# Through a reactor


class Timer:
    """Something with a deadline: a connected socket of which nobody knows more."""

    def __init__(self, reactor: Any, clock: Callable[[], float]) -> None:
        from wscore.transport.reactor.arrival import Arrival

        ours, self._theirs = socket.socketpair()
        ours.setblocking(False)
        self._clock = clock
        self._arrival = Arrival(reactor, ours.detach(), guest=self)
        self.called: list[float] = []

    def call_at(self, when: float) -> None:
        self._arrival.call_at(when)

    def expired(self) -> None:
        self.called.append(self._clock())

    def closed(self) -> None:
        """For the reactor."""

    def close(self) -> None:
        self._arrival.close()
        self._theirs.close()


class Driven:
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


@pytest.mark.parametrize("far", [65, 100, 100_000])
def test_on_a_reactor_a_far_deadline_hides_no_near_one(far: float) -> None:
    driven = Driven()
    driven.add(far)
    driven.add(20)
    driven.pass_to(55)
    near = driven.add(10)
    driven.pass_to(66)
    driven.close()
    assert near.called == [pytest.approx(65, abs=SLOT)]


def test_on_a_reactor_a_deadline_may_change_before_it_comes() -> None:
    driven = Driven()
    timer = driven.add(100)
    driven.pass_to(20)
    driven.set(timer, 30)
    driven.pass_to(25)
    driven.set(timer, 500)
    driven.pass_to(499)
    assert timer.called == []
    driven.pass_to(501)
    driven.close()
    assert timer.called == [pytest.approx(500, abs=SLOT)]
