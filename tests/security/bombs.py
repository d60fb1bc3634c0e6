"""Compressed messages that inflate to much."""

import zlib

from ..wire import BINARY

RSV1 = 4
MIB = 1 << 20
TAIL = b"\x00\x00\xff\xff"


def compress(data: bytes) -> bytes:
    """The payload of one message (RFC 7692 section 7.2.1)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[: -len(TAIL)]


def bomb(mebibytes: int) -> bytes:
    """A payload of about a kibibyte for each mebibyte of zeros that it inflates to."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    # After a full flush a compressor refers to nothing earlier, so its output may be repeated.
    part = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return (part * mebibytes)[: -len(TAIL)]


def compressed_message(side, payload: bytes, opcode: int = BINARY) -> bytes:
    return side.peer(opcode, payload, rsv=RSV1)
