"""The memory that all connections of an event loop receive into: asyncio asks for it, fills it and reports that within
one step of the loop. Loops in other threads have their own, since filling it lets other threads run.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

__all__ = ["RECEIVE_SIZE", "long_read", "receive_memory"]

RECEIVE_SIZE = 1 << 18

_memories: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


def receive_memory(loop: asyncio.AbstractEventLoop) -> memoryview:
    """Return the memory of a loop, of RECEIVE_SIZE bytes, which is gone with it."""
    memory = _memories.get(loop)
    if memory is None:
        memory = _memories[loop] = memoryview(bytearray(RECEIVE_SIZE))
    return memory


def long_read(loop: asyncio.AbstractEventLoop) -> int:
    """Return the size from which on a read may be followed by more in the same turn of the loop.

    asyncio's own loops read once. libuv reads up to 32 times as long as reads fill the memory; below TLS that is
    ciphertext, of which a part may stay behind for the next read.
    """
    return RECEIVE_SIZE + 1 if isinstance(loop, asyncio.BaseEventLoop) else RECEIVE_SIZE // 2
