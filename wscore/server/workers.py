"""The supervisor of worker processes: it forks them, watches them, and speaks for all of them.

Decides when a worker is started again, when one is killed, and when all of it ends; what the metrics and the health of
several processes are together. The listening sockets are opened before, and every worker has them from its birth: one
that dies takes none of them along, and what waits in their queues is served by the others, or by the next.

The supervisor never runs Trio, and starts no thread but the one that writes its log, which is made for that: a process
that has done either had better not fork. So its loop is a selector with signals, the links to the workers, and the
pages for operators. It refuses to know what workers serve.
"""

import gc
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from time import monotonic
from typing import Protocol

from wscore.server import metrics
from wscore.server.logs import fields, logger
from wscore.server.page_server import PageServer
from wscore.server.pages import Document, Pages, plain
from wscore.server.signals import SignalReader, ignore
from wscore.server.worker_link import Command, WorkerLink

__all__ = ["Events", "Supervisor", "delay_after"]

# A worker that has served for so long was all right; one that fails sooner is started later each time.
STEADY = 10.0
FIRST_DELAY = 0.25
# Should all of them be down, whoever comes waits in the listening sockets' queues, and not for long.
LONGEST_DELAY = 4.0
# How long after the time for draining, or after a second signal, a worker that still runs is killed.
GRACE = 2.0
# How long a page waits for the workers to report.
REPORT_TIME = 2.0


def delay_after(failures: int) -> float:
    """Seconds until a worker starts again that has failed so often in a row before; 0 the first time."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 30)) if failures else 0.0


class Events(Protocol):
    """What a supervisor tells its program."""

    def ready(self) -> None:
        """Every worker serves, for the first time."""

    def reload(self) -> bool:
        """SIGHUP: read the certificate anew for workers to come; whether those that run are to do so, too."""

    def hung_up(self) -> bool:
        """Whether a SIGHUP says that the terminal is gone: that is the end."""

    def stopping(self) -> None:
        """The end has begun."""


class _Worker:
    """The place of one worker, and who is in it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = None
        self.link: WorkerLink | None = None
        self.ready_since: float | None = None
        self.failures = 0
        self.start_at: float | None = None
        self.snapshot: metrics.Snapshot = {}
        self.is_asked = False

    def __str__(self) -> str:
        return f"worker {self.number} (process {self.pid})"


