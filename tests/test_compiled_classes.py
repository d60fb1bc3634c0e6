"""Misuse of compiled classes raises: whatever a program does with them from Python, the interpreter survives."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wscore

PACKAGE = Path(wscore.__file__).parent
ROOT = Path(__file__).parent.parent
HANGING = 120

pytestmark = pytest.mark.native


def compiled(folder: str) -> list[str]:
    """The compiled modules of a folder of wscore, by their stubs, or by their types."""
    package = f"wscore.{folder.replace('/', '.')}"
    ending = "pxd" if folder == "session/native" else "pyi"
    return [f"{package}.{path.stem}" for path in sorted((PACKAGE / folder).glob(f"*.{ending}"))]


@pytest.mark.parametrize("folder", ["transport/reactor", "adapters/asyncio", "session/native"])
def test_no_misuse_ends_the_interpreter(folder: str) -> None:
    modules = compiled(folder)
    assert modules
    command = [sys.executable, "-m", f"{__package__}.misuse_of_sockets", *modules]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDEVMODE": "0"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=HANGING, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = re.fullmatch(r"survived (\d+)\n", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) > 0
