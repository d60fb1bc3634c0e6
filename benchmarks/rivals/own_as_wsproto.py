"""wscore behind wsproto's interface, on the twin that is in use."""

from __future__ import annotations

import wscore

from . import AS_WSPROTO
from .base import Rival
from .wsproto_interface import WsprotoInterface


def rivals() -> list[Rival]:
    return [WsprotoInterface(AS_WSPROTO, wscore.__version__, "wscore.adapters.wsproto")]
