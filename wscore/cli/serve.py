"""`wscore serve`: an echo, a page to try it, a health check; a proper end when the operating system asks for one.

Decides what stands under which path, what is printed, and what signals do: the first SIGTERM or SIGINT stops listening
and closes every connection with 1001, the second one ends at once.

Refuses to know WebSocket: that is `wscore.serve`.
"""

import base64
import hashlib
import logging
import re
import signal
import ssl
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from importlib.resources import files

import trio

from wscore import codec
from wscore._version import __version__
from wscore.cli import Failure, complain, reason
from wscore.cli.descriptors import raise_descriptor_limit
from wscore.cli.options import Settings
from wscore.protocol.handshake import Accept, Page, Refuse, Request
from wscore.server import logs
from wscore.server.pages import Document, Pages, plain
from wscore.server.serve import Server, serve
from wscore.transport.websocket import WebSocket

# What the program itself needs; all other settings are keywords of `wscore.serve`.
_OWN = {"host", "port", "tls_cert", "tls_key", "drain_timeout", "allowed_origin", "allowed_host", "subprotocol"}


def run(settings: Settings) -> int:
    """Serve until a signal ends it; return the exit status. Raises `Failure` if it cannot listen."""
    _log_to_standard_error()
    if not raise_descriptor_limit():
        logs.logger.info("the limit of open files stays as it is")
    return trio.run(_Program(settings, _tls(settings)).run)


class _Program:
    """One run of the server, from listening to the exit status."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._tls = tls
        self._failure: Failure | None = None
        self._status = 0

    async def run(self) -> int:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                if server := await self._start(nursery):
                    self._announce(server)
                    await anext(signals)
                    nursery.start_soon(self._end_at_once, signals, nursery.cancel_scope)
                    await self._drain(server)
                nursery.cancel_scope.cancel()
        if self._failure:
            raise self._failure
        return self._status

    async def _start(self, nursery: trio.Nursery) -> Server | None:
        settings = self._settings
        host, port = settings["host"], settings["port"]
        try:
            server: Server = await nursery.start(partial(serve, _echo, host, port, **self._keywords()))
            return server
        except OSError as error:
            self._failure = Failure(f"cannot listen on {host} port {port}: {reason(error)}")
        except ValueError as error:
            self._failure = Failure(f"an option makes no sense: {reason(error)}", 2)
        return None

    def _keywords(self) -> Settings:
        settings = self._settings
        keywords = {name: value for name, value in settings.items() if name not in _OWN}
        return keywords | {
            "allowed_origins": settings["allowed_origin"],
            "allowed_hosts": settings["allowed_host"],
            "subprotocols": settings["subprotocol"],
            "ssl_context": self._tls,
            "on_request": _route,
            "pages": self._pages(),
        }

    def _pages(self) -> Pages:
        demo, healthy = _demo(), plain(HTTPStatus.OK, "ok")
        return {"/": lambda: demo, "/healthz": lambda: healthy}

    def _announce(self, server: Server) -> None:
        scheme = "https" if self._tls else "http"
        places = ", ".join(f"{scheme}://{_authority(address)}" for address in server.addresses)
        print(f"wscore {__version__} ({codec.IMPLEMENTATION}) listening on {places}", flush=True)

    async def _drain(self, server: Server) -> None:
        complain("closing all connections; once more ends at once")
        await server.aclose(drain=self._settings["drain_timeout"])

    async def _end_at_once(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        await anext(signals)
        self._status = 1
        scope.cancel()


async def _echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


def _route(request: Request) -> Accept | Refuse | Page:
    if request.path == "/echo":
        return Accept()  # which a request without Upgrade cannot take: it gets 426
    if request.is_upgrade:
        return Refuse(HTTPStatus.NOT_FOUND, "There is no WebSocket here: the echo is on /echo.")
    return Page()


def _authority(address: object) -> str:
    if not isinstance(address, tuple):
        return str(address)
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _demo() -> Document:
    """The page, allowed to run its own script and style, to connect to its own server, and nothing else."""
    text = files(__package__).joinpath("demo.html").read_text(encoding="utf-8")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash_of('script', text)}",
            f"style-src {_hash_of('style', text)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    return Document("text/html; charset=utf-8", text.encode(), headers=[("Content-Security-Policy", policy)])


def _hash_of(element: str, text: str) -> str:
    match = re.search(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
    assert match is not None
    return f"'sha256-{base64.b64encode(hashlib.sha256(match[1].encode()).digest()).decode()}'"


def _tls(settings: Settings) -> ssl.SSLContext | None:
    certificate, key = settings["tls_cert"], settings["tls_key"]
    if certificate is None:
        if key is not None:
            raise Failure("--tls-key is of no use without --tls-cert", 2)
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        names = certificate if key is None else f"{certificate} and {key}"
        raise Failure(f"cannot read the certificate or its key from {names}: {reason(error)}") from None
    return context


def _log_to_standard_error() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logs.EscapingFormatter("%(asctime)s %(levelname)s %(message)s"))
    logs.logger.addHandler(handler)
    logs.logger.setLevel(logging.INFO)
