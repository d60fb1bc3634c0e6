"""Several addresses for one name: which of them a client gets to.

Decides as RFC 8305 says: addresses of both families in turn, the next one 250 ms after the last or as soon as that has
failed, and the first that answers. `create_connection` of asyncio's own loops does so if asked, uvloop's cannot.
"""

from __future__ import annotations

import asyncio
import socket
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

__all__ = ["reach"]

# RFC 8305 section 5, "Connection Attempt Delay".
DELAY = 0.25

if TYPE_CHECKING:
    Found: TypeAlias = tuple[int, int, int, str, Any]


async def reach(host: str, port: int) -> socket.socket:
    """Return a socket that is connected to a host, by whichever of its addresses answers first.

    Raises `OSError` if none does: what the first one said. Cancelled, no socket stays behind.
    """
    loop = asyncio.get_running_loop()
    found = _in_turn(await _addresses_of(loop, host, port))
    if not found:
        raise OSError(f"{host} has no address")
    pending: set[asyncio.Task[socket.socket]] = set()
    first_error: BaseException | None = None
    try:
        while found or pending:
            if found:
                pending.add(loop.create_task(_connected(loop, found.pop(0))))
            delay = DELAY if found else None
            done, pending = await asyncio.wait(pending, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                error = attempt.exception()
                if error is None:
                    pending |= done - {attempt}
                    return attempt.result()
                first_error = first_error or error
    finally:
        for attempt in pending:
            attempt.cancel()
            attempt.add_done_callback(_discard)
    assert first_error is not None
    raise first_error


async def _addresses_of(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Iterable[Found]:
    try:
        # What is an address already needs no resolver, and no thread to ask it in.
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _discard(attempt: asyncio.Task[socket.socket]) -> None:
    """It came too late: a socket that it may have connected is closed."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _connected(loop: asyncio.AbstractEventLoop, found: Found) -> socket.socket:
    family, kind, protocol, _, address = found
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _in_turn(found: Iterable[Found]) -> list[Found]:
    """Sort as RFC 8305 section 4 says: the families in turn, beginning with that of the first address."""
    families: dict[int, list[Found]] = {}
    for each in found:
        families.setdefault(each[0], []).append(each)
    return [each for each in chain.from_iterable(zip_longest(*families.values())) if each is not None]
