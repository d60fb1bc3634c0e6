"""The part of `wscore serve` that runs in Trio: a server, and whoever may tell it to reload, to drain or to end.

Decides what the first and the second signal do, what a worker does for its supervisor, and that metrics have a server
of their own, which outlives the first one's draining. Refuses to know WebSocket: that is `wscore.serve`.
"""

import logging
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus

import trio

from wscore.cli import Failure, demo, reason
from wscore.cli.app import loaded
from wscore.cli.ground import Ground
from wscore.cli.options import Settings, keywords_of
from wscore.protocol.handshake import Request
from wscore.server import metrics
from wscore.server.logs import fields, logger
from wscore.server.page_server import MAX_VISITORS, only_pages
from wscore.server.pages import Document, Pages, plain
from wscore.server.serve import Server, serve
from wscore.server.sockets import listener_on
from wscore.server.turns import TurnClock
from wscore.server.worker_link import Command, report
from wscore.session.site.application import Answer
from wscore.transport.websocket import WebSocket

__all__ = ["Alone", "Worker"]

_METRICS_PATH = "/metrics"

_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none


class Program(ABC):
    """One run of the server in this process, from listening to the exit status. Raises `Failure` if it cannot serve."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._keywords = _keywords(ground)
        self._failure: Failure | None = None
        self._turns: TurnClock | None = None
        self._is_to_drain = trio.Event()
        self._everything = trio.CancelScope()
        self._status = 0

    async def run(self) -> int:
        """Serve until told to end; return the exit status. Cancelled, everything is closed at once."""
        with self._everything, self._signals() as signals:
            async with trio.open_nursery() as nursery:
                if server := await self._start(nursery):
                    await self._has_started(server, signals, nursery)
                    await self._is_to_drain.wait()
                    self._stopping()
                    await server.aclose(drain=self.ground.settings["drain_timeout"])
                    await self._has_drained(server)
                nursery.cancel_scope.cancel()
        if self._failure:
            raise self._failure
        return self._status

    async def _start(self, nursery: trio.Nursery) -> Server | None:
        listeners = [listener_on(sock) for sock in self.ground.sockets]
        if self.ground.metrics:
            self._turns = TurnClock()
            trio.lowlevel.add_instrument(self._turns)
        try:
            server: Server = await nursery.start(partial(serve, listeners=listeners, **self._keywords))
        except (ValueError, TypeError) as error:
            self._failure = Failure(f"an option makes no sense: {reason(error)}", 2)
            return None
        return server

    def drain(self) -> None:
        """Close all connections with 1001, then end. Once is enough."""
        self._is_to_drain.set()

    def end(self) -> None:
        """End at once."""
        self._status = 1
        self._everything.cancel()

    async def _snapshot(self, server: Server) -> metrics.Snapshot:
        return metrics.snapshot_of(await server.survey(), self._turns)

    @contextmanager
    def _signals(self) -> Iterator[AsyncIterator[int]]:
        with trio.open_signal_receiver(*self._wanted_signals()) as signals:
            yield signals

    @abstractmethod
    def _wanted_signals(self) -> list[signal.Signals]: ...

    @abstractmethod
    async def _has_started(self, server: Server, signals: AsyncIterator[int], nursery: trio.Nursery) -> None: ...

    @abstractmethod
    def _stopping(self) -> None: ...

    @abstractmethod
    async def _has_drained(self, server: Server) -> None: ...


class Alone(Program):
    """The whole server in one process: signals come to it."""

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._latest: metrics.Snapshot = {}

    def _wanted_signals(self) -> list[signal.Signals]:
        return [signal.SIGINT, signal.SIGTERM, *([_HANGUP] if _HANGUP else [])]

    async def _has_started(self, server: Server, signals: AsyncIterator[int], nursery: trio.Nursery) -> None:
        nursery.start_soon(self._obey, signals)
        if self.ground.metrics:
            await self._serve_metrics(server, nursery)
        self.ground.announce()

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number == _HANGUP and not self.ground.hung_up():
                self._reload()
            elif self._is_to_drain.is_set():
                self.end()
            else:
                logger.info("closing all connections; once more ends at once", extra=fields(event="draining"))
                self.drain()

    def _reload(self) -> None:
        self.ground.notifier.reloading()
        self.ground.reload()
        self.ground.notifier.ready("serving")

    def _stopping(self) -> None:
        self.ground.notifier.stopping()

    async def _has_drained(self, server: Server) -> None:
        """Whoever wanted to know has asked."""

    async def _serve_metrics(self, server: Server, nursery: trio.Nursery) -> None:
        async def prepare(request: Request) -> Answer:
            if request.path == _METRICS_PATH:
                self._latest = await self._snapshot(server)
            return only_pages(request)

        await nursery.start(
            partial(
                serve,
                WebSocket.wait_closed,
                listeners=[listener_on(sock) for sock in self.ground.metrics],
                on_request=prepare,
                pages={_METRICS_PATH: lambda: metrics.page(self._latest), "/healthz": self._health},
                max_connections=MAX_VISITORS,
                max_handshakes=MAX_VISITORS,
            )
        )

    def _health(self) -> Document:
        if self._is_to_drain.is_set():
            return plain(HTTPStatus.SERVICE_UNAVAILABLE, "closing")
        return plain(HTTPStatus.OK, "ok")


class Worker(Program):
    """One of several: its supervisor tells it what to do. SIGTERM makes it drain, and the supervisor starts another."""

    def __init__(self, ground: Ground, link: socket.socket) -> None:
        super().__init__(ground)
        self._link = trio.SocketStream(trio.socket.from_stdlib_socket(link))

    def _wanted_signals(self) -> list[signal.Signals]:
        return [signal.SIGTERM]

    async def _has_started(self, server: Server, signals: AsyncIterator[int], nursery: trio.Nursery) -> None:
        nursery.start_soon(self._obey_signals, signals)
        nursery.start_soon(self._obey, server)
        await self._report(ready=True)

    async def _obey_signals(self, signals: AsyncIterator[int]) -> None:
        async for _ in signals:  # a service manager may send it to every process, beside what the supervisor says
            self.drain()

    async def _obey(self, server: Server) -> None:
        """Do what the supervisor says, until it ends: that is the end of all."""
        received = b""
        with suppress(trio.BrokenResourceError):
            async for data in self._link:
                *lines, received = (received + data).split(b"\n")
                for line in lines:
                    await self._do(Command(line), server)
        self.drain()

    async def _do(self, command: Command, server: Server) -> None:
        if command is Command.SNAPSHOT:
            await self._report(snapshot=await self._snapshot(server))
        elif command is Command.RELOAD:
            self.ground.reload(level=logging.DEBUG)  # the supervisor has said it
        elif command is Command.DRAIN:
            self.drain()
        else:
            self.end()

    async def _report(self, **values: object) -> None:
        with suppress(trio.BrokenResourceError):
            await self._link.send_all(report(**values))

    def _stopping(self) -> None:
        """The supervisor says so, to whom it concerns."""

    async def _has_drained(self, server: Server) -> None:
        await self._report(snapshot=await self._snapshot(server))


def _keywords(ground: Ground) -> Settings:
    """Return what `wscore.serve` is called with, but for the listeners."""
    keywords = loaded(keywords_of(ground.settings))
    keywords["ssl_context"] = ground.certificate.context if ground.certificate else None
    healthy = plain(HTTPStatus.OK, "ok")
    pages: Pages = {"/healthz": lambda: healthy}
    if keywords["handler"] is None and keywords["on_message"] is None:
        document = demo.page()
        pages = {**pages, "/": lambda: document}
        keywords |= {"handler": demo.echo, "on_request": keywords["on_request"] or demo.route}
    return keywords | {"pages": pages}
