"""The tasks that drive a reactor, and the one reactor of each Trio run.

Decides how the reactor gets its turns, and what happens when it fails: its connections are closed, and whoever uses it
is told by `crash`. One task waits for the poller, one for the next deadline; both are system tasks, which no caller's
cancellation reaches, and end with the last source. Nothing escapes from them.
"""

from __future__ import annotations

import trio
from trio.lowlevel import RunVar, cancel_shielded_checkpoint, checkpoint, wait_readable

from ..trio_glue import Pace, Signal, pace_of_this_run, unwrapped
from .engine import Reactor

__all__ = ["Running", "reactor_of_this_run"]

# A turn gets to the events of some more, but where each takes longer than usual.
_SOURCES_A_TURN = 64


class Running:
    """A reactor and its tasks."""

    def __init__(self) -> None:
        self._deadline_changed = Signal()
        self._scope = trio.CancelScope()
        self.pace: Pace = pace_of_this_run()
        self.reactor = Reactor(self._deadline_changed.give, self._scope.cancel, trio.current_time())

    async def run(self) -> None:
        """Run until the last source has gone. Cancelled, which the end of the Trio run does, it closes them all."""
        reactor = self.reactor
        reactor.belong_to(trio.lowlevel.current_task(), self.pace)
        trio.lowlevel.add_instrument(reactor)  # type: ignore[arg-type]  # it has what Trio looks for
        error: BaseException = trio.ClosedResourceError("the Trio run has ended")
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_time)
                    await self._take_turns()
        except BaseException as raised:
            # Where Trio ends at the same time, `trio.Cancelled` is beside it.
            crash = unwrapped(raised)
            if not isinstance(crash, Exception):
                raise
            error = crash
        finally:
            trio.lowlevel.remove_instrument(reactor)  # type: ignore[arg-type]
            reactor.fail(reactor.crash or error)

    async def _take_turns(self) -> None:
        while True:
            if not self.reactor.turn():
                await wait_readable(self.reactor.fileno())
            elif self.pace.is_cancelled():
                await checkpoint()
            else:
                # The same, at less than half the cost.
                await cancel_shielded_checkpoint()

    async def _keep_time(self) -> None:
        while True:
            with trio.CancelScope(deadline=self.reactor.next_deadline()) as waiting:
                await self._deadline_changed.wait()
            if waiting.cancelled_caught:
                await self._catch_up()
            self.reactor.expire(trio.current_time())

    async def _catch_up(self) -> None:
        """Read what has come so far, and then see who is late: if this process was stopped, or had too much to do, it
        was not the peers who were. The number of turns is bounded, since what comes may have no end.
        """
        for _ in range(self.reactor.count // _SOURCES_A_TURN + 1):
            if not self.reactor.turn():
                return
            await checkpoint()


_running: RunVar[Running] = RunVar("wscore_reactor")


def reactor_of_this_run() -> Running:
    """The reactor of this Trio run, started if there is none. Raises `RuntimeError` outside of one."""
    running = _running.get(None)  # type: ignore[arg-type]
    if running is None or running.reactor.is_over:
        running = Running()
        _running.set(running)
        trio.lowlevel.spawn_system_task(running.run, name="wscore reactor")
    return running
