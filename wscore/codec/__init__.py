"""The codec: frames and messages, masking, UTF-8, deflate. No I/O, no clock, no dependency.

This module is the only switch between the two implementations, which behave alike: `IMPLEMENTATION` is "native" for
the compiled one and "pure" for Python. `WSCORE_PURE=1` in the environment forces the latter. If the compiled one is
there but does not load, a warning says why, `LOAD_ERROR` keeps it, and Python takes over. `DEFLATE_LIBRARY` names the
library that compresses, with its version.
"""

import importlib
import os
import warnings
from importlib.machinery import PathFinder

from . import native
from .errors import Defect, DefectError, LocalProtocolError
from .messages import PIECE_WEIGHT, Piece, Prepared, Stop, weight
from .opcodes import CLIENT, SERVER, CloseCode, Opcode, Role, is_sendable_close_code

# `typing` takes longer to load than the whole codec, and is imported by nothing here; nor is what needs `contextlib`.
TYPE_CHECKING = False

__all__ = [
    "CLIENT",
    "DEFLATE_LIBRARY",
    "IMPLEMENTATION",
    "KERNEL",
    "LOAD_ERROR",
    "PIECE_WEIGHT",
    "SERVER",
    "CloseCode",
    "Defect",
    "DefectError",
    "DeflatePool",
    "Deflater",
    "Inflater",
    "LocalProtocolError",
    "Opcode",
    "Piece",
    "Prepared",
    "Reader",
    "Role",
    "Stop",
    "Utf8Validator",
    "Writer",
    "encode_frame",
    "is_sendable_close_code",
    "is_valid_utf8",
    "mask",
    "mask_inplace",
    "new_mask_key",
    "weight",
    "write_to_all",
]


# What is taken from each compiled module; one that was built from older sources may lack some of it.
_NATIVE = {
    "masking": "mask mask_inplace new_mask_key",
    "deflate": "LIBRARY DeflatePool Deflater Inflater",
    "frames": "encode_frame",
    "kernels": "NAME",
    "reader": "Reader",
    "utf8": "Utf8Validator is_valid_utf8",
    "writer": "Writer write_to_all",
}


def _load_error() -> str | None:
    """Import the compiled modules; why that failed, None if it did not."""
    try:
        for module, names in _NATIVE.items():
            loaded = importlib.import_module(f".native.{module}", __package__)
            for name in names.split():
                getattr(loaded, name)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _is_built() -> bool:
    return PathFinder.find_spec(f"{native.__name__}.masking", native.__path__) is not None


LOAD_ERROR: str | None = None
IMPLEMENTATION = "pure"
KERNEL = "none"

if os.environ.get("WSCORE_PURE", "") not in ("", "0") or not _is_built():
    pass
elif (LOAD_ERROR := _load_error()) is not None:
    warnings.warn(f"wscore runs in pure Python, its compiled codec does not load: {LOAD_ERROR}", stacklevel=2)
else:
    from .native.kernels import NAME as KERNEL

    IMPLEMENTATION = "native"

if TYPE_CHECKING or IMPLEMENTATION == "pure":
    from .pure.deflate import LIBRARY as DEFLATE_LIBRARY
    from .pure.deflate import DeflatePool, Deflater, Inflater
    from .pure.frames import encode_frame
    from .pure.masking import mask, mask_inplace, new_mask_key
    from .pure.reader import Reader
    from .pure.utf8 import Utf8Validator, is_valid_utf8
    from .pure.writer import Writer, write_to_all
else:
    from .native.deflate import LIBRARY as DEFLATE_LIBRARY
    from .native.deflate import DeflatePool, Deflater, Inflater
    from .native.frames import encode_frame
    from .native.masking import mask, mask_inplace, new_mask_key
    from .native.reader import Reader
    from .native.utf8 import Utf8Validator, is_valid_utf8
    from .native.writer import Writer, write_to_all
