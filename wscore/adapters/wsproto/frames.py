"""The words in which frames are spoken of (RFC 6455 sections 5.2 and 7.4), by wsproto's names.

`frame_protocol` hands them on, as wsproto's module of that name has them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from wscore.codec import is_sendable_close_code
from wscore.codec.errors import CLOSE_CODE_INVALID, Defect, DefectError
from wscore.protocol.closing import parse_close

FIN_MASK = 0x80
RSV1_MASK = 0x40
RSV2_MASK = 0x20
RSV3_MASK = 0x10
OPCODE_MASK = 0x0F
MASK_MASK = 0x80
PAYLOAD_LEN_MASK = 0x7F
PAYLOAD_LENGTH_TWO_BYTE = 126
PAYLOAD_LENGTH_EIGHT_BYTE = 127
MAX_PAYLOAD_NORMAL = 125
MAX_PAYLOAD_TWO_BYTE = 2**16 - 1
MAX_PAYLOAD_EIGHT_BYTE = 2**64 - 1
MAX_FRAME_PAYLOAD = MAX_PAYLOAD_EIGHT_BYTE
NULL_MASK = bytes(4)

MIN_CLOSE_REASON = 1000
MIN_PROTOCOL_CLOSE_REASON = 1000
MAX_PROTOCOL_CLOSE_REASON = 2999
MIN_LIBRARY_CLOSE_REASON = 3000
MAX_LIBRARY_CLOSE_REASON = 3999
MIN_PRIVATE_CLOSE_REASON = 4000
MAX_PRIVATE_CLOSE_REASON = 4999
MAX_CLOSE_REASON = 4999


class Opcode(IntEnum):
    """What a frame carries."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA

    def iscontrol(self) -> bool:
        """Whether it is a control frame (section 5.5)."""
        return bool(self & 0x08)


class CloseReason(IntEnum):
    """Why a connection ended."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_FRAME_PAYLOAD_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXT = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    TLS_HANDSHAKE_FAILED = 1015


# These describe what happened, and stand in no Close frame.
LOCAL_ONLY_CLOSE_REASONS = (
    CloseReason.NO_STATUS_RCVD,
    CloseReason.ABNORMAL_CLOSURE,
    CloseReason.TLS_HANDSHAKE_FAILED,
)


class ParseFailed(Exception):
    """The peer broke a rule; `code` is the close code for it, and the message a sentence for the Close frame."""

    def __init__(self, msg: str, code: CloseReason = CloseReason.PROTOCOL_ERROR) -> None:
        super().__init__(msg)
        self.code = code

    @classmethod
    def of(cls, defect: Defect) -> ParseFailed:
        """The same, said in the codec's words."""
        return cls(defect.sentence, CloseReason(defect.code))


class RsvBits(NamedTuple):
    """The bits of a header that extensions may give a meaning."""

    rsv1: bool
    rsv2: bool
    rsv3: bool


class Header(NamedTuple):
    """The header of a frame."""

    fin: bool
    rsv: RsvBits
    opcode: Opcode
    payload_len: int
    masking_key: bytes | None


class Frame(NamedTuple):
    """A frame or a part of one; the payload of a Close frame is its code and reason."""

    opcode: Opcode
    payload: bytes | str | tuple[int, str]
    frame_finished: bool
    message_finished: bool


NO_RSV = RsvBits(False, False, False)


def close_frame(payload: bytes) -> Frame:
    """The frame for the payload of a Close frame that came; its code is a `CloseReason` where there is one.

    Raises ParseFailed.
    """
    try:
        code, reason = parse_close(payload)
    except DefectError as error:
        raise ParseFailed.of(error.defect) from None
    return Frame(Opcode.CLOSE, (named_code(code), reason), True, True)


def named_code(code: int) -> int:
    """The member of `CloseReason`, if there is one."""
    return CloseReason(code) if code in CloseReason._value2member_map_ else code


def own_close_payload(code: int | None, reason: str | None) -> bytes:
    """The payload of a Close frame to send, its reason cut to what fits, between code points.

    1005 is a Close frame without a code, 1006 and 1015 become 1000. Raises TypeError for a reason without a code,
    ValueError for a code that must not be sent (section 7.4).
    """
    if code == CloseReason.NO_STATUS_RCVD:
        code = None
    if code is None:
        if reason:
            raise TypeError("a reason needs a code")
        return b""
    if code in LOCAL_ONLY_CLOSE_REASONS:
        code = CloseReason.NORMAL_CLOSURE
    if not is_sendable_close_code(code):
        raise ValueError(CLOSE_CODE_INVALID.sentence)
    text = (reason or "").encode()[: MAX_PAYLOAD_NORMAL - 2]
    return int(code).to_bytes(2, "big") + text.decode("utf-8", "ignore").encode()
