"""`wscore serve --app`: what a user names is served, and what cannot be is said in a sentence."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wscore
from wscore.cli.app import loaded
from wscore.cli.values import Reference

from .operating import ROOT, operated

MODULE = """
import functools
import wscore

async def handler(ws):
    async for message in ws:
        await ws.send(f"{ws.request.path} {message}")

class Rooms:
    async def lobby(self, ws):
        await ws.send("welcome")

    async def __call__(self, ws):
        await ws.send("come in")

rooms = Rooms()
part = functools.partial(handler)

@functools.wraps(handler)
def wrapped(ws):
    return handler(ws)

def reply(ws, message):
    ws.send_nowait(message[::-1])

def decide(request):
    return wscore.Refuse(403, "no") if request.path == "/no" else wscore.Accept()

def report(ws, error):
    print("reported", type(error).__name__, flush=True)

def fail(ws, message):
    raise LookupError(message)

def plain(ws): ...
async def generator(ws):
    yield
text = "no function"
"""


async def answer_of(running: Callable[..., Any], folder: Path, *arguments: str, path: str = "/chat") -> str | bytes:
    (folder / "chat.py").write_text(MODULE)
    env = {"PYTHONPATH": str(ROOT)}
    async with running("serve", "--port", 0, *arguments, cwd=folder, env=env) as program:
        found = re.search(r"http://127\.0\.0\.1:(\d+)$", await program.read_line())
        assert found
        async with wscore.connect(f"ws://127.0.0.1:{found[1]}{path}") as ws:
            await ws.send("abc")
            return await ws.receive()


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--app", "chat:handler"], "/chat abc"),
        (["--app", "chat:rooms.lobby"], "welcome"),
        (["--app", "chat:rooms"], "come in"),
        (["--app", "chat:part"], "/chat abc"),
        (["--app", "chat:wrapped"], "/chat abc"),
        (["--on-message", "chat:reply"], "cba"),
        (["--app", "chat:handler", "--on-request", "chat:decide"], "/chat abc"),
    ],
)
async def test_what_is_named_is_served(
    running: Callable[..., Any], tmp_path: Path, arguments: list[str], answer: str
) -> None:
    assert await answer_of(running, tmp_path, *arguments) == answer


async def test_a_function_decides_about_requests(running: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(wscore.HandshakeError):
        await answer_of(running, tmp_path, "--app", "chat:handler", "--on-request", "chat:decide", path="/no")


async def test_a_function_hears_of_errors(running: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "chat.py").write_text(MODULE)
    env = {"PYTHONPATH": str(ROOT)}
    arguments = ("--port", 0, "--on-message", "chat:fail", "--on-error", "chat:report")
    async with running("serve", *arguments, cwd=tmp_path, env=env) as program:
        url = (await program.read_line()).rpartition("http")[2]
        async with wscore.connect(f"ws{url}") as ws:
            await ws.send("abc")
            assert await program.read_line() == "reported LookupError"
            with pytest.raises(wscore.ConnectionClosed) as caught:
                await ws.receive()
            assert caught.value.code == 1011


async def test_an_app_has_its_health_check_and_no_page_of_ours(running: Callable[..., Any], tmp_path: Path) -> None:
    async with operated(running, tmp_path) as server:
        server.metrics = server.url.replace("ws", "http", 1)  # the server's own address
        assert await server.page("/healthz") == (200, "ok\n")
        assert (await server.page("/"))[0] == 404


@pytest.mark.parametrize(
    ("files", "arguments", "complaint"),
    [
        ({}, ["--app", "nowhere:handler"], "cannot import nowhere: ModuleNotFoundError: No module named 'nowhere'"),
        (
            {"bad.py": "\n\n1 / 0"},
            ["--app", "bad:handler"],
            "cannot import bad: ZeroDivisionError: division by zero (.*/bad.py, line 3)",
        ),
        ({"bad.py": "def x(:"}, ["--app", "bad:x"], "cannot import bad: .* (.*/bad.py, line 1)"),
        ({"bad.py": "raise SystemExit(3)"}, ["--app", "bad:x"], "cannot import bad: SystemExit: 3 (.*/bad.py, line 1)"),
        (
            {"bad.py": "import worse", "worse.py": "import nowhere"},
            ["--app", "bad:x"],
            "cannot import bad: ModuleNotFoundError: No module named 'nowhere' (.*/worse.py, line 1)",
        ),
        ({}, ["--app", "chat:nothing"], "cannot use chat:nothing: there is no 'nothing' in chat"),
        ({}, ["--app", "chat:rooms.attic"], "cannot use chat:rooms.attic: there is no 'attic' in chat"),
        ({}, ["--app", "chat:text"], "cannot use chat:text: it cannot be called"),
        ({}, ["--app", "chat:plain"], "cannot use chat:plain: it is no async function; --on-message is for .*"),
        ({}, ["--app", "chat:generator"], "cannot use chat:generator: it is an async generator: leave yield out"),
        ({}, ["--on-message", "chat:handler"], "cannot use chat:handler: it is an async function, and nobody .*"),
        (
            {},
            ["--app", "chat:handler", "--on-error", "chat:handler"],
            "cannot use chat:handler: it is an async function, and nobody .*",
        ),
    ],
)
async def test_what_cannot_be_served_is_one_sentence_and_status_2(
    running: Callable[..., Any], tmp_path: Path, files: dict[str, str], arguments: list[str], complaint: str
) -> None:
    for name, text in {"chat.py": MODULE, **files}.items():
        (tmp_path / name).write_text(text)
    env = {"PYTHONPATH": str(ROOT)}
    async with running("serve", "--port", 0, *arguments, cwd=tmp_path, env=env) as program:
        status, output, errors = await program.finish()
    assert (status, output) == (2, "")
    pattern = complaint.replace("(", r"\(").replace(")", r"\)")
    assert re.fullmatch(f"wscore: {pattern}\n", errors), errors


SIGNATURES = [
    (["--app"], "async def", "()", "a WebSocket"),
    (["--app"], "async def", "(ws, message)", "a WebSocket"),
    (["--app"], "async def", "(*, ws)", "a WebSocket"),
    (["--on-message"], "def", "(ws)", "a WebSocket and a message"),
    (["--app", "chat:handler", "--on-error"], "def", "(ws)", "a WebSocket and an exception"),
    (["--app", "chat:handler", "--authorize"], "def", "()", "a request"),
    (["--app", "chat:handler", "--on-request"], "async def", "(request, user)", "a request"),
]


@pytest.mark.parametrize(("options", "kind", "parameters", "what"), SIGNATURES)
async def test_a_function_that_takes_other_arguments_is_not_served(
    running: Callable[..., Any], tmp_path: Path, options: list[str], kind: str, parameters: str, what: str
) -> None:
    (tmp_path / "chat.py").write_text(MODULE)
    (tmp_path / "odd.py").write_text(f"{kind} function{parameters}:\n    pass\n")
    env = {"PYTHONPATH": str(ROOT)}
    async with running("serve", "--port", 0, *options, "odd:function", cwd=tmp_path, env=env) as program:
        status, output, errors = await program.finish()
    assert (status, output) == (2, "")
    assert errors == f"wscore: cannot use odd:function: it cannot be called with {what}\n"


@pytest.mark.parametrize(
    "handler",
    [
        "async def handler(*arguments): ...",
        "async def handler(ws, room='lobby'): ...",
        "async def talk(room, ws): ...\nfrom functools import partial\nhandler = partial(talk, 'lobby')",
        "class Room:\n    async def talk(self, ws): ...\nhandler = Room().talk",
        "class Room:\n    async def __call__(self, ws): ...\nhandler = Room()",
        "handler = print",
    ],
)
def test_whatever_may_be_called_with_a_websocket_is_a_handler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, handler: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "handlers", raising=False)
    (tmp_path / "handlers.py").write_text(handler)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert callable(loaded({"handler": Reference("handlers", "handler")})["handler"])


async def test_a_handler_and_a_function_for_messages_are_one_too_many(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "chat.py").write_text(MODULE)
    arguments = ("--port", 0, "--app", "chat:handler", "--on-message", "chat:reply")
    async with running("serve", *arguments, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}) as program:
        status, _, errors = await program.finish()
    assert status == 2
    assert errors.startswith("wscore: an option makes no sense: give either a handler or on_message")


async def test_an_app_that_ends_the_server_is_logged_and_status_1(running: Callable[..., Any], tmp_path: Path) -> None:
    app = "async def handler(ws):\n    raise SystemExit('out of order')\n"
    async with operated(running, tmp_path, app=app) as server:
        async with wscore.connect(server.url) as ws:
            with pytest.raises(wscore.ConnectionLost):
                await ws.receive()
        failed = await server.event("failed")
        assert (failed["level"], failed["message"]) == ("critical", "the server has failed")
        assert "SystemExit: out of order" in failed["traceback"]
        assert await server.program.process.wait() == 1
