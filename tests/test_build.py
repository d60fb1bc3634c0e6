"""What an install builds: all compiled modules or none, and never a package that does not work."""

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

import wscore

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.checkout]
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
    for source in copy.glob("wscore/**/*.pyx"):
        source.with_suffix(".c").unlink(missing_ok=True)
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


def file_in(wheel: Path, name: str) -> bytes:
    """One of the files that say what a wheel is."""
    (path,) = [each for each in names_in(wheel) if each.endswith(f".dist-info/{name}")]
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(path)


def metadata_of(wheel: Path) -> Message:
    return message_from_bytes(file_in(wheel, "METADATA"))


def replace_native_modules(sources: Path, **modules: str) -> None:
    native = sources / "wscore" / "codec" / "native"
    for path in sources.glob("wscore/**/*.p[yx][xd]"):
        path.unlink()
    for name, text in modules.items():
        (native / f"{name}.pyx").write_text(text, encoding="utf-8")


def test_a_pure_wheel_is_for_every_machine(sources: Path) -> None:
    wheel = built(sources, "build_wheel", WSCORE_PURE="1")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert compiled_in(wheel) == set()


def test_a_wheel_has_every_module_and_what_type_checkers_cython_and_the_program_read(sources: Path) -> None:
    names = names_in(built(sources, "build_wheel", WSCORE_PURE="1"))
    endings = ("*.py", "*.pyi", "*.pxd", "*.pxi", "*.html", "py.typed")
    wanted = {path.relative_to(ROOT).as_posix() for ending in endings for path in ROOT.glob(f"wscore/**/{ending}")}
    assert wanted - names == set()
    assert {name for name in names if name.endswith((".c", ".pyx"))} == set()


def test_what_is_published_needs_nothing_and_names_no_other_library(sources: Path) -> None:
    wheel = built(sources, "build_wheel", WSCORE_PURE="1")
    metadata = metadata_of(wheel)
    needed = metadata.get_all("Requires-Dist") or []
    assert wheel.name.startswith("wscore_websockets-")
    assert (metadata["Name"], metadata["Version"]) == ("wscore-websockets", wscore.__version__)
    assert [each for each in needed if "extra == " not in each] == []
    assert set(metadata.get_all("Provides-Extra") or ()) == {"trio", "client", "server", "auth", "metrics", "test"}
    rivals = r"(websockets|picows|aiohttp|wsproto|uvicorn|httptools|hypercorn|starlette|fastapi|wsaccel)\b"
    assert [each for each in needed if re.match(rivals, each)] == []


def test_the_page_of_the_package_leads_to_its_sources(sources: Path) -> None:
    metadata = metadata_of(built(sources, "build_wheel", WSCORE_PURE="1"))
    urls = dict(each.split(", ") for each in metadata.get_all("Project-URL") or ())
    assert {"Source", "Documentation", "Changelog", "Security"} <= set(urls)
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    links = re.findall(r"(!?)\[[^\[\]]*\]\(([^)]+)\)", metadata.get_payload(decode=True).decode())
    assert len(links) > 10
    assert [link for _, link in links if not re.match(r"https?://", link)] == []
    assert ("", f"{urls['Source']}/blob/v{wscore.__version__}/docs/index.md") in links
    assert ("", f"{urls['Source']}/blob/v{wscore.__version__}/README.md#the-reactor") in links
    assert ("!", f"{urls['Source']}/raw/v{wscore.__version__}/benchmarks/results/receive.svg") in links


def test_without_a_compiler_the_wheel_is_pure_and_says_so(sources: Path) -> None:
    run = call(sources, "build_wheel", CC="/no/compiler")
    assert run.returncode == 0
    assert "the compiled codec could not be built" in run.stderr
    (wheel,) = (sources / "built").iterdir()
    assert compiled_in(wheel) == set()
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "Root-Is-Purelib: true" in file_in(wheel, "WHEEL").decode()


def test_without_a_compiler_a_required_build_fails(sources: Path) -> None:
    assert call(sources, "build_wheel", CC="/no/compiler", WSCORE_REQUIRE_NATIVE="1").returncode != 0


@pytest.mark.native
@pytest.mark.compiler
def test_with_a_compiler_modules_are_built(sources: Path) -> None:
    replace_native_modules(sources, good=GOOD)
    wheel = built(sources, "build_wheel")
    assert compiled_in(wheel) == {"good"}
    assert "none-any" not in wheel.name
    assert "Root-Is-Purelib: false" in file_in(wheel, "WHEEL").decode()


