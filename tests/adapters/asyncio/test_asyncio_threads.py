"""An event loop in each of several threads, each with a server and clients: they share code, and nothing else."""

import asyncio
import sys
import sysconfig

from ...threads import at_once
from .peers import echo_at_once

THREADS = 3
TEXT = "żółw " * 100


def test_loops_in_several_threads_do_not_meet(names, request):
    rounds = 2000 if request.config.getoption("--long") else 50

    async def talk(port: int) -> None:
        async with names.connect(f"ws://127.0.0.1:{port}/", compression="takeover") as ws:
            for number in range(rounds):
                await ws.send(f"{number}: {TEXT}")
                await ws.send(bytes(number))
                assert await ws.receive() == f"{number}: {TEXT}"
                assert await ws.receive() == bytes(number)

    async def serve_and_talk() -> None:
        server = await names.serve(on_message=echo_at_once, host="127.0.0.1", port=0, compression="takeover")
        async with server:
            port = server.addresses[0][1]
            await asyncio.gather(*(talk(port) for _ in range(4)))

    at_once(*[lambda: asyncio.run(serve_and_talk())] * THREADS)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not sys._is_gil_enabled()
