"""A program that was started without some of the three standard streams, as service managers and cron may do."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import wscore

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs exec and POSIX signals")

CLOSING = """
import os, sys
closed, *command = sys.argv[1:]
for number in map(int, closed):
    os.close(number)
os.execv(command[0], command)
"""
STREAMS = ("0", "1", "2", "01", "02", "12", "012")


def without(closed: str) -> list[str]:
    return [sys.executable, "-c", CLOSING, closed]


async def opens(url: str) -> bool:
    try:
        async with wscore.connect(f"{url}/echo") as ws:
            await ws.send("hello")
            return await ws.receive() == "hello"
    except OSError:
        return False


@pytest.mark.parametrize("workers", [(), ("--workers", 2)])
@pytest.mark.parametrize("closed", STREAMS)
async def test_a_server_serves_reloads_and_ends(
    running: Callable[..., Any], tmp_path: Path, closed: str, workers: tuple[object, ...], unused_port: int
) -> None:
    arguments = ("serve", "--port", unused_port, "--drain-timeout", 1, *workers)
    async with running(*arguments, launcher=without(closed)) as program:
        url = f"ws://127.0.0.1:{unused_port}"
        with trio.fail_after(60):
            while not await opens(url):  # noqa: ASYNC110
                await trio.sleep(0.05)
        program.process.send_signal(signal.SIGHUP)
        assert await opens(url)
        program.process.send_signal(signal.SIGTERM)
        with trio.fail_after(60):
            assert await program.process.wait() == 0


@pytest.mark.parametrize("closed", [closed for closed in STREAMS if "0" in closed])
async def test_a_client_without_input_connects_and_ends(
    running: Callable[..., Any], serving: Callable[..., Any], closed: str
) -> None:
    async with (
        serving(wscore.WebSocket.wait_closed) as url,
        running("connect", url, launcher=without(closed)) as program,
    ):
        with trio.fail_after(60):
            assert await program.process.wait() == 0


@pytest.mark.parametrize("closed", STREAMS)
async def test_a_wrong_command_line_is_status_2(running: Callable[..., Any], closed: str) -> None:
    async with running("serve", "--port", "none", launcher=without(closed)) as program:
        with trio.fail_after(60):
            assert await program.process.wait() == 2
