"""Frames for tests, built and taken apart by the letter of RFC 6455 section 5.2, without a line of wscore.

Whoever wants to send what our own codec refuses to write, or to see what it wrote, uses these.
"""

from dataclasses import dataclass
from itertools import cycle
from operator import xor as exclusive_or

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"


@dataclass
class Frame:
    """One frame; `payload` is unmasked, `key` is None if it was not masked."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    key: bytes | None = None


def xor(data: bytes, key: bytes) -> bytes:
    """Mask, or unmask, one byte after the other (section 5.3)."""
    return bytes(map(exclusive_or, data, cycle(key)))


def header(frame: Frame, length: int, field_size: int | None = None) -> bytes:
    """The header of a frame that says it has `length` bytes, whatever it has.

    `field_size` (0, 2 or 8) puts the length into an extended field of that many bytes, minimal or not.
    """
    if field_size is None:
        field_size = 0 if length < 126 else 2 if length < 1 << 16 else 8
    first = frame.fin << 7 | frame.rsv << 4 | frame.opcode
    second = {0: length, 2: 126, 8: 127}[field_size] | (0 if frame.key is None else 0x80)
    return bytes([first, second]) + length.to_bytes(8, "big")[8 - field_size :] + (frame.key or b"")


def encode(frame: Frame, field_size: int | None = None) -> bytes:
    payload = frame.payload if frame.key is None else xor(frame.payload, frame.key)
    return header(frame, len(payload), field_size) + payload


def from_client(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A masked frame, as a server wants it."""
    return encode(Frame(opcode, payload, fin, rsv, KEY))


def from_server(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """An unmasked frame, as a client wants it."""
    return encode(Frame(opcode, payload, fin, rsv))


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + reason


def decode(data: bytes) -> list[Frame]:
    """All frames in `data`, which must hold whole frames and nothing else, with lengths in the fewest bytes."""
    frames = []
    while data:
        frame, size = _decode_one(data)
        assert encode(frame) == data[:size]
        frames.append(frame)
        data = data[size:]
    return frames


def _decode_one(data: bytes) -> tuple[Frame, int]:
    first, second = data[:2]
    length, at = second & 0x7F, 2
    if length >= 126:
        at = 4 if length == 126 else 10
        length = int.from_bytes(data[2:at], "big")
    key = data[at : at + 4] if second & 0x80 else None
    at += 4 if key else 0
    payload = data[at : at + length]
    assert len(payload) == length
    return Frame(first & 0x0F, xor(payload, key) if key else payload, first >> 7 == 1, first >> 4 & 7, key), at + length
