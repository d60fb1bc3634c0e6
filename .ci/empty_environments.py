"""Try wscore where next to nothing is installed: bare, with each extra alone, and beside somebody else's `wscore`.

    python .ci/empty_environments.py                # all of them, a few minutes
    python .ci/empty_environments.py bare beside    # these

Builds a pure wheel, or takes the one that `--wheel` names, installs it into empty environments, and compares what works
there with what the extra is for. What does not must say so in one line, with the command to run and exit status 2.

Refuses to know how it is told what is missing: see wscore/_extras.py. Needs pip.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTION = "wscore-websockets"
EXTRAS = ("trio", "client", "server", "auth", "metrics", "test")
ENVIRONMENTS = ("bare", *EXTRAS, "beside")
HANGING = 60

WITH_TRIO = {"trio", "client", "server", "test"}
WITH_METRICS = {"server", "metrics", "test"}
WITH_TOKENS = {"server", "auth", "test"}

ECHO_ON_ASYNCIO = """
import asyncio, sys
from wscore.adapters.asyncio import connect, serve
async def echo(ws):
    async for message in ws:
        await ws.send(message)
async def main():
    async with await serve(echo, "127.0.0.1", 0) as server:
        host, port = server.addresses[0][:2]
        async with connect(f"ws://{host}:{port}/") as ws:
            await ws.send("hello")
            assert await ws.receive() == "hello"
