"""Listening as `loop.create_server` does, but with one port for all addresses of a host.

asyncio binds each address by itself, so that port 0 becomes another port on each of them, and nobody could say at which
port the server is. Decides which one it is. Refuses to know what is spoken there.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["listen"]

# Somebody else may take the port between our finding it free and asyncio's taking it.
ATTEMPTS = 10


async def listen(
    factory: Callable[[], asyncio.BaseProtocol], host: Any, port: int | None, *, sock: Any = None, **options: Any
) -> asyncio.Server:
    """`loop.create_server(factory, host, port, **options)`; port 0 is one that the system chooses, on all addresses.

    Raises `OSError` where it cannot listen. Cancelled, it does not.
    """
    create = asyncio.get_running_loop().create_server
    for _ in range(ATTEMPTS if port == 0 and sock is None else 0):
        try:
            return await create(factory, host, await _free_port(host), **options)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return await create(factory, host, port, sock=sock, **options)


async def _free_port(host: Any) -> int:
    """A port that is free on all addresses of `host`; 0 where it has but one, for which the system may choose it.

    Raises `OSError`: EADDRINUSE if one that is free on the first address is taken on another.
    """
    loop = asyncio.get_running_loop()
    names = [host or None] if host is None or isinstance(host, str) else host
    kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
    found = [each for name in names for each in await loop.getaddrinfo(name, 0, type=kind, flags=flags)]
    addresses = dict.fromkeys((family, address) for family, *_, address in found)
    if len(addresses) == 1:
        return 0
    port = 0
    with ExitStack() as probes:
        for family, (name, _, *rest) in addresses:
            try:
                probe = probes.enter_context(socket.socket(family, kind))
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((name, port, *rest))
                port = probe.getsockname()[1]
            except OSError as error:
                # Others, such as an address of IPv6 where there is no IPv6, are for asyncio to pass over or to raise.
                if error.errno == errno.EADDRINUSE:
                    raise
    return port
