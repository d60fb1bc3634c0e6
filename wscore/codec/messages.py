"""What a reader hands out beside whole messages, which are plain `str` or `bytes`: parts of messages, and why it
stopped.
"""

import enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

__all__ = ["PIECE_WEIGHT", "PINGS_KEPT", "Piece", "Prepared", "Stop", "weight"]

# What a `Piece` takes beside what is in it.
PIECE_WEIGHT = 64
# A newer Pong replaces an older one (RFC 6455 section 5.5.3), but not before so many wait: peers that send a handful of
# Pings in one go expect as many Pongs (the Autobahn suite sends ten).
PINGS_KEPT = 16


def weight(size: int) -> int:
    """What a message or control frame of `size` bytes costs a budget or a queue, in bytes: its payload after inflating,
    text as UTF-8, and what the object takes beside it. Of those that are empty or of one byte the interpreter has each
    once, so they take no more than their place in a list.
    """
    return size + (48 if size > 1 else 8)


class Stop(enum.IntEnum):
    """Why `Reader.read` returned."""

    NEED_DATA = 0
    CONTROL = 1
    DEFECT = 2
    BUDGET = 3


class Piece:
    """A part of one message, as it came.

    `data` is a `str` (cut between code points) or `bytes`, and may be empty; `first` and `last` mark the ends of
    the message. `ends_frame` says that the frame ends here, too: that has no meaning (RFC 6455 section 5.4 lets anybody
    on the way change it), so pieces that differ in nothing else are equal.
    """

    __slots__ = ("data", "ends_frame", "first", "last")
    __match_args__ = ("data", "first", "last")

    def __init__(self, data: str | bytes, first: bool, last: bool, ends_frame: bool = False) -> None:
        self.data = data
        self.first = first
        self.last = last
        self.ends_frame = ends_frame

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Piece):
            return NotImplemented
        return (self.data, self.first, self.last) == (other.data, other.first, other.last)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Piece({self.data!r}, first={self.first}, last={self.last})"


class Prepared(Protocol):
    """A message that many writers share: framed, and compressed for each window size, once."""

    @property
    def size(self) -> int:
        """The size of the payload in bytes, before compression."""

    def frame(self, window_bits: int | None) -> bytes:
        """The unmasked frame; compressed with a window of that many bits, unless None."""

    def masked_frame(self, window_bits: int | None, key: bytes) -> bytes:
        """The same, masked with `key`, 4 bytes."""
