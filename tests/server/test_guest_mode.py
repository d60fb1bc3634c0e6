"""Trio as the guest of another loop, asyncio's here: what the host's callbacks send leaves at once.

Nothing else happens meanwhile that would let it out: no Pings, no other connection.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio

import wscore

from ..raw import UPGRADE

TRANSPORTS = pytest.mark.parametrize("transport", ["stream", pytest.param("reactor", marks=pytest.mark.native)])
HANGING = 20


class Guest:
    """A server in a Trio run that asyncio hosts, and its one connection."""

    def __init__(self, transport: str) -> None:
        self._serve = partial(wscore.serve, transport=transport, ping_interval=None)
        self._opened: asyncio.Future[wscore.WebSocket] = asyncio.Future()
        self._listens: asyncio.Future[wscore.Server] = asyncio.Future()
        self._over: asyncio.Future[None] = asyncio.Future()
        self._scope = trio.CancelScope()
        trio.lowlevel.start_guest_run(
            self._run,
            run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            done_callback=lambda outcome: self._over.set_result(outcome.unwrap()),
        )

    async def _run(self) -> None:
        async def handler(ws: wscore.WebSocket) -> None:
            self._opened.set_result(ws)
            await ws.wait_closed()

        with self._scope:
            async with trio.open_nursery() as nursery:
                self._listens.set_result(await nursery.start(self._serve, handler, "127.0.0.1", 0))

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, wscore.WebSocket, wscore.Server]:
        server = await self._listens
        reader, writer = await asyncio.open_connection(*server.addresses[0][:2])  # type: ignore[index]
        lines = ["GET / HTTP/1.1", *(f"{name}: {value}" for name, value in UPGRADE.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer, await self._opened, server

    async def end(self) -> None:
        self._scope.cancel()
        await self._over


WAYS: dict[str, tuple[Callable[[Any, Any], object], bytes]] = {
    "send_nowait": (lambda ws, server: ws.send_nowait("x"), b"\x81\x01x"),
    "broadcast": (lambda ws, server: server.broadcast("x"), b"\x81\x01x"),
    "close_nowait": (lambda ws, server: ws.close_nowait(4000), b"\x88\x02\x0f\xa0"),
    "abort": (lambda ws, server: ws.abort(), b""),
}


@TRANSPORTS
@pytest.mark.parametrize("way", WAYS)
def test_what_a_callback_of_the_host_does_has_its_effect_at_once(transport: str, way: str) -> None:
    call, expected = WAYS[way]

    async def host() -> None:
        guest = Guest(transport)
        async with asyncio.timeout(HANGING):
            reader, writer, ws, server = await guest.open()
            await asyncio.sleep(0.05)  # now Trio waits, in a thread of its own
            call(ws, server)
            assert await reader.readexactly(len(expected) or 1) == expected if expected else not await reader.read()
            writer.close()
            await guest.end()

    asyncio.run(host())
