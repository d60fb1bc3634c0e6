"""The part of a message, for those who do not want to hold it whole. A whole message is a plain `str` or `bytes`."""

__all__ = ["Piece"]


class Piece:
    """A part of one message, as it came.

    `data` is a `str` (cut between code points) or `bytes`, and may be empty; `first` and `last` mark the ends of the message.
    """

    __slots__ = ("data", "first", "last")
    __match_args__ = ("data", "first", "last")

    def __init__(self, data: str | bytes, first: bool, last: bool) -> None:
        self.data = data
        self.first = first
        self.last = last

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Piece):
            return NotImplemented
        return (self.data, self.first, self.last) == (other.data, other.first, other.last)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Piece({self.data!r}, first={self.first}, last={self.last})"
