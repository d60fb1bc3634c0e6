"""Whoever is measured, behind one small interface.

Decides how each library is driven: without sockets, in the cheapest way that gives the same result. What a library
cannot do, it returns None for. What stands in here is part of what is measured, so it is as little as can be;
conversions that serve only to compare results are in `messages` and `wire`, which are never timed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from .base import Rival

__all__ = ["AS_WSPROTO", "NATIVE", "PURE", "Rival", "all_rivals"]

NATIVE = "wscore"
PURE = "wscore pure"
AS_WSPROTO = "wscore as wsproto"

# Our own twins, then each library by the name of its package.
_MODULES = {
    "own": "wscore",
    "own_as_wsproto": "wscore",
    "of_websockets": "websockets",
    "of_wsproto": "wsproto",
    "of_aiohttp": "aiohttp",
    "of_picows": "picows",
    "of_wsaccel": "wsaccel",
    "of_python": "sys",
}


@cache
def all_rivals() -> Sequence[Rival]:
    """All that are installed, ours first. One that is there but has changed is an error, not an absence."""
    installed = [name for name, package in _MODULES.items() if package in sys.modules or find_spec(package)]
    return [rival for name in installed for rival in import_module(f"{__name__}.{name}").rivals()]
