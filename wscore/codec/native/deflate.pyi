from typing import final

from typing_extensions import Buffer, disjoint_base

__all__ = ["LIBRARY", "DeflatePool", "Deflater", "Inflater"]

LIBRARY: str

@disjoint_base
class DeflatePool:
    def __init__(self, size: int = 256) -> None: ...
    def __len__(self) -> int: ...

@final
class Deflater:
    def __init__(
        self,
        window_bits: int = 15,
        *,
        context_takeover: bool = True,
        level: int = 1,
        mem_level: int = 8,
        pool: DeflatePool | None = None,
    ) -> None: ...
    @property
    def window_bits(self) -> int: ...
    def deflate(self, data: Buffer, final: bool = True) -> bytes: ...
    def drop(self) -> None: ...

@disjoint_base
class Inflater:
    def __init__(
        self, window_bits: int = 15, *, context_takeover: bool = True, pool: DeflatePool | None = None
    ) -> None: ...
    def inflate(self, data: Buffer, max_length: int) -> bytes: ...
    def finish(self, max_length: int) -> bytes: ...
