"""Compile on any machine what of wscore is only compiled on macOS, with Zig, which brings Apple's C headers.

    python .ci/macos.py

The poller on kqueue, the test of pollers and the reactor's modules, as Cython translates them, are compiled for both
processors of Apple's; Python's own headers are this machine's. In what is written by hand a warning is an error.
Nothing is linked or run: that is done by the job for macOS in .github/workflows/ci.yml.

Needs pip and Cython. Fetches Zig, some 100 MB, unless `--zig` names one.
"""

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PINNED = "ziglang==0.17.1"
TARGETS = ("aarch64-macos", "x86_64-macos")

ROOT = Path(__file__).resolve().parent.parent
REACTOR = ROOT / "wscore" / "transport" / "reactor"
KERNELS = ROOT / "wscore" / "codec" / "kernels"
BY_HAND = [REACTOR / "kqueue.c", REACTOR / "epoll.c", ROOT / "tests" / "transport" / "poller_test.c"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compile the reactor for macOS.")
    parser.add_argument("--zig", help="the program, instead of the one that pip fetches")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        zig = [arguments.zig] if arguments.zig else fetched(Path(work, "zig"))
        modules = [translated(source, Path(work)) for source in sorted(REACTOR.glob("*.pyx"))]
        for target in TARGETS:
            compiler = [*zig, "cc", "-target", target, "-c", "-O0", f"-I{REACTOR}", f"-I{KERNELS}"]
            for source in BY_HAND:
                run([*compiler, "-Wall", "-Wextra", "-Werror", str(source), "-o", f"{work}/object.o"])
            for module in modules:
                run([*compiler, "-w", f"-I{sysconfig.get_path('include')}", str(module), "-o", f"{work}/object.o"])
            print(f"{target}: {len(BY_HAND)} files and {len(modules)} modules compiled")


def fetched(folder: Path) -> list[str]:
    """Zig from PyPI, in `folder`."""
    run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), PINNED])
    return [sys.executable, str(folder / "ziglang")]


def translated(source: Path, work: Path) -> Path:
    """The C that Cython makes of a module."""
    target = work / f"{source.stem}.c"
    run([sys.executable, "-m", "cython", "-3", str(source.relative_to(ROOT)), "-o", str(target)])
    return target


def run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"this failed: {' '.join(command)}")


if __name__ == "__main__":
    main()
