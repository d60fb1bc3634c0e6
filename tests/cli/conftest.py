"""The program as a user has it: a process of its own, with pipes or a terminal, and a server of ours to talk to."""

import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
import trustme

import wscore

from ..listening import free_port

KEPT = ("WSCORE_PURE", "WSCORE_KERNEL")
COMMAND = [sys.executable, "-m", "wscore"]


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours, without options that somebody set for a program of theirs, and with the mode that the tests run in."""
    inherited = {k: v for k, v in os.environ.items() if k in KEPT or not k.startswith("WSCORE_")}
    return {**inherited, **more}


@dataclass
class Program:
    """A running `wscore`, its standard streams on pipes."""

    process: trio.Process
    read_so_far: dict[str, bytearray] = field(default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()})

    async def read_line(self, name: str = "stdout") -> str:
        """Return the next line without its end; fails if the stream ends before."""
        buffer, stream = self.read_so_far[name], getattr(self.process, name)
        while b"\n" not in buffer:
            data = await stream.receive_some()
            assert data, f"{name} ended after {bytes(buffer)!r}"
            buffer += data
        line, _, rest = bytes(buffer).partition(b"\n")
        buffer[:] = rest
        return line.decode()

    async def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(data)

    async def end_input(self) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.aclose()

    async def finish(self) -> tuple[int, str, str]:
        """Wait for its end; return exit status and what it still printed, on standard output and standard error."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_rest, "stdout")
            nursery.start_soon(self._read_rest, "stderr")
            status = await self.process.wait()
        output, errors = (bytes(self.read_so_far[name]).decode() for name in ("stdout", "stderr"))
        assert "Traceback" not in errors, errors
        return status, output, errors

    async def _read_rest(self, name: str) -> None:
        async for data in getattr(self.process, name):
            self.read_so_far[name] += data


@asynccontextmanager
async def running(
    *arguments: object, launcher: Sequence[str] = (), env: Mapping[str, str] | None = None, **streams: Any
) -> AsyncIterator[Program]:
    """Start `wscore` with these arguments, by `launcher` if there is one; killed if the test leaves it running."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
    command = [*launcher, *COMMAND, *map(str, arguments)]
    process = await trio.lowlevel.open_process(command, env=environment(env or {}), **pipes)
    try:
        yield Program(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def run(*arguments: object, data: bytes = b"", env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run `wscore` with `data` as its whole input; return exit status, standard output and standard error."""
    async with running(*arguments, env=env) as program:
        with contextlib.suppress(trio.BrokenResourceError):  # it may have ended without wanting its input
            await program.write(data)
        await program.end_input()
        return await program.finish()


@asynccontextmanager
async def serving(handler: Callable[[wscore.WebSocket], Awaitable[None]], **options: Any) -> AsyncIterator[str]:
    """Serve in this process; yields the address as a URL without a path."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(wscore.serve, handler, "127.0.0.1", 0, **options))
        yield f"{'wss' if 'ssl_context' in options else 'ws'}://127.0.0.1:{server.addresses[0][1]}"
        nursery.cancel_scope.cancel()


@pytest.fixture(name="run")
def run_fixture() -> Callable[..., Any]:
    return run


@pytest.fixture(name="running")
def running_fixture() -> Callable[..., Any]:
    return running


@pytest.fixture(name="serving")
def serving_fixture() -> Callable[..., Any]:
    return serving


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def unused_port() -> int:
    """For programs that cannot tell which one they got."""
    return free_port()
