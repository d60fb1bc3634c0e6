"""When the loop is to call for a connection: one timer of the loop for all of them.

A timer for each would cost more than all the rest of an idle one, and would be moved three times in a short life.
Decides that times are rounded up to ticks, that those of one tick are called together, and what the clock is. Refuses
to know what a time is for.
"""

from __future__ import annotations

import asyncio
import heapq
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NEVER", "Alarmed", "Alarms", "alarms_of"]

# In a second.
TICKS = 64
# libuv counts in milliseconds, and may call so much too early.
EARLY = 0.001
# So many ticks that nobody waits for any more may be kept, besides as many as somebody waits for.
MOST_STALE = 64

NEVER = 1 << 62
"""The tick of who waits for nothing."""


class Alarmed(Protocol):
    """Who is called: a connection."""

    _alarm: int
    """The tick at which; NEVER at first. It is for `Alarms` to set."""

    def _time_is(self) -> None:
        """The time has come."""


class Alarms:
    """Those of one loop, on the clock `now`, in seconds."""

    __slots__ = ("__weakref__", "_heap", "_past", "_timer", "_timer_at", "_waiting", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # libuv's time stands still within a turn.
        self.now: Callable[[], float] = loop.time if isinstance(loop, asyncio.BaseEventLoop) else monotonic
        self._waiting: dict[int, set[Alarmed]] = {}
        self._heap: list[int] = []  # the ticks above, and others that nobody waits for any more
        self._past = 0  # the last tick that was called
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER

    def set(self, who: Alarmed, at: float, *, or_before: bool = False) -> None:
        """Call then, inf for never; with `or_before` as early as was said before. To be called in the loop."""
        before, ticks = who._alarm, at * TICKS
        tick = NEVER if ticks >= NEVER else int(max(ticks, self._past)) + 1
        if before == tick or (or_before and before < tick):
            return
        if before != NEVER:
            self.stop(who)
        if tick == NEVER:
            return
        who._alarm = tick
        waiting = self._waiting.get(tick)
        if waiting is None:
            self._begin(tick, who)
        else:
            waiting.add(who)

    def stop(self, who: Alarmed) -> None:
        """Do not call it."""
        tick = who._alarm
        if tick != NEVER:
            who._alarm = NEVER
            waiting = self._waiting[tick]
            waiting.discard(who)
            if not waiting:
                del self._waiting[tick]

    def _begin(self, tick: int, who: Alarmed) -> None:
        """It is the first that waits for this tick."""
        self._waiting[tick] = {who}
        if len(self._heap) > 2 * len(self._waiting) + MOST_STALE:
            self._heap = list(self._waiting)
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, tick)
        if tick < self._timer_at:
            self._set_timer()

    def _earliest(self) -> int:
        while self._heap and self._heap[0] not in self._waiting:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else NEVER

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, self._earliest()
        if self._timer_at != NEVER:
            at = self._timer_at / TICKS + EARLY
            self._timer = asyncio.get_running_loop().call_at(at, self._call, context=Context())  # nobody's

    def _call(self) -> None:
        self._past = int(self.now() * TICKS)
        try:
            while (tick := self._earliest()) <= self._past:
                self._call_one_of(tick)
        finally:
            self._set_timer()

    def _call_one_of(self, tick: int) -> None:
        waiting = self._waiting[tick]
        who = waiting.pop()
        who._alarm = NEVER
        if not waiting:
            del self._waiting[tick]
        try:
            who._time_is()
        except Exception as error:
            facts = {"message": f"the alarm of {who!r} failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(facts)


_alarms: WeakKeyDictionary[asyncio.AbstractEventLoop, ref[Alarms]] = WeakKeyDictionary()


def alarms_of(loop: asyncio.AbstractEventLoop) -> Alarms:
    """Those of a loop, which last as long as anybody has them."""
    known = _alarms.get(loop)
    alarms = None if known is None else known()
    if alarms is None:
        # They have the loop, which would never go if it had them here.
        alarms = Alarms(loop)
        _alarms[loop] = ref(alarms)
    return alarms
