"""What a server has counted. Decides what is worth counting; who counts, and what is shown to whom, is elsewhere."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from operator import add, attrgetter
from types import MappingProxyType
from typing import Protocol

from wscore.session.ends import End

__all__ = ["LATENCY_BOUNDS", "ServerStatistics", "Survey", "Tally"]

# Seconds, from the same rack to the other side of the world over a bad link.
LATENCY_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatistics:
    """A server at one moment: what is not said to be of now counts from its start; sizes are bytes, as on the wire."""

    connections: int
    """WebSockets that are open now."""
    handshakes: int
    """Connections that are opening now, TLS included."""
    accepted: int
    """WebSockets that were opened."""
    pages: int
    """Requests that were answered with a page."""
    refusals: Mapping[int, int]
    """Requests that were refused, by HTTP status."""
    reasons: Mapping[str, int]
    """The same by reason: a word for each rule of ours, `application` for what `on_request` refused."""
    dropped: Mapping[str, int]
    """Connections that were closed without an answer, by reason."""
    tls_failures: int
    """Connections on which TLS did not come about."""
    messages_received: int
    messages_sent: int
    messages_dropped: int
    """By `slow_consumer="drop"`."""
    bytes_received: int
    bytes_sent: int
    close_codes: Mapping[int, int]
    """How WebSockets ended, by close code (1006: without one)."""
    causes: Mapping[str, int]
    """Why they did: by the values of `wscore.session.Cause`."""
    resets: int
    """Peers that took nothing, or did not close, and were given up."""
    errors: int
    """Exceptions out of handlers, `on_message` and `on_request`, and of our own."""
    messages_waiting: int
    """Received and not fetched, on WebSockets that are open now."""
    receive_queue: int
    """What they weigh: size after inflating, and 48 each, 8 if they are empty or one byte."""
    send_buffer: int
    """Bytes that wait to be sent now."""
    senders_waiting: int
    """Calls of `send` that wait for room now."""
    latencies: Mapping[float, int]
    """How many of those that are open now had their last Ping answered within so many seconds, and not within the bound
    before; without those that were not pinged yet."""
    latency: float
    """The sum of these latencies, in seconds."""


class Open(Protocol):
    """A WebSocket, as far as it is counted."""

    @property
    def end(self) -> End | None: ...
    def statistics(self) -> "Counts": ...


class Counts(Protocol):
    """The statistics of one WebSocket; `_all_of` says what else is read of it."""

    @property
    def latency(self) -> float | None: ...
    @property
    def reset(self) -> bool: ...
    @property
    def failed(self) -> bool: ...


class Tally:
    """The counters behind it."""

    def __init__(self) -> None:
        self.accepted = self.pages = self.tls_failures = self.resets = self.errors = 0
        self.refusals: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.close_codes: Counter[int] = Counter()
        self.causes: Counter[str] = Counter()
        self._traffic = [0] * len(_TRAFFIC)

    def ended(self, ws: Open) -> None:
        """A WebSocket is over: keep what it has counted."""
        statistics, end = ws.statistics(), ws.end
        self._traffic = list(map(add, self._traffic, _traffic_of(statistics)))
        self.resets += statistics.reset
        self.errors += statistics.failed
        if end is not None:
            self.close_codes[end.code] += 1
            self.causes[end.cause.value] += 1

    def snapshot(self, open_now: Iterable[Open], handshakes: int) -> ServerStatistics:
        """All of it, and what those have counted that are still open."""
        survey = Survey(self, handshakes)
        for ws in open_now:
            survey.add(ws)
        return survey.result()


_TRAFFIC = ("messages_received", "messages_sent", "messages_dropped", "bytes_received", "bytes_sent")
_DEPTHS = ("messages_waiting", "receive_queue", "send_buffer", "senders_waiting")
_traffic_of = attrgetter(*_TRAFFIC)
_all_of = attrgetter(*_TRAFFIC, *_DEPTHS)


class Survey:
    """Goes from one open WebSocket to the next, and may take its time.

    What `tally` has counted is copied at the beginning, so that a WebSocket which ends meanwhile is counted once: `add`
    it, with all that were open at the beginning.
    """

    def __init__(self, tally: Tally, handshakes: int) -> None:
        self._sums = [*tally._traffic, *[0] * len(_DEPTHS)]
        self._latencies = [0] * len(LATENCY_BOUNDS)
        self._latency = 0.0
        self._connections = 0
        self._others = {
            "handshakes": handshakes,
            "accepted": tally.accepted,
            "pages": tally.pages,
            "tls_failures": tally.tls_failures,
            "resets": tally.resets,
            "errors": tally.errors,
        }
        self._refusals = MappingProxyType(dict(tally.refusals))
        self._reasons = MappingProxyType(dict(tally.reasons))
        self._dropped = MappingProxyType(dict(tally.dropped))
        self._close_codes = MappingProxyType(dict(tally.close_codes))
        self._causes = MappingProxyType(dict(tally.causes))

    def add(self, ws: Open) -> None:
        """Count one WebSocket."""
        statistics = ws.statistics()
        self._connections += 1
        self._sums = list(map(add, self._sums, _all_of(statistics)))
        if statistics.latency is not None:
            self._latency += statistics.latency
            self._latencies[bisect_left(LATENCY_BOUNDS, statistics.latency)] += 1

    def result(self) -> ServerStatistics:
        """The sum of all."""
        return ServerStatistics(
            connections=self._connections,
            refusals=self._refusals,
            reasons=self._reasons,
            dropped=self._dropped,
            close_codes=self._close_codes,
            causes=self._causes,
            latencies=MappingProxyType(dict(zip(LATENCY_BOUNDS, self._latencies, strict=True))),
            latency=self._latency,
            **self._others,
            **dict(zip(_TRAFFIC + _DEPTHS, self._sums, strict=True)),
        )
