"""One timer of the loop for all connections: against a table of who is to be called when, on a clock of its own."""

import asyncio
import gc
import importlib
import selectors
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

alarms = importlib.import_module("wscore.adapters.asyncio.alarms")

# Times are rounded up to ticks, and the loop's timer is a little late.
TICK = 1 / alarms.TICKS + alarms.EARLY + 1e-6


class Selector(selectors.DefaultSelector):
    """Lets time pass in place of waiting."""

    seconds = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        self.seconds += timeout or 0.0
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """Its time passes only where nothing is to be done."""

    def __init__(self) -> None:
        self.selector = Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.seconds


class Sleeper:
    """Somebody who is called."""

    def __init__(self, call: Callable[["Sleeper"], object]) -> None:
        self._alarm = alarms.NEVER
        self.call = call

    def _time_is(self) -> None:
        self.call(self)


@contextmanager
def new_loop() -> Iterator[Loop]:
    with closing(Loop()) as loop:
        yield loop


DELAYS = st.one_of(st.just(inf), st.floats(-1.0, 0.1), st.floats(0.0, 40.0))
STEPS = st.tuples(st.integers(0, 4), DELAYS, st.booleans(), st.floats(0.0, 2.0))


@given(st.lists(STEPS, max_size=60))
def test_everybody_is_called_once_and_on_time(steps: list[tuple[int, float, bool, float]]) -> None:
    due: dict[int, float] = {}
    late: list[float] = []

    def call(index: int) -> None:
        late.append(loop.time() - due.pop(index))

    async def live() -> None:
        own = alarms.alarms_of(loop)
        sleepers = [Sleeper(lambda _, index=index: call(index)) for index in range(5)]
        for index, delay, or_before, pause in steps:
            at = loop.time() + max(delay, 0.0)
            if not or_before or index not in due or at < due[index]:
                due[index] = at
            own.set(sleepers[index], loop.time() + delay, or_before=or_before)
            if due[index] == inf:
                del due[index]
            await asyncio.sleep(pause)
            assert all(at > loop.time() - TICK for at in due.values()), "somebody was forgotten"
        own.stop(sleepers[0])
        due.pop(0, None)
        await asyncio.sleep(50.0)

    with new_loop() as loop:
        loop.run_until_complete(live())
    assert due == {}
    assert all(0.0 <= each <= TICK for each in late)


def test_one_that_fails_is_told_of_and_holds_up_nobody() -> None:
    called, told = [], []

    def fail(sleeper: Sleeper) -> None:
        called.append(sleeper)
        raise ValueError("no")

    async def live() -> None:
        own = alarms.alarms_of(loop)
        for sleeper in sleepers:
            own.set(sleeper, loop.time() + 1.0)
        await asyncio.sleep(2.0)

    with new_loop() as loop:
        sleepers = [Sleeper(fail) for _ in range(3)]
        loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        loop.run_until_complete(live())
    assert (len(called), told) == (3, ["no"] * 3)


def test_ctrl_c_in_one_loses_none_of_the_others() -> None:
    called: list[Sleeper] = []

    def interrupt(sleeper: Sleeper) -> None:
        called.append(sleeper)
        if len(called) == 1:
            raise KeyboardInterrupt

    async def live() -> None:
        for sleeper in sleepers:
            own.set(sleeper, loop.time() + 1.0)
        await asyncio.sleep(2.0)

    with new_loop() as loop:
        own = alarms.alarms_of(loop)
        sleepers = [Sleeper(interrupt) for _ in range(3)]
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(live())
        loop.run_until_complete(asyncio.sleep(1.0))
    assert len(set(called)) == 3


def test_many_that_come_and_go_leave_nothing_behind() -> None:
    async def live() -> None:
        for i in range(5000):
            sleeper = Sleeper(lambda _: pytest.fail("it was stopped"))
            own.set(sleeper, loop.time() + 3600.0 + i)
            own.stop(sleeper)
        assert len(own._heap) <= 2 * alarms.MOST_STALE

    with new_loop() as loop:
        own = alarms.alarms_of(loop)
        loop.run_until_complete(live())
        loop.run_until_complete(asyncio.sleep(9000.0))
        assert own._timer is None


def test_all_of_a_loop_share_one_timer_that_keeps_no_loop() -> None:
    loop = Loop()
    own = alarms.alarms_of(loop)
    assert alarms.alarms_of(loop) is own
    gone = weakref.ref(loop)
    loop.close()
    del own, loop
    gc.collect()
    assert gone() is None
