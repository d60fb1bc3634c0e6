"""A pseudo-terminal with a `wscore` in it."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.lowlevel

LOGIN = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"


class Terminal:
    """The far end of a pseudo-terminal, in which `wscore` runs."""

    def __init__(self, master: int, process: trio.Process) -> None:
        self._master = master
        self._process = process
        self._seen = ""

    async def type(self, keys: str) -> None:
        await trio.to_thread.run_sync(os.write, self._master, keys.encode())

    async def wait_for(self, text: str) -> None:
        while text not in self._seen:
            assert await self._read(), f"{text!r} did not come: {self._seen!r}"

    async def finish(self) -> tuple[int, str]:
        while await self._read():
            pass
        return await self._process.wait(), self._seen

    async def _read(self) -> bool:
        try:
            data = await trio.to_thread.run_sync(os.read, self._master, 4096)
        except OSError:  # Linux says so when the other end is closed
            return False
        self._seen += data.decode()
        return bool(data)


@asynccontextmanager
async def terminal(*arguments: object) -> AsyncIterator[Terminal]:
    master, slave = os.openpty()
    command = [sys.executable, "-c", LOGIN, str(slave), "-m", "wscore", *map(str, arguments)]
    process = await trio.lowlevel.open_process(command, pass_fds=[slave])
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        os.close(master)
