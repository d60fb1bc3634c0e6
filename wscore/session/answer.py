"""What the peer owes us, and by when: a Pong, its Close frame, its end.

Decides that none of them is due before our own bytes can have reached the peer: its owner asks the system how many of
them it still has, and as long as some of them leave, the time starts anew. Nothing tells when the last of them does, so
that is asked soon, and then after twice as long each time: a peer that is silent is not given much more than its time.
Most have answered before it is asked at all. Bytes that were sent after what is to be answered do not count: a system
takes those for a program that has stopped. Knows neither frames nor a clock.
"""

from __future__ import annotations

from .deadline import Deadline

__all__ = ["Answer"]

_UNKNOWN = -1 << 62  # nobody was asked
# After so small a part of the time it is asked first.
FIRST_LOOK = 1 / 64


class Answer(Deadline):
    """The one that `awaits` names (`Awaits`), owed from `now` on, for what ends with byte `position` of all that was
    sent. As long as some of that has not arrived, the peer has `patience` seconds, if that is more than `timeout`.

    Once `is_over`, ask, and tell `acknowledged`.
    """

    __slots__ = ("_acked", "_look", "_patience", "_position", "awaits")

    def __init__(self, awaits: int, timeout: float, now: float, *, position: int, patience: float) -> None:
        super().__init__(timeout, now)
        self.awaits = awaits
        self._look = timeout * FIRST_LOOK
        self.due = now + self._look
        self._patience = max(timeout, patience)
        self._position = position
        self._acked = _UNKNOWN

    def restart(self, now: float) -> None:
        """The peer has its time anew."""
        Deadline.restart(self, now)
        self._look = self._timeout * FIRST_LOOK
        if self._acked == _UNKNOWN:
            self.due = now + self._look

    def is_over(self, now: float) -> bool:
        """Whether to ask the system: the time is over, or something may have arrived."""
        return now >= self.due if self.due < self._limit() else Deadline.is_over(self, now)

    def acknowledged(self, acked: int, now: float) -> bool:
        """So many bytes of all that was sent have arrived. Whether the answer is overdue."""
        before, self._acked = self._acked, min(acked, self._position)
        if self._acked > before != _UNKNOWN:
            self.restart(now)
        limit = self._limit()
        if now >= limit and self.due >= limit:
            return now >= self.due
        self.due = limit
        if now >= limit:
            return Deadline.is_over(self, now)  # this was to be no more than a look, and comes so late
        if not self.has_arrived and now + self._look < limit:
            self.due = now + self._look
            self._look = min(2 * self._look, self._timeout)
        return False

    @property
    def has_arrived(self) -> bool:
        """Whether all that is to be answered had arrived when that was asked last."""
        return self._acked == self._position

    def _limit(self) -> float:
        return self._since + (self._timeout if self.has_arrived else self._patience)
