"""What leaves: how many bytes are on their way out, and by when the next of them has to leave.

Decides when bytes are stuck: of those that wait none has left for the time-out. Refuses to know what they say, and who
waits for room.
"""

from __future__ import annotations

from math import inf

from .deadline import Deadline

__all__ = ["FRAME_HEADER", "Sending"]

FRAME_HEADER = 14
"""The most bytes that a frame has beside its payload (RFC 6455 section 5.2)."""


class Sending(Deadline):
    """The bytes that were taken to be written; as a deadline, when those that wait are stuck."""

    __slots__ = ("bytes_sent", "in_flight", "is_broken")

    def __init__(self, timeout: float) -> None:
        super().__init__(timeout)
        self.in_flight = 0
        """Taken, and not left."""
        self.bytes_sent = 0
        self.is_broken = False
        """Whether nothing leaves any more."""

    @property
    def timeout(self) -> float:
        """After how many seconds they are stuck."""
        return self._timeout

    def taken(self, size: int) -> None:
        """So many more are to be written."""
        self.in_flight += size

    def sent(self, n_left: int, now: float) -> int:
        """`n_left` of all have still to leave; how many have left. ValueError if that cannot be."""
        if self.is_broken:
            return 0
        if not 0 <= n_left <= self.in_flight:
            raise ValueError(f"of {self.in_flight} bytes {n_left} cannot be left")
        left = self.in_flight - n_left
        self.in_flight = n_left
        self.bytes_sent += left
        if not n_left:
            self.stop()
        elif left or self.due == inf:
            self.restart(now)
        return left

    def hurry(self, timeout: float, now: float) -> None:
        """From now on bytes are stuck after `timeout`, which is sooner."""
        self._timeout = timeout
        if self.in_flight:
            self.due = min(self.due, now + timeout)

    def breaks(self) -> None:
        """Nothing leaves any more."""
        self.is_broken = True
        self.in_flight = 0
        self.stop()
