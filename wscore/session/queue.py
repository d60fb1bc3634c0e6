"""What waits between the network and `receive`, counted in bytes.

Decides when it is full, and when it has room again. What a message weighs is the codec's budget's to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

    __slots__ = ("_items", "_limit", "_start", "size")

    def __init__(self, limit: int) -> None:
        self.size = 0
        """What they weigh together."""
        self._limit = limit
        # Those that were taken leave their places free at the start; None if there is nothing.
        self._items: list[str | bytes | Piece | None] | None = None
        self._start = 0

    def __len__(self) -> int:
        return 0 if self._items is None else len(self._items) - self._start

    def put(self, item: str | bytes | Piece) -> None:
        """Add what has come."""
        self.put_all([item], weight_of(item))

    def put_all(self, items: list[Any], size: int) -> None:
        """Add these, which weigh `size` together, and are the queue's from now on: a list, at least one."""
        if self._items is None:
            self._items = items
        else:
            if self._start > len(self._items) >> 1:  # a queue need never be empty
                del self._items[: self._start]
                self._start = 0
            self._items.extend(items)
        self.size += size

    def first(self) -> Any:
        """What came first, left where it is; IndexError if there is nothing."""
        if self._items is None:
            raise IndexError
        return self._items[self._start]

    def get(self) -> Any:
        """Take what came first; IndexError if there is nothing."""
        item = self.first()
        self.drop_first(weight_of(item))
        return item

    def drop_first(self, size: int) -> None:
        """Throw away what came first, which there is, and weighs `size`."""
        assert self._items is not None
        self._items[self._start] = None
        self._start += 1
        self.size -= size
        if self._start == len(self._items):
            self.clear()

    def clear(self) -> None:
        """Throw everything away."""
        self._items = None
        self._start = self.size = 0

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
