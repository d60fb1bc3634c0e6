"""What `receive` and `send` return is what coroutines are, whichever transport made it; but for what is said here."""

import gc
import inspect
import types
import warnings
from collections.abc import Coroutine
from functools import partial

import pytest
import trio
import trio.testing

NAMES = pytest.mark.parametrize("name", ["receive", "send"])


def call(ws, name: str):
    return ws.receive() if name == "receive" else ws.send("x")


@pytest.fixture(params=[pytest.param(False, id="whole"), pytest.param(True, id="pieces")])
def pieces(request) -> bool:
    """Where pieces may come, the reactor leaves receiving to what streams do."""
    return request.param


@NAMES
async def test_what_is_never_awaited_is_warned_of(link, name: str, pieces: bool) -> None:
    async with link(pieces=pieces) as (ws, peer):
        with pytest.warns(RuntimeWarning, match=rf"coroutine '.*\.{name}' was never awaited"):
            call(ws, name)
        await ws.send("next")
        assert await peer.next() == "next"


@NAMES
async def test_a_warning_that_is_an_error_is_no_error_of_the_call(link, name: str, monkeypatch) -> None:
    told = []
    monkeypatch.setattr("sys.unraisablehook", told.append)
    async with link() as (ws, peer):
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            call(ws, name)
        await ws.send("next")
        assert await peer.next() == "next"
    assert [each.exc_type for each in told] == [RuntimeWarning]


@NAMES
async def test_what_is_closed_or_awaited_is_not_warned_of(link, name: str) -> None:
    async with link() as (ws, peer):
        await peer.send("x")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call(ws, name).close()
            await call(ws, name)
            gc.collect()
        assert [str(each.message) for each in caught if "awaited" in str(each.message)] == []


@NAMES
async def test_it_is_a_coroutine_to_abstract_classes_and_to_inspect(link, transport: str, name: str) -> None:
    async with link() as (ws, _):
        awaitable = call(ws, name)
        assert isinstance(awaitable, Coroutine)
        assert inspect.isawaitable(awaitable)
        # Python knows its own coroutines by their type, of which nobody else can make any.
        assert inspect.iscoroutine(awaitable) == (transport == "stream")
        assert inspect.iscoroutinefunction(getattr(ws, name)) == (transport == "stream")
        awaitable.close()


@NAMES
async def test_awaiting_twice_is_an_error(link, name: str) -> None:
    async with link() as (ws, peer):
        await peer.send("x")
        awaitable = call(ws, name)
        await awaitable
        with pytest.raises(RuntimeError, match="awaited"):
            await awaitable


async def test_everything_that_awaits_can_await_it(link) -> None:
    @types.coroutine
    def generator():
        return (yield from ws.receive().__await__())

    def in_a_thread() -> object:
        trio.from_thread.run(ws.send, "from a thread")
        return trio.from_thread.run(ws.receive)

    async with link() as (ws, peer):
        await peer.send("1", "2", "3", "4")
        assert await anext(ws) == "1"
        assert await anext(ws, "default") == "2"
        assert await generator() == "3"
        assert await trio.to_thread.run_sync(in_a_thread) == "4"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.send, "started")
            nursery.start_soon(partial(ws.send, "partial"))
        assert await peer.next() == "from a thread"
        assert {await peer.next(), await peer.next()} == {"started", "partial"}
        await peer.close()
        assert await anext(ws, "default") == "default"


async def test_a_receive_that_is_shielded_before_it_is_cancelled_goes_on(link) -> None:
    """Cancelled when it is called, and shielded by another task before Trio delivers that."""

    async def protect(scope: trio.CancelScope) -> None:
        scope.shield = True

    async with link() as (ws, peer):
        await peer.send("hello")
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as outer, trio.CancelScope() as inner:
                nursery.start_soon(protect, inner)
                outer.cancel()
                assert await ws.receive() == "hello"
                nursery.start_soon(peer.send, "later")
                assert await ws.receive() == "later"


async def test_a_websocket_can_be_referred_to_weakly(link) -> None:
    import weakref

    async with link() as (ws, _):
        assert weakref.ref(ws)() is ws
        assert ws in weakref.WeakSet([ws])


@pytest.mark.native
def test_what_awaits_for_the_reactor_can_only_be_made_by_its_websockets() -> None:
    from wscore.transport.reactor import link as module

    kinds = [kind for name, kind in vars(module).items() if name in ("Awaited", "Receive", "Send")]
    assert kinds
    for kind in kinds:
        for made in (kind(), kind.__new__(kind)):
            with pytest.raises(TypeError, match="WebSocket"):
                made.send(None)
            with pytest.raises(TypeError, match="WebSocket"):
                next(made)
            made.close()
