"""How hard and with how much memory messages are compressed (RFC 7692 section 7.2.1), by policy and by library.

Decides settings, from measurements; knows nothing of streams. JSON of 120 bytes with context takeover, microseconds of
processor time a message, output by input, KiB a compressor:

======== ===== ========= ========== ==== ===== ===
library  level  window    mem level   us ratio KiB
======== ===== ========= ========== ==== ===== ===
zlib       1    12 bits       5      7.2  0.41  34
zlib       3    12 bits       5      7.4  0.38  34
zlib       6    12 bits       5      8.8  0.36  34
zlib       3    15 bits       8      7.0  0.35 205
zlib-ng    1    12 bits       3      1.3  0.42  41
zlib-ng    3    12 bits       3      7.6  0.38  48
zlib-ng    1    15 bits       3      1.2  0.40 152
======== ===== ========= ========== ==== ===== ===

Whatever makes codes for each message pays for that, however short it is: zlib at any level, so that a level with more
matches costs nothing; zlib-ng at any level but 1, which has fixed codes, and no use for a memory level.
"""

from __future__ import annotations

import enum

from ..codec import DEFLATE_LIBRARY

__all__ = ["LEVEL", "MEM_LEVEL", "CompressionPolicy"]

LEVEL, MEM_LEVEL, MOST_MEM_LEVEL = (1, 3, 3) if DEFLATE_LIBRARY.startswith("zlib-ng") else (3, 5, 8)


class CompressionPolicy(enum.Enum):
    """Where compressors live, and how large they are: window bits and memory level of our direction.

    A sender may use a smaller window than was agreed. What the settings cost in memory stands in the documentation.
    """

    TAKEOVER = ("takeover", 12, MEM_LEVEL)
    SHARED = ("shared", 12, MEM_LEVEL)
    DEDICATED = ("dedicated", 15, MOST_MEM_LEVEL)

    def __init__(self, label: str, window_bits: int, mem_level: int) -> None:
        self.label = label
        self.window_bits = window_bits
        self.mem_level = mem_level

    @classmethod
    def named(cls, name: str) -> CompressionPolicy:
        """The policy called `name`; raises ValueError with the names that there are."""
        for policy in cls:
            if policy.label == name:
                return policy
        raise ValueError('compression must be None, "takeover", "shared" or "dedicated"')
