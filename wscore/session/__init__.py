"""One life of a connection, for every transport: what needs time, queues or limits, and no I/O.

`Session` decides how a connection lives and ends (`_core` has the table of its phases); beside it stand its options,
rates, and the errors that an end becomes. It refuses to know sockets, tasks, event loops and clocks: a time is a number
that is handed in.
"""

from ._core import DISCARD_LIMIT, LINGER_TIME, Session
from .ends import Cause, End, Phase, Wakeup
from .errors import ConnectionClosed, ConnectionEnded, ConnectionLost
from .options import Options
from .queue import EMPTY, Empty

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
    "Phase",
    "Session",
    "Wakeup",
]
