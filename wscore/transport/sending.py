"""Who may add to a connection's send buffer, and when.

Decides by three rules: callers go in the order of their calls; a frame is added when it fits below the mark, or the
buffer is empty, so that one always gets through; while one caller sends a message in fragments, the others wait until
it has ended (RFC 6455 section 5.4 allows no other order). Knows neither frames nor sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio
from trio.lowlevel import Abort, current_task

from ..protocol.prepared import PreparedMessage
from ..session.queue import size_of
from ..session.sending import FRAME_HEADER

__all__ = ["SendLine", "Sendable", "weight_of"]

Sendable = str | bytes | bytearray | memoryview | PreparedMessage


def weight_of(message: Sendable) -> int:
    """How much a message adds to the buffer, at most; compression is not foreseen.

    Raises TypeError for what is no message, UnicodeEncodeError for lone surrogates.
    """
    return FRAME_HEADER + size_of(message)


class _Waiting:
    """One caller in the line; `add` puts its frame into the buffer."""

    __slots__ = ("add", "error", "holder", "task", "weight")

    def __init__(self, weight: int, add: Callable[[], None], holder: object) -> None:
        self.task = current_task()
        self.weight = weight
        self.add = add
        self.holder = holder
        self.error: Exception | None = None


class SendLine:
    """The callers that wait to send, first come, first served.

    `unsent` tells how many bytes are waiting to leave, `mark` is how many may. A `holder` stands for a message in
    fragments: from the first, whose `add` calls `hold`, until `release`, only its own are added.
    """

    __slots__ = ("_holder", "_line", "_mark", "_unsent")

    def __init__(self, unsent: Callable[[], int], mark: int) -> None:
        self._unsent = unsent
        self._mark = mark
        self._line: deque[_Waiting] = deque()
        self._holder: object = None

    def __len__(self) -> int:
        return len(self._line)

    @property
    def is_held(self) -> bool:
        """Whether a message in fragments is under way."""
        return self._holder is not None

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits, nor sends in fragments."""
        return not self._line and self._holder is None

    def is_held_by(self, holder: object) -> bool:
        """Whether it is this one."""
        return self._holder is holder

    def fits(self, weight: int) -> bool:
        """Whether there is room for so much, whoever wants it."""
        unsent = self._unsent()
        return unsent == 0 or unsent + weight <= self._mark

    def goes_at_once(self, weight: int, holder: object = None) -> bool:
        """Whether the caller need not wait."""
        if self._holder is None:
            return not self._line and self.fits(weight)
        return self._holder is holder and self.fits(weight)

    async def wait(self, weight: int, add: Callable[[], None], holder: object = None) -> None:
        """Wait for one's turn and room; `add` has been called when this returns, and never if it is cancelled.

        Raises what `add` raises, and the error given to `fail`.
        """
        waiting = _Waiting(weight, add, holder)
        if self.is_held and self.is_held_by(holder):
            self._line.appendleft(waiting)
        else:
            self._line.append(waiting)

        def abort(_raise_cancel: object) -> Abort:
            self._line.remove(waiting)
            self.advance()
            return Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if waiting.error is not None:
            raise waiting.error

    def advance(self) -> None:
        """Let those go whose turn it is, as many as fit. To be called when bytes have left."""
        while self._line and self._may_go(self._line[0]):
            waiting = self._line.popleft()
            try:
                waiting.add()
            except Exception as error:
                waiting.error = error
            trio.lowlevel.reschedule(waiting.task)

    def hold(self, holder: object) -> None:
        """A message in fragments begins."""
        self._holder = holder

    def release(self, holder: object) -> None:
        """It has ended; nothing happens if it had not begun."""
        if self.is_held_by(holder):
            self._holder = None
            self.advance()

    def fail(self, error: Callable[[], Exception]) -> None:
        """Send everybody away, each with an error of its own."""
        while self._line:
            waiting = self._line.popleft()
            waiting.error = error()
            trio.lowlevel.reschedule(waiting.task)

    def _may_go(self, waiting: _Waiting) -> bool:
        if self.is_held and not self.is_held_by(waiting.holder):
            return False
        return self.fits(waiting.weight)
