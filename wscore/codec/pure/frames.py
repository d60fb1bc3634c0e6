"""Building frames (RFC 6455 section 5.2), and the rules that a header can break, in pure Python.

Decides how a header is written, lengths in the fewest bytes, and whether one is well formed. Knows nothing of messages.
"""

from __future__ import annotations

from operator import index
from struct import Struct

from .. import errors
from ..errors import DefectError
from ..opcodes import Opcode
from .masking import flat_view, mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["encode_frame"]

MAX_CONTROL_PAYLOAD = 125
CONTROL_BIT = 0x08

_OPCODES = frozenset(Opcode)
_TEXT = (Opcode.TEXT, Opcode.CONTINUATION)
# Members of an enumeration are slow to find by name.
_CONTINUATION, _BINARY, _PONG = map(int, (Opcode.CONTINUATION, Opcode.BINARY, Opcode.PONG))
_pack_2 = Struct("!BB").pack
_pack_4 = Struct("!BBH").pack
_pack_10 = Struct("!BBQ").pack


def frame_header(first: int, size: int, mask_bit: int) -> bytes:
    """The header without a mask key; `first` is the byte of FIN, RSV and opcode, `mask_bit` is 0 or 0x80."""
    if size < 126:
        return _pack_2(first, mask_bit | size)
    if size < 1 << 16:
        return _pack_4(first, mask_bit | 126, size)
    return _pack_10(first, mask_bit | 127, size)


def encode_frame(
    opcode: int, payload: Buffer | str, *, fin: bool = True, rsv1: bool = False, key: Buffer | None = None
) -> bytes:
    """One frame, header and payload, as bytes (RFC 6455 section 5.2).

    The payload is any buffer, or a `str` of a text message, which is encoded on its way into the frame. With `key`,
    4 bytes, it is masked. Raises ValueError for an unknown opcode, a key that is not 4 bytes long, and for a control
    frame that is fragmented, compressed or carries more than 125 bytes (section 5.5); TypeError for a `str` in a frame
    that is neither text nor a continuation, UnicodeEncodeError for lone surrogates.
    """
    opcode = index(opcode)
    if isinstance(payload, str):
        if opcode not in _TEXT:
            raise TypeError("only text is a str")
        payload = str.encode(payload)  # which no subclass has replaced
    view = flat_view(payload)
    if opcode not in _OPCODES:
        raise ValueError("unknown opcode")
    if opcode >= Opcode.CLOSE and (not fin or rsv1 or len(view) > MAX_CONTROL_PAYLOAD):
        raise ValueError("a control frame is one frame of at most 125 bytes, never compressed")
    first = bool(fin) << 7 | bool(rsv1) << 6 | opcode
    if key is None:
        return frame_header(first, len(view), 0) + view
    masked = mask(view, key)
    return b"".join((frame_header(first, len(view), 0x80), key, masked))


# The rules that a header can break (sections 5.2, 5.4 and 5.5).


def check_first_bytes(first: int, second: int, masked: bool, deflates: bool, in_message: bool) -> None:
    """Raise DefectError for the first rule that the first two bytes break: `masked` says whether the peer's frames must
    be, `deflates` whether RSV1 has a meaning.
    """
    opcode = first & 0x0F
    control = opcode & CONTROL_BIT
    reserved = first & 0x70
    if reserved:
        if not deflates or reserved != 0x40 or control:
            raise DefectError(errors.RESERVED_BITS)
        if opcode == _CONTINUATION:
            raise DefectError(errors.COMPRESSED_CONTINUATION)
    if opcode > (_PONG if control else _BINARY):
        raise DefectError(errors.UNKNOWN_OPCODE)
    if bool(second & 0x80) is not masked:
        raise DefectError(errors.MASK_MISSING if masked else errors.MASK_UNEXPECTED)
    if control:
        if not first & 0x80:
            raise DefectError(errors.CONTROL_FRAGMENTED)
        if second & 0x7F > MAX_CONTROL_PAYLOAD:
            raise DefectError(errors.CONTROL_TOO_LONG)
    elif (opcode == _CONTINUATION) is not in_message:
        raise DefectError(errors.MESSAGE_INTERRUPTED if in_message else errors.CONTINUATION_WITHOUT_START)


def extended_length(field: bytes | memoryview) -> int:
    """The length in 2 or 8 bytes behind the first two. Raises DefectError if it breaks a rule."""
    length = int.from_bytes(field, "big")
    if length < (126 if len(field) == 2 else 1 << 16):
        raise DefectError(errors.LENGTH_NOT_MINIMAL)
    if length >> 63:
        raise DefectError(errors.LENGTH_TOP_BIT)
    return length
