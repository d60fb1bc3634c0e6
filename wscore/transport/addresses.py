"""The two ends of a stream, as far as it is a socket, with TLS on top of it or not; and what is set on a socket."""

from __future__ import annotations

import socket
from contextlib import suppress

import trio

from ..session.options import NOTSENT_LOWAT

__all__ = ["addresses_of", "limit_unsent"]


def addresses_of(stream: trio.abc.Stream) -> tuple[object, object]:
    """Our address and the peer's, as `getsockname` and `getpeername` have them; None for what is not known."""
    while isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    local = remote = None
    if isinstance(stream, trio.SocketStream):
        with suppress(OSError):
            local = stream.socket.getsockname()
        with suppress(OSError):  # whoever has gone already has no name
            remote = stream.socket.getpeername()
    return local, remote


def limit_unsent(sock: socket.socket | trio.socket.SocketType) -> None:
    """Let a socket be full when NOTSENT_LOWAT bytes wait in it, where the system can do that; of one that listens,
    those that it accepts. Trio's streams have a limit of their own.
    """
    if hasattr(socket, "TCP_NOTSENT_LOWAT") and sock.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # whoever has gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)
