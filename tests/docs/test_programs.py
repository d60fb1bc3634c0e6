"""Programs in the documentation do what the pages say, and are well typed."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import wscore

from ..cli.conftest import running
from ..listening import HANGING, free_port, listening
from .pages import ROOT, Block, all_blocks, blocks_of, marked

PYTHON = all_blocks("python")


def after(block: Block) -> str:
    """What stands in the next block of the page: what this one prints."""
    blocks = blocks_of(ROOT / "docs" / block.page)
    following = blocks[blocks.index(block) + 1]
    assert following.language == "text"
    return following.code


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANGING).stdout


@pytest.mark.parametrize("block", [block for block in PYTHON if block.mark == "prints"], ids=lambda block: block.name)
def test_a_program_prints_what_the_page_says(block: Block) -> None:
    assert run(block.code) == after(block)


def test_every_program_is_well_typed(tmp_path: Path) -> None:
    """Each by itself, under the name of its place; libraries that are not installed count as untyped."""
    assert len(PYTHON) > 10
    for number, block in enumerate(PYTHON):
        (tmp_path / f"block_{number}.py").write_text(f"# {block.name}\n{block.code}", encoding="utf-8")
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\ncheck_untyped_defs = true\nignore_missing_imports = true\n", encoding="utf-8")
    home = Path(wscore.__file__).parent.parent
    path = {} if home.name == "site-packages" else {"MYPYPATH": str(home)}
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--cache-dir", str(tmp_path / "cache")]
    command += [str(file) for file in sorted(tmp_path.glob("block_*.py"))]
    checked = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **path}, capture_output=True, text=True, timeout=300, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


# Servers


@asynccontextmanager
async def started(code: str) -> AsyncIterator[str]:
    """Run a program that serves on port 8765, on another one; its address, once it listens."""
    port = free_port()
    async with listening(port, sys.executable, "-W", "error", "-c", code.replace("8765", str(port))):
        yield f"ws://127.0.0.1:{port}/"


async def test_a_handler_echoes() -> None:
    async with (
        started(marked("server.md", "server: handler")) as url,
        wscore.connect(url + "room", subprotocols=["chat"], compression="takeover") as ws,
    ):
        assert ws.subprotocol == "chat"
        assert await ws.receive() == "this is /room"
        await ws.send(b"bytes")
        assert await ws.receive() == b"bytes"


async def test_on_message_echoes() -> None:
    async with started(marked("server.md", "server: on_message")) as url, wscore.connect(url) as ws:
        await ws.send("hello")
        assert await ws.receive() == "hello"


async def test_pieces_are_counted() -> None:
    async with started(marked("server.md", "server: pieces")) as url, wscore.connect(url) as ws:
        await ws.send_pieces([b"x" * 300_000] * 10)
        assert await ws.receive() == "3000000"


async def test_the_server_lets_in_whoever_has_the_token() -> None:
    async with started(marked("security.md", "server: authorize")) as url:
        for header in ({"Authorization": "Bearer some-long-token"}, {"Cookie": "session=some-long-token"}):
            async with wscore.connect(url, headers=header) as ws:
                assert await ws.receive() == "hello ada"
        with pytest.raises(wscore.HandshakeError, match="401"):
            async with wscore.connect(url):
                pass


async def test_a_client_comes_back() -> None:
    """To a server that refuses, that breaks off, and that speaks at last."""
    code = marked("client.md", "client: again").replace("uniform(0, delay)", "uniform(0, 0)")
    comers = 0

    async def speak(ws: wscore.WebSocket) -> None:
        nonlocal comers
        comers += 1
        await ws.send(f"for the {comers}.")
        if comers == 1:
            ws.abort()

    async with trio.open_nursery() as nursery:
        server: wscore.Server = await nursery.start(lambda **kw: wscore.serve(speak, "127.0.0.1", 0, **kw))
        code = code.replace("8765", str(server.addresses[0][1]))  # type: ignore[index]
        process = await trio.lowlevel.open_process([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert process.stdout is not None
        said = b""
        try:
            with trio.fail_after(HANGING):
                while b"for the 3." not in said:
                    said += await process.stdout.receive_some()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
        nursery.cancel_scope.cancel()
    assert b"for the 2." in said
    assert b"lost: ConnectionLost" in said


async def test_a_client_backs_off_until_a_connection_has_lasted(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five times the server closes at once, as one that is overloaded; then it speaks for a minute."""
    bounds: list[float] = []
    comers = 0

    def uniform(low: float, high: float) -> float:
        bounds.append(high)
        return 0.0

    async def close(ws: wscore.WebSocket) -> None:
        nonlocal comers
        comers += 1
        if comers == 6:
            mock_clock.jump(60)
        await ws.aclose(1013, "try again later")

    monkeypatch.setattr("random.uniform", uniform)
    code = marked("client.md", "client: again")
    namespace: dict[str, Any] = {}
    exec(code[: code.index("trio.run(")], namespace)
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(wscore.serve, close, "127.0.0.1", 0, ping_interval=None))
        nursery.start_soon(namespace["follow"], f"ws://127.0.0.1:{server.addresses[0][1]}/")
        while len(bounds) < 8:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert bounds[:8] == [1, 2, 4, 8, 16, 1, 2, 4]


async def test_the_chat_is_served(tmp_path: Path) -> None:
    (tmp_path / "chat.py").write_text(marked("real-time-server.md", "app: chat"), encoding="utf-8")
    command = next(block.code for block in all_blocks("sh") if "chat:authorize" in block.code).split()
    assert command[:2] == ["wscore", "serve"]
    env = {"PYTHONPATH": str(ROOT)}
    async with running(*command[1:], "--port", 0, "--log-format", "json", cwd=tmp_path, env=env) as program:
        found = None
        while found is None:
            found = re.search(r'"addresses": ?"http(://[^"]+)"', await program.read_line("stderr"))
        url = f"ws{found[1]}"
        async with wscore.connect(f"{url}/chat") as ada, wscore.connect(f"{url}/chat") as bob:
            await ada.send("hello")
            assert await ada.receive() == "hello"
            await bob.send("who is there?")
            assert await ada.receive() == "who is there?"
            bob.abort()
            for message in ("still here", "and here"):
                await ada.send(message)
                assert await ada.receive() == message
        with pytest.raises(wscore.HandshakeError, match="404"):
            async with wscore.connect(f"{url}/elsewhere"):
                pass
