"""The terminal: lines in, lines out, complaints, and nothing of a peer's that a terminal would obey.

Decides how a message looks on one line. Text has its harmful characters written out (`wscore.server.logs.escape`), line
feeds among them, so that a line printed is a message received; bytes are shown in hexadecimal, the first 64 of them.

Standard input and output may be terminals, pipes or files. Whatever could block for ever is done in a thread, straight
on the descriptor: a thread left waiting in `os.read` holds no lock that the interpreter wants when it exits, as one
inside `sys.stdin` would. Whoever shares them with us may have made them non-blocking (O_NONBLOCK); that stays as it is,
and we wait all the same.

Refuses to know sockets and protocols.
"""

import os
import select
import stat
import sys
from collections.abc import AsyncGenerator

import trio

from wscore.cli import Failure, reason
from wscore.server.logs import escape

_CHUNK = 65536
_PIPE_BUF = getattr(select, "PIPE_BUF", 0)  # 0 where there is no `poll` either
_SHOWN_BYTES = 64


def show(message: str | bytes) -> str:
    """Return a message as one harmless line, without a line feed."""
    if isinstance(message, str):
        return escape(message, None)
    shown = message[:_SHOWN_BYTES].hex(" ") + (" …" if len(message) > _SHOWN_BYTES else "")
    return f"binary, {len(message)} bytes" + (f": {shown}" if shown else "")


async def read_lines(descriptor: int) -> AsyncGenerator[str, None]:
    """Yield each line of UTF-8 text without its ending, a last one without a line feed too; cancelling loses nothing.

    Raises `Failure` at the first line that is not UTF-8, and if nothing can be read.
    """
    line: list[bytes] = []
    while data := await _read(descriptor):
        part, *others = data.split(b"\n")
        line.append(part)
        for part in others:
            yield _decoded(b"".join(line))
            line = [part]
    if any(line):
        yield _decoded(b"".join(line))


async def _read(descriptor: int) -> bytes:
    try:
        return await trio.to_thread.run_sync(_read_some, descriptor, abandon_on_cancel=True)
    except OSError as error:
        raise Failure(f"cannot read standard input: {reason(error)}") from None


def _read_some(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            select.select([descriptor], [], [])


def _decoded(line: bytes) -> str:
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise Failure("standard input is not UTF-8 text; the line that is not was not sent") from None


async def write_line(descriptor: int, line: str) -> None:
    """Write a line, as `write` does."""
    await write(descriptor, line + "\n")


async def write(descriptor: int, text: str) -> None:
    """Write text, in whatever encoding the terminal has; waits while a pipe is full, and cancelling leaves it there.

    Raises `BrokenPipeError` when nobody reads any more, and `OSError` when it cannot be written for another reason.
    """
    data = text.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
    if _takes_at_once(descriptor, len(data)):
        await trio.lowlevel.checkpoint()
        _write_all(descriptor, data)
    else:
        await trio.to_thread.run_sync(_write_all, descriptor, data, abandon_on_cancel=True)


def _takes_at_once(descriptor: int, size: int) -> bool:
    """Whether a write cannot block: then no thread is needed, which costs more than everything else about a message.

    A file always takes what it is given; a pipe that is ready has room for `PIPE_BUF` bytes. A terminal may be stopped.
    """
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISFIFO(mode):
        return stat.S_ISREG(mode)
    if size > _PIPE_BUF:
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
