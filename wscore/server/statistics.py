"""What a server has counted. Decides what is worth counting; who counts, and what is shown to whom, is elsewhere."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from wscore.transport.records import Statistics
from wscore.transport.websocket import WebSocket

__all__ = ["ServerStatistics", "Tally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatistics:
    """A server at one moment. All but the first two count from its start; sizes are in bytes, as on the wire."""

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
    resets: int
    """Peers that took nothing, or did not close, and were given up."""
    errors: int
    """Exceptions out of handlers, `on_message` and `on_request`, and of our own."""


class Tally:
    """The counters behind it."""

    def __init__(self) -> None:
        self.accepted = self.pages = self.tls_failures = self.resets = self.errors = 0
        self.refusals: Counter[int] = Counter()
        self.close_codes: Counter[int] = Counter()
        self._traffic: Counter[str] = Counter()

    def ended(self, ws: WebSocket) -> None:
        """A WebSocket is over: keep what it has counted."""
        statistics = ws.statistics()
        self._traffic += _traffic_of(statistics)
        self.resets += statistics.reset
        self.errors += statistics.failed
        if ws.close_code is not None:
            self.close_codes[ws.close_code] += 1

    def snapshot(self, open_now: Iterable[WebSocket], handshakes: int) -> ServerStatistics:
        """All of it, and what those have counted that are still open."""
        living = list(open_now)
        traffic = sum((_traffic_of(ws.statistics()) for ws in living), self._traffic)
        return ServerStatistics(
            connections=len(living),
            handshakes=handshakes,
            accepted=self.accepted,
            pages=self.pages,
            refusals=MappingProxyType(dict(self.refusals)),
            tls_failures=self.tls_failures,
            close_codes=MappingProxyType(dict(self.close_codes)),
            resets=self.resets,
            errors=self.errors,
            **{name: traffic[name] for name in _TRAFFIC},
        )


_TRAFFIC = ("messages_received", "messages_sent", "messages_dropped", "bytes_received", "bytes_sent")


def _traffic_of(statistics: Statistics) -> Counter[str]:
    return Counter({name: getattr(statistics, name) for name in _TRAFFIC})
