"""What the transport knows of Trio beyond its everyday interface, and the policy that needs it.

The policy of checkpoints. A call that need not wait does not give way to other tasks, unless Trio's loop last turned
more than 2 milliseconds ago. The clock is that of the whole run, so that many busy connections together keep to it; it
is looked at once in 8 calls. That departs from Trio's rule of one yield a call, and is worth a factor of four where
messages arrive in bursts; `strict_checkpoints` keeps Trio's rule. Cancellation is noticed by every call.

Private knowledge of Trio stands here and nowhere else: whether a task is cancelled is read from an attribute, for a
tenth of what asking costs, and the reactor acts in the place of its task between the steps of tasks. Each run checks
first that what it finds agrees with Trio's public calls; where it does not, these are asked.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sized
from ssl import MemoryBIO
from threading import get_ident
from typing import Any

import trio
from trio.lowlevel import (
    Abort,
    RunVar,
    Task,
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    enable_ki_protection,
)

__all__ = ["Manners", "Pace", "Signal", "pace_of_this_run", "undecrypted", "unwrapped"]

READY_TIME = 2e-3
CALLS_A_LOOK = 8


def is_cancelled_by_attribute() -> bool:
    """Whether the next checkpoint of this task would raise `trio.Cancelled`."""
    return current_task()._cancel_status.effectively_cancelled


def is_cancelled_by_question() -> bool:
    """The same, by Trio's public interface."""
    return trio.current_effective_deadline() == -math.inf


def attribute_tells_the_truth() -> bool:
    """Whether the private attribute exists, and follows a scope that is cancelled around this task."""
    try:
        before = is_cancelled_by_attribute() == is_cancelled_by_question()
        with trio.CancelScope() as scope:  # noqa: ASYNC100 - it is only looked at
            scope.cancel()
            inside = is_cancelled_by_attribute()
    except AttributeError:
        return False
    return before and inside


def current_run_context() -> dict[str, Any] | None:
    """Where Trio keeps the current task of this thread, under "task"; None if it does so elsewhere than we know."""
    context = getattr(getattr(trio._core, "_run", None), "GLOBAL_RUN_CONTEXT", None)
    names = getattr(context, "__dict__", {})
    return names if names.get("task") is current_task() else None


def current_run_queue() -> Sized | None:
    """The tasks that Trio will let run in its next pass; None if it keeps them elsewhere than we know."""
    context = current_run_context()
    queue = None if context is None else getattr(context.get("runner"), "runq", None)
    is_it = isinstance(queue, deque) and len(queue) == trio.lowlevel.current_statistics().tasks_runnable
    return queue if is_it else None


@enable_ki_protection
def trap_of(abort: Callable[[Any], Abort]) -> object:
    """What a coroutine that Trio runs yields to sleep until it is rescheduled, as `wait_task_rescheduled` does; it may
    be yielded more than once.
    """
    waiting = trio.lowlevel.wait_task_rescheduled(abort)  # noqa: ASYNC105
    trap = waiting.send(None)
    waiting.close()
    return trap


def _yielding_trap() -> object:
    yielding = cancel_shielded_checkpoint()  # noqa: ASYNC105
    trap = yielding.send(None)
    yielding.close()
    return trap


YIELDING: object = _yielding_trap()
"""The same for giving way to other tasks."""


class Pace(trio.abc.Instrument):
    """How much one Trio run has done since its loop last turned. One for each run: `pace_of_this_run`.

    `is_cancelled` tells whether the current task is, `thread` in which the run is.
    """

    def __init__(self, is_cancelled: Callable[[], bool], clock: Callable[[], float] | None = None) -> None:
        self.is_cancelled = is_cancelled
        self.thread = get_ident()
        self.clock = clock or time.perf_counter
        self._ready_calls = 0
        self._is_over = False
        self._turned_at = self.clock()

    def after_io_wait(self, timeout: float) -> None:
        """Trio's loop has turned: the time starts anew."""
        self._ready_calls = 0
        self._is_over = False
        self._turned_at = self.clock()

    def is_due(self) -> bool:
        """Count one call that need not wait; whether it has to give way all the same.

        Once the time is over, every call is due until the loop turns: of many busy tasks, each gives way.
        """
        self._ready_calls += 1
        if not self._is_over and self._ready_calls % CALLS_A_LOOK == 0:
            self._is_over = self.clock() - self._turned_at >= READY_TIME
        return self._is_over


