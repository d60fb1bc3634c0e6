"""A session whose pump moves plain messages by itself: a compiled one has no time to call for each of them.

Decides when nothing is under way but messages, and takes what has passed by then as if the session had moved it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wscore.session.ends import Awaits, Phase

from ._core import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

__all__ = ["PassingSession"]

# Members of an enumeration are slow to find by name.
_OPEN, _DRAINING, _NOTHING = Phase.OPEN, Phase.DRAINING, Awaits.NOTHING


class PassingSession(Session):
    """A `Session` whose pump, as long as it `is_plain` and nothing else is called here, may read and write messages by
    itself, with the Reader and the Writer of `connection`; it tells of it by `passed` before it calls anything.
    """

    __slots__ = ()

    @property
    def is_plain(self) -> bool:
        """Whether nothing is under way but messages."""
        return (
            self.phase is _OPEN
            and self._receiving.is_plain
            and self._answer.awaits is _NOTHING
            and not (self.in_flight or self._wakeups or self.senders_waiting or self.pings.are_under_way)
        )

    @property
    def in_flight(self) -> int:
        """How many bytes were taken as `output` and have not left yet."""
        return self._sending.in_flight

    def passed(
        self,
        *,
        received: int,
        came: int,
        sent: int,
        said: int,
        waiting: Sequence[str | bytes] = (),
        is_answered: bool | None = None,
    ) -> None:
        """So much has passed: `received` bytes, with `came` messages, of which those that are `waiting` are still to be
        received, and `sent` bytes, with `said` messages. `is_answered` tells whether somebody has asked for a message
        and there was none, and none has come since; None if that has not changed.
        """
        self.bytes_received += received
        self.messages_sent += said
        self._sending.bytes_sent += sent
        self._receiving.passed(came, () if self._ending.forgot else waiting, is_answered)

    def read_on(self, data: Buffer, budget: int, now: float) -> None:
        """The Reader has stopped, and not for want of data: `data` is what follows, `budget` what it was given."""
        if self.phase < _DRAINING:
            self._handle(self._receiving.read_on(data, budget, now), now)
        self._settle(now)

    def fell_behind(self, size: int, now: float) -> None:
        """Of what was written so many bytes have not left: as if they had been `output`."""
        self._sending.taken(size)
        self.sent(size, now)
