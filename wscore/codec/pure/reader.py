"""From the bytes of one direction to messages (RFC 6455 sections 5 and 8.1, RFC 7692 section 7.2.2), in pure Python.

Decides whether a frame is well formed, where a message ends, and whether it keeps to the limits. Control frames are
handed up: what they mean is the connection's affair. Knows nothing of states, sending, or time.

The order of checks, in both twins. With the first two bytes of a header: reserved bits, opcode, mask bit, control
frames whole and short, fragments in order. With the whole header: length in the fewest bytes, its top bit, number
of fragments, size of the message. With the payload, as it comes: DEFLATE, size after inflating, UTF-8.

Those who answer Pings and know which Pongs they wait for can have both passed over (`expect_pongs`), so that a flood of
them makes no object and costs less than as many empty messages; those for whom no message is can have the payloads
passed over (`discard_messages`), neither unmasked nor inflated.
"""

from __future__ import annotations

import sys
from collections import deque
from operator import index

from .. import errors
from ..errors import Defect, DefectError
from ..messages import PIECE_WEIGHT, PINGS_KEPT, Piece, Stop, weight
from ..opcodes import SERVER, Opcode, Role
from .frames import CONTROL_BIT, MAX_CONTROL_PAYLOAD, check_first_bytes, extended_length
from .masking import flat_view, xor
from .utf8 import TextDecoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from typing_extensions import Buffer

    from .deflate import Inflater

__all__ = ["Reader"]

# Inflating for pieces goes in steps: 256 bytes become at most 264 KiB, since DEFLATE expands by 1,032 at most.
INFLATE_STEP = 256
INFLATE_STEP_OUTPUT = 1 << 19
PIECE_SIZE = 1 << 16

# To slice bytes is cheaper than to slice a view of them, if the slices are small.
WORTH_A_VIEW = 1 << 17

_MAX_HEADER = 14
# Members of an enumeration are slow to find by name.
_CONTINUATION, _TEXT, _BINARY = map(int, (Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY))
_CLOSE, _PING, _PONG = map(int, (Opcode.CLOSE, Opcode.PING, Opcode.PONG))
_NEED_DATA, _CONTROL, _DEFECT, _BUDGET = Stop.NEED_DATA, Stop.CONTROL, Stop.DEFECT, Stop.BUDGET
# The first bytes of messages in one frame, uncompressed.
_WHOLE_TEXT = 0x80 | _TEXT
_WHOLE_BINARY = 0x80 | _BINARY
# And of control frames.
_WHOLE_PING = 0x80 | _PING
_WHOLE_PONG = 0x80 | _PONG
# Of messages of one byte the interpreter has each once, if it is asked in this way.
_ONES = [bytes(range(256))[value : value + 1] for value in range(256)]


def compressed_limit(max_message_size: int) -> int:
    """How many compressed bytes a message may have: zlib with the least memory expands random data by a
    twenty-fifth.
    """
    return max_message_size + (max_message_size >> 3) + 64


