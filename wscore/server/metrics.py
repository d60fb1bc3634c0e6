"""Metrics for Prometheus: what they are called, how those of several processes add up, and the page that shows them.

Decides names, types and labels, in one table. Everything is taken from counts that are kept anyway, at the moment when
somebody asks: nothing is paid for in between. A label never holds what a peer can choose freely: close codes of
applications count together.

prometheus-client writes the page; it comes with the extra `metrics`, and is imported when the first page is written.
Refuses to know who asks, and where the processes are.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from wscore import codec
from wscore._extras import require
from wscore._version import __version__
from wscore.session.site.statistics import ServerStatistics

# What is counted runs on Trio.
require("wscore.server.metrics", "metrics,trio", "trio", "h11")

from wscore.server.pages import Document  # noqa: E402
from wscore.server.turns import TurnClock  # noqa: E402

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

__all__ = ["Collector", "Snapshot", "counters_of", "page", "require_prometheus", "snapshot_of", "sum_of"]

# By source (the third column of the table), numbers by label; "" where there is no label. It is plain JSON.
Snapshot = dict[str, dict[str, float]]

_SUM = "sum"
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    kind: str
    source: str
    help: str
    label: str = ""


_METRICS = (
    _Metric("wscore_connections", "gauge", "connections", "WebSockets that are open."),
    _Metric("wscore_handshakes", "gauge", "handshakes", "Connections that are opening, TLS included."),
    _Metric("wscore_connections_opened", "counter", "accepted", "WebSockets that were opened."),
    _Metric("wscore_pages", "counter", "pages", "Requests that were answered with a page."),
    _Metric("wscore_refusals", "counter", "reasons", "Requests that were refused.", "reason"),
    _Metric("wscore_drops", "counter", "dropped", "Connections that were closed without an answer.", "reason"),
    _Metric("wscore_tls_failures", "counter", "tls_failures", "Connections on which TLS did not come about."),
    _Metric("wscore_messages_received", "counter", "messages_received", "Messages from peers."),
    _Metric("wscore_messages_sent", "counter", "messages_sent", "Messages to peers."),
    _Metric("wscore_messages_dropped", "counter", "messages_dropped", "Messages that slow peers went without."),
    _Metric("wscore_received_bytes", "counter", "bytes_received", "Bytes from peers, as on the wire."),
    _Metric("wscore_sent_bytes", "counter", "bytes_sent", "Bytes to peers, as on the wire."),
    _Metric("wscore_closes", "counter", "close_codes", "WebSockets that ended, by close code; 1006: without.", "code"),
    _Metric("wscore_ends", "counter", "causes", "The same by what brought the end about.", "cause"),
    _Metric("wscore_resets", "counter", "resets", "Peers that took nothing, or did not close, and were given up."),
    _Metric("wscore_errors", "counter", "errors", "Exceptions of the application, and of our own."),
    _Metric("wscore_receive_queue_messages", "gauge", "messages_waiting", "Messages received and not fetched yet."),
    _Metric("wscore_receive_queue_bytes", "gauge", "receive_queue", "What they weigh: size, and some each."),
    _Metric("wscore_send_buffer_bytes", "gauge", "send_buffer", "Bytes that wait to be sent."),
    _Metric("wscore_senders_waiting", "gauge", "senders_waiting", "Calls of send that wait for room."),
    _Metric("wscore_ping_latency_seconds", "gaugehistogram", "latencies", "Open WebSockets by their last Ping's time."),
    _Metric("wscore_turn_seconds", "histogram", "turns", "Turns of the event loop by their length."),
    _Metric("wscore_cpu_seconds", "counter", "cpu", "Processor time of the processes that serve."),
    _Metric("wscore_workers", "gauge", "workers", "Worker processes that are running."),
    _Metric("wscore_worker_starts", "counter", "worker_starts", "Worker processes that were started."),
)


def snapshot_of(statistics: ServerStatistics, turns: TurnClock | None = None) -> Snapshot:
    """Return what one process has counted."""
    sources: dict[str, object] = {name: getattr(statistics, name) for name in _READ_AS_IT_IS}
    sources["close_codes"] = _grouped(statistics.close_codes)
    sources["latencies"] = _measured(statistics.latencies, statistics.latency)
    sources["cpu"] = time.process_time()
    if turns is not None:
        sources["turns"] = _measured(turns.turns, turns.seconds)
    return {name: _labelled(value) for name, value in sources.items()}


_COMPUTED = {"close_codes", "latencies", "turns", "cpu", "workers", "worker_starts"}
_READ_AS_IT_IS = tuple(metric.source for metric in _METRICS if metric.source not in _COMPUTED)


def _labelled(value: Any) -> dict[str, float]:
    return {str(label): number for label, number in value.items()} if isinstance(value, Mapping) else {"": value}


def _measured(counts: Mapping[float, int], total: float) -> dict[str, float]:
    return {**{str(bound): count for bound, count in counts.items()}, _SUM: total}


def _grouped(codes: Mapping[int, int]) -> dict[str, int]:
    """A peer may end its connections with any of thousands of codes; each would be a time series."""
    groups: dict[str, int] = {}
    for code, count in codes.items():
        name = str(code) if code < 3000 else f"{code // 1000}xxx"
        groups[name] = groups.get(name, 0) + count
    return groups


def sum_of(*snapshots: Snapshot) -> Snapshot:
    """Return what several processes have counted together."""
    total: Snapshot = {}
    for snapshot in snapshots:
        for source, numbers in snapshot.items():
            sums = total.setdefault(source, {})
            for label, number in numbers.items():
                sums[label] = sums.get(label, 0) + number
    return total


def counters_of(snapshot: Snapshot) -> Snapshot:
    """Return what stays true of a process that has ended: what counts up, and not what is of now."""
    return {source: numbers for source, numbers in snapshot.items() if source in _COUNTERS}


_COUNTERS = {metric.source for metric in _METRICS if metric.kind in ("counter", "histogram")}


class Collector:
    """What a registry of prometheus-client takes, for a program that has one: `REGISTRY.register(Collector(take))`.

    `take()` returns a snapshot, such as `snapshot_of(server.statistics())`. It is called for each page; it is up to the
    caller that this happens in Trio's thread.
    """

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take

    def describe(self) -> Iterator["Family"]:
        """Yield nothing, so that registering asks for no snapshot."""
        return iter(())

    def collect(self) -> Iterator["Family"]:
        """Yield the metrics that the snapshot has anything about. Raises `ImportError` without prometheus-client."""
        require_prometheus()
        snapshot = self._take()
        yield _info()
        for metric in _METRICS:
            if metric.source in snapshot:
                yield _family(metric, snapshot[metric.source])


def _info() -> "Family":
    from prometheus_client.core import InfoMetricFamily

    value = {"version": __version__, "implementation": codec.IMPLEMENTATION}
    return InfoMetricFamily("wscore", "Version and implementation.", value=value)


def _family(metric: _Metric, numbers: Mapping[str, float]) -> "Family":
    from prometheus_client import core

    if metric.kind == "histogram":
        buckets, total = _cumulative(numbers)
        return core.HistogramMetricFamily(metric.name, metric.help, buckets=buckets, sum_value=total)
    if metric.kind == "gaugehistogram":
        buckets, total = _cumulative(numbers)
        return core.GaugeHistogramMetricFamily(metric.name, metric.help, buckets=buckets, gsum_value=total)
    labels = [metric.label] if metric.label else []
    family: core.CounterMetricFamily | core.GaugeMetricFamily
    if metric.kind == "counter":
        family = core.CounterMetricFamily(metric.name, metric.help, labels=labels)
    else:
        family = core.GaugeMetricFamily(metric.name, metric.help, labels=labels)
    for label, number in numbers.items():
        family.add_metric([label] if metric.label else [], number)
    return family


def _cumulative(numbers: Mapping[str, float]) -> tuple[list[tuple[str, float]], float]:
    """Prometheus wants in each bucket what is in those before, too."""
    buckets, so_far = [], 0.0
    for bound, count in sorted((float(bound), count) for bound, count in numbers.items() if bound != _SUM):
        so_far += count
        buckets.append(("+Inf" if bound == inf else str(bound), so_far))
    return buckets, numbers[_SUM]


def page(snapshot: Snapshot) -> Document:
    """Return the page that Prometheus reads. Raises `ImportError` without prometheus-client."""
    require_prometheus()
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(Collector(lambda: snapshot))
    return Document(_CONTENT_TYPE, generate_latest(registry))


def require_prometheus() -> None:
    """Raise `ImportError` with a sentence, if prometheus-client is not installed."""
    require("a page of metrics", "metrics", "prometheus_client")
