"""Run the codec's tests on another processor, emulated by qemu: the compiled codec, on Debian's Python for it.

    python .ci/emulated.py s390x                    # big-endian
    python .ci/emulated.py arm64 tests/codec        # what to run, with any options of pytest

Fetches Debian's python3 and zlib for that architecture with apt, unpacks them (nothing is installed), compiles what
Cython makes of the codec with a cross compiler, and runs pytest; of the libraries it needs pip fetches versions that
are pure Python. The reactor is left out: what it asks of the kernel, qemu does not do faithfully.

Needs apt, dpkg, pip, Cython, and Debian's qemu-user, gcc-aarch64-linux-gnu and gcc-s390x-linux-gnu. Works in
build/emulated, and uses what it finds there again.
"""

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "emulated"
NATIVE = ROOT / "wscore" / "codec" / "native"
KERNELS = ROOT / "wscore" / "codec" / "kernels"
PACKAGES = ["python3", "libpython3-dev", "zlib1g-dev", "libc6"]
LIBRARIES = ["pytest", "hypothesis", "trio", "h11", "typing_extensions"]
# But for what compiles: there is no compiler on that machine.
CIMPORT = "tests/codec/test_native_cimport.py"
TESTS = ["tests/codec", "tests/protocol", f"--ignore={CIMPORT}", "-p", "no:cacheprovider", "-q"]


@dataclass(frozen=True)
class Machine:
    """What Debian, GNU and qemu call it."""

    debian: str
    gnu: str
    qemu: str

    @property
    def sysroot(self) -> Path:
        return WORK / self.debian / "root"


MACHINES = {
    "arm64": Machine("arm64", "aarch64-linux-gnu", "qemu-aarch64"),
    "s390x": Machine("s390x", "s390x-linux-gnu", "qemu-s390x"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the codec's tests on another processor, emulated.")
    parser.add_argument("machine", choices=MACHINES)
    parser.add_argument("pytest", nargs=argparse.REMAINDER, help=f"what pytest is told, instead of {' '.join(TESTS)}")
    arguments = parser.parse_args()
    machine = MACHINES[arguments.machine]
    if not (machine.sysroot / "usr").exists():
        fetch(machine)
    tree = WORK / machine.debian / "tree"
    copy_sources(tree)
    for source in sorted(NATIVE.glob("*.pyx")):
        build(machine, source, tree)
    raise SystemExit(run_tests(machine, tree, arguments.pytest or TESTS))


def fetch(machine: Machine) -> None:
    """Debian's packages for `machine`, of the release that this machine has, unpacked."""
    state = WORK / machine.debian / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = {
        "APT::Architecture": machine.debian,
        "APT::Architectures": machine.debian,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Dir::State": f"{state}/state",
        "Dir::State::status": f"{state}/status",
        "Dir::Cache": f"{state}/cache",
    }
    apt = ["apt-get", "-q", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    run([*apt, "update"])
    run([*apt, "--yes", "--download-only", "install", *PACKAGES])
    for package in sorted((state / "cache" / "archives").glob("*.deb")):
        run(["dpkg", "--extract", str(package), str(machine.sysroot)])
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target", str(libraries(machine))]
    run([*pip, "--platform", "any", "--only-binary", ":all:", *LIBRARIES])


def libraries(machine: Machine) -> Path:
    return WORK / machine.debian / "libraries"


def copy_sources(tree: Path) -> None:
    """The Python of the package and its tests, without anything compiled for this machine."""
    shutil.rmtree(tree, ignore_errors=True)
    compiled = shutil.ignore_patterns("*.so", "*.c", "*.pyc", "__pycache__")
    for folder in ("wscore", "tests"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=compiled)
    shutil.copy(ROOT / "pyproject.toml", tree)


def build(machine: Machine, source: Path, tree: Path) -> None:
    """One module of the codec, translated here and compiled for `machine`."""
    translated = WORK / f"{source.stem}.c"
    run([sys.executable, "-m", "cython", "-3", str(source.relative_to(ROOT)), "-o", str(translated)])
    usr = machine.sysroot / "usr"
    (headers,) = (usr / "include").glob("python3.*")
    sources = [translated, *(sorted(KERNELS.glob("*.c")) if source.stem == "kernels" else ())]
    # Last, so that the headers of C are the compiler's own.
    there = [f"-idirafter{folder}" for folder in (usr / "include", usr / "include" / machine.gnu)]
    run(
        [
            f"{machine.gnu}-gcc",
            *("-shared", "-fPIC", "-O2", "-w", f"-I{KERNELS}", f"-I{headers}", *there),
            *map(str, sources),
            *("-o", str(tree / "wscore" / "codec" / "native" / f"{source.stem}.so")),
            # Named in full: beside it lies another C library.
            *([str(next(machine.sysroot.glob("**/libz.so.1")))] if source.stem == "deflate" else []),
        ]
    )


def python_of(machine: Machine) -> str:
    """A program of this machine's that is Python there: tests start it, too, by the name that it has from here."""
    there = next(path for path in sorted((machine.sysroot / "usr/bin").glob("python3.*")) if path.name[8:].isdigit())
    program = WORK / machine.debian / "python"
    program.write_text(f'#!/bin/sh\nexec {machine.qemu} -L {machine.sysroot} -0 "$0" {there} "$@"\n')
    program.chmod(0o755)
    return str(program)


def run_tests(machine: Machine, tree: Path, arguments: list[str]) -> int:
    python = python_of(machine)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONHOME": str(machine.sysroot / "usr"),
        "PYTHONPATH": os.pathsep.join([str(tree), str(libraries(machine))]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "WSCORE_REQUIRE_NATIVE": "1",
    }
    about = "import platform, sys, wscore.codec as c; print(platform.machine(), sys.byteorder, sys.version.split()[0], "
    run([python, "-c", about + "c.IMPLEMENTATION, c.KERNEL, c.DEFLATE_LIBRARY)"], cwd=tree, env=environment)
    return subprocess.run([python, "-m", "pytest", *arguments], cwd=tree, env=environment).returncode


def run(command: list[str], cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env)
    if done.returncode:
        raise SystemExit(f"this failed: {' '.join(command)}")


if __name__ == "__main__":
    main()
