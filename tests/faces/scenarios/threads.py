"""Threads, and Trio as a guest: who may call from where, and when what was sent leaves."""

import asyncio
import threading
from contextlib import closing
from functools import partial
from typing import Any

from ...raw import UPGRADE
from ...wire import TEXT
from ..face import Face
from ..scenario import AIO, scenario
from .messages import echo

NO_GUEST = "Trio alone can be the guest of another loop"
NOT_CHECKED = "asyncio looks at the calling thread in its debug mode alone, and so does the adapter"


UNTOUCHED = ["RuntimeError", "text 'after'"]


@scenario(
    {"send_nowait": UNTOUCHED, "close_nowait": UNTOUCHED, "abort": UNTOUCHED},
    lacks={AIO: NOT_CHECKED},
)
async def threads_foreign(face: Face) -> Any:
    """A call from another thread raises, and nothing is sent or closed"""
    outcome = {}
    for name, arguments in (("send_nowait", ("foreign",)), ("close_nowait", (4000,)), ("abort", ())):
        async with face.opened() as (ws, peer):
            call = partial(face.said_at_once, getattr(ws, name), *arguments)
            outcome[name] = [await face.in_thread(call), await then(face, ws, peer)]
    return outcome


async def then(face: Face, ws: Any, peer: Any) -> Any:
    """What the peer sees when the connection is used as it should be."""
    try:
        await ws.send("after")
    except Exception as error:
        return face.told(error)
    return "nothing" if await peer.sees_nothing(1) else await peer.sees()


@scenario(
    {"send": "RuntimeError", "peer": "text 'after'"},
    lacks={AIO: NOT_CHECKED},
)
async def threads_foreign_send(face: Face) -> Any:
    """A send that another thread steps raises, and nothing is sent"""

    async with face.opened() as (ws, peer):

        def step() -> Any:
            try:
                with closing(ws.send("foreign")) as call:
                    call.send(None)
            except StopIteration:
                return "sent"
            except Exception as error:
                return face.told(error)
            return "waits"

        outcome = {"send": await face.in_thread(step)}
        return outcome | {"peer": await then(face, ws, peer)}


@scenario({"sent": "text 'from a thread'", "received": "to a thread"})
async def threads_by_the_loop(face: Face) -> Any:
    """A thread may send and receive by the means of the loop"""
    async with face.opened() as (ws, peer):

        def work() -> Any:
            face.from_thread(lambda: ws.send("from a thread"))
            return face.from_thread(ws.receive)

        await peer.say(TEXT, b"to a thread")
        received = await face.in_thread(work)
        return {"sent": await peer.sees(), "received": received}


@scenario(["text 'hello'", "text 'hello'"])
async def threads_of_two_loops(face: Face) -> Any:
    """Loops in two threads, each with a server and a peer"""

    async def one(inner: Face) -> str:
        async with inner.serving(echo) as server:
            peer = await inner.open(server)
            for _ in range(50):
                await peer.say(TEXT, b"hello")
                seen = await peer.sees()
            return seen

    outcomes: list[Any] = []

    def run() -> None:
        from ..scenario import Scenario

        inner = type(face)(face.column)
        outcomes.append(inner.outcome(Scenario("inner", "", "", one, None)))
        inner.close_peers()

    def run_all() -> None:
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    await face.in_thread(run_all)
    return outcomes


@scenario({"send_nowait": True, "peer": "from the host"}, lacks={AIO: NO_GUEST})
async def threads_guest(face: Face) -> Any:
    """Trio as a guest of asyncio: what a callback of the host sends leaves at once"""
    return await face.in_thread(lambda: asyncio.run(host(face)))


async def host(face: Face) -> Any:
    import trio

    inner = type(face)(face.column)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    served: asyncio.Future[Any] = loop.create_future()
    opened: asyncio.Future[Any] = loop.create_future()
    over = trio.Event()

    async def handler(ws: Any) -> None:
        opened.set_result(ws)
        await over.wait()

    async def guest() -> None:
        async with inner.serving(handler) as server:
            served.set_result(server.addresses[0][1])
            await over.wait()

    trio.lowlevel.start_guest_run(
        guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done.set_result
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", await served)
    writer.write("\r\n".join(["GET / HTTP/1.1", *map(": ".join, UPGRADE.items()), "", ""]).encode())
    await reader.readuntil(b"\r\n\r\n")
    ws = await opened
    await asyncio.sleep(0.1)
    sent = ws.send_nowait("from the host")
    try:
        async with asyncio.timeout(1):
            seen = (await reader.readexactly(15))[2:].decode()
    except TimeoutError:
        seen = "nothing for a second"
    writer.close()
    over.set()
    (await done).unwrap()
    return {"send_nowait": sent, "peer": seen}
