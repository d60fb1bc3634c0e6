"""One life of a connection, for every transport: what needs time, queues or limits, and no I/O.

`Session` decides how a connection lives and ends (`life` has the table of its phases); beside it stand its options,
rates, and the errors that an end becomes. It refuses to know sockets, tasks, event loops and clocks: a time is a number
that is handed in.

`Session` is compiled from the plain source where the codec is compiled, and both are alike; this module is the switch,
as `wscore.codec` is for the codec. What `native` has a .pxd for exists twice then.
"""

from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

from ..codec import IMPLEMENTATION
from . import native
from .ends import EMPTY, Cause, Empty, End, Phase, Wakeup
from .errors import ConnectionClosed, ConnectionEnded, ConnectionLost
from .options import Options

_IS_BUILT = PathFinder.find_spec(f"{native.__name__}._core", native.__path__) is not None

if TYPE_CHECKING or IMPLEMENTATION == "pure" or not _IS_BUILT:
    from ._core import DISCARD_LIMIT, LINGER_TIME, Session
    from .passing import PassingSession
else:  # pragma: no cover - what is measured is the source
    from .native._core import DISCARD_LIMIT, LINGER_TIME, Session
    from .native.passing import PassingSession

__all__ = [
    "DISCARD_LIMIT",
    "EMPTY",
    "LINGER_TIME",
    "Cause",
    "ConnectionClosed",
    "ConnectionEnded",
    "ConnectionLost",
    "Empty",
    "End",
    "Options",
    "PassingSession",
    "Phase",
    "Session",
    "Wakeup",
]
