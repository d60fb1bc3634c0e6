"""Servers and the load generator as processes: each on a core of its own, with all the descriptors that it may have.

None of them outlives this process, however it ends.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["LOAD_CORE", "SERVER_CORE", "Failure", "Server", "certificates", "running", "under_load"]

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
KEPT_OUTPUT = 300
PR_SET_PDEATHSIG = 1

_cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER_CORE = _cores[0]
# With one core they share it, and every throughput run is void.
LOAD_CORE = _cores[min(1, len(_cores) - 1)]


class Failure(Exception):
    """A server did not start, or something went wrong under load."""


@dataclass(frozen=True)
class Server:
    pid: int
    port: int
    versions: dict[str, str]


def _settle(core: int) -> None:
    """In the child: its core, its descriptors, and its end together with ours."""
    import resource

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.sched_setaffinity(0, {core})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def running(command: Sequence[str]) -> Iterator[Server]:
    """The server that `command` starts, ready, until the block is left. Raises Failure where it does not start."""
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, cwd=ROOT, env=environment,
            preexec_fn=lambda: _settle(SERVER_CORE), start_new_session=True,
        )  # fmt: skip
        try:
            line = _first_line(process)
            if not line:
                raise Failure(f"{' '.join(command)} did not start")
            ready = json.loads(line)
            yield Server(process.pid, ready["port"], ready["versions"])
        except Failure as failure:
            raise Failure(f"{failure}; {_last_words(said)}") from None
        finally:
            # Its children, too.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if selector.select(START_SECONDS) else b""


def _last_words(said: Any) -> str:
    """The last line of the server's complaints that says something: of a traceback, the error."""
    said.seek(0)
    lines = [line.strip(" |+-") for line in said.read().decode(errors="replace").splitlines()]
    spoken = [line for line in lines if line]
    return f"its last words: {spoken[-1][:KEPT_OUTPUT]}" if spoken else "the server said nothing"


def under_load(load: Path, server: Server, arguments: Sequence[str], *, limit: float) -> dict[str, Any]:
    """What the load generator says about the server. Raises Failure on any wrong byte or lost connection.

    It ends itself after `limit` seconds.
    """
    command = [load, *arguments, "--port", str(server.port), "--pid", str(server.pid), "--limit", str(limit)]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=limit + 30,
        preexec_fn=lambda: _settle(LOAD_CORE),
    )  # fmt: skip
    if done.returncode or not done.stdout:
        raise Failure(f"{' '.join(map(str, arguments))}: {'; '.join(done.stderr.split(chr(10))[:3])}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def certificates() -> Iterator[Path]:
    """A folder with authority.pem, certificate.pem and key.pem, good for 127.0.0.1."""
    import trustme

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        issued.private_key_pem.write_to_path(str(folder / "key.pem"))
        for blob in issued.cert_chain_pems:
            blob.write_to_path(str(folder / "certificate.pem"), append=True)
        yield folder
