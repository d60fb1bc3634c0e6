"""`wscore serve` as an operator has it: its log, a line of JSON an event, its metrics, and somebody to talk to it."""

import http.client
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio
from prometheus_client.parser import text_string_to_metric_families

import wscore

ROOT = Path(__file__).parent.parent.parent

APP = """
import os, pathlib, time

if pathlib.Path("broken").exists():
    raise RuntimeError("broken on purpose")

async def handler(ws):
    async for message in ws:
        if message == "block":
            pathlib.Path("blocked").touch()
            time.sleep(1000)
        await ws.send(str(os.getpid()) if message == "pid" else message)
"""


# What systemd does before it starts a service: sockets as descriptors from 3 on, and three variables.
ACTIVATE = """
import fcntl, os, sys
descriptors, names, *command = sys.argv[1:]
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 100) for number in descriptors.split(",")]
for target, number in enumerate(high, 3):
    os.dup2(number, target, inheritable=True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(high)), "LISTEN_FDNAMES": names}
os.execv(command[0], command)
"""


def passing(sockets: Mapping[str, socket.socket]) -> dict[str, Any]:
    """How `running` starts a program as systemd does, with these sockets, by name."""
    numbers = [sock.fileno() for sock in sockets.values()]
    launcher = [sys.executable, "-c", ACTIVATE, ",".join(map(str, numbers)), ":".join(sockets)]
    return {"launcher": launcher, "pass_fds": numbers}


@dataclass
class Operated:
    """A running server."""

    program: Any
    url: str = ""
    metrics: str = ""

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of this name; others are passed over."""
        while True:
            entry: dict[str, Any] = json.loads(await self.program.read_line("stderr"))
            if entry.get("event") == name:
                return entry

    async def page(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and body of a page on the address of the metrics."""
        return await page(self.metrics, path, **headers)

    async def scrape(self) -> dict[str, float]:
        """Every sample by its name, with its labels if it has any."""
        status, text = await self.page("/metrics")
        assert status == 200
        return samples_of(text)

    async def pid(self) -> int:
        """Who answers a new connection."""
        async with wscore.connect(self.url) as ws:
            return await pid_of(ws)

    def signal(self, number: int) -> None:
        """Send the server a signal."""
        self.program.process.send_signal(number)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what no event tells."""
    while not await condition():  # noqa: ASYNC110
        await trio.sleep(0.01)


def samples_of(text: str) -> dict[str, float]:
    """What Prometheus makes of a page."""
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            samples[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return samples


async def pid_of(ws: wscore.WebSocket) -> int:
    await ws.send("pid")
    return int(await ws.receive())


async def page(url: str, path: str, **headers: str) -> tuple[int, str]:
    def request() -> tuple[int, str]:
        place = urlsplit(url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body

    return await trio.to_thread.run_sync(request)


@asynccontextmanager
async def operated(
    running: Callable[..., Any], folder: Path, *arguments: object, app: str = APP, **keywords: Any
) -> AsyncIterator[Operated]:
    """Serve `app` from `folder`, and yield when it says that it listens."""
    (folder / "app.py").write_text(app, encoding="utf-8")
    env = {"PYTHONPATH": str(ROOT)} | keywords.pop("env", {})
    options = ("--port", 0, "--app", "app:handler", "--log-format", "json", "--metrics", "127.0.0.1:0", *arguments)
    async with running("serve", *options, cwd=folder, env=env, **keywords) as program:
        server = Operated(program)
        listening = await server.event("listening")
        server.url = listening["addresses"].replace("http", "ws")
        server.metrics = listening["metrics"]
        yield server
