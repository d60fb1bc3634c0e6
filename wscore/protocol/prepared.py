"""One message for many connections: framed once, and compressed once for each window size (RFC 7692 section 7.1.2).

Decides what can be shared between connections: everything for servers, everything but masks for clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..codec import Deflater, Opcode, encode_frame
from .compression import LEVEL, MEM_LEVEL

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["PreparedMessage", "prepare"]


class PreparedMessage:
    """A message that `Connection.send` can send to any number of peers at the price of one; made by `prepare`."""

    __slots__ = ("_compressed", "_frames", "opcode", "payload", "size")

    def __init__(self, opcode: Opcode, payload: bytes) -> None:
        self.opcode = opcode
        self.payload = payload
        self._compressed: dict[int, bytes] = {}
        self.size = len(payload)
        self._frames: dict[int | None, bytes] = {}

    def compressed(self, window_bits: int) -> bytes:
        """The payload, compressed on its own with a window of 2 to the power of `window_bits` bytes."""
        if window_bits not in self._compressed:
            deflater = Deflater(window_bits, context_takeover=False, level=LEVEL, mem_level=MEM_LEVEL)
            self._compressed[window_bits] = deflater.deflate(self.payload)
        return self._compressed[window_bits]

    def frame(self, window_bits: int | None) -> bytes:
        """The unmasked frame; compressed unless `window_bits` is None."""
        if window_bits not in self._frames:
            self._frames[window_bits] = self._encode(window_bits, None)
        return self._frames[window_bits]

    def masked_frame(self, window_bits: int | None, key: bytes) -> bytes:
        """The frame masked with `key`, which RFC 6455 section 5.3 wants fresh for each; compressed unless None."""
        return self._encode(window_bits, key)

    def _encode(self, window_bits: int | None, key: bytes | None) -> bytes:
        payload = self.payload if window_bits is None else self.compressed(window_bits)
        return encode_frame(self.opcode, payload, rsv1=window_bits is not None, key=key)


def prepare(message: str | Buffer) -> PreparedMessage:
    """Prepare `message`, text or any buffer of bytes, for `Connection.send` on many connections.

    Raises UnicodeEncodeError for lone surrogates, TypeError for anything else than text or a buffer.
    """
    if isinstance(message, str):
        return PreparedMessage(Opcode.TEXT, str.encode(message))
    return PreparedMessage(Opcode.BINARY, memoryview(message).tobytes())
