"""A program that listens, in a process of its own: on which port, from when, and that nothing of it stays behind."""

import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

import wscore

HANGING = 60


def free_port() -> int:
    """A port for a program that cannot tell which one it got: none of those that the system gives to whoever connects,
    who may be quicker, or, while nobody listens there, connect to itself.
    """
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def listens_on(host: str) -> bool:
    """Whether this machine has the address: Linux has all that begin with 127, others have one, and some no IPv6."""
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        return False
    return True


@asynccontextmanager
async def listening(port: int, *command: str) -> AsyncIterator[None]:
    """Run it, from when it listens on `port` to the end of the block."""
    process = await trio.lowlevel.open_process([*command], stdin=subprocess.DEVNULL)
    try:
        with trio.fail_after(HANGING):
            await until_listening(port, process)
        yield
    finally:
        process.terminate()  # so that it can end processes of its own
        with trio.move_on_after(HANGING, shield=True):
            await process.wait()
        process.kill()


async def until_listening(port: int, process: trio.Process) -> None:
    while process.poll() is None:
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:
            await trio.sleep(0.02)
        else:
            await stream.aclose()
            return
    raise AssertionError(f"it has ended with status {process.returncode}")


async def ends_by_ctrl_c(program: str) -> None:
    """Run a server that listens on port 8765, on another one, and see that Ctrl-C ends it: with 1001 for its peers, and
    without a word.
    """
    port = free_port()
    command = [sys.executable, "-c", program.replace("8765", str(port))]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        with trio.fail_after(HANGING):
            await until_listening(port, process)
            async with (
                wscore.connect(f"ws://127.0.0.1:{port}/") as idle,
                wscore.connect(f"ws://127.0.0.1:{port}/") as ws,
            ):
                await ws.send("hello")
                assert await ws.receive() == "hello"
                process.send_signal(signal.SIGINT)
                for each in (idle, ws):
                    with pytest.raises(wscore.ConnectionClosed) as closed:
                        await each.receive()
                    assert closed.value.code == 1001
            assert process.stderr is not None
            async with process.stderr:
                assert b"".join([data async for data in process.stderr]) == b""
            assert await process.wait() == 0
    finally:
        process.kill()
