"""Instructions per message of Reader and Writer, counted by valgrind's callgrind: numbers that no busy machine moves.

A process handles a fixed batch of 1,000 messages `rounds` times; the difference between two runs, with N rounds and
with 2 N, is free of start-up. Run as a module, this is that process. A count is not a time, but if it changes, then so
have the code, the compiler or the interpreter.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from wscore.codec import CLIENT, SERVER, Reader, Role, Writer

from . import corpus, wire

STORED = Path(__file__).parent / "results" / "instructions.json"

MESSAGES = 1000
ROUNDS = 4

# What is read or written: area, kind of message, size.
KINDS = (
    ("Reader", "binary", 16),
    ("Reader", "ascii", 16),
    ("Reader", "binary", 125),
    ("Reader", "ascii", 125),
    ("Reader", "cyrillic", 125),
    ("Reader", "emoji", 1024),
    ("Reader", "binary", 4096),
    ("Reader unmasked", "ascii", 125),
    ("Writer", "binary", 16),
    ("Writer", "binary", 125),
    ("Writer", "ascii", 125),
    ("Writer", "cyrillic", 125),
    ("Writer", "emoji", 1024),
    ("Writer masked", "binary", 125),
    ("Writer masked", "binary", 4096),
)


def compare(only: str = "", *, store: bool = False) -> Iterator[str]:
    """Count, and say how much each kind has changed since the numbers were stored."""
    stored = json.loads(STORED.read_text()) if STORED.exists() else {"counts": {}}
    conditions = _conditions()
    if stored["counts"] and stored["conditions"] != conditions:
        yield f"stored under other conditions: {stored['conditions']}"
    counts = dict(stored["counts"])
    for area, kind, size in KINDS:
        name = f"{area}, {kind}, {size} B"
        if only in name:
            counts[name] = round(count(area, kind, size), 1)
            yield _line(name, counts[name], stored["counts"].get(name))
    if store:
        STORED.write_text(json.dumps({"conditions": conditions, "counts": counts}, indent=2) + "\n")


def count(area: str, kind: str, size: int) -> float:
    """Instructions for one message."""
    with ThreadPoolExecutor(2) as pool:
        once, twice = pool.map(partial(_collected, area, kind, size), (ROUNDS, 2 * ROUNDS))
    return (twice - once) / (ROUNDS * MESSAGES)


def _line(name: str, now: float, before: float | None) -> str:
    change = "" if before is None else f"  {now - before:+9.1f}  {(now / before - 1) * 100:+6.1f} %"
    return f"{name:32} {now:9.1f} instructions a message{change}"


def _conditions() -> dict[str, str]:
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})",
        "architecture": platform.machine(),
        "kernel": _kernel(),
    }


def _kernel() -> str:
    """What the codec finds under valgrind, which does not have all that the processor has."""
    asked = "import wscore.codec; print(wscore.codec.KERNEL)"
    command = ["valgrind", "-q", "--tool=none", sys.executable, "-c", asked]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _collected(area: str, kind: str, size: int, rounds: int) -> int:
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}", sys.executable, "-m", __name__]
    done = subprocess.run(
        [*command, area, kind, str(size), str(rounds)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(f"callgrind failed: {done.stderr}")
    return int(found[1])


# In the process


def _work(area: str, kind: str, size: int) -> Callable[[], object]:
    messages: list[wire.Message] = [
        *(corpus.payloads(size, MESSAGES) if kind == "binary" else corpus.texts(kind, size, MESSAGES))
    ]
    if area.startswith("Reader"):
        return _reading(messages, CLIENT if area.endswith("unmasked") else SERVER)
    return _writing(messages, CLIENT if area.endswith("masked") else SERVER)


def _reading(messages: list[wire.Message], role: Role) -> Callable[[], object]:
    reader = Reader(role)
    data = wire.frames(messages, masked=role is SERVER)

    def read() -> None:
        received: list[wire.Message] = []
        reader.read(data, received)
        assert len(received) == MESSAGES

    return read


def _writing(messages: list[wire.Message], role: Role) -> Callable[[], object]:
    writer = Writer(role)

    def write() -> None:
        one = writer.write
        for message in messages:
            one(message)
        writer.take()

    return write


if __name__ == "__main__":
    _area, _kind, _size, _rounds = sys.argv[1:]
    _run = _work(_area, _kind, int(_size))
    gc.disable()
    for _ in range(int(_rounds)):
        _run()
