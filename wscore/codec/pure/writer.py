"""From messages to the bytes of one direction (RFC 6455 section 5, RFC 7692 section 7.2.1), in pure Python.

Decides how a message becomes frames, masked and compressed as the direction needs it, and holds them until they are
taken. Whether a message may be sent now is the connection's affair, except that a fragmented message has to end
before the next begins.
"""

from __future__ import annotations

from operator import index

from ..errors import LocalProtocolError
from ..opcodes import CLIENT, Opcode, Role
from .frames import MAX_CONTROL_PAYLOAD, frame_header
from .masking import flat_view, new_mask_key, xor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Buffer

    from ..messages import Prepared
    from .deflate import Deflater

__all__ = ["Writer", "write_to_all"]

# `take_buffers` hands out payloads from this size on as they are: below it, one more system call costs more than
# the copy.
LARGE_PAYLOAD = 1 << 14

_FIN = 0x80
_RSV1 = 0x40
# Members of an enumeration are slow to find by name.
_TEXT, _BINARY = int(Opcode.TEXT), int(Opcode.BINARY)


class Writer:
    """Frames messages and control frames, in the order of the calls, into memory that is empty again once taken.

    `role` is our own: a client masks, a server does not. With a `deflater`, messages of `compression_threshold`
    bytes (of UTF-8) and more are compressed, unless a call says otherwise; below the threshold nothing is.
    """

    __slots__ = (
        "_chunks",
        "_compressed",
        "_deflater",
        "_mask",
        "_text",
        "_threshold",
        "in_message",
        "pending",
    )

    def __init__(self, role: Role, *, deflater: Deflater | None = None, compression_threshold: int = 0) -> None:
        self.in_message = False  # a fragmented message has begun and not ended
        self.pending = 0  # bytes that were not taken yet
        self._chunks: list[bytes] = []
        self._mask = role is CLIENT
        self._deflater = deflater
        self._threshold = index(compression_threshold)
        self._text = False
        self._compressed = False

    def compresses(self, size: int, compress: bool | None = None) -> bool:
        """Whether `write` would compress a message of `size` bytes, given `compress`."""
        wanted = size >= self._threshold if compress is None else bool(compress)
        return wanted and self._deflater is not None

    def write(self, message: str | Buffer, compress: bool | None = None) -> None:
        """Frame one message: `str` becomes text, any buffer becomes binary (RFC 6455 section 5.6).

        `compress=False` sends it as it is, True compresses it below the threshold too; without a deflater neither
        has an effect. Raises UnicodeEncodeError for lone surrogates, TypeError for anything else than text or a
        buffer, LocalProtocolError in the middle of a fragmented message; nothing is written then.
        """
        self._check_between_messages()
        opcode, payload = _encode(message)
        # What exports the buffer may have begun a fragmented message meanwhile (PEP 688).
        self._check_between_messages()
        if self.compresses(len(payload), compress):
            self._frame(_FIN | _RSV1 | opcode, self._compress(payload))
        else:
            self._frame(_FIN | opcode, payload)

    def write_fragment(self, data: str | Buffer, fin: bool, compress: bool | None = None) -> None:
        """Frame the next fragment of a message; the first one fixes its type and whether it is compressed (section
        5.4).

        Raises as `write`, and LocalProtocolError if `data` is of another type than the message.
        """
        # A first fragment tells nothing about the size of the message, so no threshold binds it.
        wanted = compress is None or bool(compress)
        fin = bool(fin)
        opcode, payload = _encode(data)
        text = opcode == _TEXT
        compressed = self._compressed
        first = _FIN if fin else 0
        if not self.in_message:
            compressed = self._deflater is not None and wanted
            first |= opcode | (_RSV1 if compressed else 0)
        elif self._text is not text:
            raise LocalProtocolError("the fragments of a message are all text or all binary")
        self._frame(first, self._compress(payload, fin) if compressed else payload)
        self.in_message = not fin
        self._text = text
        self._compressed = compressed

    def write_control(self, opcode: int, payload: Buffer = b"") -> None:
        """Frame a Close, Ping or Pong; it may stand between fragments (section 5.5).

        Raises ValueError if `opcode` is no control opcode or `payload` has more than 125 bytes.
        """
        opcode = index(opcode)
        view = flat_view(payload)
        if opcode not in (Opcode.CLOSE, Opcode.PING, Opcode.PONG) or len(view) > MAX_CONTROL_PAYLOAD:
            raise ValueError("a control frame is a Close, Ping or Pong of at most 125 bytes")
        self._frame(_FIN | opcode, bytes(view))

    def write_raw(self, frames: bytes) -> None:
        """Append `frames`, whole messages that were framed elsewhere, as they are.

        Raises LocalProtocolError in the middle of a fragmented message, TypeError for other types than bytes.
        """
        if type(frames) is not bytes:
            raise TypeError("frames that were made elsewhere must be bytes")
        self._check_between_messages()
        self._chunks.append(frames)
        self.pending += len(frames)

    def write_prepared(self, message: Prepared, compress: bool | None = None) -> None:
        """As `write`, for a message that was framed once for many writers. Raises LocalProtocolError as `write`."""
        self._check_between_messages()
        deflater = self._deflater if self.compresses(message.size, compress) else None
        window_bits = None if deflater is None else deflater.window_bits
        masks = self._mask
        frame = message.masked_frame(window_bits, new_mask_key()) if masks else message.frame(window_bits)
        if type(frame) is not bytes:
            raise TypeError("a prepared message gives its frames as bytes")
        self._check_between_messages()  # as it was not while the message was being framed
        self._chunks.append(frame)
        self.pending += len(frame)
        if deflater is not None:
            # The peer's window now holds this message and our compressor's does not.
            deflater.drop()

    def take(self) -> bytes:
        """All frames not taken yet, as one bytes object; nothing is left."""
        data = b"".join(self._chunks)
        self._clear()
        return data

    def take_buffers(self) -> list[bytes]:
        """As `take`, for a gathering write: unmasked, uncompressed `bytes` payloads of 16 KiB and more are not
        copied.
        """
        buffers: list[bytes] = []
        small: list[bytes] = []
        for chunk in self._chunks:
            if len(chunk) < LARGE_PAYLOAD:
                small.append(chunk)
            else:
                buffers += [b"".join(small), chunk]
                small.clear()
        buffers.append(b"".join(small))
        self._clear()
        return [buffer for buffer in buffers if buffer]

    def _check_between_messages(self) -> None:
        if self.in_message:
            raise LocalProtocolError("a fragmented message is being sent: end it with fin=True first")

    def _clear(self) -> None:
        self._chunks.clear()
        self.pending = 0

    def _compress(self, payload: bytes, fin: bool = True) -> bytes:
        deflater = self._deflater
        if deflater is None:
            # Another thread has called `__init__` while the fragment before was on its way.
            raise LocalProtocolError("this Writer was made anew in the middle of a compressed message")
        return deflater.deflate(payload, fin)

    def _frame(self, first: int, payload: bytes) -> None:
        if self._mask:
            key = new_mask_key()
            header = frame_header(first, len(payload), 0x80) + key
            payload = xor(payload, key)
        else:
            header = frame_header(first, len(payload), 0)
        self._chunks.append(header)
        self._chunks.append(payload)
        self.pending += len(header) + len(payload)


def _encode(message: str | Buffer) -> tuple[int, bytes]:
    if isinstance(message, str):
        return _TEXT, str.encode(message)  # which no subclass has replaced
    # bytes(5) would be five zero bytes: a view refuses what is no buffer.
    return _BINARY, message if type(message) is bytes else bytes(flat_view(message))


def write_to_all(writers: Iterable[Writer], message: Prepared, compress: bool | None = None) -> int:
    """`write_prepared` for each of `writers` but those in the middle of a fragmented message; how many took it."""
    ready = [writer for writer in writers if not writer.in_message]
    for writer in ready:
        writer.write_prepared(message, compress)
    return len(ready)
