"""A Trio run in each of several threads, each with a server and clients: they share code, and nothing else."""

import sys
import sysconfig
import threading
from functools import partial

import pytest
import trio

import wscore

from ..threads import at_once

TRANSPORTS = pytest.mark.parametrize("transport", ["stream", pytest.param("auto", marks=pytest.mark.native)])
THREADS = 3
TEXT = "żółw " * 100


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def talk(port, transport, rounds):
    url = f"ws://127.0.0.1:{port}/"
    async with wscore.connect(url, transport=transport, compression="takeover") as ws:
        for number in range(rounds):
            await ws.send(f"{number}: {TEXT}")
            await ws.send(bytes(number))
            assert await ws.receive() == f"{number}: {TEXT}"
            assert await ws.receive() == bytes(number)


async def serve_and_talk(transport, rounds):
    async with trio.open_nursery() as nursery:
        serve = partial(wscore.serve, transport=transport, compression="takeover")
        server = await nursery.start(serve, echo, "127.0.0.1", 0)
        port = server.addresses[0][1]
        async with trio.open_nursery() as clients:
            for _ in range(4):
                clients.start_soon(talk, port, transport, rounds)
        nursery.cancel_scope.cancel()


@TRANSPORTS
def test_trio_runs_in_several_threads_do_not_meet(transport, request):
    rounds = 2000 if request.config.getoption("--long") else 50
    at_once(*[partial(trio.run, serve_and_talk, transport, rounds)] * THREADS)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not sys._is_gil_enabled()


@pytest.mark.parametrize("transport", ["stream", pytest.param("reactor", marks=pytest.mark.native)])
async def test_a_websocket_says_so_if_another_thread_uses_it_and_does_nothing(transport):
    errors = []

    def misuse(ws, server):
        message = wscore.prepare("x")
        calls = [partial(ws.send_nowait, "x"), partial(ws.send_nowait, message), ws.close_nowait, ws.abort]
        calls += [partial(server.broadcast, "x"), partial(server.broadcast, message)]
        coroutines = [ws.receive, ws.__anext__, partial(ws.send, "x"), ws.ping, ws.aclose]
        for call in [*calls, *(partial(first_step, each) for each in coroutines)]:
            with pytest.raises(RuntimeError) as caught:
                call()
            errors.append(str(caught.value))

    async def handler(ws):
        thread = threading.Thread(target=misuse, args=(ws, server))
        thread.start()
        await trio.to_thread.run_sync(thread.join)
        await ws.send("the first that is sent")

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(wscore.serve, transport=transport), handler, "127.0.0.1", 0)
        async with wscore.connect(f"ws://127.0.0.1:{server.addresses[0][1]}/") as ws:
            assert await ws.receive() == "the first that is sent"
            with pytest.raises(wscore.ConnectionClosed) as closed:
                await ws.receive()
        nursery.cancel_scope.cancel()
    assert closed.value.code == 1000
    assert len(errors) == 11
    assert all("thread" in error for error in errors[:6])


def first_step(call):
    """Await it, as another thread's loop would."""
    coroutine = call()
    try:
        coroutine.send(None)
    finally:
        coroutine.close()
