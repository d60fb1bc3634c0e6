"""`wscore connect` and its standard streams: lines of any length, O_NONBLOCK, and streams that are closed."""

import os
import shlex
import sys
from collections.abc import Callable
from typing import Any

import pytest
import trio

import wscore

from ..raw import echo

MB = 1_000_000


async def test_a_line_of_32_megabytes_is_sent_and_printed(run: Callable[..., Any], serving: Callable[..., Any]) -> None:
    sizes: list[int] = []

    async def handler(ws: wscore.WebSocket) -> None:
        for _ in range(2):
            message = await ws.receive()
            sizes.append(len(message))
            await ws.send(message)  # and then it closes

    line = "0123456789abcde\N{SNOWMAN}" * (2 * MB)
    async with serving(handler, max_message_size=64 * MB) as url:
        arguments = ("connect", url, "--max-message-size", "64m", "--wait", 100)
        status, output, errors = await run(*arguments, data=f"short\n{line}\n".encode())
    assert (status, errors) == (0, "")
    assert sizes == [5, 32 * MB]
    assert output == f"short\n{line}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has no O_NONBLOCK")
async def test_standard_streams_that_are_not_to_block(running: Callable[..., Any], serving: Callable[..., Any]) -> None:
    """As after a program that shared them and left them so: nothing is lost, and they stay as they are."""
    lines = [f"{number} " + "x" * 5000 for number in range(500)]
    stdin, our_input = os.pipe()
    our_output, stdout = os.pipe()
    for descriptor in (stdin, stdout):
        os.set_blocking(descriptor, False)
    async with serving(echo) as url, running("connect", url, stdin=stdin, stdout=stdout) as program:
        async with trio.open_nursery() as nursery:

            async def feed() -> None:
                await trio.sleep(0.1)  # it finds nothing to read first
                async with trio.lowlevel.FdStream(our_input) as stream:
                    await stream.send_all("".join(f"{line}\n" for line in lines).encode())

            nursery.start_soon(feed)
            received = b""
            async with trio.lowlevel.FdStream(our_output) as stream:
                while received.count(b"\n") < len(lines):
                    received += await stream.receive_some()
        assert await program.process.wait() == 0
        assert await program.process.stderr.receive_some() == b""
    assert received.decode().splitlines() == lines
    assert not os.get_blocking(stdin)
    assert not os.get_blocking(stdout)
    os.close(stdin)
    os.close(stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize(
    ("redirection", "printed"), [("<&-", "hello\n"), (">&-", ""), ("2>&-", "hello\n"), ("<&- >&- 2>&-", "")]
)
async def test_standard_streams_that_are_closed_are_as_if_nothing_were_there(
    serving: Callable[..., Any], redirection: str, printed: str
) -> None:
    """No input, or nobody to read; and no connection gets their descriptors."""

    async def hello(ws: wscore.WebSocket) -> None:
        await ws.send("hello")
        async for _ in ws:
            pass
        assert ws.close_code == 1000

    async with serving(hello) as url:
        command = f"exec {shlex.quote(sys.executable)} -m wscore connect {url} {redirection}"
        result = await trio.run_process(["/bin/sh", "-c", command], capture_stdout=True, capture_stderr=True, stdin=b"")
    assert (result.stdout.decode(), result.stderr) == (printed, b"")
