"""Who has to go when the buffers of a server are short, so that there is room for newcomers again.

Decides two things. While more than half of what all connections may hold together is held, a message under way has to
come at a least rate, on average, once it has had its first 30 seconds; who sends more slowly is closed with 1013. As
soon as more is held than may be, connections are closed with 1013 until nine tenths are: those that are too slow, the
slowest first, then of the address that holds most the connection that holds most, and so on. So whoever fills the
buffers, from however many connections, is the one who loses them. What TLS handshakes hold that are under way is given
back by these, the oldest first, once they have had the half second that they have anyway: see `limits`.

What counts is when a message was first seen in such a time, and time in which we did not read from its peer does not.
Refuses to know what a connection holds, and how that is counted: `Reserve` and the connections say so.
"""

import heapq
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterator
from math import ceil, inf
from typing import NamedTuple

import trio

from wscore.server.logs import fields, logger
from wscore.session.opening.server import TLS_HANDSHAKE
from wscore.session.site.addresses import key_of
from wscore.session.site.limits import Limits
from wscore.transport.records import Incoming
from wscore.transport.reserve import Reserve
from wscore.transport.websocket import WebSocket

__all__ = ["Relief"]

# How long a message may take whatever its rate, in seconds.
FIRST_SECONDS = 30.0
SURVEY_INTERVAL = 1.0
# About a millisecond.
SURVEYED_AT_ONCE = 256


class _Sight(NamedTuple):
    """A message under way: the number of those before it on its connection, and since when it is seen."""

    number: int
    since: float


class Relief:
    """Looks after the connections of one server; `min_message_rate` is bytes a second, None for any.

    `limits` know the handshakes that are under way.
    """

    def __init__(
        self, reserve: Reserve, limits: Limits, websockets: Collection[WebSocket], min_message_rate: float | None
    ) -> None:
        self._reserve = reserve
        self._limits = limits
        self._websockets = websockets
        self._rate = min_message_rate
        self._seen: dict[WebSocket, _Sight] = {}
        self._surveyed_at = 0.0

    async def run(self) -> None:
        """Look after them until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_the_limit)
            if self._rate is not None:
                nursery.start_soon(self._watch_messages)

    async def _watch_the_limit(self) -> None:
        while True:
            await self._reserve.wait_until_over()
            self.relieve()
            if self._reserve.is_over:  # what is left holds little, or is about to go
                await trio.sleep(SURVEY_INTERVAL)

    async def _watch_messages(self) -> None:
        while True:
            await self._reserve.wait_until_scarce()
            self._surveyed_at = trio.current_time()
            while self._reserve.is_scarce:
                await self._survey()
                await trio.sleep(SURVEY_INTERVAL)
            self._seen.clear()

    async def _survey(self) -> None:
        """See which messages are under way, and close who sends too slowly. Others get their turn in between."""
        now = trio.current_time()
        passed, self._surveyed_at = now - self._surveyed_at, now
        seen: dict[WebSocket, _Sight] = {}
        for number, ws in enumerate(tuple(self._websockets)):
            if number % SURVEYED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
            incoming = ws._message_under_way()
            if incoming is not None:
                seen[ws] = self._look(ws, incoming, now, passed)
        self._seen = seen
        self._close(slow for _, slow in self._too_slow())

    def _look(self, ws: WebSocket, incoming: Incoming, now: float, passed: float) -> _Sight:
        sight = self._seen.get(ws)
        if sight is None or sight.number != incoming.number:
            return _Sight(incoming.number, now)
        if incoming.is_paused:
            return sight._replace(since=min(sight.since + passed, now))
        return sight

    def _too_slow(self) -> list[tuple[float, WebSocket]]:
        """Who sends too slowly, with the rate, the slowest first."""
        now = trio.current_time()
        rates = [(self._rate_of(ws, sight, now), ws) for ws, sight in self._seen.items()]
        return sorted(((rate, ws) for rate, ws in rates if rate < (self._rate or 0.0)), key=lambda pair: pair[0])

    @staticmethod
    def _rate_of(ws: WebSocket, sight: _Sight, now: float) -> float:
        incoming = ws._message_under_way()
        if incoming is None or incoming.number != sight.number or now - sight.since <= FIRST_SECONDS:
            return inf
        return incoming.size / (now - sight.since)

    def relieve(self) -> None:
        """Too much is held: close as many as it takes until nine tenths of the limit are.

        Handshakes go for what handshakes hold, and WebSockets for the rest alone.
        """
        excess = self._reserve.held - self._reserve.limit * 9 // 10
        of_handshakes = self._reserve.held_by_handshakes
        self._limits.make_way(ceil(min(excess, of_handshakes) / TLS_HANDSHAKE))
        self._close(self._until(excess - of_handshakes))

    def _until(self, excess: int) -> Iterator[WebSocket]:
        """Those who have to go, until they held `excess` together."""
        gone = set()
        for ws in self._in_order():
            if excess <= 0:
                return
            if ws not in gone:
                gone.add(ws)
                excess -= ws._held
                yield ws

    def _in_order(self) -> Iterator[WebSocket]:
        yield from (ws for _, ws in self._too_slow())
        yield from largest_of_the_largest([ws for ws in self._websockets if ws._held])

    def _close(self, websockets: Iterator[WebSocket]) -> None:
        closed = held = 0
        for ws in websockets:
            closed += 1
            held += ws._held
            ws._run_short()
        if closed:
            facts = fields(kind="short_of_memory", event="short_of_memory", closed=closed, held=held)
            logger.warning(
                "the buffers are short: closing %d connections that hold %d bytes", closed, held, extra=facts
            )


def largest_of_the_largest(websockets: Collection[WebSocket]) -> Iterator[WebSocket]:
    """Again and again, of the address whose connections hold most, the connection that holds most."""
    by_address: defaultdict[Hashable, list[WebSocket]] = defaultdict(list)
    for ws in websockets:
        by_address[key_of(ws.remote_address) or ws].append(ws)
    heap = []
    for number, group in enumerate(by_address.values()):
        group.sort(key=lambda ws: ws._held)
        heap.append((-sum(ws._held for ws in group), number, group))
    heapq.heapify(heap)
    while heap:
        total, number, group = heap[0]
        ws = group.pop()
        if group:
            heapq.heapreplace(heap, (total + ws._held, number, group))
        else:
            heapq.heappop(heap)
        yield ws
