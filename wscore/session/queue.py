"""What waits between the network and `receive`, counted in bytes.

Decides when it is full, and when it has room again. What a message weighs is the codec's budget's to say.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from wscore.codec import PIECE_WEIGHT, Piece, weight
from wscore.protocol.prepared import PreparedMessage

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ReceiveQueue", "size_of", "weight_of"]


def size_of(message: str | Buffer | Piece | PreparedMessage) -> int:
    """The size of its payload in bytes before compression, text as UTF-8. Raises TypeError for what is no message,
    UnicodeEncodeError for lone surrogates.
    """
    if isinstance(message, str):
        return len(message) if message.isascii() else len(message.encode())
    if isinstance(message, PreparedMessage):
        return len(message.payload)
    return size_of(message.data) if isinstance(message, Piece) else memoryview(message).nbytes


def weight_of(item: str | bytes | Piece) -> int:
    """Its size after inflating, and what the object takes."""
    return weight(size_of(item)) + (PIECE_WEIGHT if isinstance(item, Piece) else 0)


class ReceiveQueue:
    """Messages or pieces in the order they came; full once they weigh `limit` bytes, so that one always fits."""

    __slots__ = ("_items", "_limit", "size")

    def __init__(self, limit: int) -> None:
        self.size = 0
        """What they weigh together."""
        self._limit = limit
        self._items: deque[str | bytes | Piece] | None = None  # it takes much while it is empty, too

    def __len__(self) -> int:
        return 0 if self._items is None else len(self._items)

    def put(self, item: str | bytes | Piece) -> None:
        """Add what has come."""
        if self._items is None:
            self._items = deque()
        self._items.append(item)
        self.size += weight_of(item)

    def first(self) -> str | bytes | Piece:
        """What came first, left where it is; IndexError if there is nothing."""
        if self._items is None:
            raise IndexError
        return self._items[0]

    def get(self) -> str | bytes | Piece:
        """Take what came first; IndexError if there is nothing."""
        if self._items is None:
            raise IndexError
        item = self._items.popleft()
        self.size -= weight_of(item)
        if not self._items:
            self._items = None
        return item

    def clear(self) -> None:
        """Throw everything away."""
        self._items = None
        self.size = 0

    @property
    def budget(self) -> int:
        """How much more may be put in; the message that uses it up may be larger."""
        return self._limit - self.size

    @property
    def is_full(self) -> bool:
        """Whether reading has to pause."""
        return self.size >= self._limit

    @property
    def has_room(self) -> bool:
        """Whether paused reading may go on: half empty, so that reader and receiver do not take turns by message."""
        return self.size <= self._limit // 2
