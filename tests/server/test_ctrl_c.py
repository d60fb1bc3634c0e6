"""Ctrl-C while the application's code is at work: it is interrupted there, and the server ends with that."""

import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio

import wscore
import wscore.server.serve
from wscore.transport.calling import interruptible
from wscore.transport.trio_glue import unwrapped

from ..raw import Raw, serving, url_of

TRANSPORTS = pytest.mark.parametrize("transport", ["stream", pytest.param("reactor", marks=pytest.mark.native)])


class Busy:
    """Code of the application's that is at work when Ctrl-C comes."""

    def __init__(self, result: object = None) -> None:
        self.result = result
        self.outcome = "not called"

    def work(self, *_: object) -> Any:
        self.outcome = "went on"
        try:
            signal.raise_signal(signal.SIGINT)
            for _ in range(1000):
                pass
        except KeyboardInterrupt:
            self.outcome = "interrupted"
            raise
        return self.result

    __call__ = work

    async def work_later(self, *_: object) -> Any:
        await trio.lowlevel.checkpoint()
        return self.work()


def plain(busy: Busy) -> Callable[..., Any]:
    return lambda *arguments: busy.work(*arguments)


CALLABLES = (plain, lambda busy: busy.work, lambda busy: busy, lambda busy: partial(busy.work, 1))
FORMS = pytest.mark.parametrize("form", CALLABLES, ids=["function", "method", "object", "partial"])


def interrupted(handler: Any, path: str = "/", **hooks: Any) -> bool:
    """Whether the server of a Trio run ends with `KeyboardInterrupt`."""

    async def main() -> None:
        async with serving(handler, **hooks) as server:
            try:
                async with wscore.connect(url_of(server, path), transport="stream") as ws:
                    await ws.send("x")
                    await ws.receive()
            except (wscore.ConnectionClosed, wscore.ConnectionLost, wscore.HandshakeError, OSError):
                pass
            await trio.sleep(1)  # whoever is interrupted does not get as far

    try:
        trio.run(main)
    except BaseException as error:
        return isinstance(unwrapped(error), KeyboardInterrupt)
    return False


@TRANSPORTS
@FORMS
@pytest.mark.parametrize("which", ["authorize", "on_request"])
def test_it_interrupts_hooks(transport: str, form: Callable[[Busy], Any], which: str) -> None:
    busy = Busy(wscore.Accept())
    assert interrupted(wscore.WebSocket.wait_closed, transport=transport, **{which: form(busy)})
    assert busy.outcome == "interrupted"


@TRANSPORTS
@pytest.mark.parametrize("which", ["authorize", "on_request"])
def test_it_interrupts_hooks_that_are_awaited(transport: str, which: str) -> None:
    busy = Busy(wscore.Accept())
    assert interrupted(wscore.WebSocket.wait_closed, transport=transport, **{which: busy.work_later})
    assert busy.outcome == "interrupted"


@TRANSPORTS
@FORMS
def test_it_interrupts_on_message(transport: str, form: Callable[[Busy], Any]) -> None:
    busy = Busy()
    assert interrupted(None, on_message=form(busy), transport=transport)
    assert busy.outcome == "interrupted"


@TRANSPORTS
@FORMS
@pytest.mark.parametrize("has_handler", [True, False])
def test_it_interrupts_on_error(transport: str, form: Callable[[Busy], Any], has_handler: bool) -> None:
    def fail(*_: object) -> None:
        raise KeyError

    async def handler(ws: wscore.WebSocket) -> None:
        fail()

    busy = Busy()
    doing: dict[str, Any] = {"handler": handler} if has_handler else {"handler": None, "on_message": fail}
    assert interrupted(on_error=form(busy), transport=transport, **doing)
    assert busy.outcome == "interrupted"


@TRANSPORTS
def test_it_interrupts_handlers(transport: str) -> None:
    busy = Busy()
    assert interrupted(busy.work_later, transport=transport)
    assert busy.outcome == "interrupted"


@TRANSPORTS
@FORMS
def test_it_interrupts_pages(transport: str, form: Callable[[Busy], Any]) -> None:
    busy = Busy()
    hooks: dict[str, Any] = {"pages": {"/page": form(busy)}, "on_request": lambda request: wscore.Page()}
    assert interrupted(wscore.WebSocket.wait_closed, "/page", transport=transport, **hooks)
    assert busy.outcome == "interrupted"


def test_what_is_interruptible_is_called_as_before() -> None:
    def hook(one: int, two: int = 2, *rest: int, three: int = 3) -> tuple[object, ...]:
        return one, two, rest, three, hook

    assert interruptible(hook)(1) == hook(1)
    assert interruptible(hook)(1, 5, 6) == hook(1, 5, 6)
    assert interruptible(len)("abc") == 3


@TRANSPORTS
@pytest.mark.parametrize("where", ["in_a_handler", "between", "in_a_log"])
def test_the_others_are_closed_with_1001_and_have_time_for_it(
    transport: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that has something to say yet says it. Logs may be written by a task of the server's own."""
    codes = []
    due = []

    def tell(now: float) -> None:
        if due:
            Busy().work()

    monkeypatch.setattr(wscore.server.serve, "tell_repeats", tell)
    monkeypatch.setattr(wscore.server.serve, "_MINUTE", 0.01)

    async def handler(ws: wscore.WebSocket) -> None:
        try:
            if await ws.receive() == "press" and where == "in_a_handler":
                Busy().work()
        except wscore.ConnectionClosed as closed:
            codes.append(closed.code)
            await trio.sleep(0.05)
            codes.append(-closed.code)

    async def client(server: wscore.Server) -> None:
        async with wscore.connect(url_of(server), transport="stream") as ws:
            opened.release()
            with pytest.raises(wscore.ConnectionClosed) as closed:
                await ws.receive()
            codes.append(closed.value.code)

    async def press(server: wscore.Server) -> None:
        for _ in range(2):
            await opened.acquire()
        if where == "between":
            signal.raise_signal(signal.SIGINT)
        elif where == "in_a_log":
            due.append(True)
        else:
            with suppress(wscore.ConnectionLost, wscore.ConnectionClosed):
                async with wscore.connect(url_of(server), transport="stream") as ws:
                    await ws.send("press")
                    await ws.receive()

    opened = trio.Semaphore(0)
    with pytest.raises(KeyboardInterrupt):
        trio.run(beside, partial(wscore.serve, handler, "127.0.0.1", 0, transport=transport), client, client, press)
    assert sorted(codes) == [-1001] * 2 + [1001] * 4


@TRANSPORTS
def test_who_does_not_end_in_time_is_cut_off(transport: str) -> None:
    ended = []

    async def handler(ws: wscore.WebSocket) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    async def press(server: wscore.Server) -> None:
        async with await trio.open_tcp_stream(*server.addresses[0][:2]) as stream:  # type: ignore[index]
            await Raw(stream).upgrade()
            ended.append(trio.current_time())
            signal.raise_signal(signal.SIGINT)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(beside, partial(wscore.serve, handler, "127.0.0.1", 0, transport=transport), press)
    assert ended[1] - ended[0] >= 1.9


async def beside(serve: Callable[..., Any], *others: Callable[[wscore.Server], Any]) -> None:
    """Serve in the main task, which is the one that Ctrl-C comes to, and run others beside it, as long."""

    class Status:
        def started(self, server: wscore.Server) -> None:
            for other in others:
                trio.lowlevel.spawn_system_task(quiet, other, server)

    async def quiet(other: Callable[[wscore.Server], Any], server: wscore.Server) -> None:
        with suppress(trio.Cancelled):
            await other(server)

    await serve(task_status=Status())
