"""Cancelling a coroutine at each of its awaits, one after the other."""

from collections.abc import Awaitable, Callable

import trio


class _After(trio.abc.Instrument):
    """Cancels a scope once a task has made so many steps: the next await of that task raises."""

    def __init__(self, task: trio.lowlevel.Task, steps: int, scope: trio.CancelScope) -> None:
        self._task = task
        self._steps = steps
        self._scope = scope

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._steps -= 1
            if self._steps == 0:
                self._scope.cancel()


async def cancelled_at(step: int, function: Callable[[], Awaitable[object]]) -> bool:
    """Run `function`, cancelled at its await number `step`, from 1; whether it came so far.

    Only what this task itself awaits counts, not what it starts.
    """
    with trio.CancelScope() as scope:
        instrument = _After(trio.lowlevel.current_task(), step, scope)
        trio.lowlevel.add_instrument(instrument)
        try:
            await function()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancelled_caught
