"""Ctrl-C at any step of a call: it loses nothing and does nothing twice, as in Trio's own channels."""

import itertools
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import trio
from trio.lowlevel import enable_ki_protection

import wscore
from wscore.codec import SERVER

from .conftest import linked_by, on_a_stream, on_the_reactor

# Of so many steps, one is interrupted in a short run.
STRIDE = 7
HOME = str(Path(wscore.__file__).parent)
OPENED = pytest.mark.parametrize("opened", [on_a_stream, pytest.param(on_the_reactor, marks=pytest.mark.native)])


class Interruption:
    """Ctrl-C, when so many lines of wscore's Python have been run within `during`, in whichever task."""

    def __init__(self, after: int) -> None:
        self._left = after
        self.has_come = False

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(HOME):
            return None
        if event == "line":
            self._left -= 1
            if self._left == 0:
                self.has_come = True
                signal.raise_signal(signal.SIGINT)
        return self._trace

    async def during(self, call: Callable[[], Awaitable[Any]]) -> Any:
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return await call()
        finally:
            sys.settrace(before)


async def until_done(interruption: Interruption, call: Callable[[], Awaitable[Any]]) -> Any:
    """Call again if it was interrupted, by Ctrl-C or what became of it."""
    while True:
        try:
            result = await interruption.during(call)
        except KeyboardInterrupt:
            continue
        with suppress(KeyboardInterrupt):
            await trio.lowlevel.checkpoint()
        return result


@enable_ki_protection
async def say(peer: Any, *messages: str) -> None:
    """The peer is wscore as well, but is not what is interrupted."""
    await peer.send(*messages)


async def receives(ws: Any, peer: Any, interruption: Interruption) -> None:
    await peer.send("1", "2", "3")
    received = [await until_done(interruption, ws.receive) for _ in range(3)]
    await peer.send("4")
    assert [*received, await ws.receive()] == ["1", "2", "3", "4"]


async def receives_later(ws: Any, peer: Any, interruption: Interruption) -> None:
    """The message comes while it is waited for."""
    received = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(say, peer, "1", "2")
        received += [await until_done(interruption, ws.receive) for _ in range(2)]
    await peer.send("3")
    assert [*received, await ws.receive()] == ["1", "2", "3"]


async def receives_among_pings(ws: Any, peer: Any, interruption: Interruption) -> None:
    """Whose Pongs leave while a message is waited for."""
    received = []
    async with trio.open_nursery() as nursery:
        for number in b"123":
            peer.connection.ping(bytes([number]))
            nursery.start_soon(say, peer, chr(number))
            received.append(await until_done(interruption, ws.receive))
    await ws.send("end")
    assert received == ["1", "2", "3"]
    assert [await peer.next() for _ in range(4)] == [*(wscore.Pong(bytes([number])) for number in b"123"), "end"]


async def iterates(ws: Any, peer: Any, interruption: Interruption) -> None:
    await peer.send("1", "2")
    received = [await until_done(interruption, ws.__anext__) for _ in range(2)]
    await peer.send("3")
    assert [*received, await ws.receive()] == ["1", "2", "3"]


async def sends(ws: Any, peer: Any, interruption: Interruption) -> None:
    for message in ("1", "2", "3"):
        await until_done(interruption, lambda message=message: ws.send(message))
    await ws.send("end")
    assert [await peer.next() for _ in range(4)] == ["1", "2", "3", "end"]


async def sends_in_line(ws: Any, peer: Any, interruption: Interruption) -> None:
    """Each has to wait for room until the peer reads."""
    messages = [character * 3000 for character in "123"]

    @enable_ki_protection
    async def read() -> None:
        received.extend([await peer.next() for _ in range(4)])

    received: list[Any] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for message in messages:
            await until_done(interruption, lambda message=message: ws.send(message))
        await ws.send("end")
    assert received == [*messages, "end"]


@OPENED
@pytest.mark.parametrize(
    "conversation", [receives, receives_later, receives_among_pings, iterates, sends, sends_in_line]
)
@pytest.mark.parametrize("options", [{}, {"strict_checkpoints": True}], ids=["ready", "strict"])
def test_it_loses_nothing_and_does_nothing_twice(
    opened: Any, conversation: Any, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    async def main(interruption: Interruption) -> None:
        with trio.fail_after(10):
            lockstep = conversation is sends_in_line  # they wait for room until the peer reads
            async with linked_by(opened, SERVER)(lockstep=lockstep, max_send_buffer=4000, **options) as (ws, peer):
                await conversation(ws, peer, interruption)
                await peer.close()

    for after in itertools.count(1, 1 if request.config.getoption("--long") else STRIDE):
        interruption = Interruption(after)
        with suppress(KeyboardInterrupt):  # it may come so late that the run has nothing left to do
            trio.run(main, interruption)
        if not interruption.has_come:
            break
    # On the reactor, a call that need not wait has no line of Python.
    assert after > 10 or opened is on_the_reactor
