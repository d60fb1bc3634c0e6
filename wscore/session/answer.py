"""What the peer owes us, and by when: a Pong, its Close frame, its end.

Decides that none of them is due before our own bytes can have reached the peer: its owner asks the system how many of
them it still has, and as long as some of them leave, the time starts anew. Nothing tells when the last of them does, so
that is asked soon, and then after twice as long each time: a peer that is silent is not given much more than its time.
Bytes that were sent after what is to be answered do not count: a system takes those for a program that has stopped.
Knows neither frames nor a clock.
"""

from __future__ import annotations

from wscore.session.ends import Awaits

from .deadline import Deadline

__all__ = ["Answer"]

# After so small a part of the time it is asked first.
FIRST_LOOK = 1 / 64


class Answer(Deadline):
    """One answer at a time, that `awaits` names. Once `is_over`, ask, and tell `acknowledged`."""

    __slots__ = ("_acked", "_look", "_patience", "_position", "awaits")

    def __init__(self) -> None:
        super().__init__()
        self.awaits = Awaits.NOTHING
        self._patience = self._look = self._timeout
        self._position = self._acked = 0

    def expect(self, awaits: Awaits, timeout: float, now: float, *, position: int, patience: float = 0.0) -> None:
        """It is owed from now on, for what ends with byte `position` of all that was sent. As long as some of that has
        not arrived, the peer has `patience` seconds, if that is more.
        """
        self.awaits = awaits
        self._timeout = timeout
        self._patience = max(timeout, patience)
        self._position = self._acked = position
        self.restart(now)

    def restart(self, now: float) -> None:
        """The peer has its time anew."""
        Deadline.restart(self, now)
        self._look = self._timeout * FIRST_LOOK

    def stop(self) -> None:
        """Nothing is owed."""
        Deadline.stop(self)
        self.awaits = Awaits.NOTHING

    def acknowledged(self, acked: int, now: float) -> bool:
        """So many bytes of all that was sent have arrived. Whether the answer is overdue."""
        if self.awaits is Awaits.NOTHING:
            return False
        acked = min(acked, self._position)
        if acked > self._acked:
            self.restart(now)
        self._acked = acked
        limit = self._since + (self._timeout if self.has_arrived else self._patience)
        if now >= limit:
            return now >= self.due
        self.due = limit
        if not self.has_arrived:
            self.due = min(limit, now + self._look)
            self._look = min(2 * self._look, self._timeout)
        return False

    @property
    def has_arrived(self) -> bool:
        """Whether all that is to be answered had arrived when that was asked last."""
        return self._acked == self._position
