"""A program that listens, in a process of its own: on which port, from when, and that nothing of it stays behind."""

import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

HANGING = 60


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
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
