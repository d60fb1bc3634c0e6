"""The server under attack, a program of its own, so that its memory and its descriptors are nobody else's.

Its one argument is JSON: `options` of `serve`, `on_message`, `descriptors` (a limit), `system_buffers` (bytes), and
perhaps `certificate` (PEM, with the key). It prints its port, then answers each line of its input with a line of what
it has measured, and ends with it.
"""

import gc
import json
import logging
import os
import ssl
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from tempfile import NamedTemporaryFile
from typing import Any

import trio

import wscore

# What a feed consists of: numbered messages of many sizes.
SIZES = (0, 1, 125, 126, 1000, 65_535, 65_536, 100_000)


def numbered(number: int) -> bytes:
    """The message of this number: the number, and more or less behind it that depends on the number alone."""
    start = b"%08d" % number
    return start + bytes([number % 251]) * SIZES[number % len(SIZES)]


class Events(logging.Handler):
    """Counts what the server logs, by event."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.counts[getattr(record, "wscore_fields", {}).get("event", record.getMessage())] += 1


class Target:
    """The server, and what it knows about those who came."""

    def __init__(self) -> None:
        self.events = Events()
        self.server: wscore.Server | None = None
        # How many messages came on each connection to /journal/NAME; and what was not the next one.
        self.journal: dict[str, int] = {}
        self.wrong: list[str] = []

    async def handle(self, ws: wscore.WebSocket) -> None:
        assert ws.request is not None
        _, kind, *name = ws.request.path.split("/")
        if kind == "journal":
            await self.write_down(ws, name[0])
        elif kind == "feed":
            await feed(ws)
        else:
            async for message in ws:
                await ws.send(message)

    async def write_down(self, ws: wscore.WebSocket, name: str) -> None:
        self.journal[name] = 0
        async for message in ws:
            if message != numbered(self.journal[name]):
                self.wrong.append(f"{name}: {message[:20]!r} came as number {self.journal[name]}")
            self.journal[name] += 1

    def measure(self) -> dict[str, Any]:
        """All that can be measured from inside."""
        assert self.server is not None
        gc.collect()
        statistics = self.server.statistics()
        return {
            **{field.name: plain(getattr(statistics, field.name)) for field in fields(statistics)},
            "open": len(self.server.connections),
            "sources": sources_of(self.server),
            "held": self.server._conversations.reserve.held,
            "blocks": sys.getallocatedblocks(),
            **of_the_process(),
            "tasks": trio.lowlevel.current_statistics().tasks_living,
            "events": self.events.counts,
            "journal": self.journal,
            "wrong": self.wrong,
        }


async def feed(ws: wscore.WebSocket) -> None:
    number = 0
    while True:
        await ws.send(numbered(number))
        number += 1


def plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def sources_of(server: wscore.Server) -> int:
    """How many sockets the reactor has."""
    return 0 if server._doorway is None else server._doorway._running.reactor.count


def of_the_process() -> dict[str, int]:
    """The most bytes of memory that it has had at once, and how many descriptors are open, even if none is left."""
    import resource  # Unix only, and others import from this module, too

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        most = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
        return {"most_rss": int(most.split()[1]) << 10, "descriptors": len(os.listdir("/proc/self/fd"))}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def answer(ws: wscore.WebSocket, message: str | bytes) -> None:
    ws.send_nowait(message)


def allow(descriptors: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))


async def listen(system_buffers: int | None) -> trio.SocketListener:
    """Those that are accepted inherit the sizes of the buffers."""
    sock = trio.socket.socket()
    for buffer in (SO_RCVBUF, SO_SNDBUF) if system_buffers else ():
        sock.setsockopt(SOL_SOCKET, buffer, system_buffers)
    await sock.bind(("127.0.0.1", 0))
    sock.listen(1 << 12)
    return trio.SocketListener(sock)


async def main(settings: dict[str, Any]) -> None:
    if settings["descriptors"] is not None:
        allow(settings["descriptors"])
    target = Target()
    logging.getLogger("wscore").addHandler(target.events)
    hooks: dict[str, Any] = {"on_message": answer} if settings["on_message"] else {"handler": target.handle}
    options = dict(settings["options"])
    if "certificate" in settings:
        options["ssl_context"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with NamedTemporaryFile("w") as file:
            file.write(settings["certificate"])
            file.flush()
            options["ssl_context"].load_cert_chain(file.name)
    async with trio.open_nursery() as nursery:
        listeners = [await listen(settings["system_buffers"])]
        target.server = await nursery.start(partial(wscore.serve, listeners=listeners, **hooks, **options))
        print(json.dumps({"port": target.server.addresses[0][1]}), flush=True)
        async for questions in trio.lowlevel.FdStream(os.dup(0)):
            for _ in range(questions.count(b"\n")):
                print(json.dumps(target.measure()), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
