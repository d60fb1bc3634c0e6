"""What is asked of the socket below an accepted transport; not what is written to it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ...session.options import NOTSENT_LOWAT

if TYPE_CHECKING:
    import asyncio

__all__ = ["limit_unsent"]

_INTERNET = (socket.AF_INET, socket.AF_INET6)


def limit_unsent(transport: asyncio.Transport) -> None:
    """Let the socket be full when NOTSENT_LOWAT bytes wait in it, where the system can do that."""
    sock = transport.get_extra_info("socket")
    if hasattr(socket, "TCP_NOTSENT_LOWAT") and sock is not None and sock.family in _INTERNET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)
