"""What the peer owes us, and by when: a Pong, its Close frame, its end.

Decides that none of them is due before our own bytes can have reached the peer: when the time is over, its owner asks
the system how many of them it still has, and as long as some of them leave, the time starts anew. Bytes that were sent
after what is to be answered do not count: a system takes those for a program that has stopped. Time in which our own
loop stood still is given back, once. Knows neither frames nor a clock.
"""

from __future__ import annotations

import enum
from math import inf

__all__ = ["Answer", "Awaits"]

# A deadline that we come to so much too late tells of our own loop, not of the peer.
STANDSTILL = 0.5


class Awaits(enum.IntEnum):
    """What the peer owes us."""

    NOTHING = 0
    PONG = 1
    CLOSE = 2
    END = 3


class Answer:
    """One answer at a time, that `awaits` names. Times and time-outs are in seconds."""

    __slots__ = ("_acked", "_is_excused", "_patience", "_position", "_since", "_timeout", "awaits", "due", "standstill")

    def __init__(self) -> None:
        self.awaits = Awaits.NOTHING
        self.due = inf
        """When to look whether it is late, by `is_late`."""
        self.standstill = 0.0
        """For how long our own loop stood still while it was awaited."""
        self._timeout = self._patience = inf
        self._since = 0.0
        self._position = self._acked = 0
        self._is_excused = False

    def expect(self, awaits: Awaits, timeout: float, now: float, *, position: int, patience: float = 0.0) -> None:
        """It is owed from now on, for what ends with byte `position` of all that was sent. As long as some of that has
        not arrived, the peer has `patience` seconds, if that is more.
        """
        self.awaits = awaits
        self.due = now + timeout
        self.standstill = 0.0
        self._timeout = timeout
        self._patience = max(timeout, patience)
        self._since = now
        self._position = self._acked = position
        self._is_excused = False

    def clear(self) -> None:
        """Nothing is owed."""
        self.awaits = Awaits.NOTHING
        self.due = inf

    def excuse(self, now: float) -> None:
        """Until now nothing could come, or something else has: the time starts anew."""
        self._since = now
        self.due = now + self._timeout

    def is_late(self, now: float) -> bool:
        """Whether the time is over, unless what was sent has still to arrive: then ask, and tell `acknowledged`."""
        late = now - self.due
        if late < 0:
            return False
        if late >= STANDSTILL and not self._is_excused:
            # What came meanwhile may not have been read yet, and what we said may have left late.
            self._is_excused = True
            self.standstill = late
            self.due = now + min(late, self._timeout)
            self._since = self.due - self._timeout
            return False
        return True

    def acknowledged(self, acked: int, now: float) -> bool:
        """So many bytes of all that was sent have arrived. Whether the answer is overdue."""
        acked = min(acked, self._position)
        if acked > self._acked:
            self._since = now
        self._acked = acked
        limit = self._since + (self._timeout if acked == self._position else self._patience)
        if now >= limit:
            return now >= self.due
        self.due = min(limit, now + self._timeout)
        return False

    def seconds(self, now: float) -> float:
        """For how long the peer has done nothing of what it owes."""
        return max(now - self._since, 0.0)

    @property
    def has_arrived(self) -> bool:
        """Whether all that is to be answered had arrived when that was asked last."""
        return self._acked == self._position
