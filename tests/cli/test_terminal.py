"""Lines in and out: pipes, files and terminals, and nothing that a terminal would obey."""

import os
import sys
from pathlib import Path

import pytest
import trio

from wscore.cli import Failure
from wscore.cli.terminal import read_lines, show, write_line


async def lines_of(data: bytes) -> list[str]:
    read, write = os.pipe()
    try:
        os.write(write, data)
        os.close(write)
        return [line async for line in read_lines(read)]
    finally:
        os.close(read)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\n\ntwo", ["one", "", "two"]),
        (b"one\r\ntwo\r", ["one", "two"]),
        (b"\n", [""]),
        ("Grüße\n".encode(), ["Grüße"]),
        (b"a\x0bb\xe2\x80\xa8c\n", ["a\x0bb\u2028c"]),  # only a line feed ends a line
    ],
)
async def test_lines_are_read(data: bytes, lines: list[str]) -> None:
    assert await lines_of(data) == lines


async def test_a_line_longer_than_any_buffer_comes_whole_and_split_characters_are_joined() -> None:
    read, write = os.pipe()
    text = "ä€😀" * 100_000
    async with trio.open_nursery() as nursery:

        async def feed() -> None:
            await write_line(write, text)
            os.close(write)

        nursery.start_soon(feed)
        assert [line async for line in read_lines(read)] == [text]
    os.close(read)


async def test_a_file_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one\ntwo")
    with path.open() as file:
        assert [line async for line in read_lines(file.fileno())] == ["one", "two"]


async def test_lines_before_one_that_is_not_utf8_come_and_then_a_sentence() -> None:
    read, write = os.pipe()
    os.write(write, b"good\nb\xffd\n")
    os.close(write)
    lines = read_lines(read)
    assert await anext(lines) == "good"
    with pytest.raises(Failure, match="not UTF-8"):
        await anext(lines)
    os.close(read)


async def test_input_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(Failure, match="cannot read standard input: Is a directory"):
        await anext(read_lines(folder))
    os.close(folder)


async def test_waiting_for_input_holds_up_nothing_and_can_be_cancelled() -> None:
    read, write = os.pipe()
    with trio.move_on_after(0.01) as scope:
        _ = [line async for line in read_lines(read)]
    assert scope.cancelled_caught
    os.close(write)  # the thread that was left behind sees the end
    os.close(read)


async def test_a_file_can_be_written(tmp_path: Path) -> None:
    with (tmp_path / "lines").open("w") as file:
        await write_line(file.fileno(), "one")
        await write_line(file.fileno(), "ü" * 10_000)
    assert (tmp_path / "lines").read_bytes() == b"one\n" + "ü".encode() * 10_000 + b"\n"


async def test_a_pipe_gets_its_lines_whole_and_in_order_whatever_their_length() -> None:
    read, write = os.pipe()
    lines = ["x" * length for length in (0, 10, 4094, 4095, 4096, 4097, 70_000, 1)]
    async with trio.open_nursery() as nursery:

        async def feed() -> None:
            for line in lines:
                await write_line(write, line)
            os.close(write)

        nursery.start_soon(feed)
        assert [line async for line in read_lines(read)] == lines
    os.close(read)


async def test_writing_to_a_full_pipe_waits_and_can_be_cancelled() -> None:
    read, write = os.pipe()
    with trio.move_on_after(0.01) as scope:
        await write_line(write, "x" * 1_000_000)
    assert scope.cancelled_caught
    os.close(read)  # the thread that was left behind gets a broken pipe, from a descriptor that is nobody else's yet


async def test_writing_when_nobody_reads_raises() -> None:
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(BrokenPipeError):
        await write_line(write, "x")
    os.close(write)


async def test_what_the_terminal_cannot_show_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr(sys, "stdout", Ascii())
    read, write = os.pipe()
    await write_line(write, "ü€")
    assert os.read(read, 100) == b"\\xfc\\u20ac\n"
    os.close(read)
    os.close(write)


def test_case_61_control_characters_of_the_peer_are_made_harmless() -> None:
    assert show("\x1b]0;owned\x07 a\nb\r\x9b2J \u202e") == r"\x1b]0;owned\x07 a\nb\r\x9b2J \u202e"


def test_text_is_shown_whole_and_bytes_in_part() -> None:
    assert show("x" * 10_000) == "x" * 10_000
    assert show(b"") == "binary, 0 bytes"
    assert show(b"\x00\xff\x1b") == "binary, 3 bytes: 00 ff 1b"
    assert show(bytes(64)) == "binary, 64 bytes: " + " ".join(["00"] * 64)
    assert show(bytes(65)) == "binary, 65 bytes: " + " ".join(["00"] * 64) + " …"


async def test_what_is_not_to_block_is_waited_for_all_the_same() -> None:
    """Whoever shares a descriptor with us may have set O_NONBLOCK on it."""
    read, write = os.pipe()
    text = "ä€😀" * 100_000
    for descriptor in (read, write):
        os.set_blocking(descriptor, False)
    lines: list[str] = []
    async with trio.open_nursery() as nursery:

        async def collect() -> None:
            async for line in read_lines(read):
                lines.append(line)

        nursery.start_soon(collect)
        await trio.sleep(0.05)  # nothing has come yet, and nothing is there
        for line in ("one", text, "two"):
            await write_line(write, line)
        assert not os.get_blocking(read)
        assert not os.get_blocking(write)
        os.close(write)
    os.close(read)
    assert lines == ["one", text, "two"]


async def test_writing_to_a_full_pipe_that_is_not_to_block_can_be_cancelled() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with trio.move_on_after(0.05) as scope:
        await write_line(write, "x" * 1_000_000)
    assert scope.cancelled_caught
    os.close(read)  # the same
