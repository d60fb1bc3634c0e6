"""Build wheels as they are released, look into them, and run the tests against them; no container is needed.

    python .ci/wheels.py

The source distribution, twice: both must be the same bytes. From it a wheel for each Python, which Zig compiles for an
old glibc, with zlib-ng inside, and the pure one. auditwheel names the tag that each has earned, .ci/inspect_wheels.py
looks into them, and each is installed into an empty environment without a compiler on the path, where `wscore serve`
answers and the tests run from a copy of `tests`: what they import is the wheel. `--quick` takes one Python, and those
tests that tell whether a wheel is whole; it builds no wheel twice, and no pure one.

Decides how wheels are compiled on this machine, nothing about those of other systems: cibuildwheel makes these, see
pyproject.toml. Needs pip and CMake; fetches what .ci/tools.txt names.
"""

import argparse
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CI = ROOT / ".ci"
# Of what this machine runs; others are for cibuildwheel.
GLIBC = (2, 17)
TAG = "manylinux_{}_{}_x86_64".format(*GLIBC)
TARGET = "x86_64-linux-gnu.{}.{}".format(*GLIBC)
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
TESTS = ("tests", "pyproject.toml", "README.md")
QUICK = ("tests/codec", "tests/protocol", "tests/test_extension_loaded.py", "tests/test_bill_of_materials.py")
IMPORTS = 15

