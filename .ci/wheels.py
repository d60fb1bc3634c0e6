"""Build wheels as they are released, look into them, and run the tests against them; no container is needed.

    python .ci/wheels.py

The source distribution, twice: both must be the same bytes. From it a wheel for each Python, which Zig compiles for an
old glibc, with zlib-ng inside, and the pure one. auditwheel names the tag that each has earned, .ci/inspect_wheels.py
looks into them, and each is installed into an empty environment without a compiler on the path, where `wscore serve`
answers and the tests run, from a source distribution without the package: what they import is the wheel. `--quick`
takes one Python, and those tests that tell whether a wheel is whole; it builds no wheel twice, and no pure one.

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
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CI = ROOT / ".ci"
# Of what this machine runs; others are for cibuildwheel.
GLIBC = (2, 17)
TAG = "manylinux_{}_{}_x86_64".format(*GLIBC)
TARGET = "x86_64-linux-gnu.{}.{}".format(*GLIBC)
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
QUICK = ("tests/codec", "tests/kernels", "tests/test_extension_loaded.py", "tests/test_bill_of_materials.py")
IMPORTS = 15

PROGRAMS = {"cc": f"cc -target {TARGET}", "ar": "ar", "ranlib": "ranlib"}
BUILDING = {"WSCORE_REQUIRE_NATIVE": "1", "CFLAGS": "-g0", "LDFLAGS": "-s"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Build, inspect and test wheels.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder to put them into; older ones go")
    parser.add_argument("--python", action="append", help="build for this one, instead of all that are found")
    parser.add_argument("--tools", type=Path, help="keep the tools that .ci/tools.txt names in this folder")
    parser.add_argument("--quick", action="store_true", help="one Python, and few tests")
    arguments = parser.parse_args()
    pythons = arguments.python or ([sys.executable] if arguments.quick else found_pythons())
    for old in releases(arguments.out):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="wscore-wheels-") as work:
        tools = environment(arguments.tools or Path(work, "tools"), sys.executable, "-r", str(CI / "tools.txt"))
        os.environ.setdefault("SOURCE_DATE_EPOCH", output("git", "log", "-1", "--format=%ct"))
        sdist = reproducible_sdist(tools, Path(work), arguments.out)
        build = partial(compiled_wheel, tools, sdist, with_zig_and_zlib_ng(tools, Path(work)))
        wheels = [(build(python, arguments.out), python) for python in pythons]
        if not arguments.quick:
            must_be_equal(wheels[0][0], build(pythons[0], Path(work, "built-again")))
            wheels.append((pure_wheel(sdist, pythons[0], arguments.out), pythons[0]))
        say("what is in them")
        run(tools / "python", CI / "inspect_wheels.py", *releases(arguments.out))
        for built, python in wheels:
            try_out(built, sdist, python, Path(work, "tried", built.name), QUICK if arguments.quick else ())


def releases(folder: Path) -> list[Path]:
    return sorted(path for ending in ("*.tar.gz", "*.whl") for path in folder.glob(ending))


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
    (sdist,), (again,) = releases(out), releases(work / "again")
    must_be_equal(sdist, again)
    return sdist


def with_zig_and_zlib_ng(tools: Path, work: Path) -> dict[str, str]:
    """Return the environment that wheels are built in."""
    building = BUILDING | zig(tools, work / "zig") | {"WSCORE_ZLIB_NG": str(work / "zlib-ng")}
    say("zlib-ng")
    run(sys.executable, CI / "zlib_ng.py", work / "zlib-ng", env=building, quiet=True)
    return building


def zig(tools: Path, folder: Path) -> dict[str, str]:
    """Put Zig's compiler where builds look for one; they find no other by these names."""
    folder.mkdir()
    for name, command in PROGRAMS.items():
        (folder / name).write_text(f'#!/bin/sh\nexec "{tools / "python"}" -m ziglang {command} "$@"\n')
        (folder / name).chmod(0o755)
    compiler = str(folder / "cc")
    return {"CC": compiler, "LDSHARED": f"{compiler} -shared", "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def compiled_wheel(tools: Path, sdist: Path, building: dict[str, str], python: str, out: Path) -> Path:
    """Build the wheel, and have auditwheel see whether it runs wherever its tag will say, and write the tag."""
    say(f"a wheel for {output(python, '--version')}")
    with tempfile.TemporaryDirectory() as raw:
        built = wheel(python, sdist, Path(raw), building)
        path = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        run(tools / "auditwheel", "repair", "--plat", TAG, "--wheel-dir", Path(raw, "out"), built, env=path, quiet=True)
        return moved(Path(raw, "out"), out)


def pure_wheel(sdist: Path, python: str, out: Path) -> Path:
    say("the pure wheel")
    with tempfile.TemporaryDirectory() as raw:
        wheel(python, sdist, Path(raw), {"WSCORE_PURE": "1"})
        return moved(Path(raw, "built"), out)


def wheel(python: str, sdist: Path, folder: Path, env: dict[str, str]) -> Path:
    pip = environment(folder / "venv", python) / "python", "-m", "pip"
    run(*pip, "wheel", "--quiet", "--no-cache-dir", "--no-deps", "--wheel-dir", folder / "built", sdist, env=env)
    (built,) = (folder / "built").iterdir()
    return built


def moved(folder: Path, out: Path) -> Path:
    """Move the only file in `folder`."""
    out.mkdir(exist_ok=True)
    (built,) = folder.iterdir()
    return Path(shutil.move(built, out))


def try_out(path: Path, sdist: Path, python: str, folder: Path, tests: Iterable[str]) -> None:
    """Install the wheel where there is no compiler, and use it."""
    say(f"{path.name}, installed")
    bin_folder = environment(folder / "venv", python, f"{path}[server]")
    implementation = "pure" if "-none-any" in path.name else "native"
    required = {"WSCORE_PURE": "", "WSCORE_REQUIRE_NATIVE": "1" if implementation == "native" else ""}
    alone = {"PATH": str(bin_folder), "CI": ""} | required
    must_run(bin_folder, implementation, alone)
    run(bin_folder / "python", "-m", "pip", "install", "--quiet", f"{path}[test]")
    pytest = bin_folder / "python", "-m", "pytest", "-q", "-n", "auto"
    run(*pytest, *tests, cwd=unpacked_without_package(sdist, folder), env=alone)


def must_run(bin_folder: Path, implementation: str, env: dict[str, str]) -> None:
    """As README has it installed, and say what it is."""
    said = output(bin_folder / "wscore", "--version", env=env)
    print(said, f"import wscore.codec: {import_time(bin_folder / 'python'):.1f} ms", sep="\n", flush=True)
    if f", {implementation}, " not in said:
        raise SystemExit(f"it should have been {implementation}")
    with served(bin_folder / "wscore", env) as address:
        print(urllib.request.urlopen(f"{address}/healthz", timeout=10).read().decode(), flush=True)


def unpacked_without_package(sdist: Path, folder: Path) -> Path:
    """What is left when the sources are gone: tests, and what they read."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    sources = folder / sdist.name.removesuffix(".tar.gz")
    # Python would take the second for what is installed.
    for name in ("wscore", "wscore_websockets.egg-info"):
        shutil.rmtree(sources / name)
    return sources


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
            subprocess.run([python, "-P", "-c", program], check=True)
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
