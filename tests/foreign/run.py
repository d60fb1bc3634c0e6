"""Runs other projects' own WebSocket tests with wscore underneath: `python tests/foreign/run.py --help`.

Their source distributions come from PyPI, at the versions in suites.py, and are kept in ~/.cache/wscore/foreign, each
with a virtual environment in which wscore is this working copy. Nothing of them is committed.
"""

import argparse
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from suites import SUITES, Suite

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Seconds until a run is taken for hanging.
TIME_LIMIT = 1800


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run other projects' WebSocket tests with wscore underneath.")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; all without")
    parser.add_argument("--fast", action="store_true", help="the short form, where a suite has one")
    default = Path.home() / ".cache" / "wscore" / "foreign"
    parser.add_argument("--cache", type=Path, default=default, help="where sources and environments are kept")
    parser.add_argument("--checkout", type=Path, help="a folder with the sources, in place of PyPI's; for one SUITE")
    parser.add_argument("--pytest", default="", metavar="OPTIONS", help="more for pytest, such as '-k close -x'")
    chosen = parser.parse_args()
    unknown = set(chosen.suites) - set(SUITES)
    if unknown:
        parser.error(f"there is no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    if chosen.checkout and len(chosen.suites) != 1:
        parser.error("--checkout goes with one suite")
    return chosen


def sources(suite: Suite, folder: Path) -> Path:
    """The folder of the unpacked source distribution, fetched unless it is there."""
    unpacked = folder / "source"
    if not unpacked.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        wanted = f"{suite.package}=={suite.version}"
        subprocess.run([*pip, "--no-binary", suite.package, wanted], check=True, timeout=600)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as content:
            content.extractall(folder / "unpacking", filter="data")
        (top,) = (folder / "unpacking").iterdir()
        top.rename(unpacked)
    return unpacked


def environment(suite: Suite, folder: Path) -> Path:
    """The Python of an environment that has what the suite requires, and wscore from this working copy."""
    python = folder / "venv" / "bin" / "python"
    wanted = "\n".join(suite.requirements)
    ready = folder / "ready.txt"
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder / "venv"], check=True, timeout=300)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *suite.requirements], check=True, timeout=900)
        ready.write_text(wanted, encoding="utf-8")
    return python


def passes(name: str, chosen: argparse.Namespace) -> bool:
    """Run one suite; pytest prints what came of it."""
    suite = SUITES[name]
    folder = chosen.cache / f"{name}-{suite.version}"
    folder.mkdir(parents=True, exist_ok=True)
    source = (chosen.checkout or sources(suite, folder)).resolve()
    python = environment(suite, folder)
    print(f"\n{suite.package} {suite.version}", flush=True)
    # Their options may ask for plugins that are not needed here.
    command = [str(python), "-m", "pytest", "-o", "addopts=", "-q", "-rfE", "-p", "judgement", "-p", suite.plugin]
    wanted = [suite.only, suite.fast if chosen.fast else ""]
    command += ["-k", " and ".join(f"({expression})" for expression in wanted if expression) or "test"]
    path = os.pathsep.join(map(str, [HERE, ROOT]))
    count = suite.ran_fast if chosen.fast and suite.fast else suite.ran
    wanted_count = "" if chosen.pytest or chosen.checkout else str(count)
    run = subprocess.run(
        [*command, *suite.options, *chosen.pytest.split(), *suite.tests],
        cwd=source,
        env={**os.environ, "PYTHONPATH": path, "WSCORE_FOREIGN": name, "WSCORE_FOREIGN_TESTS": wanted_count},
        timeout=TIME_LIMIT,
    )
    return run.returncode == 0


def main() -> int:
    chosen = options()
    failed = [name for name in chosen.suites or SUITES if not passes(name, chosen)]
    print("\n" + (f"failed: {', '.join(failed)}" if failed else "every suite passed"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
