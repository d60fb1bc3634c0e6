"""What `poller.h` promises, by a program in C: of this system's poller, and of kqueue where Linux has libkqueue."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.native, pytest.mark.compiler, pytest.mark.checkout]

HERE = Path(__file__).parent
REACTOR = HERE.parent.parent / "wscore" / "transport" / "reactor"
PROGRAM = HERE / "poller_test.c"
SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def pollers() -> dict[str, list[object]]:
    """How to compile each poller that can run here."""
    both = [REACTOR / "epoll.c", REACTOR / "kqueue.c"]
    if sys.platform != "linux":
        return {"kqueue": both}
    found = {"epoll": both}
    if shutil.which("pkg-config"):
        asked = subprocess.run(["pkg-config", "--cflags", "--libs", "libkqueue"], capture_output=True, text=True)
        if asked.returncode == 0:
            found["libkqueue"] = [REACTOR / "kqueue.c", "-DWSCORE_LIBKQUEUE", *asked.stdout.split()]
    return found


@pytest.mark.parametrize("flags", [["-O3"], SANITIZERS], ids=["fast", "sanitized"])
@pytest.mark.parametrize("poller", pollers())
def test_the_poller_keeps_every_promise(tmp_path: Path, poller: str, flags: list[str]) -> None:
    program = tmp_path / "poller_test"
    warnings = ["-Wall", "-Wextra", "-Werror"]
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, *flags, *warnings, "-pthread", "-I", REACTOR, "-o", program, PROGRAM, *pollers()[poller]], check=True
    )
    run = subprocess.run([program], capture_output=True, text=True, check=False, timeout=110)
    assert run.returncode == 0, run.stdout + run.stderr
    promised = re.findall(r"^ +PROMISE\((\w+)\)", PROGRAM.read_text(encoding="utf-8"), re.M)
    kept = [line.removesuffix(": ok") for line in run.stdout.splitlines()]
    assert kept == (promised if poller == "epoll" else promised[:-1])
