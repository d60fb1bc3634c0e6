"""Autobahn's `wstest`: where it comes from, how it is run, and how its report is read. It knows nothing of wscore.

wstest exists for Python 2.7 alone, so it lives in a virtual environment of its own, outside the repository.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

PACKAGES = ["autobahntestsuite==25.10.1"]
EVERY_SECTION = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.*", "13.*"]
# Sections 9, 12 and 13 send much and long: of these, one case of each kind.
FAST_SECTIONS = [
    *EVERY_SECTION[:7],
    *("9.1.1", "9.2.1", "9.3.1", "9.4.1", "9.5.1", "9.6.1", "9.7.1", "9.8.1"),
    "10.*",
    *("12.1.1", "12.2.1", "12.3.1", "12.4.1", "12.5.1"),
    *("13.1.1", "13.2.1", "13.3.1", "13.4.1", "13.5.1", "13.6.1", "13.7.1"),
]
# By whether the run is a fast one; so that cases that wstest left out are noticed.
CASES_EXPECTED = {True: 267, False: 517}
ACCEPTED = {"OK", "INFORMATIONAL"}


class Result(NamedTuple):
    case: str
    behaviour: str
    """How the case itself went: OK, INFORMATIONAL, NON-STRICT, FAILED, UNIMPLEMENTED ..."""
    closing: str
    """How the connection was closed: OK, INFORMATIONAL, UNCLEAN, WRONG CODE ..."""
    report: Path

    @property
    def passed(self) -> bool:
        return self.behaviour in ACCEPTED and self.closing in ACCEPTED


def find_python27() -> str:
    """The interpreter named by WSCORE_PYTHON27, or on the path, or installed by pyenv; exits with advice otherwise."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = ["python2.7", *sorted(str(path) for path in pyenv.glob("versions/2.7*/bin/python2.7"))]
    for candidate in filter(None, [os.environ.get("WSCORE_PYTHON27"), *candidates]):
        # What is on the path may be a pyenv shim that answers with advice instead of Python.
        if shutil.which(candidate) and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return candidate
    raise SystemExit("wstest needs Python 2.7: install it (pyenv install 2.7.18) or name it in WSCORE_PYTHON27")


def install(folder: Path) -> Path:
    """Make the virtual environment in `folder` unless it is there, and return the path of its wstest."""
    wstest = folder / "bin" / "wstest"
    if not wstest.exists():
        python, bootstrap = find_python27(), str(folder / "bootstrap")
        run = [python, "-m", "pip", "install", "--quiet", "--target", bootstrap, "virtualenv==20.15.1"]
        subprocess.run(run, check=True, timeout=600)
        with_bootstrap = {**os.environ, "PYTHONPATH": bootstrap}
        subprocess.run([python, "-m", "virtualenv", "--quiet", folder], check=True, timeout=600, env=with_bootstrap)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *PACKAGES], check=True, timeout=900)
    return wstest


def write_spec(folder: Path, *, fast: bool, **spec: Any) -> Path:
    """Write what wstest reads: the cases, and what the role needs. Reports of an earlier run are removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    common = {
        "outdir": str(folder / "report"),
        # Fail by the closing handshake, so that our answer to it is judged too.
        "options": {"failByDrop": False},
        "cases": FAST_SECTIONS if fast else EVERY_SECTION,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    path = folder / "spec.json"
    path.write_text(json.dumps({**common, **spec}, indent=2))
    return path


def read_report(folder: Path) -> list[Result]:
    """What wstest found, in the order of the cases."""
    index = folder / "report" / "index.json"
    if not index.exists():
        return []
    (cases,) = json.loads(index.read_text()).values()
    results = [
        Result(case, found["behavior"], found["behaviorClose"], index.with_name(found["reportfile"]))
        for case, found in cases.items()
    ]
    return sorted(results, key=lambda result: [int(part) for part in result.case.split(".")])


def command(wstest: Path, mode: str, spec: Path) -> Sequence[str]:
    return [str(wstest), "--mode", mode, "--spec", str(spec)]
