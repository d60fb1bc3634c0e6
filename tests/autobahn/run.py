"""Runs the Autobahn test suite against wscore: `python tests/autobahn/run.py --help`.

Both roles, on the compiled and on the pure codec, and, if asked, uvicorn with our adapter. Every case must be OK or
INFORMATIONAL, in how it went and in how it was closed; anything else is printed and makes the exit code 1. The reports
for reading are left in reports/autobahn.
"""

import argparse
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from pathlib import Path

import wstest

HERE = Path(__file__).parent
REPORTS = HERE.parent.parent / "reports" / "autobahn"
TESTEES = {role: [sys.executable, str(HERE / f"testee_{role}.py")] for role in ("server", "client", "uvicorn")}
AGENT = "wscore"
# Seconds until a run is taken for hanging.
TIME_LIMIT = {True: 600, False: 5400}
TIME_TO_START = 30


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run Autobahn's wstest against wscore.")
    parser.add_argument("--fast", action="store_true", help="sections 1 to 7 and 10, and a few cases of the others")
    roles = [*TESTEES, "both"]
    parser.add_argument("--role", choices=roles, default="both", help="what wscore plays; both: server, client")
    parser.add_argument("--implementation", choices=["native", "pure", "both"], default="both")
    default = Path.home() / ".cache" / "wscore" / "autobahn"
    parser.add_argument("--venv", type=Path, default=default, help="where wstest is, or will be, installed")
    return parser.parse_args()


def free_port() -> int:
    """None of those that the system gives to whoever connects, who may be quicker."""
    while True:
        port = random.randrange(15_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def environment(implementation: str) -> dict[str, str]:
    return {**os.environ, "WSCORE_PURE": "1" if implementation == "pure" else ""}


@contextmanager
def running(arguments: list[str], log: Path, implementation: str = "native") -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes to `log` and is ended with the block, by its id."""
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output, env=environment(implementation))
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + TIME_TO_START
    while process.poll() is None and time.monotonic() < deadline:
        with ExitStack() as stack:
            try:
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=1))
                return
            except OSError:
                time.sleep(0.05)
    raise SystemExit(f"{process.args!r} does not listen; it wrote:\n{log.read_text(errors='replace')}")


def run_server(tool: Path, folder: Path, implementation: str, fast: bool, testee: str = "server") -> int:
    """wscore is the server, wstest the client that misbehaves."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    spec = wstest.write_spec(folder, fast=fast, servers=[{"agent": AGENT, "url": url}])
    with running([*TESTEES[testee], str(port)], folder / "wscore.log", implementation) as server:
        wait_until_listening(port, server, folder / "wscore.log")
        with running([*wstest.command(tool, "fuzzingclient", spec)], folder / "wstest.log") as client:
            return client.wait(TIME_LIMIT[fast])


def run_client(tool: Path, folder: Path, implementation: str, fast: bool) -> int:
    """wscore is the client, wstest the server that misbehaves."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    spec = wstest.write_spec(folder, fast=fast, url=url, webport=free_port())
    with running([*wstest.command(tool, "fuzzingserver", spec)], folder / "wstest.log") as server:
        wait_until_listening(port, server, folder / "wstest.log")
        with running([*TESTEES["client"], url, AGENT], folder / "wscore.log", implementation) as client:
            return client.wait(TIME_LIMIT[fast])


RUNS: dict[str, Callable[[Path, Path, str, bool], int]] = {
    "server": run_server,
    "client": run_client,
    "uvicorn": partial(run_server, testee="uvicorn"),
}


def failures_of(role: str, implementation: str, tool: Path, fast: bool) -> list[str]:
    """Run one role on one implementation, print a line about each section, and return what failed."""
    folder = REPORTS / f"{role}-{implementation}"
    began = time.monotonic()
    try:
        code = RUNS[role](tool, folder, implementation, fast)
    except subprocess.TimeoutExpired:
        code = None
    results = wstest.read_report(folder)
    print_table(f"{role}, {implementation}, {time.monotonic() - began:.0f} s", results)
    failures = [
        f"{role}, {implementation}: case {result.case}: {result.behaviour}, closing {result.closing}: {result.report}"
        for result in results
        if not result.passed
    ]
    if code != 0:
        ended = "took too long" if code is None else f"ended with code {code}"
        failures.append(f"{role}, {implementation}: the run {ended}; see the logs in {folder}")
    if len(results) != wstest.CASES_EXPECTED[fast]:
        expected = wstest.CASES_EXPECTED[fast]
        failures.append(f"{role}, {implementation}: {len(results)} cases were run instead of {expected}")
    return failures


def print_table(title: str, results: list[wstest.Result]) -> None:
    print(f"\n{title}\nsection     OK  informational  failed")
    sections: dict[str, Counter[str]] = {}
    for result in results:
        verdict = result.behaviour if result.passed else "failed"
        sections.setdefault(result.case.split(".")[0], Counter())[verdict] += 1
    for section, count in [*sections.items(), ("all", sum(sections.values(), Counter()))]:
        print(f"{section:>7} {count['OK']:>6} {count['INFORMATIONAL']:>14} {count['failed']:>7}", flush=True)


def main() -> int:
    chosen = options()
    tool = wstest.install(chosen.venv)
    roles = ["server", "client"] if chosen.role == "both" else [chosen.role]
    implementations = ["native", "pure"] if chosen.implementation == "both" else [chosen.implementation]
    failures = [
        failure
        for implementation, role in product(implementations, roles)
        for failure in failures_of(role, implementation, tool, chosen.fast)
    ]
    print("\n" + "\n".join(failures or ["every case passed"]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
