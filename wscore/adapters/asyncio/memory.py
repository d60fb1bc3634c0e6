"""The memory that all connections of an event loop receive into: asyncio asks for it, fills it and reports that within
one step of the loop. Loops in other threads have their own, since filling it lets other threads run.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

__all__ = ["RECEIVE_SIZE", "receive_memory"]

RECEIVE_SIZE = 1 << 18

_memories: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


def receive_memory(loop: asyncio.AbstractEventLoop) -> memoryview:
    """Return the memory of a loop, of RECEIVE_SIZE bytes, which is gone with it."""
    memory = _memories.get(loop)
    if memory is None:
        memory = _memories[loop] = memoryview(bytearray(RECEIVE_SIZE))
    return memory
