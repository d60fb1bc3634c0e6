"""What type checkers are told is true: of the compiled modules, by the stubs beside them, and of the public names."""

import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import wscore

HERE = Path(__file__).parent
HOME = Path(wscore.__file__).parent.parent
STUBS = sorted(path.relative_to(HOME).with_suffix("") for path in (HOME / "wscore").rglob("*.pyi"))


def checked(*command: str) -> str:
    """What mypy says. It finds the package where the tests do: where that is installed, by its py.typed."""
    path = {} if HOME.name == "site-packages" else {"MYPYPATH": str(HOME)}
    run = subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, **path},
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.native
def test_the_stubs_of_compiled_modules_say_what_is_there() -> None:
    assert checked("mypy.stubtest", "--concise", *(".".join(stub.parts) for stub in STUBS)) == ""


@pytest.mark.native
def test_every_compiled_module_has_a_stub() -> None:
    compiled = [path.relative_to(HOME) for suffix in EXTENSION_SUFFIXES for path in HOME.glob(f"wscore/**/*{suffix}")]
    modules = sorted({path.with_name(path.name.partition(".")[0]) for path in compiled})
    # What is compiled from a plain source is typed by that.
    assert [module for module in modules if not (HOME / module.parents[1] / f"{module.name}.py").exists()] == STUBS


def test_a_type_checker_knows_what_the_public_names_are(tmp_path: Path) -> None:
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nstrict = true\n", encoding="utf-8")
    said = checked("mypy", "--config-file", str(config), "--cache-dir", str(tmp_path), str(HERE / "typed_program.py"))
    assert said == "Success: no issues found in 1 source file\n"
