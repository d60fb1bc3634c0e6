"""By when the next of the bytes that wait to leave has to.

Decides when they are stuck: none of them has left for the time-out. Refuses to know how many there are, what they say,
and who waits for room.
"""

from __future__ import annotations

from .deadline import Deadline

__all__ = ["FRAME_HEADER", "Sending"]

FRAME_HEADER = 14
"""The most bytes that a frame has beside its payload (RFC 6455 section 5.2)."""


class Sending(Deadline):
    """When they are stuck. To be restarted when some have left."""

    __slots__ = ()

    @property
    def timeout(self) -> float:
        """After how many seconds they are."""
        return self._timeout

    def hurry(self, timeout: float, now: float) -> None:
        """From now on they are after `timeout`, which is sooner."""
        self._timeout = timeout
        self.due = min(self.due, now + timeout)