_pace: RunVar[Pace] = RunVar("wscore_pace")
_manners: RunVar[tuple[Manners, Manners]] = RunVar("wscore_manners")


def pace_of_this_run() -> Pace:
    """The pace that all connections of this Trio run share. Raises `RuntimeError` outside of one."""
    pace = _pace.get(None)  # type: ignore[arg-type]
    if pace is None:
        is_cancelled = is_cancelled_by_attribute if attribute_tells_the_truth() else is_cancelled_by_question
        pace = _best_pace()(is_cancelled)
        _pace.set(pace)
        trio.lowlevel.add_instrument(pace)
    return pace


def _best_pace() -> type[Pace]:
    """The compiled twin, where the reactor is there to ask it."""
    from . import reactor

    return reactor.Pace if reactor.AVAILABLE else Pace


class Manners:
    """When the calls of one connection give way: by the run's pace, or strictly, each of them."""

    __slots__ = ("_pace", "_strict")

    def __init__(self, strict: bool) -> None:
        self._pace = pace_of_this_run()
        self._strict = strict

    def stay_in_thread(self) -> None:
        """Raises `RuntimeError` in any other than the run's: what belongs to a run has no locks."""
        if get_ident() != self._pace.thread:
            raise RuntimeError("a WebSocket belongs to the thread of its Trio run: trio.from_thread calls from another")

    async def enter(self) -> None:
        """To be awaited first by every call: raises `trio.Cancelled` if the caller is cancelled, else does nothing."""
        if self._strict:
            await checkpoint_if_cancelled()
        elif self._pace.is_cancelled():
            await checkpoint()

    async def leave(self) -> None:
        """To be awaited last by a call that did not wait. Never raises: what was done stays done."""
        if self._pace.is_due() or self._strict:
            await cancel_shielded_checkpoint()


def manners_of_this_run(strict: bool) -> Manners:
    """The manners that all connections of this Trio run share. Raises `RuntimeError` outside of one."""
    both = _manners.get(None)  # type: ignore[arg-type]
    if both is None:
        both = (Manners(False), Manners(True))
        _manners.set(both)
    return both[strict]


class Signal:
    """One task waits until another calls; a call that nobody waits for is kept for the next to wait."""

    __slots__ = ("_given", "_task")

    def __init__(self) -> None:
        self._given = False
        self._task: Task | None = None

    def give(self) -> None:
        """Wake the task that waits, or let the next one through."""
        if self._task is None:
            self._given = True
        else:
            task, self._task = self._task, None
            trio.lowlevel.reschedule(task)

    @property
    def is_awaited(self) -> bool:
        """Whether a task waits."""
        return self._task is not None

    async def wait(self) -> None:
        """Wait for the signal and use it up. Cancelled, it is not used up. For one task at a time."""
        if self._given:
            await checkpoint_if_cancelled()
            self._given = False
            return
        self._task = current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _raise_cancel: object) -> Abort:
        self._task = None
        return Abort.SUCCEEDED


def undecrypted(stream: trio.abc.Stream) -> int:
    """How many bytes an `SSLStream` has received and not decrypted yet; 0 for other streams, and if we cannot know."""
    incoming = getattr(stream, "_incoming", None) if isinstance(stream, trio.SSLStream) else None
    return incoming.pending if isinstance(incoming, MemoryBIO) else 0


def unwrapped(error: BaseException) -> BaseException:
    """The one exception that counts in a nursery's group: the first that is not `trio.Cancelled`, if there is one."""
    while isinstance(error, BaseExceptionGroup):
        inner = [unwrapped(each) for each in error.exceptions]
        error = next((each for each in inner if not isinstance(each, trio.Cancelled)), inner[0])
    return error
