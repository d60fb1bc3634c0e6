"""A line of `wscore bench` on one end of a socket pair, and a server that does as it is told on the other."""

import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import wscore
from wscore.cli.bench.line import Line, Shared
from wscore.cli.bench.loads import Load
from wscore.cli.bench.payloads import Payloads
from wscore.cli.bench.tally import Tally

MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND


class Clock:
    """Nanoseconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Peer:
    """The server's end of one connection, and the line at the other."""

    def __init__(self, shared: Shared, number: int = 0) -> None:
        ours, self.socket = socket.socketpair()
        ours.setblocking(False)
        self.socket.setblocking(False)
        self.connection = wscore.Connection(wscore.SERVER)
        self.shared = shared
        self.line = Line(number, wscore.Connection(wscore.CLIENT), ours, shared)

    def received(self) -> list[Any]:
        """What has come from the line by now."""
        events: list[Any] = []
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                return events
            events += self.connection.receive_data(data) if data else self.connection.receive_eof()
            if not data:
                return events

    def send(self, *messages: str | bytes) -> None:
        """Send these, and let the line take them."""
        for message in messages:
            self.connection.send(message)
        self.push()

    def push(self) -> None:
        """Send what the connection has to send, and let the line take it."""
        self.socket.sendall(self.connection.data_to_send())
        self.turn()

    def turn(self) -> None:
        """Let the line move what can be moved, as the engine does."""
        for _, events in self.shared.selector.select(0):
            if events & selectors.EVENT_READ:
                self.line.receive()
            if events & selectors.EVENT_WRITE and self.line.is_open:
                self.line.go_on()

    def close(self) -> None:
        self.line.drop()
        self.socket.close()


@contextmanager
def peers(
    make_load: Callable[[Tally], Load], count: int = 1, *, size: int = 20, binary: bool = False, check: bool = True
) -> Iterator[tuple[list[Peer], Load, Tally, Clock]]:
    """So many connections under one load, none of which has begun to send; the clock is at 0."""
    clock = Clock()
    tally = Tally(clock)
    tally.since = 0
    load = make_load(tally)
    payloads = Payloads(size, binary, load.in_a_row)
    shared = Shared(selectors.DefaultSelector(), payloads, tally, check, load.replied)
    opened = [Peer(shared, number) for number in range(count)]
    try:
        yield opened, load, tally, clock
    finally:
        for peer in opened:
            peer.close()
        shared.selector.close()
