"""What `wscore serve` stands on before anything serves: sockets, certificate, and the way to the service manager.

Decides where sockets come from, and what is said when they cannot be had; what the operator is told of the start and of
a new certificate. One process serves, or several: all of this is there before, and the same for both.

Refuses to know Trio's runs, and what is served.
"""

import logging
import os
import socket
import sys
from collections.abc import Callable

from wscore import codec
from wscore._version import __version__
from wscore.cli import Failure, reason
from wscore.cli.options import Settings
from wscore.cli.tls import Certificate
from wscore.server.logs import fields, logger
from wscore.server.metrics import require_prometheus
from wscore.server.notify import Notifier
from wscore.server.sockets import inherited_sockets, open_sockets
from wscore.session.logs import place_of

__all__ = ["Ground"]

# The name (FileDescriptorName=) of a passed socket that is for metrics; all others are for WebSockets.
_METRICS = "metrics"


class Ground:
    """Raises `Failure` if one of the things cannot be had."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.certificate = _certificate(settings)
        self.notifier = Notifier(os.environ)
        passed = _passed()
        if settings["metrics"] or any(name == _METRICS for name, _ in passed):
            _require(require_prometheus)
        self.sockets = [sock for name, sock in passed if name != _METRICS] or self._opened()
        self.metrics = [sock for name, sock in passed if name == _METRICS] or self._opened_for_metrics()
        self._had_a_terminal = sys.stdin is not None and sys.stdin.isatty()

    def _opened(self) -> list[socket.socket]:
        return _listen(self.settings["host"], self.settings["port"])

    def _opened_for_metrics(self) -> list[socket.socket]:
        place = self.settings["metrics"]
        return _listen(*place) if place else []

    def announce(self) -> None:
        """Say that everything is up, and where."""
        scheme = "https" if self.certificate else "http"
        places = [_url(sock, scheme) for sock in self.sockets]
        metrics = [f"{_url(sock, 'http')}/metrics" for sock in self.metrics]
        workers = self.settings["workers"]
        notes = [f"metrics on {', '.join(metrics)}"] if metrics else []
        notes += [f"{workers} workers"] if workers else []
        line = f"wscore {__version__} ({codec.IMPLEMENTATION}) listening on {', '.join([*places, *notes])}"
        if self.settings["log_format"] == "json":
            facts = fields(event="listening", addresses=" ".join(places), metrics=" ".join(metrics), workers=workers)
            logger.info("%s", line, extra=facts)
        else:
            print(line, flush=True)
        self.notifier.ready(f"listening on {', '.join(places)}")

    def reload(self, level: int = logging.INFO) -> bool:
        """Read the certificate anew, and log it with `level`; if that fails, say so, and keep the one there is.

        Returns whether there is a new one.
        """
        if self.certificate is None:
            logger.log(level, "there is nothing to reload: no certificate is in use", extra=fields(event="reload"))
            return False
        try:
            self.certificate.reload()
        except Failure as failure:
            logger.error("%s; the old one stays", failure.sentence, extra=fields(event="reload_failed"))
            return False
        logger.log(level, "new connections get the certificate as it is now", extra=fields(event="reloaded"))
        return True

    def hung_up(self) -> bool:
        """Whether a SIGHUP says that the terminal is gone from which the program was started."""
        return self._had_a_terminal and not os.isatty(0)


def _certificate(settings: Settings) -> Certificate | None:
    chain, key = settings["tls_cert"], settings["tls_key"]
    if chain is not None:
        return Certificate(chain, key)
    if key is not None:
        raise Failure("--tls-key is of no use without --tls-cert", 2)
    return None


def _passed() -> list[tuple[str, socket.socket]]:
    try:
        return inherited_sockets(os.environ)
    except ValueError as error:
        raise Failure(str(error), 2) from None


def _listen(host: str, port: int) -> list[socket.socket]:
    try:
        return open_sockets(host, port)
    except (OSError, UnicodeError) as error:
        status = 2 if isinstance(error, UnicodeError) else 1  # no such name can be; or the system has other reasons
        raise Failure(f"cannot listen on {host} port {port}: {reason(error)}", status) from None


def _require(check: Callable[[], None]) -> None:
    try:
        check()
    except ImportError as error:
        raise Failure(str(error), 2) from None


def _url(sock: socket.socket, scheme: str) -> str:
    address = sock.getsockname()
    if not isinstance(address, tuple):
        return f"{scheme}+unix:{address}"
    return f"{scheme}://{place_of(address)}"
