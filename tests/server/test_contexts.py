"""In which context the application's code runs: a copy of that of whoever called `serve`, one for each connection."""

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

import pytest
import trio

import wscore
from wscore.server.pages import Document

from ..raw import Raw, dial, serving, url_of
from ..wire import TEXT, from_client

TRANSPORTS = ("stream", pytest.param("reactor", marks=pytest.mark.native))
pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)

user: ContextVar[str] = ContextVar("user", default="anonymous")


def name(request: wscore.Request) -> None:
    """As web frameworks teach it; an anonymous visitor leaves the variable as it is."""
    if request.path != "/":
        user.set(request.path.strip("/"))


def at_once(request: wscore.Request) -> wscore.Accept:
    name(request)
    return wscore.Accept()


async def later(request: wscore.Request) -> wscore.Accept:
    await trio.lowlevel.checkpoint()
    name(request)
    await trio.lowlevel.checkpoint()
    return wscore.Accept()


HOOKS = pytest.mark.parametrize("hook", [at_once, later])
NAMES = pytest.mark.parametrize("which", ["authorize", "on_request"])


async def tell(ws: wscore.WebSocket) -> None:
    await ws.send(user.get())


def answer(ws: wscore.WebSocket, message: str | bytes) -> None:
    ws.send_nowait(user.get())


async def asked(server: wscore.Server, path: str, *messages: str) -> list[str | bytes]:
    """What comes back, in answer to each message, or at once to none."""
    async with wscore.connect(url_of(server, path)) as ws:
        answers = []
        for message in messages:
            await ws.send(message)
            answers.append(await ws.receive())
        return answers or [await ws.receive()]


@HOOKS
@NAMES
async def test_what_a_hook_sets_is_for_the_handler_of_its_connection_alone(transport, which, hook) -> None:
    async with serving(tell, transport=transport, **{which: hook}) as server:
        seen = [await asked(server, path) for path in ("/alice", "/", "/bob", "/")]
    assert seen == [["alice"], ["anonymous"], ["bob"], ["anonymous"]]
    assert user.get() == "anonymous"


@HOOKS
@NAMES
async def test_what_a_hook_sets_is_for_on_message_of_its_connection_alone(transport, which, hook) -> None:
    async with serving(None, on_message=answer, transport=transport, **{which: hook}) as server:
        seen = [await asked(server, path, "one", "two") for path in ("/alice", "/", "/bob", "/")]
    assert seen == [["alice"] * 2, ["anonymous"] * 2, ["bob"] * 2, ["anonymous"] * 2]


async def test_what_on_message_sets_is_for_the_messages_of_its_connection_alone(transport) -> None:
    def remember(ws: wscore.WebSocket, message: str | bytes) -> None:
        ws.send_nowait(user.get())
        user.set(str(message))

    async with (
        serving(None, on_message=remember, transport=transport) as server,
        wscore.connect(url_of(server)) as one,
        wscore.connect(url_of(server)) as other,
    ):
        turns = ((one, "a", "anonymous"), (other, "b", "anonymous"), (one, "", "a"), (other, "", "b"))
        for ws, message, before in turns:
            await ws.send(message)
            assert await ws.receive() == before


async def test_what_a_handler_sets_is_for_itself_alone(transport) -> None:
    async def remember(ws: wscore.WebSocket) -> None:
        await ws.send(user.get())
        user.set("somebody")

    async with serving(remember, transport=transport) as server:
        assert [await asked(server, "/") for _ in range(2)] == [["anonymous"], ["anonymous"]]


