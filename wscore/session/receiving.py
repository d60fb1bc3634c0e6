"""What comes from the peer: in which portions it is taken, where messages wait, and when reading pauses.

Reading pauses while too much waits to be received, while a rate is used up, while the caller holds it back, and before
the peer's Close frame, what it did wrong, or the end of its bytes takes effect, so that what came before can be
answered first. What was read by then stays in the `Connection`. Where messages are answered at once, no more is read
than answers have room for, and reading pauses as long as one waits for that. It refuses to know what an end means, and
reads no clock.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from wscore.codec import Piece, weight

from .queue import ReceiveQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

    from wscore.protocol.connection import Connection
    from wscore.protocol.events import Event
    from wscore.session.options import Options

__all__ = ["TURN_BUDGET", "Receiving"]

# So much is read in one go, whatever else there is room for, so that other connections have their turn.
TURN_BUDGET = 1 << 18
# The part of `close_timeout` that answers may take before a Close frame is answered: the peer waits for that, too.
PATIENCE = 0.5


class Receiving(ReceiveQueue):
    """The receiving side of a session; see the module. It is the queue, too: there may be very many of them."""

    __slots__ = (
        "_connection",
        "_is_held_back",
        "_max_unsent",
        "_patience",
        "_patience_by",
        "_throttle",
        "_unread",
        "answers_at_once",
        "at_eof",
        "discards",
        "is_answered",
        "is_paused",
        "messages",
    )

    def __init__(self, connection: Connection, options: Options, *, answers_at_once: bool) -> None:
        # Then one message is enough for a pause: those after it, which came with it, have been read already.
        super().__init__(1 if answers_at_once else options.max_receive_queue)
        self.answers_at_once = answers_at_once
        self._max_unsent = options.max_send_buffer
        self.messages = 0
        """How many have come in all."""
        self.discards = False
        """Whether messages that still come are for nobody."""
        self.at_eof = False
        """Whether no more bytes come."""
        self.is_paused = False
        self.is_answered = True
        """Whether nobody owes an answer: no message has come since somebody asked for one and there was none."""
        self._connection = connection
        self._throttle = options.new_throttle()
        self._is_held_back = False
        self._unread = b""
        self._patience = options.close_timeout * PATIENCE
        self._patience_by = inf

    def take(self, data: Buffer, now: float, unsent: int) -> list[Event]:
        """Read bytes that have come, as far as there is room; what is no message is returned. `unsent` bytes are still
        to be sent, before the answers.
        """
        if self.is_paused:
            self._unread += bytes(data)
            return []
        events = self._connection.receive_data(data, self._budget(now, unsent))
        others = self._sort(events, memoryview(data).nbytes, now)
        if self._connection.has_rest or self._must_pause():
            self._pause(now)
        return others

    def go_on(self, now: float, unsent: int) -> list[Event]:
        """Read of what was left as much as there is room for in one go; if that was all, reading has resumed: see
        `is_paused`. To be called when reading `may_go_on`.
        """
        others: list[Event] = []
        if self._throttle is not None:
            self._throttle.excuse(now)
        if self.has_rest:
            data, self._unread = (b"", self._unread) if self._connection.has_rest else (self._unread, b"")
            others = self._sort(self._connection.receive_data(data, self._budget(now, unsent)), len(data), now)
        if not (self.has_rest or self._must_pause()):
            self.is_paused = False
            self._patience_by = inf
        elif self._is_at_end:
            self._pause(now)
        return others

    def end(self, now: float) -> None:
        """No more bytes come. That takes effect as a Close frame does: when reading `may_go_on` with nothing left."""
        self.at_eof = True
        self._pause(now)

    def read_on(self, data: Buffer, budget: int, now: float) -> list[Event]:
        """As `take`, of what follows where the Reader has stopped that somebody else has called with this `budget`."""
        events: list[Event] = []
        self._connection.after_read(data, budget, events)
        others = self._sort(events, 0, now)
        if self._connection.has_rest or self._must_pause():
            self._pause(now)
        return others

    @property
    def is_plain(self) -> bool:
        """Whether messages may be read, received and answered by somebody else."""
        return not (self.is_paused or self.discards or self.size) and self._throttle is None

    def passed(self, count: int, waiting: Sequence[str | bytes], is_answered: bool | None) -> None:
        """So many messages have come, of which these are still to be received."""
        self.messages += count
        for message in waiting:
            self.put(message)
        self.is_paused = self._must_pause()
        if is_answered is not None:
            self.is_answered = is_answered

    @property
    def has_rest(self) -> bool:
        """Whether something has come that was not read, or has not taken effect."""
        return self._connection.has_rest or bool(self._unread)

    @property
    def bytes_kept(self) -> int:
        """How many bytes have come that no message tells of yet."""
        return self._connection.bytes_kept + len(self._unread)

    def may_go_on(self, now: float, *, is_answering: bool) -> bool:
        """Whether there is room again for what reading has paused for; `is_answering` tells whether something that is
        to be sent waits for room.
        """
        if self.discards or now >= self._patience_by:
            return True
        if self._is_at_end:
            return self.is_answered and not self.size and not is_answering
        if self._is_held_back or self._is_slowed_down():
            return False
        return self.has_room

    def discard(self) -> None:
        """From now on messages that come are for nobody, and passed over."""
        self.discards = True
        self._connection.discard_messages()

    def expect_no_answer(self) -> None:
        """Nothing that came can be answered: the end need not wait for that."""
        self._patience = 0.0
        self._patience_by = -inf if self._patience_by != inf else inf

    def hold_back(self, is_held_back: bool, now: float) -> None:
        """Pause, or do not any more for this reason."""
        self._is_held_back = is_held_back
        if is_held_back and not self.discards:
            self._pause(now)

    @property
    def deadline(self) -> float:
        """When `may_go_on` will be true by itself; inf for never."""
        return self._patience_by if self._throttle is None else min(self._patience_by, self._throttle.slow_until)

    def time_is(self, now: float) -> None:
        """A rate may allow more by now."""
        if self._throttle is not None and now >= self._throttle.slow_until:
            self._throttle.slow_until = inf

    @property
    def is_too_fast(self) -> bool:
        """Whether the peer has exceeded a rate that it must not."""
        return self._throttle is not None and self._throttle.is_strict and self._is_slowed_down()

    def _is_slowed_down(self) -> bool:
        """Whether nothing more is taken for a while."""
        return self._throttle is not None and self._throttle.slow_until != inf

    def _budget(self, now: float, unsent: int) -> int:
        if self.discards:
            return TURN_BUDGET
        allowance = None if self._throttle is None else self._throttle.allowance(now)
        room = self._max_unsent - unsent if self.answers_at_once else self.budget
        budget = min(max(room, 1), TURN_BUDGET)
        return budget if allowance is None else min(budget, allowance * weight(0))

    def _sort(self, events: Sequence[Event], size: int, now: float) -> list[Event]:
        others: list[Event] = []
        messages = self.messages
        for event in events:
            if isinstance(event, str | bytes | Piece):
                self.messages += not isinstance(event, Piece) or event.last
                self.put(event)
                self.is_answered = False
            else:
                others.append(event)
        throttle = self._throttle
        if throttle is not None and not self.discards:
            before, throttle.controls = throttle.controls, self._connection.reader.controls
            debt = throttle.charge(now, throttle.controls - before + self.messages - messages, size)
            wait = debt if throttle.is_strict else throttle.wait(now)
            throttle.slow_until = now + wait if wait else inf
        return others

    @property
    def _is_at_end(self) -> bool:
        """Whether there is nothing left but how the peer ends: its Close frame, a broken rule, its bytes' end."""
        return self._connection.is_ending or (self.at_eof and not self.has_rest)

    def _must_pause(self) -> bool:
        if self.discards:
            return False
        return self.is_full or self._is_held_back or self._is_slowed_down() or self.at_eof

    def _pause(self, now: float) -> None:
        if not self.is_paused:
            self.is_paused = True
            if self._throttle is not None:
                self._throttle.pause(now)
        if self._is_at_end and self._patience_by == inf:
            self._patience_by = now + self._patience
