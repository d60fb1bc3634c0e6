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
from typing import TYPE_CHECKING, Protocol

from wscore.session.options import NOTSENT_LOWAT

if sys.platform == "linux":
    from fcntl import ioctl
    from termios import FIONREAD, TIOCOUTQ

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

__all__ = ["Delivery", "Socket", "limit_accepted", "limit_unsent", "reset"]

_INTERNET = (socket.AF_INET, socket.AF_INET6)
# Where in `struct tcp_info` of linux/tcp.h the bytes acknowledged stand.
_BYTES_ACKED = 120
_TCP_INFO_SIZE = _BYTES_ACKED + struct.calcsize("Q")


class Socket(Protocol):
    """What asyncio lets others see of a transport's socket, or of one that listens."""

    def fileno(self) -> int: ...
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...
    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...


class Delivery:
    """What the system has taken, and has still to deliver, of what one transport was given.

    Between a transport for TLS and the socket there is another transport, which does not say how much waits in it.
    While that fills up what the system has sent, the system seems to hold as much as before: then something has left
    all the same if it has acknowledged more, and that counts as a byte.
    """

    __slots__ = ("_hidden", "_is_encrypted", "_socket", "_taken")

    def __init__(self, transport: asyncio.Transport, *, is_encrypted: bool) -> None:
        self._socket = _socket_of(transport) if sys.platform == "linux" else None
        self._is_encrypted = is_encrypted
        self._taken = 0
        self._hidden = 0  # so many times something has left that did not show

    def unacknowledged(self) -> int | None:
        """How many bytes the system has that the peer's has not acknowledged; None if nobody knows."""
        size = None if sys.platform != "linux" else self._ask(TIOCOUTQ)
        if not size:
            self._hidden = 0
        if not size or not self._is_encrypted:
            return size
        self._hidden += self.has_moved()
        return max(size - self._hidden, 1)

    def has_moved(self) -> bool:
        """Whether the system has delivered something since this was asked last."""
        before, self._taken = self._taken, self._acknowledged()
        return self._taken > before

    @property
    def is_unread(self) -> bool:
        """Whether the system has data of the peer's that were not read yet, as far as is known."""
        return sys.platform == "linux" and bool(self._ask(FIONREAD))

    def _ask(self, question: int) -> int | None:
        if sys.platform != "linux" or self._socket is None:
            return None
        answer = bytearray(4)
        try:
            ioctl(self._socket.fileno(), question, answer)
        except (OSError, ValueError):  # closed
            return None
        return int.from_bytes(answer, sys.byteorder)

    def _acknowledged(self) -> int:
        """How many bytes the peer's system has acknowledged since the connection began; 0 if nobody knows."""
        if self._socket is None:
            return 0
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        except OSError:  # closed
            return 0
        return int(struct.unpack_from("Q", info, _BYTES_ACKED)[0]) if len(info) == _TCP_INFO_SIZE else 0


def limit_unsent(sock: Socket | None) -> None:
    """Let a socket be full when NOTSENT_LOWAT bytes wait in it, where the system can do that."""
    if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with suppress(OSError):  # it is none of the internet's
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)


def limit_accepted(listening: Iterable[Socket]) -> bool:
    """The same for all that these accept, if the system does that: whether it does."""
    for sock in listening:
        limit_unsent(sock)
    return sys.platform == "linux"


def reset(transport: asyncio.Transport) -> None:
    """Close with a reset: what waits in the system is for a peer that takes nothing."""
    sock = _socket_of(transport)
    if sock is not None:
        with suppress(OSError):  # it is closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _socket_of(transport: asyncio.Transport) -> Socket | None:
    """The socket below, if it is one of the internet."""
    sock = transport.get_extra_info("socket")
    return None if sock is None or sock.family not in _INTERNET else sock
