"""How a connection turns bytes into frames and back: by the codec, or, beside extensions of other people, by frame.

An engine reads as far as it is asked to, so that what is received cannot overtake what is done about it. It hands out
items: a message that came whole and in one frame is a `str` or `bytes`, a part of one a `Piece` or, from the slower
engine, a `Frame`; control frames are `Frame`s; a `ParseFailed` is the last of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from wscore.codec import CLIENT, SERVER, LocalProtocolError, Opcode, Piece, Reader, Stop, Writer, encode_frame
from wscore.codec import new_mask_key as _new_mask_key

from . import frames
from .decoding import FrameDecoder, MessageDecoder
from .extensions import PerMessageDeflate
from .frames import NO_RSV, Frame, ParseFailed, close_frame

if TYPE_CHECKING:
    from .frame_protocol import FrameProtocol
    from .limits import Limits

__all__ = ["CodecEngine", "Engine", "FrameEngine", "Item", "new_engine"]

Item = str | bytes | Piece | Frame | ParseFailed

# How far the codec reads at a time: payload bytes after inflating, and 64 an item.
_READ_AHEAD = 1 << 20
_UNLIMITED = (1 << 62) - 1
_CLOSE = Opcode.CLOSE
_NEED_DATA, _CONTROL, _DEFECT = Stop.NEED_DATA, Stop.CONTROL, Stop.DEFECT


class Engine(Protocol):
    """Both directions of one connection. After a Close frame or a broken rule nothing is read any more."""

    items: list[Item]
    """What was read and not taken yet, the next one last."""

    def feed(self, data: bytes) -> None:
        """Add what came."""

    def read_on(self) -> bool:
        """Read more into `items`, which are empty; False if there is nothing to read."""

    def data(self, payload: bytes | bytearray | memoryview | str, fin: bool) -> bytes:
        """The next fragment of a message, framed. Raises TypeError for another type than the message has, or none."""

    def control(self, opcode: frames.Opcode, payload: bytes | bytearray) -> bytes:
        """A control frame. Raises ValueError for more than 125 bytes."""


def new_engine(proto: FrameProtocol, limits: Limits) -> Engine:
    """The faster one, unless there are extensions that must see each frame."""
    extensions = proto.extensions
    if not extensions:
        return CodecEngine(proto.client, None, limits)
    [deflate, *others] = extensions
    if not others and type(deflate) is PerMessageDeflate:
        return CodecEngine(proto.client, deflate, limits)
    return FrameEngine(proto, limits)


class CodecEngine:
    """Frames by the codec, with permessage-deflate or without."""

    __slots__ = ("_data", "_offset", "_reader", "_writer", "items")

    def __init__(self, client: bool, deflate: PerMessageDeflate | None, limits: Limits) -> None:
        role = CLIENT if client else SERVER
        self.items: list[Item] = []
        self._data: bytes | bytearray | None = b""  # what was not read yet, from `_offset` on; None at the end
        self._offset = 0
        self._reader = Reader(
            role,
            max_message_size=limits.max_message_size or _UNLIMITED,
            max_fragments=limits.max_fragments or _UNLIMITED,
            frames=True,
            inflater=None if deflate is None else deflate.inflater(client),
        )
        self._writer = Writer(role, deflater=None if deflate is None else deflate.deflater(client))

    def feed(self, data: bytes) -> None:
        """Add what came, which may be any buffer; of a `bytes` no copy is made unless something is left."""
        if self._data:
            # Cheap at either end, however often it happens: to join `bytes` would take ever longer.
            if isinstance(self._data, bytes):
                self._data = bytearray(self._data)
            del self._data[: self._offset]
            self._offset = 0
            self._data += data
        elif self._data is not None:
            self._data = bytes(data)

    def read_on(self) -> bool:
        """Read as far as the next control frame, or what one turn may bring."""
        if not self._data:
            return False
        reader, items = self._reader, self.items
        # Reader appends messages and pieces only.
        self._offset = reader.read(self._data, items, _READ_AHEAD, self._offset)  # type: ignore[arg-type]
        stop = reader.stop
        if stop is _NEED_DATA:
            self._data, self._offset = b"", 0
        items.reverse()
        if stop is _CONTROL:
            items.insert(0, self._control_item())
        elif stop is _DEFECT:
            assert reader.defect is not None
            items.insert(0, self._end(ParseFailed.of(reader.defect)))
        return bool(items)

    def _control_item(self) -> Item:
        assert self._reader.control is not None
        opcode, payload = self._reader.control
        if opcode != _CLOSE:
            return Frame(frames.Opcode(opcode), payload, True, True)
        try:
            return self._end(close_frame(payload))
        except ParseFailed as failure:
            return self._end(failure)

    def _end(self, last: Item) -> Item:
        self._data = None
        return last

    def data(self, payload: bytes | bytearray | memoryview | str, fin: bool) -> bytes:
        """A message, or the next fragment of one."""
        writer = self._writer
        if fin and not writer.in_message:
            writer.write(payload)
        else:
            try:
                writer.write_fragment(payload, fin)
            except LocalProtocolError as error:
                raise TypeError(str(error)) from None
        return writer.take()

    def control(self, opcode: frames.Opcode, payload: bytes | bytearray) -> bytes:
        """A control frame."""
        self._writer.write_control(opcode, payload)
        return self._writer.take()


class FrameEngine:
    """Frames one by one, each shown to all extensions."""

    def __init__(self, proto: FrameProtocol, limits: Limits) -> None:
        self.items: list[Item] = []
        self._proto = proto
        self._frame_decoder = FrameDecoder(proto.client, proto.extensions, limits=limits)
        self._message_decoder = MessageDecoder()
        self._ended = False
        self._outbound: frames.Opcode | None = None  # of the message that has begun and not ended

    def feed(self, data: bytes) -> None:
        """Add what came."""
        if not self._ended:
            self._frame_decoder.receive_bytes(data)

    def read_on(self) -> bool:
        """Read one frame, or part of one."""
        if self._ended:
            return False
        try:
            item: Item | None = self._read_frame()
        except ParseFailed as failure:
            item, self._ended = failure, True
        if item is not None:
            self.items.append(item)
        return item is not None

    def _read_frame(self) -> Frame | None:
        frame = self._frame_decoder.process_buffer()
        if frame is None:
            return None
        if not frame.opcode.iscontrol():
            return self._message_decoder.process_frame(frame)
        if frame.opcode is not frames.Opcode.CLOSE:
            return frame
        self._ended = True
        assert isinstance(frame.payload, bytes)
        return close_frame(frame.payload)

    def data(self, payload: bytes | bytearray | memoryview | str, fin: bool) -> bytes:
        """The next fragment of a message, whatever the extensions make of it."""
        opcode = frames.Opcode.BINARY
        if isinstance(payload, str):
            opcode, payload = frames.Opcode.TEXT, payload.encode()
        content = bytes(memoryview(payload))
        if self._outbound not in (None, opcode):
            raise TypeError("the fragments of a message are all text or all binary")
        frame = self._frame(frames.Opcode.CONTINUATION if self._outbound else opcode, content, fin)
        self._outbound = None if fin else opcode
        return frame

    def control(self, opcode: frames.Opcode, payload: bytes | bytearray) -> bytes:
        """A control frame, whatever the extensions make of it."""
        return self._frame(opcode, bytes(payload), True)

    def _frame(self, opcode: frames.Opcode, payload: bytes, fin: bool) -> bytes:
        rsv = NO_RSV
        for extension in reversed(self._proto.extensions):
            rsv, payload = extension.frame_outbound(self._proto, opcode, rsv, payload, fin)
        key = _new_mask_key() if self._proto.client else None
        frame = bytearray(encode_frame(opcode, payload, fin=fin, key=key))
        frame[0] |= rsv.rsv1 << 6 | rsv.rsv2 << 5 | rsv.rsv3 << 4
        return bytes(frame)
