"""wsproto: no I/O, no C; handshakes by h11."""

from __future__ import annotations

import wsproto

from .base import Rival
from .wsproto_interface import WsprotoInterface


def rivals() -> list[Rival]:
    return [WsprotoInterface("wsproto", wsproto.__version__, "wsproto")]
