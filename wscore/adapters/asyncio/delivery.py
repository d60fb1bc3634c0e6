"""What the socket below a transport tells of the bytes that were sent, and how it is closed with a reset.

A transport knows what it still holds itself; one for TLS not even what waits below it. On Linux the kernel tells what
was acknowledged (TCP_INFO since 4.1) and what was not (TIOCOUTQ), whatever lies between. Where nobody knows, the
answers are None. A question costs a system call, so these are asked when a deadline is due, never with a message.
"""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from wscore.session.options import NOTSENT_LOWAT

if TYPE_CHECKING:
    import asyncio

__all__ = ["Delivery", "is_unread", "limit_unsent", "reset"]

_INTERNET = (socket.AF_INET, socket.AF_INET6)

# Where in `struct tcp_info` of linux/tcp.h the bytes acknowledged stand.
_BYTES_ACKED = 120
_TCP_INFO_SIZE = _BYTES_ACKED + struct.calcsize("Q")


class Delivery:
    """What the system has taken, and has still to deliver, of what one transport was given.

    Between a transport for TLS and the socket there is another transport, which does not say how much waits in it.
    While that fills up what the system has sent, the system seems to hold as much as before: then something has left
    all the same if it has acknowledged more, and that counts as a byte.
    """

    __slots__ = ("_hidden", "_taken")

    def __init__(self) -> None:
        self._taken = 0
        self._hidden = 0  # so many times something has left that did not show

    def unacknowledged(self, transport: asyncio.Transport) -> int | None:
        """How many bytes the system has that the peer's has not acknowledged; None if nobody knows."""
        size = _ask(transport, "TIOCOUTQ")
        if not size:
            self._hidden = 0
        if not size or transport.get_extra_info("ssl_object") is None:
            return size
        self._hidden += self.has_moved(transport)
        return max(size - self._hidden, 1)

    def has_moved(self, transport: asyncio.Transport) -> bool:
        """Whether the system has delivered something since this was asked last."""
        before, self._taken = self._taken, _acknowledged(transport)
        return self._taken > before


def is_unread(transport: asyncio.Transport) -> bool:
    """Whether the system has data of the peer's that were not read yet, as far as is known."""
    return bool(_ask(transport, "FIONREAD"))


def limit_unsent(transport: asyncio.Transport) -> None:
    """Let an accepted socket be full when NOTSENT_LOWAT bytes wait in it, where the system can do that."""
    sock = transport.get_extra_info("socket")
    if hasattr(socket, "TCP_NOTSENT_LOWAT") and sock is not None and sock.family in _INTERNET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)


def reset(transport: asyncio.Transport) -> None:
    """Close with a reset: what waits in the system is for a peer that takes nothing."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in _INTERNET:
        with suppress(OSError):  # it is closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _ask(transport: asyncio.Transport, question: str) -> int | None:
    """What `ioctl` answers about a socket of the internet."""
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None or sock.family not in _INTERNET:
        return None
    import termios
    from fcntl import ioctl

    try:
        return int.from_bytes(ioctl(sock.fileno(), getattr(termios, question), bytes(4)), sys.byteorder)
    except OSError:  # closed
        return None


def _acknowledged(transport: asyncio.Transport) -> int:
    """How many bytes the peer's system has acknowledged since the connection began; 0 if nobody knows."""
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None or sock.family not in _INTERNET:
        return 0
    try:
        info: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except OSError:  # closed
        return 0
    return int(struct.unpack_from("Q", info, _BYTES_ACKED)[0]) if len(info) == _TCP_INFO_SIZE else 0
