"""The one task that waits for the deadlines of all connections on streams."""

from math import inf

import pytest
import trio
import trio.testing

from wscore.transport.timers import _MOST_STALE, Timer, Timers, timers_of_this_run


class Owner:
    """Notes when it is called."""

    def __init__(self, timers: Timers) -> None:
        self.timer = Timer(timers, self)
        self.calls: list[float] = []
        self.then = inf

    def _time_is(self, now: float) -> None:
        self.calls.append(now)
        self.timer.set(self.then)


@pytest.fixture
def timers() -> Timers:
    return Timers()


async def test_each_owner_is_called_once_and_on_time(timers: Timers, autojump_clock) -> None:
    owners = [Owner(timers) for _ in range(3)]
    for owner, deadline in zip(owners, (3.0, 1.0, 2.0), strict=True):
        owner.timer.set(deadline)
    await trio.sleep(100)
    assert [owner.calls for owner in owners] == [[3.0], [1.0], [2.0]]


async def test_a_deadline_may_be_put_off_or_brought_forward(timers: Timers, autojump_clock) -> None:
    late, early, never = Owner(timers), Owner(timers), Owner(timers)
    for owner in (late, early, never):
        owner.timer.set(5.0)
    await trio.sleep(1)
    late.timer.set(9.0)
    early.timer.set(2.0)
    never.timer.set(inf)
    await trio.sleep(100)
    assert (late.calls, early.calls, never.calls) == ([9.0], [2.0], [])


async def test_what_has_passed_is_due_at_once(timers: Timers, autojump_clock) -> None:
    await trio.sleep(10)
    owner = Owner(timers)
    owner.timer.set(3.0)
    await trio.sleep(0.001)
    assert owner.calls == [10.0]


async def test_an_owner_may_set_its_next_deadline_when_it_is_called(timers: Timers, autojump_clock) -> None:
    owner = Owner(timers)
    owner.then = 7.0
    owner.timer.set(5.0)
    await trio.sleep(6)
    assert owner.calls == [5.0]
    owner.then = inf
    await trio.sleep(6)
    assert owner.calls == [5.0, 7.0]


async def test_a_timer_that_was_stopped_calls_nobody_and_holds_nobody(timers: Timers, autojump_clock) -> None:
    owner = Owner(timers)
    owner.timer.set(5.0)
    owner.timer.stop()
    assert owner.timer.owner is None
    await trio.sleep(100)
    assert owner.calls == []


async def test_the_task_ends_with_the_last_deadline_and_begins_anew(timers: Timers, autojump_clock) -> None:
    owner = Owner(timers)
    for deadline in (1.0, 20.0):
        owner.timer.set(deadline)
        await trio.sleep(10)
        await trio.sleep(10)
        assert owner.calls[-1] == deadline
        assert not timers._heap


async def test_deadlines_that_come_ever_earlier_take_no_more_and_more_memory(timers: Timers, autojump_clock) -> None:
    owner, other = Owner(timers), Owner(timers)
    other.timer.set(5000.0)
    for deadline in range(2000, 0, -1):
        owner.timer.set(1000.0 + deadline)
    assert len(timers._heap) <= 4 + _MOST_STALE
    await trio.sleep(10_000)
    assert (owner.calls, other.calls) == ([1001.0], [5000.0])


async def test_what_has_come_by_the_deadline_is_read_before_anybody_is_called(timers: Timers, autojump_clock) -> None:
    """The process was stopped: when it goes on, both the deadline is over and bytes are there."""
    order = []
    ours, _ = trio.testing.memory_stream_pair()

    class Watching(Owner):
        def _time_is(self, now: float) -> None:
            order.append("deadline")

    async def read() -> None:
        await ours.receive_some()
        order.append("read")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        Watching(timers).timer.set(1.0)
        await trio.sleep(1)
        ours.receive_stream.put_data(b"x")
        await trio.sleep(1)
    assert order == ["read", "deadline"]


def test_each_run_has_its_own() -> None:
    async def main() -> Timers:
        assert timers_of_this_run() is timers_of_this_run()
        return timers_of_this_run()

    assert trio.run(main) is not trio.run(main)