@pytest.mark.native
@pytest.mark.parametrize("order", [("a_good", "b_broken"), ("b_good", "a_broken")])
def test_half_a_build_leaves_nothing(sources: Path, order: tuple[str, str]) -> None:
    good, broken = order
    replace_native_modules(sources, **{good: GOOD, broken: BROKEN})
    wheel = built(sources, "build_wheel")
    assert compiled_in(wheel) == set()
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.native
def test_an_editable_install_whose_build_fails_removes_what_an_earlier_one_left(sources: Path) -> None:
    replace_native_modules(sources, good=GOOD)
    built(sources, "build_editable")
    assert list(sources.glob("wscore/codec/native/good.*.so"))
    assert call(sources, "build_editable", CC="/no/compiler").returncode == 0
    assert list(sources.glob("wscore/codec/native/*.so")) == []


def test_a_zlib_ng_that_is_not_there_is_an_error_and_not_passed_over(sources: Path) -> None:
    """Whoever asks for it would not notice that it is missing until he measures."""
    run = call(sources, "build_wheel", WSCORE_ZLIB_NG=str(sources / "nowhere"))
    assert run.returncode != 0
    assert ".ci/zlib_ng.py" in run.stderr


@pytest.mark.native
@pytest.mark.skipif(sys.platform == "win32", reason="builds a static library with cc and ar")
def test_zlib_ng_is_linked_into_deflate_and_stays_inside(sources: Path, tmp_path: Path) -> None:
    """Python loads a zlib of its own: what either exports the other could call by mistake."""
    library(tmp_path / "zlib-ng", 'const char* zlibVersion(void) { return "linked in"; }\n')
    write_bill(tmp_path / "zlib-ng")
    extern = 'cdef extern from "zlib.h":\n    const char* zlibVersion()\n\n'
    replace_native_modules(sources, deflate=f"{extern}def answer():\n    return zlibVersion()\n")
    with zipfile.ZipFile(built(sources, "build_wheel", WSCORE_ZLIB_NG=str(tmp_path / "zlib-ng"))) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".so")]
        path = wheel.extract(name, tmp_path)
        assert [name for name in wheel.namelist() if name.endswith(".dist-info/sboms/stand-in.cdx.json")]
    spec = importlib.util.spec_from_file_location("deflate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.answer() == b"linked in"
    if sys.platform == "linux":
        assert not hasattr(ctypes.CDLL(path), "zlibVersion")


def test_a_pure_wheel_does_not_say_that_it_has_a_library(sources: Path, tmp_path: Path) -> None:
    write_bill(tmp_path / "zlib-ng")
    wheel = built(sources, "build_wheel", WSCORE_ZLIB_NG=str(tmp_path / "zlib-ng"), WSCORE_PURE="1")
    assert [name for name in names_in(wheel) if "/sboms/" in name] == []


def write_bill(prefix: Path) -> None:
    (prefix / "share" / "sbom").mkdir(parents=True)
    (prefix / "share" / "sbom" / "stand-in.cdx.json").write_text("{}", encoding="utf-8")


def library(prefix: Path, source: str) -> None:
    """Install a stand-in for zlib-ng."""
    for folder in ("include", "lib"):
        (prefix / folder).mkdir(parents=True)
    (prefix / "include" / "zlib.h").write_text("const char* zlibVersion(void);\n", encoding="utf-8")
    (prefix / "z.c").write_text(source, encoding="utf-8")
    subprocess.run(["cc", "-fPIC", "-c", "z.c", "-o", "z.o"], cwd=prefix, check=True)
    subprocess.run(["ar", "rcs", "lib/libz.a", "z.o"], cwd=prefix, check=True)


def test_the_source_distribution_has_what_a_build_needs_and_nothing_generated(sources: Path) -> None:
    with tarfile.open(built(sources, "build_sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    generated = {path.with_suffix(".c").relative_to(ROOT).as_posix() for path in ROOT.glob("wscore/**/*.pyx")}
    generated |= {f"wscore/session/{path.stem}.c" for path in ROOT.glob("wscore/session/native/*.pxd")}
    endings = ("*.pyx", "*.pxd", "*.pxi", "*.h", "*.c", "*.map")
    wanted = {path.relative_to(ROOT).as_posix() for ending in endings for path in ROOT.glob(f"wscore/**/{ending}")}
    assert {f"wscore/transport/reactor/{name}" for name in ("epoll.c", "kqueue.c", "poller.h")} <= wanted
    assert wanted - generated | {"setup.py", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md"} <= names
    assert {name for name in names if name in generated or name.endswith(".so")} == set()


def test_the_source_distribution_has_what_the_documentation_is_made_of(sources: Path) -> None:
    for name in ("docs", "benchmarks", "tests"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("*.so", "__pycache__", "build"))
    with tarfile.open(built(sources, "build_sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    command = ["git", "ls-files", "docs", "benchmarks", "tests"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    wanted = set(listed.stdout.split("\n")) - {""}
    if listed.returncode or not wanted:
        pytest.skip("this is no clone")
    assert sorted(wanted - names) == []
