"""What an install builds: all compiled modules or none, and never a package that does not work."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow
# Builds by itself; the second one needs a header that no machine has, as deflate needs zlib's.
GOOD = "def answer():\n    return 42\n"
BROKEN = 'cdef extern from "no/such/header.h":\n    int answer\n\ndef get():\n    return answer\n'


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of what is in the repository, without what was built there."""
    copy = tmp_path / "sources"
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(ROOT / "wscore", copy / "wscore", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, copy)
    for generated in copy.glob("wscore/codec/native/*.c"):
        generated.unlink()
    return copy


def call(sources: Path, hook: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call a hook of the build backend (PEP 517), as pip does, with the tools that are installed here."""
    program = f"from setuptools import build_meta; print(build_meta.{hook}('built'))"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WSCORE_") and name != "CC"}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=sources,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def built(sources: Path, hook: str, **environment: str) -> Path:
    (sources / "built").mkdir()
    run = call(sources, hook, **environment)
    assert run.returncode == 0, run.stderr
    (path,) = (sources / "built").iterdir()
    return path


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def compiled_in(wheel: Path) -> set[str]:
    return {name.split("/")[-1].split(".")[0] for name in names_in(wheel) if name.endswith((".so", ".pyd"))}


def replace_native_modules(sources: Path, **modules: str) -> None:
    native = sources / "wscore" / "codec" / "native"
    for path in native.glob("*.p[yx][xd]"):
        path.unlink()
    for name, text in modules.items():
        (native / f"{name}.pyx").write_text(text, encoding="utf-8")


def test_a_pure_wheel_is_for_every_machine(sources: Path) -> None:
    wheel = built(sources, "build_wheel", WSCORE_PURE="1")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert compiled_in(wheel) == set()


def test_a_wheel_has_every_module_and_what_type_checkers_cython_and_the_program_read(sources: Path) -> None:
    names = names_in(built(sources, "build_wheel", WSCORE_PURE="1"))
    endings = ("*.py", "*.pyi", "*.pxd", "*.html", "py.typed")
    wanted = {path.relative_to(ROOT).as_posix() for ending in endings for path in ROOT.glob(f"wscore/**/{ending}")}
    assert wanted - names == set()
    assert {name for name in names if name.endswith((".c", ".pyx"))} == set()


def test_without_a_compiler_the_wheel_is_pure_and_says_so(sources: Path) -> None:
    run = call(sources, "build_wheel", CC="/no/compiler")
    assert run.returncode == 0
    assert "the compiled codec could not be built" in run.stderr
    (wheel,) = (sources / "built").iterdir()
    assert compiled_in(wheel) == set()


def test_without_a_compiler_a_required_build_fails(sources: Path) -> None:
    assert call(sources, "build_wheel", CC="/no/compiler", WSCORE_REQUIRE_NATIVE="1").returncode != 0


@pytest.mark.native
def test_with_a_compiler_modules_are_built(sources: Path) -> None:
    replace_native_modules(sources, good=GOOD)
    assert compiled_in(built(sources, "build_wheel")) == {"good"}


@pytest.mark.native
@pytest.mark.parametrize("order", [("a_good", "b_broken"), ("b_good", "a_broken")])
def test_half_a_build_leaves_nothing(sources: Path, order: tuple[str, str]) -> None:
    good, broken = order
    replace_native_modules(sources, **{good: GOOD, broken: BROKEN})
    assert compiled_in(built(sources, "build_wheel")) == set()


@pytest.mark.native
def test_an_editable_install_whose_build_fails_removes_what_an_earlier_one_left(sources: Path) -> None:
    replace_native_modules(sources, good=GOOD)
    built(sources, "build_editable")
    assert list(sources.glob("wscore/codec/native/good.*.so"))
    assert call(sources, "build_editable", CC="/no/compiler").returncode == 0
    assert list(sources.glob("wscore/codec/native/*.so")) == []


def test_the_source_distribution_has_what_a_build_needs_and_nothing_generated(sources: Path) -> None:
    with tarfile.open(built(sources, "build_sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("wscore/**/*.p[yx][xd]")}
    assert wanted | {"setup.py", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md"} <= names
    assert {name for name in names if name.startswith("wscore/codec/native/") and name.endswith((".c", ".so"))} == set()
