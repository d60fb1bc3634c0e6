"""What the README shows runs as it is pasted, and what it points to is there."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The code under the comment with this name."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", README, re.S)
    assert found is not None
    return found[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@contextmanager
def running(program: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        try:
            yield process
        finally:
            process.kill()


async def wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:
            await trio.sleep(0.05)
        else:
            await stream.aclose()
            return
    raise AssertionError("the server ended")


async def test_the_client_talks_to_the_server() -> None:
    port = free_port()
    server, client = (block(name).replace("8765", str(port)) for name in ("server", "client"))
    with running(server) as process:
        await wait_until_listening(port, process)
        assert await trio.to_thread.run_sync(run, client) == "hello\n"


async def test_the_client_talks_to_the_server_on_asyncio() -> None:
    port = free_port()
    server, client = (block(name).replace("8765", str(port)) for name in ("asyncio", "client"))
    with running(server) as process:
        await wait_until_listening(port, process)
        assert await trio.to_thread.run_sync(run, client) == "hello\n"


def test_the_codec_echoes() -> None:
    assert run(block("codec")) == "['hello']\n"


def test_every_file_that_it_points_to_is_there() -> None:
    places = [ROOT / place for place in re.findall(r"\]\(([^)#]+)", README) if "://" not in place]
    assert places
    # A source distribution has no benchmarks.
    kept = [place for place in places if (ROOT / "benchmarks").exists() or "benchmarks" not in place.parts]
    assert [place for place in kept if not place.exists()] == []
