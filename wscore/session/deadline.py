"""By when something has to happen that is not ours to do, and for how long it has not.

Decides that time in which our own loop stood still is given back, once: what has happened meanwhile may not have been
told yet. Knows neither what is waited for nor a clock.
"""

from __future__ import annotations

__all__ = ["Deadline"]

# A deadline that we come to so much too late tells of our own loop, not of the peer.
STANDSTILL = 0.5


class Deadline:
    """From `now` on, for `timeout` seconds; inf for any time."""

    __slots__ = ("_is_excused", "_since", "_timeout", "due", "standstill")

    def __init__(self, timeout: float, now: float) -> None:
        self._timeout = timeout
        self._since = now
        self.due = now + timeout
        """When to look whether it `is_over`; inf for never."""
        self.standstill = 0.0
        """For how long our own loop stood still."""
        self._is_excused = False

    def restart(self, now: float) -> None:
        """The time starts anew: something has happened."""
        self._since = now
        self.due = now + self._timeout
        self.standstill = 0.0
        self._is_excused = False

    def is_over(self, now: float) -> bool:
        """Whether the time is over. If we come so late that our own loop stood still, there is some more, once."""
        late = now - self.due
        if late < 0:
            return False
        if late >= STANDSTILL and not self._is_excused:
            self._is_excused = True
            self.standstill = late
            due = now + min(late, self._timeout)
            self._since += due - self.due
            self.due = due
            return False
        return True

    def seconds(self, now: float) -> float:
        """For how long nothing has happened, without what was given back."""
        return max(now - self._since, 0.0)