class Reader:
    """Turns bytes into messages: `str` for text, `bytes` for binary, or `Piece`s of them as they come.

    `role` is our own: a server wants masked frames, a client unmasked ones. `max_message_size` is in bytes, after
    inflating, text as UTF-8; `max_fragments` counts empty ones. With `pieces` neither binds, since nothing is kept.
    `inflater` is given if permessage-deflate was agreed.

    With `frames`, for those who show frames to their callers, a message that is there whole, in one frame, may be a
    `str` or `bytes`; of all others come `Piece`s, one at least for each frame, be it empty. Both limits bind, and
    `pieces` has no effect.

    After `read`, `stop` says why it returned; `control` is the opcode and payload of the control frame at which it
    stopped, `defect` the broken rule after which it reads no more, and `spent` what the call took of its budget.
    `controls` counts the Pings and Pongs of all calls.
    """

    __slots__ = (
        "_awaited",
        "_compressed",
        "_control_payload",
        "_decoder",
        "_discards",
        "_expect_mask",
        "_fin",
        "_first",
        "_fragments",
        "_frames",
        "_header",
        "_inflater",
        "_key",
        "_left",
        "_max_compressed",
        "_max_fragments",
        "_max_message_size",
        "_message",
        "_opcode",
        "_pieces",
        "_pings",
        "_received",
        "_text",
        "_whole_limit",
        "control",
        "controls",
        "defect",
        "in_message",
        "spent",
        "stop",
    )

    def __init__(
        self,
        role: Role,
        *,
        max_message_size: int = 1 << 20,
        max_fragments: int = 4096,
        pieces: bool = False,
        frames: bool = False,
        inflater: Inflater | None = None,
    ) -> None:
        self.stop = Stop.NEED_DATA
        self.control: tuple[int, bytes] | None = None
        self.defect: Defect | None = None
        self.spent = 0
        self.controls = 0
        self.in_message = False  # a message has begun and not ended
        self._expect_mask = role is SERVER
        max_message_size, max_fragments = index(max_message_size), index(max_fragments)
        pieces, frames = bool(pieces), bool(frames)
        self._max_message_size = max_message_size
        self._max_fragments = max_fragments
        self._max_compressed = compressed_limit(max_message_size)
        self._pieces = pieces or frames
        self._frames = frames
        self._inflater = inflater
        # The largest payload that `_read_whole` takes; what needs eight bytes for its length is none of its business.
        self._whole_limit = -1 if (pieces and not frames) or max_fragments < 1 else min(max_message_size, 0xFFFF)
        # The frame that is being read.
        self._header = b""  # the part of a header that has come
        self._opcode = -1  # -1 between frames
        self._fin = False
        self._key = b""
        self._left = 0
        self._control_payload = bytearray()
        # Control frames that are no reason to stop.
        self._awaited: Container[bytes] | None = None  # payloads of Pongs; None where every control frame is a reason
        self._pings: deque[bytes] = deque(maxlen=PINGS_KEPT)
        # The message that is being read.
        self._message = bytearray()
        self._decoder = TextDecoder()
        self._text = False
        self._compressed = False
        self._discards = False  # messages are for nobody
        self._first = True  # no piece of it was delivered yet
        self._fragments = 0
        self._received = 0  # payload bytes, as declared by the frames so far; of a compressed one in pieces, inflated

    @property
    def kept(self) -> int:
        """How many bytes are kept of a message that is not complete; of one that comes in pieces, none."""
        return len(self._message)

    @property
    def pings_size(self) -> int:
        """How large the frames of the Pongs are that `take_pings` asks for, in our role; 0 for none."""
        header = 2 if self._expect_mask else 6
        return sum(header + len(payload) for payload in self._pings)

    def expect_pongs(self, payloads: Container[bytes]) -> None:
        """From now on, let Pings and Pongs be no reason to stop, but for Pongs that have one of `payloads`, a container
        that is asked each time. The Pings are kept for `take_pings`, 16 of them at most.
        """
        self._awaited = payloads

    def take_pings(self) -> list[bytes]:
        """The payloads of the last Pings that came since the last call, first come first: Pongs are due with these (RFC
        6455 section 5.5.3: only the most recent Ping need be answered).
        """
        taken = list(self._pings)
        self._pings.clear()
        return taken

    def discard_messages(self) -> None:
        """From now on, pass the payloads of messages over, and hand none out: they are for nobody. What is kept of one
        that has begun is dropped. The rules for frames hold, limits and UTF-8 do not.
        """
        self._discards = True
        self._whole_limit = -1
        self._message = bytearray()

    def read(self, data: Buffer, out: list[str | bytes | Piece], budget: int | None = None, offset: int = 0) -> int:
        """Read `data` from `offset` on, append messages to `out`, return the offset of the first byte not read.

        Stops after the message or control frame that uses up `budget` (of which each takes its `weight`), after a
        control frame, and at a defect; else all of `data` is read, what is incomplete is kept inside, and `stop` is
        NEED_DATA. `data` is never written to and not kept.
        """
        if offset < 0:
            raise ValueError("offset must not be negative")
        view = data if type(data) is bytes and len(data) < WORTH_A_VIEW else flat_view(data)
        end = len(view)
        self.spent = 0
        if self.defect is not None:
            return end
        self.stop = _NEED_DATA
        most = sys.maxsize if budget is None else budget
        try:
            return self._read_frames(view, offset, end, out, most)
        except DefectError as error:
            self._fail(error.defect)
            return end

    def _read_frames(
        self, view: bytes | memoryview, offset: int, end: int, out: list[str | bytes | Piece], budget: int
    ) -> int:
        while offset < end:
            if self._opcode < 0 and not self.in_message and not self._header:
                offset = self._read_whole(view, offset, end, out, budget)
                if offset == end:
                    break
            if self.spent >= budget:
                self.stop = _BUDGET
                break
            if self._opcode < 0:
                offset = self._read_header(view, offset, end)
                if self._opcode < 0:
                    break
            offset = self._read_payload(view, offset, min(end, offset + self._left), out)
            if self.stop is _CONTROL:
                break
        return offset

    # The fast way

    def _read_whole(
        self, view: bytes | memoryview, at: int, end: int, out: list[str | bytes | Piece], budget: int
    ) -> int:
        """Read messages as long as each is there from its first byte to its last, in one frame, and breaks no rule;
        return where that ended. This loop looks up as little as it can; all else is left to those who know the rules.
        """
        masks, limit, spent = self._expect_mask, self._whole_limit, self.spent
        while spent < budget and end - at >= 2:
            first = view[at]
            # Without the mask bit that it should have, or with one that it should not, a size is no size below 128.
            size = view[at + 1] ^ 0x80 if masks else view[at + 1]
            start = at + 2
            if size == 126 and end - at >= 4:
                size = view[at + 2] << 8 | view[at + 3]
                start = at + 4
                if size < 126:
                    break
            elif size >= 126:
                break
            if masks:
                start += 4
            stop = start + size
            if stop > end or size > limit:
                break
            if first != _WHOLE_TEXT and first != _WHOLE_BINARY:
                if first != _WHOLE_PONG or self._awaited is None or self._awaited or size > MAX_CONTROL_PAYLOAD:
                    break
                # Nobody has asked for it.
                self.controls += 1
                spent += size + (48 if size > 1 else 8)
                at = stop
                continue
            payload = xor(view[start:stop], bytes(view[start - 4 : start])) if masks else bytes(view[start:stop])
            spent += size + (48 if size > 1 else 8)  # its weight, without a call
            if first == _WHOLE_BINARY:
                out.append(payload if size != 1 else _ONES[payload[0]])
            else:
                self.spent = spent
                out.append(_text(payload))
            at = stop
        self.spent = spent
        return at

    # Headers

    def _read_header(self, view: bytes | memoryview, offset: int, end: int) -> int:
        """Read a header, and leave `_opcode` at -1 while it is incomplete."""
        if not self._header:
            size = self._parse_header(view, offset, end - offset)
            if size:
                return offset + size
            self._header = bytes(view[offset:])
            return end
        known = len(self._header)
        header = self._header + view[offset : offset + _MAX_HEADER - known]
        size = self._parse_header(header, 0, len(header))
        if size:
            self._header = b""
            return offset + size - known
        self._header = header
        return end

    def _parse_header(self, buffer: bytes | memoryview, at: int, available: int) -> int:
        """Take the header at `at`, return its size, 0 if it is incomplete (RFC 6455 section 5.2)."""
        if available < 2:
            return 0
        first = buffer[at]
        second = buffer[at + 1]
        opcode = first & 0x0F
        check_first_bytes(first, second, self._expect_mask, self._inflater is not None, self.in_message)
        length = second & 0x7F
        size = 2
        if length >= 126:
            size = 4 if length == 126 else 10
            if available < size:
                return 0
            length = extended_length(buffer[at + 2 : at + size])
        if self._expect_mask:
            size += 4
            if available < size:
                return 0
            self._key = bytes(buffer[at + size - 4 : at + size])
        if opcode & CONTROL_BIT:
            self.controls += opcode != _CLOSE
            self.spent += weight(length)
        else:
            self._start_fragment(first, opcode, length)
        self._opcode = opcode
        self._left = length
        return size

    def _start_fragment(self, first: int, opcode: int, length: int) -> None:
        """The header of a data frame is whole: check the limits before any payload is kept."""
        if opcode != _CONTINUATION:
            self.in_message = True
            self._text = opcode == _TEXT
            self._compressed = bool(first & 0x40)
        self._fin = bool(first & 0x80)
        if self._discards:
            # What makes no message costs the budget, too: else nothing would bound how much is read in one go.
            self.spent += weight(0)
            return
        if self._pieces and not self._frames:
            return
        self._fragments += 1
        if self._fragments > self._max_fragments:
            raise DefectError(errors.TOO_MANY_FRAGMENTS)
        if self._pieces and self._compressed:
            return
        self._received += length
        if self._received > (self._max_compressed if self._compressed else self._max_message_size):
            raise DefectError(errors.MESSAGE_TOO_BIG)

    # Payloads

    def _read_payload(self, view: bytes | memoryview, start: int, stop: int, out: list[str | bytes | Piece]) -> int:
        """Read the payload from `start` to `stop`, or less of it, and return where it stopped."""
        if self._opcode & CONTROL_BIT:
            self._receive_control(self._unmask(view[start:stop]))
        elif self._discards:
            self._discard(stop - start)
        elif not self._compressed:
            self._receive_data(self._unmask(view[start:stop]), self._fin and not self._left, out)
        elif self._pieces:
            chunk, stop = self._inflate_in_steps(view, start, stop)
            self._receive_data(chunk, self._fin and not self._left, out)
        else:
            chunk = self._unmask(view[start:stop])
            ends = self._fin and not self._left
            self._receive_data(self._inflate(chunk, ends), ends, out)
        if not self._left:
            self._opcode = -1
        return stop

    def _unmask(self, chunk: bytes | memoryview) -> bytes:
        """The next bytes of the frame's payload, as the peer meant them."""
        size = len(chunk)
        self._left -= size
        if not self._expect_mask:
            return bytes(chunk)
        payload = xor(chunk, self._key)
        self._key = self._key[size & 3 :] + self._key[: size & 3]
        return payload

    def _receive_control(self, chunk: bytes) -> None:
        self._control_payload += chunk
        if self._left:
            return
        payload = bytes(self._control_payload)
        self._control_payload.clear()
        if self._awaited is None or self._opcode == _CLOSE or (self._opcode == _PONG and payload in self._awaited):
            self.control = (self._opcode, payload)
            self.stop = _CONTROL
        elif self._opcode == _PING:
            self._pings.append(payload)

    def _discard(self, size: int) -> None:
        self._left -= size
        if not self._left and self._fin:
            self._end_message()

    def _receive_data(self, chunk: bytes, ends: bool, out: list[str | bytes | Piece]) -> None:
        if self._pieces:
            self._deliver_piece(chunk, ends, out)
        elif ends and not self._message:
            self._deliver(chunk, out)
        else:
            self._message += chunk
            if self._text and not self._is_text(chunk, ends):
                raise DefectError(errors.TEXT_NOT_UTF8)
            if ends:
                self._deliver(self._message, out)
        if ends:
            self._end_message()

    def _inflate(self, chunk: bytes, ends: bool) -> bytes:
        assert self._inflater is not None
        # One byte more than is allowed: if it comes, the message is too big.
        room = min(self._max_message_size, sys.maxsize - 1) - len(self._message) + 1
        output = self._inflater.inflate(chunk, room)
        if ends and len(output) < room:
            output += self._inflater.finish(room - len(output))
        if len(output) >= room:
            raise DefectError(errors.MESSAGE_TOO_BIG)
        return output

    def _inflate_in_steps(self, view: bytes | memoryview, start: int, stop: int) -> tuple[bytes, int]:
        """Inflate for one piece, so little at a time that the output stays small; return it and where the input
        stopped.
        """
        assert self._inflater is not None
        output = b""
        while start < stop and len(output) < PIECE_SIZE:
            step = min(stop, start + INFLATE_STEP)
            output += self._inflater.inflate(self._unmask(view[start:step]), INFLATE_STEP_OUTPUT)
            start = step
        if self._fin and not self._left:
            output += self._inflater.finish(INFLATE_STEP_OUTPUT)
        self._received += len(output)
        if self._frames and self._received > self._max_message_size:
            raise DefectError(errors.MESSAGE_TOO_BIG)
        return output, start

    def _is_text(self, chunk: bytes, ends: bool) -> bool:
        try:
            self._decoder.decode(chunk, ends)
        except UnicodeDecodeError:
            return False
        return True

    def _deliver(self, payload: bytes | bytearray, out: list[str | bytes | Piece]) -> None:
        self.spent += weight(len(payload))
        if self._text:
            out.append(_text(payload))
        else:
            out.append(bytes(payload) if len(payload) != 1 else _ONES[payload[0]])

    def _deliver_piece(self, chunk: bytes, ends: bool, out: list[str | bytes | Piece]) -> None:
        """Deliver what came, unless it is nothing and more will come; with `frames`, more of the same frame."""
        data: str | bytes = chunk
        if self._text:
            try:
                data = self._decoder.decode(chunk, ends)
            except UnicodeDecodeError:
                raise DefectError(errors.TEXT_NOT_UTF8) from None
        ends_frame = not self._left
        if data or ends or (ends_frame and self._frames):
            out.append(Piece(data, self._first, ends, ends_frame))
            self.spent += weight(len(chunk)) + PIECE_WEIGHT
            self._first = False

    def _end_message(self) -> None:
        self.in_message = False
        self._message = bytearray()
        self._first = True
        self._fragments = 0
        self._received = 0

    def _fail(self, defect: Defect) -> None:
        self.defect = defect
        self.stop = _DEFECT
        self._end_message()


def _text(payload: bytes | bytearray) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise DefectError(errors.TEXT_NOT_UTF8) from None