PROGRAMS = {"cc": f"cc -target {TARGET}", "ar": "ar", "ranlib": "ranlib"}
BUILDING = {"WSCORE_REQUIRE_NATIVE": "1", "CFLAGS": "-g0", "LDFLAGS": "-s"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Build, inspect and test wheels.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder to put them into, emptied before")
    parser.add_argument("--python", action="append", help="build for this one, instead of all that are found")
    parser.add_argument("--tools", type=Path, help="keep the tools that .ci/tools.txt names in this folder")
    parser.add_argument("--quick", action="store_true", help="one Python, and few tests")
    arguments = parser.parse_args()
    pythons = arguments.python or ([sys.executable] if arguments.quick else found_pythons())
    shutil.rmtree(arguments.out, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="wscore-wheels-") as work:
        tools = environment(arguments.tools or Path(work, "tools"), sys.executable, "-r", str(CI / "tools.txt"))
        os.environ.setdefault("SOURCE_DATE_EPOCH", output("git", "log", "-1", "--format=%ct"))
        sdist = reproducible_sdist(tools, Path(work), arguments.out)
        building = with_zig_and_zlib_ng(tools, Path(work))
        wheels = build_wheels(tools, Path(work), sdist, pythons, arguments.out, building)
        if not arguments.quick:
            build_again(tools, Path(work), sdist, pythons[0], wheels[0][0], building)
            wheels.append((build_pure(sdist, pythons[0], arguments.out), pythons[0]))
        say("what is in them")
        run(tools / "python", CI / "inspect_wheels.py", *sorted(arguments.out.iterdir()))
        for built, python in wheels:
            try_out(built, python, Path(work, "tried", built.name), arguments.quick)


def found_pythons() -> list[str]:
    """The newest of each version that has been released for, on the path or pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = [[*pyenv.glob(f"{version}.*/bin/python"), shutil.which(f"python{version}")] for version in VERSIONS]
    working = [[str(path) for path in of_version if path and works(path)] for of_version in candidates]
    return [of_version[0] for of_version in working if of_version]


def works(python: str | Path) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def reproducible_sdist(tools: Path, work: Path, out: Path) -> Path:
    """Build it twice, some time apart: the files of the second one are younger."""
    say("the source distribution")
    for folder in (out, work / "again"):
        run(tools / "python", CI / "sdist.py", folder, "--no-isolation")
    (sdist,), (again,) = out.iterdir(), (work / "again").iterdir()
    must_be_equal(sdist, again)
    return sdist


def with_zig_and_zlib_ng(tools: Path, work: Path) -> dict[str, str]:
    """Return the environment that wheels are built in."""
    building = BUILDING | zig(tools, work / "zig") | {"WSCORE_ZLIB_NG": str(work / "zlib-ng")}
    say("zlib-ng")
    run(sys.executable, CI / "zlib_ng.py", work / "zlib-ng", env=building, quiet=True)
    return building


def build_wheels(
    tools: Path, work: Path, sdist: Path, pythons: list[str], out: Path, building: dict[str, str]
) -> list[tuple[Path, str]]:
    """Build the compiled wheels, each with the Python to try it on."""
    wheels = []
    for python in pythons:
        say(f"a wheel for {output(python, '--version')}")
        wheels.append((repaired(tools, wheel(python, sdist, work / "raw", building), out), python))
    return wheels


def build_again(tools: Path, work: Path, sdist: Path, python: str, first: Path, building: dict[str, str]) -> None:
    say("the first of them again")
    again = repaired(tools, wheel(python, sdist, work / "raw-again", building), work / "repaired-again")
    must_be_equal(first, again)


def build_pure(sdist: Path, python: str, out: Path) -> Path:
    say("the pure wheel")
    return wheel(python, sdist, out, {"WSCORE_PURE": "1"})


def zig(tools: Path, folder: Path) -> dict[str, str]:
    """Put Zig's compiler where builds look for one; they find no other by these names."""
    folder.mkdir()
    for name, command in PROGRAMS.items():
        (folder / name).write_text(f'#!/bin/sh\nexec "{tools / "python"}" -m ziglang {command} "$@"\n')
        (folder / name).chmod(0o755)
    compiler = str(folder / "cc")
    return {"CC": compiler, "LDSHARED": f"{compiler} -shared", "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def wheel(python: str, sdist: Path, folder: Path, env: dict[str, str]) -> Path:
    with tempfile.TemporaryDirectory() as empty:
        pip = [environment(Path(empty, "venv"), python) / "python", "-m", "pip", "wheel", "--quiet", "--no-cache-dir"]
        run(*pip, "--no-deps", "--wheel-dir", Path(empty, "wheel"), sdist, env=env)
        (built,) = Path(empty, "wheel").iterdir()
        folder.mkdir(exist_ok=True)
        return Path(shutil.move(built, folder))


def repaired(tools: Path, raw: Path, out: Path) -> Path:
    """Let auditwheel check that the wheel runs wherever its tag says, and write the tag."""
    before = set(out.glob("*.whl"))
    path = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    run(tools / "auditwheel", "repair", "--plat", TAG, "--wheel-dir", out, raw, env=path, quiet=True)
    (built,) = set(out.glob("*.whl")) - before
    return built


def try_out(path: Path, python: str, folder: Path, quick: bool) -> None:
    """Install the wheel where there is no compiler, and use it."""
    say(f"{path.name}, installed")
    bin_folder = environment(folder / "venv", python, str(path))
    alone = {"PATH": str(bin_folder), "CI": "", "WSCORE_REQUIRE_NATIVE": "" if "-none-any" in path.name else "1"}
    implementation = "pure" if "-none-any" in path.name else "native"
    said = output(bin_folder / "wscore", "--version", env=alone)
    print(said, f"\nimport wscore.codec: {import_time(bin_folder / 'python'):.1f} ms", flush=True)
    if f", {implementation}, " not in said:
        raise SystemExit(f"it should have been {implementation}")
    with served(bin_folder / "wscore", alone) as address:
        print(urllib.request.urlopen(f"{address}/healthz", timeout=10).read().decode(), flush=True)
    run(bin_folder / "python", "-m", "pip", "install", "--quiet", f"{path}[test]")
    for name in TESTS:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    run(bin_folder / "python", "-m", "pytest", "-q", *(("-n", "auto", *QUICK) if quick else ()), cwd=folder, env=alone)


@contextmanager
def served(program: Path, env: dict[str, str]) -> Iterator[str]:
    """`wscore serve`, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with subprocess.Popen([program, "serve", "--port", str(port)], env=os.environ | env) as server:
        try:
            until_answering(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def until_answering(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
    raise SystemExit("wscore serve does not answer")


def import_time(python: Path) -> float:
    """Milliseconds that the import takes beyond the interpreter's start: medians of alternating runs, subtracted."""
    times: dict[str, list[float]] = {"pass": [], "import wscore.codec": []}
    for _ in range(IMPORTS):
        for program, taken in times.items():
            start = time.perf_counter()
            subprocess.run([python, "-c", program], check=True)
            taken.append(time.perf_counter() - start)
    without, beside = (sorted(taken)[IMPORTS // 2] for taken in times.values())
    return (beside - without) * 1000


def environment(folder: Path, python: str, *packages: str) -> Path:
    """Make an empty environment, and return the folder of its programs."""
    folder = folder.absolute()
    run(python, "-m", "venv", folder)
    if packages:
        run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages)
    return folder / "bin"


def must_be_equal(one: Path, other: Path) -> None:
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, other)]
    print(f"{digests[0]}  {one.name}", flush=True)
    if digests[0] != digests[1]:
        raise SystemExit(f"built a second time it is another one: {other.name}, {digests[1]}")


def say(text: str) -> None:
    print(f"\n== {text} ({time.monotonic() - START:.0f} s)", flush=True)


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None, quiet: bool = False) -> None:
    done = subprocess.run(command, env=os.environ | (env or {}), cwd=cwd, capture_output=quiet, text=True)
    if done.returncode:
        raise SystemExit(f"{(done.stdout or '') + (done.stderr or '')}\nthis failed: {' '.join(map(str, command))}")


def output(*command: str | Path, env: dict[str, str] | None = None) -> str:
    env = os.environ | (env or {})
    return subprocess.run(command, env=env, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


START = time.monotonic()

if __name__ == "__main__":
    main()
