"""The two ends of a stream, as far as it is a socket, with TLS on top of it or not."""

from __future__ import annotations

from contextlib import suppress

import trio

__all__ = ["addresses_of"]


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
