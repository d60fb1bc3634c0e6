from typing_extensions import Buffer

__all__ = ["encode_frame"]

def encode_frame(
    opcode: int, payload: Buffer | str, *, fin: bool = True, rsv1: bool = False, key: Buffer | None = None
) -> bytes: ...
