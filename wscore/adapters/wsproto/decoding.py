"""Frame by frame: how bytes become parts of messages where an extension other than permessage-deflate looks at frames.

Decides the same as the codec's Reader, slower, and asks the extensions about each frame. Also the small classes that
wsproto has for this under public names.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import TYPE_CHECKING

from wscore.codec import errors, mask_inplace

from .frames import (
    FIN_MASK,
    MASK_MASK,
    MAX_PAYLOAD_NORMAL,
    OPCODE_MASK,
    PAYLOAD_LEN_MASK,
    PAYLOAD_LENGTH_EIGHT_BYTE,
    PAYLOAD_LENGTH_TWO_BYTE,
    RSV1_MASK,
    RSV2_MASK,
    RSV3_MASK,
    CloseReason,
    Frame,
    Header,
    Opcode,
    ParseFailed,
    RsvBits,
)
from .limits import Limits, default_limits

if TYPE_CHECKING:
    from codecs import IncrementalDecoder

    from .extensions import Extension

__all__ = ["Buffer", "FrameDecoder", "MessageDecoder", "XorMaskerNull", "XorMaskerSimple"]

_MAX_HEADER = 14
_LENGTH_FIELDS = {PAYLOAD_LENGTH_TWO_BYTE: 2, PAYLOAD_LENGTH_EIGHT_BYTE: 8}


class XorMaskerSimple:
    """Masks or unmasks one payload, in parts (RFC 6455 section 5.3)."""

    def __init__(self, masking_key: bytes | bytearray) -> None:
        self._key = bytes(masking_key)
        self._offset = 0

    def process(self, data: bytes | bytearray) -> bytearray:
        """The next part, masked, in memory of its own."""
        result = bytearray(data)
        mask_inplace(result, self._key, self._offset)
        self._offset += len(result)
        return result


class XorMaskerNull:
    """Does what a masker does where nothing is masked."""

    def process(self, data: bytes | bytearray) -> bytearray:
        """The same bytes."""
        return bytearray(data)


class Buffer:
    """Bytes that have come; what was consumed comes back at `rollback` and is dropped at `commit`."""

    def __init__(self, initial_bytes: bytes | None = None) -> None:
        self.buffer = bytearray(initial_bytes or b"")
        self.bytes_used = 0

    def feed(self, new_bytes: bytes) -> None:
        """Add what came."""
        self.buffer += new_bytes

    def consume_at_most(self, nbytes: int) -> bytearray:
        """The next bytes, `nbytes` or as many as there are."""
        data = self.buffer[self.bytes_used : self.bytes_used + nbytes]
        self.bytes_used += len(data)
        return data

    def consume_exactly(self, nbytes: int) -> bytearray | None:
        """The next `nbytes` bytes, or None if there are fewer."""
        if len(self.buffer) - self.bytes_used < nbytes:
            return None
        return self.consume_at_most(nbytes)

    def commit(self) -> None:
        """Drop what was consumed."""
        del self.buffer[: self.bytes_used]
        self.bytes_used = 0

    def rollback(self) -> None:
        """Consume it again."""
        self.bytes_used = 0

    def __len__(self) -> int:
        return len(self.buffer)


class MessageDecoder:
    """Sees that fragments come in order (section 5.4), and decodes text."""

    def __init__(self) -> None:
        self.opcode: Opcode | None = None
        self.decoder: IncrementalDecoder | None = None

    def process_frame(self, frame: Frame) -> Frame:
        """The frame, or part of one, with the opcode of its message, text as str. Raises ParseFailed."""
        if self.opcode is None:
            if frame.opcode is Opcode.CONTINUATION:
                raise ParseFailed.of(errors.CONTINUATION_WITHOUT_START)
            self.opcode = frame.opcode
            self.decoder = getincrementaldecoder("utf-8")() if frame.opcode is Opcode.TEXT else None
        elif frame.opcode is not Opcode.CONTINUATION:
            raise ParseFailed.of(errors.MESSAGE_INTERRUPTED)
        opcode, finished = self.opcode, frame.frame_finished and frame.message_finished
        payload = self._decode(frame.payload, finished)
        if finished:
            self.opcode = self.decoder = None
        return Frame(opcode, payload, frame.frame_finished, finished)

    def _decode(self, payload: bytes | str | tuple[int, str], finished: bool) -> bytes | str:
        assert isinstance(payload, bytes | bytearray)
        if self.decoder is None:
            return payload
        try:
            return self.decoder.decode(payload, finished)
        except UnicodeDecodeError:
            raise ParseFailed.of(errors.TEXT_NOT_UTF8) from None


class FrameDecoder:
    """Takes frames apart as they come, data frames in parts and control frames whole, and asks the extensions.

    `client` says which end we are. A limit counts what the extensions have made of the payload.
    """

    def __init__(
        self, client: bool, extensions: list[Extension] | None = None, *, limits: Limits | None = None
    ) -> None:
        self.client = client
        self.extensions = extensions or []
        self.limits = limits or default_limits()
        self.buffer = Buffer()
        self.header: Header | None = None
        self._masker: XorMaskerSimple | XorMaskerNull = XorMaskerNull()
        self._left = 0
        self._starts = True  # no part of the frame was handed out yet
        self._fragments = 0
        self._size = 0  # of the message so far

    def receive_bytes(self, data: bytes) -> None:
        """Add what came."""
        self.buffer.feed(data)

    def process_buffer(self) -> Frame | None:
        """The next frame or part of one, its opcode CONTINUATION but for the first part; None if more must come.

        Raises ParseFailed.
        """
        header = self.header or self._read_header()
        if header is None or (header.opcode.iscontrol() and len(self.buffer) < self._left):
            return None
        payload = self.buffer.consume_at_most(self._left)
        if self._left and not payload:
            return None
        self.buffer.commit()
        self._left -= len(payload)
        return self._frame(header, bytes(self._masker.process(payload)))

    def _frame(self, header: Header, payload: bytes) -> Frame:
        finished = not self._left
        payload = self._inbound(payload, header.fin, finished)
        opcode = header.opcode if self._starts else Opcode.CONTINUATION
        self._starts = finished
        if not header.opcode.iscontrol():
            self._count(len(payload), finished and header.fin)
        if finished:
            self.header = None
        return Frame(opcode, payload, finished, header.fin)

    def _count(self, size: int, ends: bool) -> None:
        self._size += size
        if self.limits.max_message_size is not None and self._size > self.limits.max_message_size:
            raise ParseFailed.of(errors.MESSAGE_TOO_BIG)
        if ends:
            self._size = self._fragments = 0

    # Headers (section 5.2)

    def _read_header(self) -> Header | None:
        """Take the next header, if it is whole; nothing is consumed before."""
        data = bytes(self.buffer.buffer[:_MAX_HEADER])
        if len(data) < 2:
            return None
        opcode, short = self._check_first_bytes(data)
        masked = bool(data[1] & MASK_MASK)
        field = _LENGTH_FIELDS.get(short, 0)
        size = 2 + field + 4 * masked
        if len(data) < 2 + field:
            return None
        length = _extended_length(data[2 : 2 + field]) if field else short
        if len(data) < size:
            return None
        rsv = RsvBits(*(bool(data[0] & bit) for bit in (RSV1_MASK, RSV2_MASK, RSV3_MASK)))
        key = data[size - 4 : size] if masked else None
        self.header = Header(bool(data[0] & FIN_MASK), rsv, opcode, length, key)
        self.buffer.consume_exactly(size)
        self.buffer.commit()
        self._start_frame(self.header)
        return self.header

    def _check_first_bytes(self, data: bytes) -> tuple[Opcode, int]:
        """The opcode, and the short form of the length."""
        number, short = data[0] & OPCODE_MASK, data[1] & PAYLOAD_LEN_MASK
        if number not in Opcode._value2member_map_:
            raise ParseFailed.of(errors.UNKNOWN_OPCODE)
        opcode = Opcode(number)
        if bool(data[1] & MASK_MASK) is self.client:
            raise ParseFailed.of(errors.MASK_UNEXPECTED if self.client else errors.MASK_MISSING)
        if opcode.iscontrol() and not data[0] & FIN_MASK:
            raise ParseFailed.of(errors.CONTROL_FRAGMENTED)
        if opcode.iscontrol() and short > MAX_PAYLOAD_NORMAL:
            raise ParseFailed.of(errors.CONTROL_TOO_LONG)
        return opcode, short

    def _start_frame(self, header: Header) -> None:
        self._masker = XorMaskerNull() if header.masking_key is None else XorMaskerSimple(header.masking_key)
        self._left = header.payload_len
        self._starts = True
        if not header.opcode.iscontrol():
            self._fragments += 1
            if self.limits.max_fragments is not None and self._fragments > self.limits.max_fragments:
                raise ParseFailed.of(errors.TOO_MANY_FRAGMENTS)
        self._check_reserved_bits(header)

    # Extensions

    def _check_reserved_bits(self, header: Header) -> None:
        """Each bit that is set must belong to an extension."""
        used = RsvBits(False, False, False)
        for extension in self.extensions:
            bits = extension.frame_inbound_header(self, header.opcode, header.rsv, header.payload_len)
            if isinstance(bits, CloseReason):
                raise ParseFailed("an extension refused the frame", bits)
            used = RsvBits(*(a or b for a, b in zip(used, bits, strict=True)))
        if any(bit and not known for bit, known in zip(header.rsv, used, strict=True)):
            raise ParseFailed.of(errors.RESERVED_BITS)

    def _inbound(self, payload: bytes, fin: bool, finished: bool) -> bytes:
        """What the extensions make of a part of the payload, and of the end of the frame."""
        for extension in self.extensions:
            payload = _accepted(extension.frame_inbound_payload_data(self, payload))
        if finished:
            for extension in self.extensions:
                payload += _accepted(extension.frame_inbound_complete(self, fin))
        return payload


def _accepted(result: bytes | CloseReason | None) -> bytes:
    if isinstance(result, CloseReason):
        raise ParseFailed("an extension refused the frame", result)
    return bytes(result or b"")


def _extended_length(field: bytes) -> int:
    length = int.from_bytes(field, "big")
    if length <= (MAX_PAYLOAD_NORMAL if len(field) == 2 else 0xFFFF):
        raise ParseFailed.of(errors.LENGTH_NOT_MINIMAL)
    if length >> 63:
        raise ParseFailed.of(errors.LENGTH_TOP_BIT)
    return length
