"""Masking (RFC 6455 section 5.3) and the keys for it (section 10.3), in pure Python.

Decides how keys stay unpredictable at the price of a slice: they come from a pool per thread that the operating
system's generator fills a block at a time. Knows nothing of frames.
"""

from __future__ import annotations

import os
import threading
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["mask", "mask_inplace", "new_mask_key"]

# One call of the operating system's generator fills this many bytes; more makes no key cheaper, and more would lie
# about.
KEY_BLOCK = 4096

# From this size on tables are faster than integers.
WORTH_TRANSLATING = 512
EVERY_BYTE = bytes(range(256))


def flat_view(data: Buffer) -> memoryview:
    """`data` as a view of single bytes. Raises TypeError if it is no buffer, or not C-contiguous."""
    view = memoryview(data)
    if view.format == "B" and view.ndim == 1 and view.contiguous:
        return view
    if not view.c_contiguous:
        raise TypeError("the buffer must be C-contiguous")
    return view.cast("B")


def mask(data: Buffer, key: Buffer, offset: int = 0) -> bytes:
    """XOR `data` with the 4 bytes of `key`, repeated, and return the result as new bytes (RFC 6455 section 5.3).

    `offset` is the position of `data` in the payload, in bytes; masking twice gives back the data.
    Raises ValueError if `key` is not 4 bytes long, TypeError if `data` is no buffer.
    """
    return xor(flat_view(data), _turned(key, offset))


def mask_inplace(buffer: Buffer, key: Buffer, offset: int = 0) -> None:
    """XOR `buffer`, which must be writable, with the 4 bytes of `key`, repeated (RFC 6455 section 5.3).

    Raises TypeError if `buffer` is read-only, else as `mask`.
    """
    view = flat_view(buffer)
    if view.readonly:
        raise TypeError("the buffer must be writable and C-contiguous")
    view[:] = mask(view, key, offset)


def _turned(key: Buffer, offset: int) -> bytes:
    key = bytes(flat_view(key))
    if len(key) != 4:
        raise ValueError("a mask key has 4 bytes")
    turn = offset & 3
    return key[turn:] + key[:turn]


def xor(data: bytes | memoryview, key: bytes) -> bytes:
    """As `mask`, without its checks: single bytes, and a key of 4."""
    size = len(data)
    if size >= WORTH_TRANSLATING:
        return _translate(data, key)
    # One XOR of two large integers runs in C: 30 times as fast as a loop.
    words = int.from_bytes(data, "little") ^ int.from_bytes((key * (size // 4 + 1))[:size], "little")
    return words.to_bytes(size, "little")


def _translate(data: bytes | memoryview, key: bytes) -> bytes:
    """Every fourth byte at a time: four tables, but no conversion to an integer and back."""
    tables = _tables()
    masked = bytearray(data)
    masked[::4] = masked[::4].translate(tables[key[0]])
    masked[1::4] = masked[1::4].translate(tables[key[1]])
    masked[2::4] = masked[2::4].translate(tables[key[2]])
    masked[3::4] = masked[3::4].translate(tables[key[3]])
    return bytes(masked)


@cache
def _tables() -> list[bytes]:
    """For each byte of a key what becomes of every byte: 64 KiB, for those who need them."""
    return [xor(EVERY_BYTE, bytes([byte]) * 4) for byte in EVERY_BYTE]


class _KeyPool(threading.local):
    """Unused key bytes of this thread."""

    def __init__(self) -> None:
        self.block = bytearray()


_keys = _KeyPool()


def new_mask_key() -> bytes:
    """4 bytes that no peer can predict (RFC 6455 section 10.3), never handed out before."""
    block = _keys.block
    if not block:
        block += os.urandom(KEY_BLOCK)
    key = bytes(block[-4:])
    block[-4:] = bytes(4)  # to shrink it would leave the key in memory
    del block[-4:]
    return key


def _forget_keys() -> None:
    # A forked child would otherwise use the very keys that its parent uses.
    _keys.block = bytearray()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_keys)
