"""The log of the program, when nobody reads it, when it is read late, and when it cannot be written at all."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio

from wscore.cli import log_writer
from wscore.cli.log_writer import LogWriter
from wscore.server.logs import JsonFormatter

from .operating import ROOT

fcntl = pytest.importorskip("fcntl", reason="Windows has none, and pipes that cannot be waited for")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def say(writer: LogWriter, text: str, *arguments: object) -> None:
    writer.handle(logging.LogRecord("wscore", logging.INFO, __file__, 1, text, arguments, None))


def fill(end: int) -> int:
    """Write until nobody can without waiting for the reader; how much that was."""
    flags = fcntl.fcntl(end, fcntl.F_GETFL)
    fcntl.fcntl(end, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    size = 0
    with suppress(BlockingIOError):
        while True:
            size += os.write(end, bytes(1 << 12))
    fcntl.fcntl(end, fcntl.F_SETFL, flags)
    return size


def read(end: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(end, size - len(data))
    return data


def test_lines_come_in_order(pipe: tuple[int, int]) -> None:
    writer = LogWriter(pipe[1])
    for number in range(1000):
        say(writer, "%d", number)
    expected = "".join(f"{number}\n" for number in range(1000)).encode()
    assert read(pipe[0], len(expected)) == expected
    writer.close()


def test_who_does_not_read_stops_nobody_and_is_told_later_how_much_was_lost(pipe: tuple[int, int]) -> None:
    full = fill(pipe[1])
    writer = LogWriter(pipe[1], room=1 << 16)
    for number in range(10_000):
        say(writer, "%d %s", number, "x" * 100)
    assert writer._queue.waiting <= 1 << 16
    lost = writer._dropped
    assert 8_000 < lost < 10_000
    assert read(pipe[0], full) == bytes(full)
    for number in range(10_000 - lost):
        assert read(pipe[0], len(f"{number} ") + 101).startswith(f"{number} ".encode())
    say(writer, "after")
    expected = f"{lost} lines are lost: nobody read the log\nafter\n".encode()
    assert read(pipe[0], len(expected)) == expected
    say(writer, "again")
    assert read(pipe[0], 6) == b"again\n"
    writer.close()


def test_the_end_does_not_wait_for_who_does_not_read(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "PATIENCE", 0.01)
    writer = LogWriter(pipe[1])
    say(writer, "x" * 200_000)
    writer.close()  # comes back
    assert len(read(pipe[0], 200_001)) == 200_001


def test_a_reader_that_has_gone_is_no_error(pipe: tuple[int, int]) -> None:
    writer = LogWriter(pipe[1])
    os.close(pipe[0])
    for _ in range(3):
        say(writer, "to nobody")
    writer.close()
    assert writer._queue.waiting == 0


def test_a_descriptor_that_does_not_block_loses_nothing(pipe: tuple[int, int]) -> None:
    fcntl.fcntl(pipe[1], fcntl.F_SETFL, fcntl.fcntl(pipe[1], fcntl.F_GETFL) | os.O_NONBLOCK)
    writer = LogWriter(pipe[1])
    say(writer, "x" * 300_000)
    assert len(read(pipe[0], 300_001)) == 300_001
    writer.close()


def test_what_cannot_be_formatted_costs_no_more_than_its_line(pipe: tuple[int, int]) -> None:
    writer = LogWriter(pipe[1])
    say(writer, "%d", "no number")
    told = b"a record could not be formatted: TypeError\n"
    assert read(pipe[0], len(told)) == told
    writer.close()


def test_what_the_writer_says_itself_has_the_form_of_all_lines(pipe: tuple[int, int]) -> None:
    full = fill(pipe[1])
    writer = LogWriter(pipe[1], room=1)
    writer.setFormatter(JsonFormatter())
    say(writer, "lost")
    assert read(pipe[0], full) == bytes(full)
    writer._room = 1 << 16
    say(writer, "%d", "no number")
    writer.close()
    messages = [json.loads(line)["message"] for line in os.read(pipe[0], 1 << 16).splitlines()]
    assert messages == ["1 lines are lost: nobody read the log", "a record could not be formatted: TypeError"]


def test_a_line_waits_while_no_thread_can_be_had(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    writer = LogWriter(pipe[1])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        say(writer, "one")
        writer.close()
    say(writer, "two")
    assert read(pipe[0], 8) == b"one\ntwo\n"
    writer.close()


def test_the_end_waits_once_and_what_is_logged_behind_it_is_written(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LogWriter(pipe[1])
    say(writer, "before")
    writer.close()
    say(writer, "behind")
    writer.close()
    assert os.read(pipe[0], 100) == b"before\nbehind\n"
    full = fill(pipe[1])
    monkeypatch.setattr(log_writer, "PATIENCE", 0.01)
    say(writer, "waits")
    writer.close()
    monkeypatch.setattr(log_writer, "PATIENCE", 600)
    writer.close()  # as `logging.shutdown` does: comes back
    assert read(pipe[0], full + 6) == bytes(full) + b"waits\n"


FORKING = """
import logging, os, sys
from wscore.cli.log_writer import LogWriter
log = logging.getLogger("forking")
log.addHandler(LogWriter(2))
log.warning("before")
if not os.fork():
    log.warning("child")
    sys.exit()
os.wait()
log.warning("after")
"""


def test_a_forked_child_has_a_queue_and_a_thread_of_its_own() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKING]
    run = subprocess.run(command, capture_output=True, cwd=ROOT, check=True, timeout=60)
    assert sorted(run.stderr.splitlines()) == [b"after", b"before", b"child"]


@pytest.mark.parametrize("workers", [(), ("--workers", 1)])
async def test_a_server_whose_log_nobody_reads_serves_on(running: Callable[..., Any], workers: tuple[Any, ...]) -> None:
    reader, writer = os.pipe()
    fill(writer)
    try:
        async with running("serve", "--port", 0, "--log-level", "debug", *workers, stderr=writer) as program:
            line = await program.read_line("stdout")
            port = int(line.split("127.0.0.1:")[1].split(",")[0])
            for _ in range(20):
                stream = await trio.open_tcp_stream("127.0.0.1", port)
                await stream.send_all(b"GET / HTTP/1.1\r\n:\r\n\r\n")
                with trio.fail_after(60):
                    assert (await stream.receive_some()).startswith(b"HTTP/1.1 400 ")
                await stream.aclose()
    finally:
        os.close(reader)
        os.close(writer)
