"""The reactor transport: sockets of one Trio run, moved by compiled code on a poller of its own.

Decides whether there is one: it needs the compiled codec, on whose Reader and Writer it builds, and epoll or kqueue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...codec import IMPLEMENTATION

__all__ = ["AVAILABLE", "Pace"]

if TYPE_CHECKING:
    from ..trio_glue import Pace

AVAILABLE = False
if IMPLEMENTATION == "native":
    try:
        from .pace import Pace  # type: ignore[assignment]  # twins
    except ImportError:
        pass
    else:
        AVAILABLE = True
