"""The way in: a connection before it is a WebSocket, without I/O; every transport is a driver around it.

`ServerOpening` is the server's side (`server` has the table of its stages), `Opening` what it has settled; `Driver` is
what drivers have in common that are called back.
"""

from .driver import Driver
from .facts import Opening
from .server import ServerOpening
from .stages import Stage

__all__ = ["Driver", "Opening", "ServerOpening", "Stage"]
