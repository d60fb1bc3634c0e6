"""How a connection ends: its phases, the causes there are, and what is known of an end.

Never compiled: users compare and print these.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["EMPTY", "WAKEUPS", "Awaits", "Cause", "Empty", "End", "Phase", "Wakeup"]


class Phase(enum.IntEnum):
    """Where a connection is in its life; `session.life` has the table."""

    OPEN = 0
    """Messages go both ways."""
    BROKEN = 1
    """Nothing can be sent any more; what has come is still read."""
    CLOSING = 2
    """Our Close frame is out, the peer's has not come (RFC 6455 section 7.1.2)."""
    DRAINING = 3
    """Nothing is left to say but what is in the output; the peer has still to end its side of the transport."""
    CLOSED = 4
    """The transport is to be closed, if it is not yet."""


class Wakeup(enum.IntFlag):
    """Whom to wake, or what to look at, after a call."""

    NOBODY = 0
    RECEIVE = 1
    """There is a message, or there will never be one again."""
    SEND = 2
    """There is room in the send buffer, or there will never be any again."""
    PING = 4
    """A Ping was answered, or will never be."""
    OVER = 8
    """The connection is CLOSED."""


# By number, since to look one up costs as much as ten calls.
WAKEUPS = tuple(Wakeup(flags) for flags in range(2 * Wakeup.OVER))


class Awaits(enum.IntEnum):
    """What the peer owes us."""

    NOTHING = 0
    PONG = 1
    CLOSE = 2
    END = 3


class Empty(enum.Enum):
    """The type of `EMPTY`."""

    EMPTY = "empty"


EMPTY = Empty.EMPTY
"""What `Session.receive` returns while there is no message."""


class Cause(enum.Enum):
    """Why a connection ended."""

    CLOSE = "close"
    """A Close frame, the peer's or, by `close`, ours."""
    RULE = "rule"
    """The peer broke a rule of RFC 6455 or RFC 7692."""
    LIMIT = "limit"
    """The peer exceeded a limit of ours, or received too slowly for one."""
    FAILED = "failed"
    """We gave it up by `fail`: a handler raised, say."""
    SILENT = "silent"
    """A Ping was not answered, and nothing else came either."""
    UNCLOSED = "unclosed"
    """The peer did not answer our Close frame."""
    STUCK = "stuck"
    """Bytes of ours did not leave."""
    EOF = "eof"
    """The peer's bytes ended without a Close frame."""
    RESET = "reset"
    """The transport broke."""
    ABORT = "abort"
    """By `abort`, ours."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of one connection; there is exactly one."""

    code: int
    """RFC 6455 section 7.4: the peer's if its Close frame came, ours if we gave up, 1006 without any frame, 1005 for a
    frame without a code."""
    reason: str
    """What went with the code. The peer may have chosen it."""
    by_peer: bool
    """Whether the peer's Close frame came before we had sent one."""
    cause: Cause
    seconds: float = 0.0
    """For SILENT, UNCLOSED and STUCK, for how long the peer did nothing; time in which our own loop stood still is left
    out."""
    standstill: float = 0.0
    """For how many of the seconds before our own loop stood still."""

    def __str__(self) -> str:
        said = _WORDS[self.cause].format(side="the peer" if self.by_peer else "this side", seconds=self.seconds)
        code = f"{self.code} {self.reason!a}" if self.reason else str(self.code)
        stood = f" (our own loop stood still for {self.standstill:.1f} s)" if self.standstill else ""
        return f"{said}: {code}{stood}"


_WORDS = {
    Cause.CLOSE: "{side} closed the connection",
    Cause.RULE: "the peer broke a rule of the protocol",
    Cause.LIMIT: "a limit was exceeded",
    Cause.FAILED: "this side gave the connection up",
    Cause.SILENT: "the peer was silent for {seconds:.1f} s",
    Cause.UNCLOSED: "the peer did not answer our Close frame for {seconds:.1f} s",
    Cause.STUCK: "the peer took none of our bytes for {seconds:.1f} s",
    Cause.EOF: "the peer's bytes ended without a Close frame",
    Cause.RESET: "the transport broke",
    Cause.ABORT: "this side broke the connection off",
}
