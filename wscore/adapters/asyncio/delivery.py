"""What the peer's system has taken of the bytes that were sent, and for how long it has been silent.

A transport knows what it still holds itself; one for TLS not even what waits below it. On Linux the kernel tells what
was acknowledged (TCP_INFO since 4.1) and what was not (TIOCOUTQ), whatever lies between. Where nobody knows, the
answers are None. A question costs a system call, so these are asked when a deadline is due, never with a message.
"""

from __future__ import annotations

import socket
import sys
from struct import calcsize, unpack_from
from typing import TYPE_CHECKING

from wscore.session.options import NOTSENT_LOWAT

if TYPE_CHECKING:
    import asyncio

__all__ = ["acknowledged", "is_unread", "limit_unsent", "outstanding", "silence"]

_INTERNET = (socket.AF_INET, socket.AF_INET6)

# Where in `struct tcp_info` of linux/tcp.h the milliseconds since the last data stand, and the bytes acknowledged.
_LAST_DATA_RECEIVED = 52
_BYTES_ACKED = 120
_TCP_INFO_SIZE = _BYTES_ACKED + calcsize("Q")


def acknowledged(transport: asyncio.Transport) -> int | None:
    """How many bytes the peer's system has acknowledged since the connection began."""
    info = _tcp_info(transport)
    return None if info is None else int(unpack_from("Q", info, _BYTES_ACKED)[0])


def silence(transport: asyncio.Transport) -> float | None:
    """For how many seconds no data have come from the peer; 0 while there are some that were not read yet."""
    info = _tcp_info(transport)
    if info is None:
        return None
    return 0.0 if _ask(transport, "FIONREAD") else unpack_from("I", info, _LAST_DATA_RECEIVED)[0] / 1000


def is_unread(transport: asyncio.Transport) -> bool:
    """Whether the kernel has data of the peer's that were not read yet, as far as is known."""
    return _tcp_info(transport) is not None and _ask(transport, "FIONREAD") > 0


def outstanding(transport: asyncio.Transport) -> int | None:
    """How many bytes the kernel has that the peer's has not acknowledged."""
    return None if _tcp_info(transport) is None else _ask(transport, "TIOCOUTQ")


def limit_unsent(transport: asyncio.Transport) -> None:
    """Let an accepted socket be full when NOTSENT_LOWAT bytes wait in it, where the system can do that."""
    sock = transport.get_extra_info("socket")
    if hasattr(socket, "TCP_NOTSENT_LOWAT") and sock is not None and sock.family in _INTERNET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)


def _ask(transport: asyncio.Transport, question: str) -> int:
    """What `ioctl` answers."""
    import termios
    from fcntl import ioctl

    sock = transport.get_extra_info("socket")
    return int.from_bytes(ioctl(sock.fileno(), getattr(termios, question), bytes(4)), sys.byteorder)


def _tcp_info(transport: asyncio.Transport) -> bytes | None:
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None:
        return None
    try:
        info: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except OSError:  # no TCP, or closed
        return None
    return info if len(info) == _TCP_INFO_SIZE else None