@HOOKS
@NAMES
async def test_all_code_of_one_connection_runs_in_one_and_the_same_context(transport, which, hook) -> None:
    """A token can be used only in the context in which it was made."""
    tokens: list[Token[str]] = []
    seen: list[str] = []

    async def set_later(request: wscore.Request) -> wscore.Accept:
        await trio.lowlevel.checkpoint()
        return set_at_once(request)

    def set_at_once(request: wscore.Request) -> wscore.Accept:
        tokens.append(user.set("for a while"))
        return wscore.Accept()

    def reset() -> None:
        seen.append(user.get())
        user.reset(tokens.pop())
        seen.append(user.get())

    async def handler(ws: wscore.WebSocket) -> None:
        reset()
        await trio.lowlevel.checkpoint()
        seen.append(user.get())

    hooks: dict[str, Any] = {which: set_later if hook is later else set_at_once, "transport": transport}
    async with serving(handler, **hooks) as server, wscore.connect(url_of(server)) as ws:
        with pytest.raises(wscore.ConnectionClosed):
            await ws.receive()
    async with serving(None, on_message=lambda ws, _: [reset(), ws.close_nowait()], **hooks) as server:
        with pytest.raises(wscore.ConnectionClosed):
            await asked(server, "/", "now")
    assert seen == ["for a while", "anonymous", "anonymous", "for a while", "anonymous"]


@HOOKS
@pytest.mark.parametrize("has_handler", [True, False])
async def test_on_error_is_called_in_the_context_of_its_connection(transport, has_handler, hook) -> None:
    seen = []

    def fail(*_: object) -> None:
        raise KeyError

    async def handler(ws: wscore.WebSocket) -> None:
        await ws.receive()
        fail()

    doing: dict[str, Any] = {"handler": handler} if has_handler else {"handler": None, "on_message": fail}
    doing |= {"authorize": hook, "on_error": lambda ws, error: seen.append(user.get())}
    async with serving(transport=transport, **doing) as server:
        for path in ("/alice", "/", "/bob", "/"):
            with pytest.raises(wscore.ConnectionClosed):
                await asked(server, path, "fail")
    assert seen == ["alice", "anonymous", "bob", "anonymous"]


async def test_pages_are_made_in_the_context_of_their_connection(transport) -> None:
    def page() -> Document:
        seen.append(user.get())
        return Document("text/plain", b"a page")

    def on_request(request: wscore.Request) -> wscore.Page:
        name(request)
        return wscore.Page()

    seen: list[str] = []
    pages: dict[str, Callable[[], Document]] = {"/alice": page, "/": page}
    async with serving(transport=transport, on_request=on_request, pages=pages) as server:
        for path in ("/alice", "/"):
            async with dial(server) as raw:
                await raw.ask(f"GET {path} HTTP/1.1", Connection="close", Upgrade=None)
                assert (await raw.head()).startswith(b"HTTP/1.1 200 ")
    assert seen == ["alice", "anonymous"]


async def test_what_one_server_sets_is_not_for_the_other(transport) -> None:
    async with (
        serving(tell, transport=transport, authorize=at_once) as one,
        serving(tell, transport=transport) as other,
    ):
        assert await asked(one, "/alice") == ["alice"]
        assert await asked(other, "/alice") == ["anonymous"]


@HOOKS
async def test_all_see_what_the_caller_of_serve_has_set(transport, hook) -> None:
    user.set("the caller")
    seen = []

    def look(ws: wscore.WebSocket, message: str | bytes) -> None:
        seen.append(user.get())
        raise KeyError

    def on_error(ws: wscore.WebSocket, error: Exception) -> None:
        seen.append(user.get())

    def look_first(request: wscore.Request) -> Any:
        seen.append(user.get())
        return hook(request)

    async with serving(tell, transport=transport, authorize=look_first) as server:
        assert await asked(server, "/") == ["the caller"]
    async with serving(tell, transport=transport) as server:
        assert await asked(server, "/") == ["the caller"]
    async with serving(None, on_message=look, on_error=on_error, on_request=look_first, transport=transport) as server:
        with pytest.raises(wscore.ConnectionClosed):
            await asked(server, "/", "look")
    assert seen == ["the caller"] * 4


@HOOKS
async def test_messages_that_come_with_the_request_are_no_exception(transport, hook) -> None:
    async with serving(None, on_message=answer, transport=transport, authorize=hook) as server:
        for path, expected in (("/alice", b"alice"), ("/", b"anonymous")):
            async with dial(server) as raw:
                await raw.ask(f"GET {path} HTTP/1.1", from_client(TEXT, b"x") * 2)
                assert [frame.payload for frame in await answers(raw)] == [expected] * 2


async def answers(raw: Raw) -> list[Any]:
    await raw.head()
    return await raw.frames(2)
