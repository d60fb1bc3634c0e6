"""That the compiled codec is in use where it should be, and what happens where it is not.

The switch falls back to the pure twin so that an install always works. So a build that went wrong would make every
other test pass, on the wrong codec: these tests fail then.
"""

import importlib.machinery
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wscore import codec

HOME = Path(codec.__file__).parent
SUFFIXES = tuple(importlib.machinery.EXTENSION_SUFFIXES)
EXTENSIONS = [path for path in HOME.glob("native/*") if path.name.endswith(SUFFIXES)]
REPORT = "from wscore import codec; print(codec.IMPLEMENTATION, codec.Reader.__module__); print(codec.LOAD_ERROR)"


def chosen(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def report(package: Path, **environment: str) -> tuple[list[str], str]:
    """What a new interpreter says of the package: the lines of `REPORT`, and the warnings that it writes."""
    variables = {name: value for name, value in os.environ.items() if name != "WSCORE_PURE"}
    result = subprocess.run(
        [sys.executable, "-B", "-c", REPORT],
        cwd=package.parent,  # where `-c` looks first
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return result.stdout.splitlines(), result.stderr


@pytest.fixture
def copy(tmp_path):
    """The package without its extension."""
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "*.c", "__pycache__")
    return Path(shutil.copytree(HOME.parent, tmp_path / "wscore", ignore=ignored))


def break_extension(package: Path, module: str) -> None:
    """Put a file there that no linker will take."""
    name = module + SUFFIXES[0]
    (package / "codec" / "native" / name).write_bytes(b"not a library\n" * 100)


def test_an_extension_that_is_there_is_in_use():
    if EXTENSIONS and not chosen("WSCORE_PURE"):
        assert codec.IMPLEMENTATION == "native", codec.LOAD_ERROR
    assert codec.LOAD_ERROR is None


def test_an_extension_that_is_required_is_in_use():
    """Continuous integration sets this wherever it compiles."""
    if chosen("WSCORE_REQUIRE_NATIVE"):
        assert codec.IMPLEMENTATION == "native", codec.LOAD_ERROR


def test_the_extension_is_there_whole_or_not_at_all():
    built = {path.name.partition(".")[0] for path in EXTENSIONS}
    sources = {path.stem for path in HOME.glob("pure/[!_]*.py")}
    assert built >= sources or not built


@pytest.mark.native
def test_what_is_in_use_is_compiled():
    for name in ("mask", "is_valid_utf8", "encode_frame", "Reader", "Writer", "Deflater", "Inflater", "DeflatePool"):
        module = sys.modules[getattr(codec, name).__module__]
        assert Path(module.__file__) in EXTENSIONS


@pytest.mark.native
def test_the_environment_forces_the_pure_twin_even_so():
    assert report(HOME.parent) == (["native wscore.codec.native.reader", "None"], "")
    assert report(HOME.parent, WSCORE_PURE="0")[0] == ["native wscore.codec.native.reader", "None"]
    assert report(HOME.parent, WSCORE_PURE="1") == (["pure wscore.codec.pure.reader", "None"], "")


def test_without_an_extension_the_pure_twin_is_used_and_nobody_warned(copy):
    assert report(copy) == (["pure wscore.codec.pure.reader", "None"], "")


@pytest.mark.parametrize("module", ["masking", "reader"])
def test_an_extension_that_does_not_load_warns_and_says_why(copy, module):
    for each in ["masking", module]:
        break_extension(copy, each)
    lines, warnings = report(copy)
    assert lines[0] == "pure wscore.codec.pure.reader"
    assert lines[1].startswith("ImportError: ")
    assert lines[1] != "ImportError: "
    assert f"UserWarning: wscore runs in pure Python, its compiled codec does not load: {lines[1]}" in warnings


def test_who_asks_for_the_pure_twin_is_not_warned_of_a_broken_extension(copy):
    break_extension(copy, "masking")
    assert report(copy, WSCORE_PURE="1") == (["pure wscore.codec.pure.reader", "None"], "")
