"""What the README shows runs as it is pasted, and its table of limits is the truth."""

import inspect
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

import wscore
from wscore.cli.config import read_config
from wscore.cli.options import SERVE

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
UNITS = {"MiB": 1 << 20, "KiB": 1 << 10, "s": 1, "": 1}
# What no number can say is explained where it is computed.
COMPUTED = {"max_connections"}


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


async def test_the_server_lets_in_whoever_has_the_token() -> None:
    port = free_port()
    with running(block("authorize").replace("8765", str(port))) as process:
        await wait_until_listening(port, process)
        url = f"ws://127.0.0.1:{port}/"
        for header in ({"Authorization": "Bearer some-long-token"}, {"Cookie": "session=some-long-token"}):
            async with wscore.connect(url, headers=header) as ws:
                assert await ws.receive() == "hello ada"
        with pytest.raises(wscore.HandshakeError, match="401"):
            async with wscore.connect(url):
                pass


def test_the_codec_echoes() -> None:
    assert run(block("codec")) == "['hello']\n"


def test_the_configuration_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "wscore.toml"
    path.write_text(block("config"), encoding="utf-8")
    settings = read_config(str(path), SERVE)
    assert (settings["max_message_size"], settings["ping_interval"]) == (64 << 10, 30.0)


def rows_of_limits() -> list[tuple[str, str]]:
    table = README.split("## Limits")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.M)


@pytest.mark.parametrize(("parameter", "default"), rows_of_limits())
def test_limits_are_what_the_table_says(parameter: str, default: str) -> None:
    actual = inspect.signature(wscore.serve).parameters[parameter].default
    if parameter in COMPUTED or default == "off":
        assert actual is None
        return
    number, _, unit = default.replace(",", "").partition(" ")
    assert actual == int(number) * UNITS[unit]


def test_every_limit_is_in_the_table() -> None:
    endings = ("timeout", "interval", "rate", "rate_per_address")
    names = [
        name for name in inspect.signature(wscore.serve).parameters if name.startswith("max") or name.endswith(endings)
    ]
    assert sorted(names) == sorted(parameter for parameter, _ in rows_of_limits())
