"""The payload of Close frames, both ways (RFC 6455 sections 5.5.1 and 7.4): a code and a reason.

Decides which of them may be sent, and what those that came mean. Knows nothing of states: who closes, and who answers.
"""

from __future__ import annotations

from ..codec import CloseCode, LocalProtocolError, is_sendable_close_code
from ..codec.errors import CLOSE_CODE_INVALID, CLOSE_REASON_NOT_UTF8, CLOSE_TOO_SHORT, DefectError

__all__ = ["MAX_CLOSE_REASON", "close_payload", "is_of_failure", "parse_close"]

# Bytes of UTF-8: a control frame has at most 125, two of them are the code.
MAX_CLOSE_REASON = 123
# With these a peer fails the connection: it reads nothing of ours any more, not even a Close frame (section 7.1.7).
_OF_FAILURE = frozenset(
    code.to_bytes(2, "big")
    for code in (
        CloseCode.PROTOCOL_ERROR,
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.INVALID_DATA,
        CloseCode.POLICY_VIOLATION,
        CloseCode.MESSAGE_TOO_BIG,
        CloseCode.MANDATORY_EXTENSION,
        CloseCode.INTERNAL_ERROR,
    )
)


def close_payload(code: int | None, reason: str) -> bytes:
    """The payload of a Close frame (RFC 6455 section 5.5.1). Raises LocalProtocolError if it must not be sent."""
    if not isinstance(code, int | None) or not isinstance(reason, str):
        raise TypeError("the code of a close must be an int or None, its reason a str")
    encoded = str.encode(reason)
    if len(encoded) > MAX_CLOSE_REASON:
        raise LocalProtocolError("the reason of a close has at most 123 bytes of UTF-8")
    if code is None:
        if encoded:
            raise LocalProtocolError("a close with a reason needs a code")
        return b""
    if not is_sendable_close_code(code):
        raise LocalProtocolError("this code must not be sent: use 1000 to 1003, 1007 to 1014 or 3000 to 4999")
    return int(code).to_bytes(2, "big") + encoded


def is_of_failure(payload: bytes) -> bool:
    """Whether the peer's Close frame says that it has failed the connection, and is deaf."""
    return payload[:2] in _OF_FAILURE


def parse_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of the peer's Close frame. Raises DefectError."""
    if not payload:
        return CloseCode.NO_STATUS.value, ""
    if len(payload) == 1:
        raise DefectError(CLOSE_TOO_SHORT)
    code = int.from_bytes(payload[:2], "big")
    if not is_sendable_close_code(code):
        raise DefectError(CLOSE_CODE_INVALID)
    try:
        return code, str(payload[2:], "utf-8")
    except UnicodeDecodeError:
        raise DefectError(CLOSE_REASON_NOT_UTF8) from None
