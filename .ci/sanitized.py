"""Run tests on a compiled codec and reactor that are watched by AddressSanitizer and UndefinedBehaviorSanitizer.

    python .ci/sanitized.py                         # the codec, the protocol, the reactor
    python .ci/sanitized.py tests/codec -x          # what to run, with any options of pytest

Compiles a copy of the sources in build/sanitized with GCC, and runs pytest there, with all that is installed in this
environment. What the sanitizers find ends the run. Leaks are not looked for: the interpreter leaves too much behind.

Needs Linux, and the libraries of the sanitizers, which come with Debian's gcc.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "sanitized"
COPIED = ("wscore", "tests", ".ci", "setup.py", "pyproject.toml", "README.md", "LICENSE")
TESTS = ["tests/codec", "tests/protocol", "tests/kernels", "tests/transport", "tests/test_twins.py"]

FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1"
# Python allocates with the C library's malloc, so that the sanitizer sees each object.
ENVIRONMENT = {
    "PYTHONMALLOC": "malloc",
    "ASAN_OPTIONS": "detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "WSCORE_REQUIRE_NATIVE": "1",
}


def main() -> None:
    copy_sources()
    flags = {"CFLAGS": FLAGS, "LDFLAGS": FLAGS, "WSCORE_REQUIRE_NATIVE": "1"}
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(build, cwd=TREE, env=os.environ | flags, check=True)
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(TREE), "LD_PRELOAD": library("libasan.so")}
    tests = sys.argv[1:] or [*TESTS, "-q"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests]
    raise SystemExit(subprocess.run(command, cwd=TREE, env=environment).returncode)


def copy_sources() -> None:
    """What is compiled stays, to be compiled again only if it has changed."""
    translated = (f"{path.stem}.c" for kind in ("pyx", "pxd") for path in ROOT.glob(f"wscore/**/*.{kind}"))
    ignored = shutil.ignore_patterns("*.so", "__pycache__", *translated)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, TREE / name, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy2(ROOT / name, TREE)


def library(name: str) -> str:
    """The compiler's own copy."""
    compiler = os.environ.get("CC", "cc").split()
    return subprocess.check_output([*compiler, f"-print-file-name={name}"], text=True).strip()


if __name__ == "__main__":
    main()
