"""The policy of checkpoints, by counting and with a clock that the test turns; and what we know of Trio."""

from collections.abc import Iterator

import pytest
import trio
import trio.testing

from wscore.transport import trio_glue
from wscore.transport.trio_glue import CALLS_A_LOOK, Manners, Pace, Signal, pace_of_this_run, unwrapped


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def no_attribute(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Trio that has renamed its private attribute."""

    def missing() -> bool:
        raise AttributeError("_cancel_status")

    monkeypatch.setattr(trio_glue, "is_cancelled_by_attribute", missing)
    return iter(())


@pytest.fixture(params=["pure", pytest.param("native", marks=pytest.mark.native)])
def kind(request: pytest.FixtureRequest) -> type[Pace]:
    """Both twins."""
    if request.param == "pure":
        return Pace
    from wscore.transport.reactor import Pace as Compiled

    return Compiled


async def test_every_ready_call_is_due_2_milliseconds_after_the_loop_turned(kind: type[Pace]) -> None:
    clock = FakeClock()
    pace = kind(trio_glue.is_cancelled_by_question, clock)
    clock.now = 1.9e-3
    assert not any(pace.is_due() for _ in range(1000))
    clock.now = 2e-3
    assert [pace.is_due() for _ in range(10)] == [False] * 7 + [True] * 3
    pace.after_io_wait(0)
    assert not any(pace.is_due() for _ in range(1000))


async def test_one_run_has_one_pace_and_the_next_run_another() -> None:
    assert pace_of_this_run() is pace_of_this_run()


def test_the_pace_is_told_when_the_loop_turns() -> None:
    async def main() -> Pace:
        pace = pace_of_this_run()
        clock = pace.clock = FakeClock()
        pace.after_io_wait(0)
        clock.now = 1.0
        assert any(pace.is_due() for _ in range(CALLS_A_LOOK))
        await trio.lowlevel.checkpoint()
        assert not pace.is_due()
        return pace

    assert trio.run(main) is not trio.run(main)


def test_there_is_no_pace_outside_of_a_run() -> None:
    with pytest.raises(RuntimeError):
        pace_of_this_run()


async def test_cancellation_is_read_from_the_attribute_where_it_tells_the_truth() -> None:
    assert trio_glue.attribute_tells_the_truth()
    assert pace_of_this_run().is_cancelled is trio_glue.is_cancelled_by_attribute


async def test_without_the_attribute_trio_is_asked(no_attribute: None) -> None:
    assert not trio_glue.attribute_tells_the_truth()
    assert pace_of_this_run().is_cancelled is trio_glue.is_cancelled_by_question


async def test_an_attribute_that_lies_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_glue, "is_cancelled_by_attribute", lambda: False)
    assert not trio_glue.attribute_tells_the_truth()


@pytest.mark.parametrize("ask", [trio_glue.is_cancelled_by_attribute, trio_glue.is_cancelled_by_question])
async def test_both_ways_to_ask_agree(ask) -> None:
    assert not ask()
    with trio.CancelScope() as outer:
        outer.cancel()
        assert ask()
        with trio.CancelScope(shield=True):
            assert not ask()
            await trio.lowlevel.checkpoint()
        assert ask()
        await trio.lowlevel.checkpoint_if_cancelled()
    assert not ask()


async def test_every_call_notices_that_it_is_cancelled() -> None:
    manners = Manners(strict=False)
    with trio.CancelScope() as scope:
        scope.cancel()
        await manners.enter()
    assert scope.cancelled_caught


async def test_the_strict_rule_gives_way_at_every_call() -> None:
    with trio.testing.assert_checkpoints():
        manners = Manners(strict=True)
        await manners.enter()
        await manners.leave()


async def test_leaving_gives_way_but_never_raises() -> None:
    manners = Manners(strict=True)
    with trio.CancelScope() as scope:
        scope.cancel()
        await manners.leave()
    assert not scope.cancelled_caught


async def test_a_signal_wakes_the_task_that_waits() -> None:
    signal = Signal()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(signal.wait)
        await trio.testing.wait_all_tasks_blocked()
        signal.give()


async def test_a_signal_that_nobody_waits_for_is_kept_once() -> None:
    signal = Signal()
    signal.give()
    signal.give()
    await signal.wait()
    with trio.move_on_after(0) as scope:
        await signal.wait()
    assert scope.cancelled_caught


async def test_a_cancelled_wait_leaves_the_signal_to_the_next() -> None:
    signal = Signal()
    signal.give()
    with trio.CancelScope() as scope:
        scope.cancel()
        await signal.wait()
    assert scope.cancelled_caught
    await signal.wait()


async def test_an_aborted_wait_leaves_nobody_behind() -> None:
    signal = Signal()
    with trio.move_on_after(0):
        await signal.wait()
    signal.give()
    await signal.wait()


async def test_an_unwrapped_group_is_the_exception_that_is_no_cancellation() -> None:
    cancelled = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            cancelled.append(error)
    error = KeyError("x")
    assert unwrapped(error) is error
    assert unwrapped(BaseExceptionGroup("", [cancelled[0], ExceptionGroup("", [error])])) is error
    assert unwrapped(BaseExceptionGroup("", [cancelled[0]])) is cancelled[0]
