"""A server's connection in memory, whose writers wait until the other end has read: nothing is buffered between."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
import trio.testing

import wscore

from ..raw import Raw


async def ignore(_ws: wscore.WebSocket) -> None:
    """A handler that receives nothing."""
    await trio.sleep_forever()


@asynccontextmanager
async def opened(
    handler: Callable[[wscore.WebSocket], Awaitable[object]] = ignore, *, extensions: str | None = None, **options: Any
) -> AsyncIterator[tuple[Raw, wscore.WebSocket, trio.Nursery]]:
    """`async with opened(handler, **options) as (raw, ws, nursery)`: the peer, our end, and tasks that end with it.

    `extensions` is what the peer offers.
    """
    ours, theirs = trio.testing.lockstep_stream_pair()
    raw, connections, ready = Raw(theirs), [], trio.Event()

    async def handle(ws: wscore.WebSocket) -> None:
        connections.append(ws)
        ready.set()
        await handler(ws)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(wscore.serve_stream, handle, ours, **options))
        await raw.upgrade(Sec_WebSocket_Extensions=extensions)
        await ready.wait()
        yield raw, connections[0], nursery
        nursery.cancel_scope.cancel()


async def send_forever(raw: Raw, opcode: int, payload: bytes) -> None:
    """Send the same message until cancelled."""
    while True:
        await raw.say(opcode, payload)
