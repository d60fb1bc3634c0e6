from typing_extensions import Buffer, disjoint_base

from ..errors import Defect
from ..messages import Piece, Stop
from ..opcodes import Role
from .deflate import Inflater

__all__ = ["Reader"]

@disjoint_base
class Reader:
    def __init__(
        self,
        role: Role,
        *,
        max_message_size: int = 1 << 20,
        max_fragments: int = 4096,
        pieces: bool = False,
        frames: bool = False,
        inflater: Inflater | None = None,
    ) -> None: ...
    @property
    def stop(self) -> Stop: ...
    @property
    def control(self) -> tuple[int, bytes] | None: ...
    @property
    def defect(self) -> Defect | None: ...
    @property
    def spent(self) -> int: ...
    @property
    def in_message(self) -> bool: ...
    @property
    def kept(self) -> int: ...
    def discard(self) -> None: ...
    def read(self, data: Buffer, out: list[str | bytes | Piece], budget: int | None = None, offset: int = 0) -> int: ...
