"""What waits between the network and `receive`, and the task that waits for it.

Decides how pieces become messages again, and that one task at a time receives. What a message weighs, and when reading
pauses and goes on, is the queue's to say. It does not read, and does not know why a connection ends.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable

import trio
from trio.lowlevel import enable_ki_protection

from ..codec import LocalProtocolError, Piece
from ..session import EMPTY, Empty
from ..session.queue import size_of
from .trio_glue import Manners, Signal

__all__ = ["Joiner", "Pieces", "Receiver"]


class Joiner:
    """Puts pieces together again, for `receive` on a connection that delivers pieces."""

    __slots__ = ("_buffer", "size")

    def __init__(self) -> None:
        self.size = 0
        self._buffer: io.StringIO | io.BytesIO | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a message is half-way."""
        return self._buffer is not None

    def add(self, piece: Piece) -> None:
        """Append a piece; `size` is the size of the message so far, text as UTF-8."""
        if self._buffer is None:
            self._buffer = io.StringIO(newline="") if isinstance(piece.data, str) else io.BytesIO()
        self._buffer.write(piece.data)  # type: ignore[arg-type]
        self.size += size_of(piece.data)

    def take(self) -> str | bytes:
        """The message that the pieces make; the next piece begins another."""
        assert self._buffer is not None
        message = self._buffer.getvalue()
        self.clear()
        return message

    def clear(self) -> None:
        """Throw away what there is."""
        self._buffer = None
        self.size = 0


class Receiver:
    """The calls that take what has come, for one task at a time.

    `fetch` returns what comes next, or EMPTY, and raises once nothing will come any more. `too_big` is called when
    joined pieces exceed `max_message_size`; it ends the connection.
    """

    __slots__ = (
        "_arrival",
        "_fetch",
        "_is_waiting",
        "_joiner",
        "_manners",
        "_max_message_size",
        "_mid_pieces",
        "_too_big",
    )

    def __init__(
        self,
        max_message_size: int,
        manners: Manners,
        *,
        fetch: Callable[[], str | bytes | Piece | Empty],
        too_big: Callable[[], None],
    ) -> None:
        self._max_message_size = max_message_size
        self._manners = manners
        self._fetch = fetch
        self._too_big = too_big
        self._joiner = Joiner()
        self._arrival = Signal()
        self._is_waiting = False
        self._mid_pieces = False

    def wake(self) -> None:
        """Let who waits see what has come, or that nothing more will."""
        self._arrival.give()

    def forget(self) -> None:
        """Throw away what has been taken, and not returned."""
        self._joiner.clear()

    async def receive(self) -> str | bytes:
        """Take the next message, joined from its pieces where they come as such. Cancelled, nothing is lost."""
        if self._mid_pieces:
            raise LocalProtocolError("receive_pieces is in the middle of a message: let it finish first")
        while True:
            item = await self._take()
            if not isinstance(item, Piece):
                return item
            self._joiner.add(item)
            if self._joiner.size > self._max_message_size:
                self.forget()
                self._too_big()
            elif item.last:
                return self._joiner.take()

    async def receive_piece(self) -> Piece:
        """Take the next piece of a message."""
        if self._joiner.has_begun:
            raise LocalProtocolError("a cancelled receive is in the middle of a message: call receive first")
        piece = await self._take()
        assert isinstance(piece, Piece)
        self._mid_pieces = not piece.last
        return piece

    async def _take(self) -> str | bytes | Piece:
        await self._manners.enter()
        if self._is_waiting:
            raise trio.BusyResourceError("another task is receiving from this WebSocket")
        item = self._fetch()
        if item is not EMPTY:
            await self._manners.leave()
            return item
        self._is_waiting = True
        try:
            while item is EMPTY:
                await self._arrival.wait()
                item = self._fetch()
        finally:
            self._is_waiting = False
        return item


class Pieces(AsyncIterator[str | bytes]):
    """The pieces of one message, or what is left of them."""

    __slots__ = ("_ended", "_inbox")

    def __init__(self, inbox: Receiver) -> None:
        self._inbox = inbox
        self._ended = False

    @enable_ki_protection
    async def __anext__(self) -> str | bytes:
        if self._ended:
            raise StopAsyncIteration
        piece = await self._inbox.receive_piece()
        self._ended = piece.last
        return piece.data
