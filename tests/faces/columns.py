"""One process for each column of the table, each asked for one cell after the other, all of them at the same time."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from wscore.codec import IMPLEMENTATION
from wscore.transport import reactor

from .scenario import COLUMNS, FAILED

ROOT = Path(__file__).parent.parent.parent
# A scenario gives up by itself before that.
HANGING = 60


def missing(column: str) -> str | None:
    """Why a column cannot be had here; None if it can."""
    if IMPLEMENTATION != "native" and not column.startswith("pure-"):
        return "nothing is compiled"
    needs_uvloop = os.environ.get("CI") and sys.platform != "win32"
    if column == "uvloop" and not needs_uvloop and importlib.util.find_spec("uvloop") is None:
        return "uvloop is not installed"
    if column == "reactor":
        return None if reactor.AVAILABLE else "there is no reactor"
    return None


class Worker:
    """The process of one column, started anew after a cell that it did not survive."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._process: subprocess.Popen[str] | None = None

    def ask(self, name: str) -> Any:
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        killer = threading.Timer(HANGING, self._process.kill)
        killer.start()
        try:
            print(name, file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            killer.cancel()
        if line:
            return json.loads(line)
        status, self._process = self._process.wait(), None
        return {FAILED: f"the process ended with status {status}"}

    def _start(self) -> subprocess.Popen[str]:
        environment = dict(os.environ)
        environment.pop("WSCORE_PURE", None)
        if self.column.startswith("pure-"):
            environment["WSCORE_PURE"] = "1"
        command = [sys.executable, "-m", f"{__package__}.worker", self.column]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, env=environment, text=True, bufsize=1)

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            self._process.wait(HANGING)
            self._process.stdout.close()


class Columns:
    """What all cells come to, each run once, when it is first wanted."""

    def __init__(self) -> None:
        self._workers = {column: Worker(column) for column in COLUMNS}
        self._threads = {column: ThreadPoolExecutor(1) for column in COLUMNS}
        self._cells: dict[tuple[str, str], Future[Any]] = {}

    def want(self, name: str, column: str) -> Future[Any]:
        """Let a cell be run, after those of its column that were wanted before."""
        cell = self._cells.get((name, column))
        if cell is None:
            cell = self._cells[name, column] = self._threads[column].submit(self._workers[column].ask, name)
        return cell

    def row(self, name: str) -> dict[tuple[str, str], Any]:
        """What the cells of a row come to, of those that are wanted."""
        return {(name, column): cell.result() for (row, column), cell in self._cells.items() if row == name}

    def close(self) -> None:
        for column in COLUMNS:
            self._threads[column].shutdown(cancel_futures=True)
            self._workers[column].close()
