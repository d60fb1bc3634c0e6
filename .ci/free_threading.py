"""Test wscore on a free-threaded CPython (PEP 703) that this builds, by itself or under ThreadSanitizer.

    python .ci/free_threading.py build/free-threaded
    python .ci/free_threading.py --thread-sanitizer build/thread-sanitizer

Takes the sources of CPython from Debian, by `apt-get source python3.14`, for which apt needs a `deb-src` line for sid
or testing, or from the folder that `--sources` names; configures them with `--disable-gil`; installs the interpreter,
wscore and what its tests need below the folder given; and runs the tests of the codec, the protocol and the transport,
or what comes after `--`. An interpreter that is there already is used again.

Under ThreadSanitizer only tests of threads run, unless `--` says otherwise. Any race fails them, but for those that
CPython's own list expects, and for a caller's memory to which the caller writes while we read it.

Needs a C compiler, make, and the headers of zlib, OpenSSL and libffi; for ThreadSanitizer Clang, and llvm-symbolizer.
"""

import argparse
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "python3.14"
REQUIREMENTS = ["setuptools>=77", "Cython>=3.3,<4", "pytest>=8", "hypothesis>=6.100", "trio>=0.30", "h11>=0.16"]
# What has to be compiled for the interpreter: tests that need it are left out under ThreadSanitizer.
COMPILED_REQUIREMENTS = ["trustme>=1.2", "prometheus-client>=0.21", "PyJWT[crypto]>=2.12"]
THREADS = [
    "tests/codec/test_threads.py",
    "tests/protocol/test_connection_threads.py",
    "tests/server/test_trio_runs_in_threads.py",
    "tests/adapters/asyncio/test_asyncio_threads.py",
]
TESTS = ["tests/codec", "tests/protocol", "tests/transport", *THREADS[2:], "-q"]
# A caller's bytearray may be written to while we read it: that race is the caller's.
CALLERS = "race:bytearray\nrace:memory_ass_sub\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Test wscore on a free-threaded CPython.")
    parser.add_argument("folder", type=Path, help="where the interpreter is, or will be")
    parser.add_argument("--thread-sanitizer", action="store_true", help="build all of it with Clang's")
    parser.add_argument("--long", action="store_true", help="let threads go on for longer")
    parser.add_argument("--sources", type=Path, help="CPython's sources, instead of Debian's")
    parser.add_argument("pytest", nargs="*", help="what pytest is told, after --")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    sources = arguments.sources.absolute() if arguments.sources else folder / "sources"
    os.environ.update(environment(folder, arguments.thread_sanitizer))
    if not (folder / "bin" / "python3").exists():
        if not sources.exists():
            fetch(sources)
        build(sources, folder, arguments.thread_sanitizer)
    if arguments.thread_sanitizer:
        expected = (sources / "Tools" / "tsan" / "suppressions_free_threading.txt").read_text()
        (folder / "races.txt").write_text(expected + CALLERS)
    python = installed(folder, arguments.thread_sanitizer)
    tests = arguments.pytest or (THREADS if arguments.thread_sanitizer else TESTS) + ["--long"] * arguments.long
    os.environ["TSAN_OPTIONS"] = os.environ["TSAN_OPTIONS"].replace("report_bugs=0", "exitcode=66")
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", *tests]
    raise SystemExit(subprocess.run(command, cwd=folder / "wscore", env=os.environ).returncode)


def environment(folder: Path, thread_sanitizer: bool) -> dict[str, str]:
    """What builds run in. Nobody wants to hear of races in `make install` and pip."""
    options = f"report_bugs=0:suppressions={folder / 'races.txt'}:history_size=4"
    common = {"TSAN_OPTIONS": options, "WSCORE_REQUIRE_NATIVE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if not thread_sanitizer:
        return common
    (folder / "races.txt").touch()
    names = ["clang", *(f"clang-{version}" for version in range(30, 13, -1))]
    clang = next((name for name in names if shutil.which(name)), None)
    if clang is None:
        raise SystemExit("there is no clang")
    return common | {"CC": clang, "CXX": clang.replace("clang", "clang++")}


def fetch(sources: Path) -> None:
    """Debian's sources, without its patches: those are for its own ways of installing."""
    work = sources.with_name("debian")
    work.mkdir(exist_ok=True)
    run(["apt-get", "source", "--download-only", "--tar-only", PACKAGE], cwd=work)
    (archive,) = work.glob("*.orig.tar.xz")
    sources.mkdir()
    run(["tar", "-xJf", str(archive), "-C", str(sources), "--strip-components=1"])


def build(sources: Path, folder: Path, thread_sanitizer: bool) -> None:
    work = folder / "build"
    work.mkdir(exist_ok=True)
    options = ["--disable-gil", "--disable-test-modules", *(["--with-thread-sanitizer"] if thread_sanitizer else [])]
    run([str(sources / "configure"), "-q", f"--prefix={folder}", *options], cwd=work)
    run(["make", "-s", f"-j{os.cpu_count()}"], cwd=work)
    run(["make", "-s", "install"], cwd=work)


def installed(folder: Path, thread_sanitizer: bool) -> str:
    """The interpreter, after a copy of wscore was installed for it."""
    python = str(folder / "bin" / "python3")
    pip = [python, "-m", "pip", "install", "-q", "--root-user-action=ignore"]
    run([*pip, *REQUIREMENTS, *(() if thread_sanitizer else COMPILED_REQUIREMENTS)])
    copy = folder / "wscore"
    shutil.rmtree(copy, ignore_errors=True)
    translated = (f"{path.stem}.c" for kind in ("pyx", "pxd") for path in ROOT.glob(f"wscore/**/*.{kind}"))
    ignored = shutil.ignore_patterns("*.so", "__pycache__", *translated)
    for name in ("wscore", "tests", ".ci"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy)
    flags = {"CFLAGS": "-fsanitize=thread -g -O1", "LDFLAGS": "-fsanitize=thread"} if thread_sanitizer else {}
    run([*pip, "--no-deps", "--no-build-isolation", "-e", str(copy)], env=os.environ | flags)
    about = "import sys, wscore.codec as c; print(sys.version, c.IMPLEMENTATION, sys._is_gil_enabled())"
    run([python, "-c", about], cwd=copy)
    return python


def run(command: list[str], cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env)
    if done.returncode:
        raise SystemExit(f"this failed: {' '.join(command)}")


if __name__ == "__main__":
    main()