class Supervisor:
    """Runs `count` workers until a signal ends it. `sockets` are for the pages, if there are any."""

    def __init__(self, count: int, *, sockets: Sequence[socket.socket], drain_timeout: float, events: Events) -> None:
        self._workers = [_Worker(number) for number in range(1, count + 1)]
        self._drain_timeout = drain_timeout
        self._events = events
        self._selector = selectors.DefaultSelector()
        self._signals = SignalReader((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD))
        self._selector.register(self._signals.sock, selectors.EVENT_READ, self._obey)
        self._pages = PageServer(self._selector, sockets, self._documents(), self._gather)
        self._past: metrics.Snapshot = {}
        self._starts = 0
        self._gathering: list[Callable[[], None]] = []
        self._gathered_by = 0.0
        self._was_ready = False
        self._kill_at: float | None = None
        self._is_stopping = False
        self._status = 0

    def run(self) -> int | socket.socket:
        """Return the exit status; or, in each worker that is forked, its end of the link to the supervisor."""
        gc.collect()
        if hasattr(gc, "freeze"):  # what exists now is shared by all, and stays so if no collector writes to it
            gc.freeze()
        self._workers[0].start_at = monotonic()  # the others follow, unless it says already why none can serve
        while True:
            for worker in self._workers:
                theirs = self._start(worker) if self._is_due(worker) else None
                if theirs is not None:
                    return theirs
            if self._is_stopping and not self._living():
                self._close()
                return self._status
            for key, _ in self._selector.select(self._patience()):
                key.data()
            self._look_at_the_clock()

    # Time

    def _is_due(self, worker: _Worker) -> bool:
        return worker.start_at is not None and worker.start_at <= monotonic()

    def _living(self) -> list[_Worker]:
        return [each for each in self._workers if each.pid is not None]

    def _patience(self) -> float | None:
        nearest = min(self._deadlines(), default=None)
        return None if nearest is None else max(0.0, nearest - monotonic())

    def _deadlines(self) -> Iterator[float]:
        yield from (each.start_at for each in self._workers if each.start_at is not None)
        others = (self._kill_at, self._pages.deadline, self._gathered_by if self._gathering else None)
        yield from (each for each in others if each is not None)

    def _look_at_the_clock(self) -> None:
        now = monotonic()
        self._pages.expire(now)
        if self._gathering and now >= self._gathered_by:
            self._finish_gathering()
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            for worker in self._living():
                logger.error("%s does not end, and is killed", worker, extra=_facts("worker_killed", worker))
                self._send_signal(worker, signal.SIGKILL)
                self._status = 1

    # Birth and death

    def _start(self, worker: _Worker) -> socket.socket | None:
        """Fork. Returns None in the supervisor, and the link to it in the worker."""
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        with self._signals.held_back():
            try:
                pid = os.fork()
            except OSError as error:
                ours.close()
                theirs.close()
                self._has_failed(worker, f"worker {worker.number} cannot be started: {error.strerror}")
                return None
            if not pid:
                ours.close()
                self._become_a_worker()
                return theirs
        theirs.close()
        self._has_started(worker, pid, WorkerLink(ours))
        return None

    def _become_a_worker(self) -> None:
        """Let go of all that is the supervisor's. What is closed here stays open there.

        Ctrl-C at a terminal reaches every process of it, and so may SIGHUP; what they mean the supervisor says.
        """
        self._signals.forget()
        ignore(signal.SIGINT)
        ignore(signal.SIGHUP)
        self._close()

    def _close(self) -> None:
        self._pages.close()
        self._selector.close()
        for worker in self._workers:
            if worker.link is not None:
                worker.link.close()

    def _has_started(self, worker: _Worker, pid: int, link: WorkerLink) -> None:
        worker.pid, worker.link = pid, link
        worker.start_at = worker.ready_since = None
        self._starts += 1
        self._selector.register(link.sock, selectors.EVENT_READ, lambda: self._listen(worker))
        logger.debug("%s was started", worker, extra=_facts("worker_started", worker))

    def _reap(self) -> None:
        for worker in self._living():
            assert worker.pid is not None
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._has_died(worker, os.waitstatus_to_exitcode(status))

    def _has_died(self, worker: _Worker, code: int) -> None:
        self._listen(worker)  # its last report may still be on the way
        self._forget_link(worker)
        self._past = metrics.sum_of(self._past, metrics.counters_of(worker.snapshot))
        worker.snapshot = {}
        if worker.ready_since is not None and monotonic() - worker.ready_since >= STEADY:
            worker.failures = 0
        self._has_failed(worker, f"{worker} {_described(code)}", max(code, 1))
        worker.pid = worker.ready_since = None
        worker.is_asked = False
        self._finish_if_gathered()

    def _forget_link(self, worker: _Worker) -> None:
        if worker.link is not None:
            with suppress(KeyError):  # its end was read already
                self._selector.unregister(worker.link.sock)
            worker.link.close()
            worker.link = None

    def _has_failed(self, worker: _Worker, sentence: str, status: int = 1) -> None:
        """Start it again, later each time; before all were ready once, give up."""
        facts = _facts("worker_ended", worker)
        worker.start_at = None
        if self._is_stopping:
            logger.debug("%s", sentence, extra=facts)
        elif not self._was_ready:
            logger.error("%s before it was ready; giving up", sentence, extra=facts)
            self._status = status
            self._stop()
        else:
            delay = delay_after(worker.failures)
            worker.failures += 1
            worker.start_at = monotonic() + delay
            when = f"in {delay:g} seconds" if delay else "at once"
            logger.warning("%s; it is started again %s", sentence, when, extra=facts)

    # Signals

    def _obey(self) -> None:
        for number in self._signals.read():
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP and not self._events.hung_up():
                self._reload()
            elif self._is_stopping:
                self._end()
            else:
                logger.info("closing all connections; once more ends at once", extra=fields(event="draining"))
                self._stop()

    def _reload(self) -> None:
        if self._events.reload():
            self._tell_all(Command.RELOAD)

    def _stop(self) -> None:
        self._is_stopping = True
        self._events.stopping()
        self._tell_all(Command.DRAIN)
        self._kill_at = monotonic() + self._drain_timeout + GRACE
        for worker in self._workers:
            worker.start_at = None

    def _end(self) -> None:
        self._status = 1
        self._tell_all(Command.END)
        self._kill_at = monotonic() + GRACE

    def _tell_all(self, command: Command) -> None:
        for worker in self._workers:
            if worker.link is not None:
                worker.link.tell(command)

    def _send_signal(self, worker: _Worker, number: signal.Signals) -> None:
        assert worker.pid is not None
        with suppress(ProcessLookupError):
            os.kill(worker.pid, number)

    # What workers report

    def _listen(self, worker: _Worker) -> None:
        if worker.link is None:
            return
        for said in worker.link.reports():
            if "snapshot" in said:
                worker.snapshot = said["snapshot"]
                worker.is_asked = False
                self._finish_if_gathered()
            if "ready" in said:
                self._is_ready(worker)
        if worker.link.has_ended:
            self._forget_link(worker)

    def _is_ready(self, worker: _Worker) -> None:
        worker.ready_since = monotonic()
        if self._was_ready:
            logger.info("%s serves", worker, extra=_facts("worker_ready", worker))
        elif not self._is_stopping:
            self._start_those_that_never_were()

    def _start_those_that_never_were(self) -> None:
        new = [each for each in self._workers if each.pid is None]
        for worker in new:
            worker.start_at = monotonic()
        if not new and all(each.ready_since is not None for each in self._workers):
            self._was_ready = True
            self._events.ready()

    # Pages

    def _documents(self) -> Pages:
        return {"/metrics": self._metrics, "/healthz": self._health}

    def _metrics(self) -> Document:
        running = [worker.snapshot for worker in self._living()]
        own: metrics.Snapshot = {"workers": {"": len(running)}, "worker_starts": {"": self._starts}}
        return metrics.page(metrics.sum_of(own, self._past, *running))

    def _health(self) -> Document:
        well = [each for each in self._workers if each.ready_since is not None and not each.is_asked]
        if self._is_stopping:
            return plain(HTTPStatus.SERVICE_UNAVAILABLE, "closing")
        if len(well) < len(self._workers):
            sentence = f"{len(well)} of {len(self._workers)} workers answer"
            return plain(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
        return plain(HTTPStatus.OK, "ok")

    def _gather(self, callback: Callable[[], None]) -> None:
        """Ask every worker what it has counted; one that has not answered yet is not asked again."""
        if not self._gathering:
            self._gathered_by = monotonic() + REPORT_TIME
        self._gathering.append(callback)
        for worker in self._workers:
            if worker.ready_since is not None and worker.link is not None and not worker.is_asked:
                worker.is_asked = True
                worker.link.tell(Command.SNAPSHOT)
        self._finish_if_gathered()

    def _finish_if_gathered(self) -> None:
        if self._gathering and not any(worker.is_asked for worker in self._workers):
            self._finish_gathering()

    def _finish_gathering(self) -> None:
        callbacks, self._gathering = self._gathering, []
        for callback in callbacks:
            callback()


def _described(code: int) -> str:
    if code >= 0:
        return f"has ended with status {code}"
    names = {int(each): each.name for each in signal.Signals}
    return f"was killed by {names.get(-code, f'signal {-code}')}"


def _facts(event: str, worker: _Worker) -> dict[str, object]:
    return fields(event=event, worker=worker.number, process=worker.pid)
