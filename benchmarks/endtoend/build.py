"""Compiles the programs in C, into `build/endtoend`, which git ignores, once for each state of their sources."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["BARE", "LOAD", "BuildError", "build"]

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / "build" / "endtoend"
LOAD = "load"
BARE = "bare"
SOURCES = {LOAD: HERE / "load", BARE: HERE / "servers"}
FLAGS = ("-O2", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra")
LIBRARIES = ("-lssl", "-lcrypto", "-lz")


class BuildError(Exception):
    """A program could not be compiled; the text says what is missing."""


def build(name: str) -> Path:
    """The path of the program. Raises BuildError where it cannot be compiled: it needs Linux, OpenSSL and zlib."""
    if not sys.platform.startswith("linux"):
        raise BuildError("benchmarks of whole servers run on Linux only: they use epoll and /proc")
    sources = sorted(SOURCES[name].glob("*.[ch]"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources) + repr(FLAGS).encode())
    program = CACHE / f"{name}-{digest.hexdigest()[:16]}"
    if not program.exists():
        _compile(program, [source for source in sources if source.suffix == ".c"])
    return program


def _compile(program: Path, sources: list[Path]) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise BuildError("there is no C compiler")
    program.parent.mkdir(parents=True, exist_ok=True)
    made = program.with_suffix(f".{os.getpid()}")
    command = [compiler, *FLAGS, "-o", str(made), *map(str, sources), *LIBRARIES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{done.stderr}\nThe headers of OpenSSL and zlib are needed (Debian: libssl-dev, zlib1g-dev).")
    # Another process may be compiling the same.
    made.replace(program)
