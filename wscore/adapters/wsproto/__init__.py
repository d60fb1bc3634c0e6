"""wsproto's interface on wscore's codec: the same modules, names and behaviour, several times as fast, and bounded.

New code imports `wscore.adapters.wsproto` as it would import wsproto. Packages that were written for wsproto run on it
unchanged after `install()`. It needs no wsproto. `Limits` is what wsproto does not have; where it is stricter, and why,
stands in the documentation (docs/embedding/wsproto.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .connection import Connection, ConnectionState, ConnectionType
from .handshake import H11Handshake
from .installing import install
from .limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .events import Event
    from .typing import Headers

__all__ = ["ConnectionType", "Limits", "WSConnection", "install"]

# The version of wsproto whose interface this is.
__version__ = "1.3.2"


class WSConnection:
    """One end of a WebSocket connection from the first byte to the last, without I/O: the opening handshake, then a
    `Connection`. `limits` bind the messages that come; without, the process's default.
    """

    def __init__(self, connection_type: ConnectionType, *, limits: Limits | None = None) -> None:
        self.client = connection_type is ConnectionType.CLIENT
        self.handshake = H11Handshake(connection_type, limits=limits)
        self.connection: Connection | None = None

    @property
    def state(self) -> ConnectionState:
        """Where the connection is."""
        return self.handshake.state if self.connection is None else self.connection.state

    def initiate_upgrade_connection(self, headers: Headers, path: bytes | str) -> None:
        """As a server, take a request that somebody else has read."""
        self.handshake.initiate_upgrade_connection(headers, path)

    def send(self, event: Event) -> bytes:
        """The bytes of an event. Raises LocalProtocolError where it may not be sent now; nothing is sent then."""
        if self.connection is not None:
            return self.connection.send(event)
        data = self.handshake.send(event)
        self.connection = self.handshake.connection
        return data

    def receive_data(self, data: bytes | None) -> None:
        """Take what came from the peer, None for the end of it; `events` has what it means.

        Raises RemoteProtocolError for what breaks the opening handshake; LocalProtocolError once all is closed.
        """
        if self.connection is not None:
            self.connection.receive_data(data)
            return
        self.handshake.receive_data(data)
        self.connection = self.handshake.connection

    def events(self) -> Iterator[Event]:
        """What has happened, as far as the caller goes on; what it leaves comes with the next call."""
        yield from self.handshake.events()
        if self.connection is not None:
            yield from self.connection.events()
