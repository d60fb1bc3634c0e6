"""A session whose pump moves plain messages by itself: a compiled one has no time to call for each of them.

Decides when nothing is under way but messages, and takes what has passed by then as if the session had moved it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wscore.session.ends import Phase

from ._core import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PassingSession"]

OPEN = Phase.OPEN


class PassingSession(Session):
    """A `Session` whose pump, as long as it `is_plain` and nothing else is called here, may read and write messages by
    itself, with the Reader and the Writer of `connection`; it tells of it by `passed` before it calls anything.
    """

    __slots__ = ()

    @property
    def is_plain(self) -> bool:
        """Whether nothing is under way but messages."""
        return (
            self._phase == OPEN
            and self._receiving.is_plain
            and self._answer is None
            and not (self.in_flight or self._wakeups or self.senders_waiting or self.pings_under_way)
        )

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
        self.bytes_sent += sent
        is_forgotten = self._ending is not None and self._ending.forgot
        self._receiving.passed(came, () if is_forgotten else waiting, is_answered)

    def fell_behind(self, size: int, now: float) -> None:
        """Of what was written so many bytes have not left: as if they had been `output`."""
        self.taken(size)
        self.sent(size, now)
