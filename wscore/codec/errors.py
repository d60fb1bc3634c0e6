"""What can be wrong, and the close code and words for it.

This is the only home of "which broken rule, which close code, which sentence": both twins of the codec and the
protocol layer take their `Defect` from here. A defect is the peer's fault and closes the connection;
`LocalProtocolError` is the caller's. The sentences travel in Close frames, so each is ASCII and shorter than 123
bytes (RFC 6455 section 5.5).
"""

from __future__ import annotations

from collections import namedtuple

from .opcodes import CloseCode

__all__ = ["Defect", "DefectError", "LocalProtocolError"]


class LocalProtocolError(Exception):
    """The caller asked for something that RFC 6455 forbids now; nothing was sent. The message says what to do
    instead.
    """


class Defect(namedtuple("Defect", ("code", "sentence"))):
    """A rule that the peer broke: the close code that the RFC names, and one sentence for the Close frame."""

    __slots__ = ()
    code: int
    sentence: str


class DefectError(ValueError):
    """Bytes that break a rule; `defect` says which. Raised by `Inflater` (a `Reader` stops with the defect instead)."""

    def __init__(self, defect: Defect) -> None:
        super().__init__(defect.sentence)
        self.defect = defect


def _broken(sentence: str) -> Defect:
    return Defect(CloseCode.PROTOCOL_ERROR, sentence)


# RFC 6455 section 5.2: the frame header.
RESERVED_BITS = _broken("reserved bits are set without an extension that defines them")
UNKNOWN_OPCODE = _broken("unknown opcode")
MASK_MISSING = _broken("frames from a client must be masked")
MASK_UNEXPECTED = _broken("frames from a server must not be masked")
LENGTH_NOT_MINIMAL = _broken("the payload length is not encoded in the fewest bytes")
LENGTH_TOP_BIT = _broken("the most significant bit of a 64-bit payload length is set")

# Sections 5.4 and 5.5: fragments and control frames.
CONTROL_FRAGMENTED = _broken("control frames must not be fragmented")
CONTROL_TOO_LONG = _broken("control frames carry at most 125 bytes")
CONTINUATION_WITHOUT_START = _broken("continuation frame without a message to continue")
MESSAGE_INTERRUPTED = _broken("a new message started before the last one had ended")
COMPRESSED_CONTINUATION = _broken("only the first frame of a message may say that it is compressed")

# Section 7: closing.
CLOSE_TOO_SHORT = _broken("a Close frame with a body needs two bytes of close code")
CLOSE_CODE_INVALID = _broken("this close code must not be sent")
CLOSE_REASON_NOT_UTF8 = Defect(CloseCode.INVALID_DATA, "the reason of a Close frame is not valid UTF-8")

# Section 8.1: text.
TEXT_NOT_UTF8 = Defect(CloseCode.INVALID_DATA, "text is not valid UTF-8")

# RFC 7692 section 7.2.2.
DEFLATE_INVALID = Defect(CloseCode.INVALID_DATA, "compressed data is not a valid DEFLATE stream")

# Our own limits (RFC 6455 section 10.4).
MESSAGE_TOO_BIG = Defect(CloseCode.MESSAGE_TOO_BIG, "the message is larger than the limit")
TOO_MANY_FRAGMENTS = Defect(CloseCode.POLICY_VIOLATION, "the message has more fragments than the limit")
TOO_MANY_FINAL_BLOCKS = Defect(CloseCode.POLICY_VIOLATION, "a compressed message ends its DEFLATE stream too often")
