"""What the README shows runs as it is pasted, and what it points to is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from .listening import ends_by_ctrl_c, free_port, listening

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The code under the comment with this name."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", README, re.S)
    assert found is not None
    return found[1]


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("server", ["server", "asyncio"])
async def test_the_client_talks_to_the_server(server: str) -> None:
    port = free_port()
    program, client = (block(name).replace("8765", str(port)) for name in (server, "client"))
    async with listening(port, sys.executable, "-c", program):
        assert await trio.to_thread.run_sync(run, client) == "hello\n"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to another process")
@pytest.mark.parametrize("server", ["server", "asyncio"])
async def test_the_servers_end_by_ctrl_c_without_a_traceback_and_say_so_to_their_peers(server: str) -> None:
    await ends_by_ctrl_c(block(server))


def test_the_codec_echoes() -> None:
    assert run(block("codec")) == "['hello']\n"


def test_every_file_that_it_points_to_is_there() -> None:
    places = [ROOT / place for place in re.findall(r"\]\(([^)#]+)", README) if "://" not in place]
    assert places
    # Where the tests stand alone there may be no benchmarks.
    kept = [place for place in places if (ROOT / "benchmarks").exists() or "benchmarks" not in place.parts]
    assert [place for place in kept if not place.exists()] == []
