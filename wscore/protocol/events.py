"""What a `Connection` hands out beside messages: control frames (RFC 6455 section 5.5), and how it ended.

A message is a plain `str` or `bytes`; the classes here are small, so that `match` reads well.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from ..codec import Piece

__all__ = ["Close", "Event", "Origin", "Ping", "Pong"]

Origin: TypeAlias = Literal["peer", "local", "lost"]


class _WithPayload:
    __slots__ = ("payload",)
    __match_args__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.payload == other.payload

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.payload!r})"


class Ping(_WithPayload):
    """The peer asks for a Pong with the same payload, at most 125 bytes (section 5.5.2). The machine answers by
    itself.
    """

    __slots__ = ()


class Pong(_WithPayload):
    """The peer answers a Ping of ours, or sends a Pong unasked (section 5.5.3); at most 125 bytes."""

    __slots__ = ()


class Close:
    """The last event of every connection.

    `code` and `reason` are those of the peer's Close frame (1005 where it had no code) or, if we failed the
    connection, ours. `origin` is "peer" if its Close frame came before we had sent one, "local" if ours went first,
    by `close()` or because we failed the connection, and "lost", with 1006, if the bytes ended before the peer's
    Close frame (section 7.1.5).
    """

    __slots__ = ("code", "origin", "reason")
    __match_args__ = ("code", "reason", "origin")

    def __init__(self, code: int, reason: str, origin: Origin) -> None:
        self.code = int(code)  # of a `CloseCode`, too: what users see is a number
        self.reason = reason
        self.origin = origin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Close):
            return NotImplemented
        return (self.code, self.reason, self.origin) == (other.code, other.reason, other.origin)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Close({self.code}, {self.reason!r}, {self.origin!r})"


Event: TypeAlias = str | bytes | Piece | Ping | Pong | Close
