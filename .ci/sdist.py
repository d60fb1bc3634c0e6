"""Build the source distribution, the same bytes from the same commit wherever and whenever that is.

    python .ci/sdist.py dist

Needs `build` (.ci/tools.txt). What is packed are the files that git knows, as they stand in the work tree. Their times
are those of the last commit, or SOURCE_DATE_EPOCH; owners, and who may write, are left out. Decides nothing about what
belongs into the archive: MANIFEST.in does. Two versions of setuptools, or of what Python compresses with, may differ.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description="Build a reproducible source distribution.")
    parser.add_argument("out", type=Path, help="the folder to put it into")
    parser.add_argument("--no-isolation", action="store_true", help="build with the setuptools that is installed")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        sources = Path(work, "sources")
        copy_tracked_files(sources)
        command = [sys.executable, "-m", "build", "--sdist", "--outdir", str(Path(work, "built")), str(sources)]
        build([*command, *["--no-isolation"] * arguments.no_isolation])
        (built,) = Path(work, "built").iterdir()
        repack(built, arguments.out / built.name, moment())
    print(arguments.out / built.name)


def build(command: list[str]) -> None:
    """Run it, and pass on what it says only if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def moment() -> int:
    """Return the one time that everything in the archive has."""
    given = os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct")
    return int(given)


def copy_tracked_files(target: Path) -> None:
    for name in git("ls-files", "-z").split("\0"):
        if name and (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def repack(source: Path, target: Path, moment: int) -> None:
    with (
        tarfile.open(source) as old,
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=moment) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            new.addfile(anonymous(member, moment), old.extractfile(member) if member.isfile() else None)


def anonymous(member: tarfile.TarInfo, moment: int) -> tarfile.TarInfo:
    mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    anonymous = member.replace(mtime=moment, mode=mode, uid=0, gid=0, uname="", gname="")
    # These would have the last word, and say the time to the nanosecond.
    anonymous.pax_headers = {}
    return anonymous


if __name__ == "__main__":
    main()
