"""`wscore serve`: a user's handler, or an echo; in this process, or in several that this one supervises.

Decides which, and what the program says and how: `--log-format json` makes every line on standard error an object,
failures included. What is served, and by whom, stands elsewhere.
"""

import os
import socket
import sys

import trio

from wscore.cli import Failure
from wscore.cli.descriptors import raise_descriptor_limit
from wscore.cli.ground import Ground
from wscore.cli.log_writer import LogWriter
from wscore.cli.options import Settings
from wscore.cli.program import Alone, Worker
from wscore.server import logs
from wscore.server.logs import fields, logger

STANDARD_ERROR = 2


def run(settings: Settings) -> int:
    """Serve until a signal ends it; return the exit status. Raises `Failure` if it cannot serve."""
    _log_to_standard_error(settings["log_format"], settings["log_level"])
    if not raise_descriptor_limit():
        logger.info("the limit of open files stays as it is")
    try:
        if settings["workers"] and not hasattr(os, "fork"):
            raise Failure("--workers needs a system that can fork, and this one cannot: leave it out", 2)
        return _serve(Ground(settings))
    except Failure as failure:
        if settings["log_format"] != "json":
            raise
        logger.critical("%s", failure.sentence, extra=fields(event="failed"))
        return failure.status
    except (Exception, BaseExceptionGroup):  # a group may hold what a handler meant for the whole program
        logger.critical("the server has failed", exc_info=True, extra=fields(event="failed"))
        return 1


def _serve(ground: Ground) -> int:
    workers = ground.settings["workers"]
    if workers is None:
        return trio.run(Alone(ground).run)
    outcome = _supervise(ground, workers)
    return outcome if isinstance(outcome, int) else trio.run(Worker(ground, outcome).run)


def _supervise(ground: Ground, workers: int) -> int | socket.socket:
    """Return the exit status; in a worker, which this process may have become, its link to the supervisor."""
    from wscore.server.workers import Supervisor

    drain_timeout = ground.settings["drain_timeout"]
    return Supervisor(workers, sockets=ground.metrics, drain_timeout=drain_timeout, events=_Events(ground)).run()


class _Events:
    """What a supervisor's events are to the operator."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def ready(self) -> None:
        self._ground.announce()

    def reload(self) -> bool:
        self._ground.notifier.reloading()
        has_new = self._ground.reload()
        self._ground.notifier.ready("serving")
        return has_new

    def hung_up(self) -> bool:
        return self._ground.hung_up()

    def stopping(self) -> None:
        self._ground.notifier.stopping()


def _log_to_standard_error(form: str, level: str) -> None:
    """Everything that a peer can bring about goes through the log: what Python cannot raise anywhere, too."""
    text = logs.EscapingFormatter("%(asctime)s %(levelname)s %(message)s")
    handler = LogWriter(STANDARD_ERROR)
    handler.setFormatter(logs.JsonFormatter() if form == "json" else text)
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False  # whatever the user's modules make of other logs
    sys.unraisablehook = _log_unraisable


def _log_unraisable(error: "sys.UnraisableHookArgs") -> None:
    """Such as what a callback of OpenSSL's raises about a server name that is no ASCII."""
    extra = fields(kind="unraisable", event="unraisable")
    cause = error.exc_value
    trace = (type(cause), cause, error.exc_traceback) if cause is not None else None
    logger.error("%s", error.err_msg or "an exception that nobody could be told of", exc_info=trace, extra=extra)