asyncio.run(main())
"""


@dataclass(frozen=True)
class Trial:
    """What is run, the extras that are enough for it (None: it needs nothing), and what it says without."""

    arguments: tuple[str, ...]
    enough: set[str] | None = None
    hint: str = ""
    status: int = 0
    """How it ends where everything is there."""


def hint(what: str, needs: str, extra: str) -> str:
    return f"{what} needs {needs}: pip install '{DISTRIBUTION}[{extra}]'"


def commands() -> list[Trial]:
    nobody = "ws://127.0.0.1:9/"
    trio = "Trio and h11"
    return [
        Trial(("-m", "wscore", "--version")),
        Trial(("-c", "import wscore; wscore.codec.DeflatePool(); wscore.Connection(wscore.CLIENT).send('x')")),
        Trial(("-c", ECHO_ON_ASYNCIO)),
        Trial(("-c", "import wscore; wscore.serve, wscore.WebSocket"), WITH_TRIO, hint("wscore.serve", trio, "trio")),
        Trial(("-c", "import wscore; wscore.connect"), WITH_TRIO, hint("wscore.connect", trio, "trio")),
        Trial(
            ("-c", "from wscore.server import metrics"),
            WITH_TRIO,
            hint("wscore.server.metrics", trio, "metrics,trio"),
        ),
        # Nobody listens there: status 1 says that it has tried.
        Trial(("-m", "wscore", "connect", nobody), WITH_TRIO, hint("wscore connect", trio, "server"), 1),
        Trial(("-m", "wscore", "bench", nobody), WITH_TRIO, hint("wscore bench", trio, "server"), 1),
        Trial(
            ("-c", "from wscore.server.auth import jwt_auth; jwt_auth('x' * 32, 'HS256')"),
            WITH_TOKENS,
            hint("a signed token", "PyJWT and cryptography", "auth"),
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Try wscore where next to nothing is installed.")
    parser.add_argument("names", nargs="*", metavar="ENVIRONMENT", help=f"of {', '.join(ENVIRONMENTS)}; all without")
    parser.add_argument("--wheel", type=Path, help="the wheel to install, instead of a pure one from this working copy")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(ENVIRONMENTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="wscore-empty-") as work:
        wheel = arguments.wheel.resolve() if arguments.wheel else built(Path(work, "dist"))
        stranger = of_a_stranger(Path(work))
        for name in arguments.names or ENVIRONMENTS:
            try_out(name, wheel, stranger, Path(work, name))
            print(f"{name}: everything is there, or named", flush=True)


def built(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-cache-dir", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*pip, str(ROOT)], check=True, env=os.environ | {"WSCORE_PURE": "1"})
    (wheel,) = folder.glob("wscore_websockets-*.whl")
    return wheel


def of_a_stranger(folder: Path) -> Path:
    """A wheel of a `wscore` that is newer than ours, with files of its own, as PyPI has one."""
    wheel = folder / "wscore-99.0-py3-none-any.whl"
    info = "wscore-99.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("WsCoreOfAStranger/__init__.py", "raise SystemExit('this is not ours')\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: wscore\nVersion: 99.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def try_out(name: str, wheel: Path, stranger: Path, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    extra = f"[{name}]" if name in EXTRAS else ""
    subprocess.run([*pip, "install", "--quiet", f"{wheel}{extra}"], check=True)
    if name in ("bare", "beside"):
        there = set(output(*pip, "list", "--format", "freeze").split())
        others = {each.partition("==")[0] for each in there} - {"pip", "setuptools", "wheel", DISTRIBUTION}
        must(not others, f"{name}: it has brought {', '.join(others)}")
    if name == "beside":
        subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", stranger], check=True)
        # What a hint says to run is not mistaken for the other's, either.
        again = [*pip, "install", "--quiet", "--no-index", "--no-deps", "--find-links", stranger.parent]
        subprocess.run([*again, f"{DISTRIBUTION}[metrics]"], check=True)
    has = {name} & set(EXTRAS)
    for trial in commands():
        attempt(python, trial, has)
    serving(python, has)
    if name == "beside":
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", "wscore"], check=True)
        attempt(python, commands()[0], has)


def attempt(python: Path, trial: Trial, has: set[str]) -> None:
    run = subprocess.run([python, *trial.arguments], capture_output=True, text=True, timeout=HANGING, **alone(python))
    said = f"{' '.join(trial.arguments)}\nended with {run.returncode}:\n{run.stderr}"
    if trial.enough is None or trial.enough & has:
        must(run.returncode == trial.status and "pip install" not in run.stderr, said)
        return
    is_program = trial.arguments[0] == "-m"
    must(run.returncode == (2 if is_program else 1), said)
    must(trial.hint in (run.stderr.splitlines() or [""])[-1], said)
    must((run.stderr.count("\n") == 1 and not run.stdout) or not is_program, said)


def serving(python: Path, has: set[str]) -> None:
    """`wscore serve` answers, with metrics if it is told so; or it says what is missing."""
    command = ("-m", "wscore", "serve", "--port", "0")
    without = Trial(command, WITH_TRIO, hint("wscore serve", "Trio and h11", "server"))
    metrics = (*command, "--metrics", "127.0.0.1:0")
    without_metrics = Trial(metrics, WITH_METRICS, hint("a page of metrics", "prometheus-client", "metrics"))
    if not has & WITH_TRIO:
        attempt(python, without, has)
        return
    answers(python, command, "/healthz")
    if has & WITH_METRICS:
        answers(python, metrics, "/healthz")
    else:
        attempt(python, without_metrics, has)


def answers(python: Path, command: tuple[str, ...], path: str) -> None:
    with subprocess.Popen([python, *command], stdout=subprocess.PIPE, text=True, **alone(python)) as server:
        try:
            assert server.stdout is not None
            place = re.search(r"http://[\d.:]+", server.stdout.readline())
            must(place is not None, "wscore serve does not say where it listens")
            assert place is not None
            must(urllib.request.urlopen(place[0] + path, timeout=HANGING).status == 200, "wscore serve does not answer")
        finally:
            server.terminate()


def alone(python: Path) -> dict[str, Any]:
    """How to start it where no other wscore is found than the one that is installed there."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "WSCORE_REQUIRE_NATIVE")}
    return {"env": env, "cwd": python.parent}


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def must(condition: object, sentence: str) -> None:
    if not condition:
        raise SystemExit(sentence)


if __name__ == "__main__":
    main()
