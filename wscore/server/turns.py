"""How long Trio's turns take: what a task may have to wait for its own when many others have something to do.

Decides that a turn is the time between two waits for input and output, and counts turns by their length. It costs two
short calls a turn, and so runs only where somebody asked for it.
"""

from bisect import bisect_left
from collections.abc import Mapping
from math import inf
from time import perf_counter

import trio

__all__ = ["TURN_BOUNDS", "TurnClock"]

# Seconds. A turn of the transports ends after about a millisecond; more than that is somebody's handler.
TURN_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, inf)


class TurnClock(trio.abc.Instrument):
    """Counts the turns of the Trio run that it was added to, with `trio.lowlevel.add_instrument`: before its first
    server starts, since the reactor is an instrument, too, and those have their turns in the order of their coming.
    """

    def __init__(self) -> None:
        self._counts = [0] * len(TURN_BOUNDS)
        self._began: float | None = None
        self.seconds = 0.0

    @property
    def turns(self) -> Mapping[float, int]:
        """How many took at most so many seconds, and more than the bound before."""
        return dict(zip(TURN_BOUNDS, self._counts, strict=True))

    def after_io_wait(self, timeout: float) -> None:
        self._began = perf_counter()

    def before_io_wait(self, timeout: float) -> None:
        if self._began is not None:
            seconds = perf_counter() - self._began
            self._counts[bisect_left(TURN_BOUNDS, seconds)] += 1
            self.seconds += seconds
