"""The next deadline of each connection on streams, and the one task of a Trio run that waits for the earliest.

Decides who is called when, and that whatever has come by then is read first: if this process was stopped, it was not
the peers who were late. A task and a cancel scope for each connection would cost more than all the rest of an idle one.
Refuses to know what a deadline is for.
"""

from __future__ import annotations

import heapq
from math import inf
from typing import Protocol

import trio
from trio.lowlevel import RunVar, checkpoint

__all__ = ["Timer", "Timers", "timers_of_this_run"]

# So many entries that mean nothing any more may be listed, besides as many as mean something.
_MOST_STALE = 64


class Owner(Protocol):
    """Whose deadline it is."""

    def _time_is(self, now: float) -> None:
        """The time has come. Must not raise."""


class Timer:
    """The next deadline of `owner`, or none (inf)."""

    __slots__ = ("_timers", "deadline", "listed", "owner")

    def __init__(self, timers: Timers, owner: Owner) -> None:
        self._timers = timers
        self.owner: Owner | None = owner
        self.deadline = inf
        self.listed = inf
        """When it is looked at next, not later than its deadline."""

    def set(self, deadline: float) -> None:
        """From now on it is this one, on Trio's clock. To put it off costs nothing."""
        self.deadline = deadline
        if deadline < self.listed:
            self._timers.list(self, deadline)

    def stop(self) -> None:
        """There is none any more, and no owner."""
        self.deadline = inf
        self.owner = None


class Timers:
    """Those of one Trio run: a heap, in which an entry that is not the earliest of its timer means nothing."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._entries = 0  # so far, which keeps those of one time in order
        self._listed = 0
        self._waiting: trio.CancelScope | None = None
        self._is_running = False

    def list(self, timer: Timer, when: float) -> None:
        """Look at a timer then."""
        self._listed += timer.listed == inf
        timer.listed = when
        self._entries += 1
        heapq.heappush(self._heap, (when, self._entries, timer))
        if not self._is_running:
            self._is_running = True
            trio.lowlevel.spawn_system_task(self._run, name="wscore timers")
        elif self._waiting is not None and when < self._waiting.deadline:
            self._waiting.deadline = when
        if len(self._heap) > 2 * self._listed + _MOST_STALE:
            self._heap = [entry for entry in self._heap if entry[0] == entry[2].listed]
            heapq.heapify(self._heap)

    async def _run(self) -> None:
        try:
            while self._heap:
                with trio.CancelScope(deadline=self._heap[0][0]) as self._waiting:
                    await trio.sleep_forever()
                self._waiting = None
                # In the next turn Trio finds out what has come, and in the one after it has been read.
                await checkpoint()
                await checkpoint()
                self._call(trio.current_time())
        finally:
            self._is_running = False

    def _call(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            when, _, timer = heapq.heappop(self._heap)
            if when != timer.listed:
                continue
            timer.listed = inf
            self._listed -= 1
            if timer.deadline > now:
                timer.set(timer.deadline)
            elif timer.owner is not None:
                timer.deadline = inf
                timer.owner._time_is(now)


_timers: RunVar[Timers] = RunVar("wscore_timers")


def timers_of_this_run() -> Timers:
    """The timers of this Trio run. Raises `RuntimeError` outside of one."""
    timers = _timers.get(None)  # type: ignore[arg-type]
    if timers is None:
        timers = Timers()
        _timers.set(timers)
    return timers
