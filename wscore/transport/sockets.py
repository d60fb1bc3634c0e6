"""What is asked of the socket below a stream, where there is one, with TLS on top of it or not.

Decides what can be known of one: where nobody knows, the answer is None.
"""

from __future__ import annotations

import socket
import sys

import trio

__all__ = ["transport_of", "unacknowledged"]


def transport_of(stream: trio.abc.Stream) -> trio.abc.Stream:
    """What is below TLS, where there is TLS."""
    while isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    return stream


def unacknowledged(stream: trio.abc.Stream) -> int | None:
    """How many bytes that were written the system still has: not sent, or not acknowledged by the peer's system.

    None where there is no TCP below, and where the system does not tell. What TLS adds counts as well.
    """
    transport = transport_of(stream)
    if sys.platform != "linux" or not isinstance(transport, trio.SocketStream):
        return None
    if transport.socket.family not in (socket.AF_INET, socket.AF_INET6):
        return None  # the system counts its own memory there
    return _queued(transport.socket.fileno())


if sys.platform == "linux":
    from fcntl import ioctl
    from termios import TIOCOUTQ

    def _queued(descriptor: int) -> int | None:
        try:
            answer = ioctl(descriptor, TIOCOUTQ, bytes(4))
        except (OSError, ValueError):  # it is closed
            return None
        return int.from_bytes(answer, sys.byteorder, signed=True)
