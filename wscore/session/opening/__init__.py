"""The way in: a connection before it is a WebSocket, without I/O; every transport is a driver around it.

`ServerOpening` is the server's side (`server` has the table of its stages), `ClientOpening` the client's, `Opening`
what was settled; `Driver` is what drivers of a server's have in common that are called back.
"""

from .client import ClientOpening
from .driver import Driver
from .facts import Opening
from .server import ServerOpening
from .stages import Stage

__all__ = ["ClientOpening", "Driver", "Opening", "ServerOpening", "Stage"]
