"""What a run has found out: one dictionary, printed as it is with `--json`, and as a few lines without.

Decides the names and units that scripts may rely on: seconds, milliseconds for latencies, bytes of messages one way;
what was not measured is None. Decides, too, what counts as a failed run: a connection that could not be opened or that
ended before its time, and a message that was not sent, not answered, or answered with something else.

Refuses to know how a load is run.
"""

from collections.abc import Iterator
from typing import Any

from wscore.cli.bench.engine import Engine
from wscore.cli.bench.histogram import Histogram
from wscore.cli.bench.loads import Load
from wscore.cli.bench.tally import Moment, Tally
from wscore.cli.options import Settings
from wscore.protocol.uri import Uri
from wscore.server.logs import escape

Results = dict[str, Any]

PERCENTILES = (50, 90, 99, 99.9)

# What part of the time the generator may wait for a processor before that is said.
_STARVED = 0.05

_MILLISECOND = 1e6
_SECOND = 1e9


def results_of(uri: Uri, settings: Settings, load: Load, engine: Engine) -> Results:
    """Return all there is to say about a run that has ended."""
    tally = engine.tally
    sent = {
        "sent": engine.sent,
        "answered": engine.answered,
        "lost": sum(line.in_flight for line in engine.lines),
        "unsent": sum(load.unsent(line) for line in engine.lines),
        "wrong": tally.wrong,
        "unasked": tally.unasked,
        "first_wrong": tally.first_wrong,
    }
    return {
        "url": _without_secrets(uri),
        "load": _load(settings),
        "interrupted": engine.is_interrupted,
        "connections": _connections(settings, tally),
        "messages": sent,
        "early_closes": [
            {"code": code, "reason": reason, "origin": origin, "count": count}
            for (code, reason, origin), count in tally.early_closes.most_common()
        ],
        "measured": _measured(settings, tally),
    }


def _without_secrets(uri: Uri) -> str:
    """The URL without user, password and query: results are passed on."""
    return f"{'wss' if uri.secure else 'ws'}://{uri.host_header}{uri.resource.partition('?')[0]}"


def _load(settings: Settings) -> Results:
    names = ("in_flight", "rate", "size", "duration", "warm_up", "ramp_up", "compression")
    kinds = {"type": "binary" if settings["binary"] else "text", "checked": not settings["no_check"]}
    return {"pattern": settings["pattern"] or "rate", **{name: settings[name] for name in names}, **kinds}


def _connections(settings: Settings, tally: Tally) -> Results:
    return {
        "asked": settings["connections"],
        "opened": tally.opened,
        "compressed": tally.compressed,
        "opening_ms": _summary(tally.opening_times),
        "failures": [{"reason": reason, "count": count} for reason, count in tally.failures.most_common()],
    }


def _measured(settings: Settings, tally: Tally) -> Results | None:
    begin, end = tally.begin, tally.end
    if begin is None or end is None:
        return None
    seconds = max(end.time - begin.time, 1) / _SECOND
    count = end.answered - begin.answered
    return {
        "seconds": seconds,
        "messages": count,
        "messages_per_second": count / seconds,
        "bytes_per_second": count * settings["size"] / seconds,
        "latency_ms": _summary(tally.latencies()),
        "sending_delay_ms": _summary(tally.delays),
        "generator": _generator(begin, end, seconds, count),
    }


def _generator(begin: Moment, end: Moment, seconds: float, count: int) -> Results:
    cpu = (end.cpu - begin.cpu) / _SECOND
    starved = None if begin.starved is None or end.starved is None else (end.starved - begin.starved) / _SECOND
    return {
        "cpu_seconds": cpu,
        "busy": cpu / seconds,
        "cpu_us_per_message": cpu / count * 1e6 if count else None,
        "starved": None if starved is None else starved / seconds,
    }


def _summary(histogram: Histogram) -> Results | None:
    """Minimum, mean, percentiles and maximum, in milliseconds."""
    if not histogram.count:
        return None
    nanoseconds = {"min": histogram.minimum, "mean": histogram.mean}
    nanoseconds |= {f"p{percent}": histogram.percentile(percent) for percent in PERCENTILES}
    nanoseconds["max"] = histogram.maximum
    return {"count": histogram.count} | {name: value / _MILLISECOND for name, value in nanoseconds.items()}


# Complaints


def complaints_about(results: Results) -> Iterator[str]:
    """What went wrong, a sentence each; a run without any is a good one."""
    connections, messages = results["connections"], results["messages"]
    for failure in connections["failures"]:
        yield f"{failure['count']} of {connections['asked']} connections failed: {failure['reason']}"
    for close in results["early_closes"]:
        yield f"{close['count']} of {connections['opened']} connections {_early_end(close)}"
    if messages["lost"]:
        yield f"{messages['lost']} of {messages['sent']} messages were lost: no reply came"
    if messages["unsent"]:
        yield f"messages that were never sent, since the connections did not take them in time: {messages['unsent']}"
    if messages["wrong"]:
        yield f"wrong replies: {messages['wrong']}; in the first, {messages['first_wrong']}"
    if messages["unasked"]:
        yield f"messages that were no replies: {messages['unasked']}"


def _early_end(close: Results) -> str:
    code, reason = close["code"], escape(close["reason"])
    if close["origin"] == "lost":
        return f"were lost: {code}"
    by = "were closed early by the server" if close["origin"] == "peer" else "broke the protocol and were given up"
    return f"{by}: {code}{f' {reason}' if reason else ''}"


# In lines


def lines_of(results: Results) -> Iterator[str]:
    """The results for a person to read; nothing if there was no measurement."""
    measured = results["measured"]
    if measured is None:
        return
    yield _row(results["url"], _description(results))
    yield _row("opening", _latencies(results["connections"]["opening_ms"]))
    yield _row("measured", f"{measured['seconds']:.1f} s after {results['load']['warm_up']:g} s of warm-up")
    per_second, volume = measured["messages_per_second"], measured["bytes_per_second"] / 1e6
    yield _row("throughput", f"{per_second:,.0f} messages/s, {volume:,.2f} MB/s each way")
    yield _row("latency", _latencies(measured["latency_ms"]))
    if measured["sending_delay_ms"]:
        yield _row("sent late by", _latencies(measured["sending_delay_ms"]))
    yield _row("generator", _busy(measured["generator"]))


def _row(name: str, content: str) -> str:
    return f"{name:12} {content}"


def _description(results: Results) -> str:
    load, connections = results["load"], results["connections"]
    opened = connections["opened"]
    parts = [f"{opened:,} connection{'s' * (opened != 1)}", f"{load['type']} of {load['size']:,} bytes"]
    if load["rate"] is not None:
        parts.append(f"{load['rate']:,g} messages/s")
    else:
        parts.append(f"{load['pattern']} of {load['in_flight']:,}")
    if load["compression"] is not None:
        parts.append(f"{load['compression']} compression on {connections['compressed']:,} of them")
    return ", ".join(parts)


def _latencies(summary: Results | None) -> str:
    if summary is None:
        return "nothing"
    names = [name for name in summary if name.startswith("p")]
    return ", ".join(f"{name} {summary[name]:.3f}" for name in [*names, "max"]) + " ms"


def _busy(generator: Results) -> str:
    each = generator["cpu_us_per_message"]
    spent = "" if each is None else f", {each:.2f} us of processor time a message"
    warning = "; it may be the bottleneck" if generator["busy"] > 0.9 else ""
    if (generator["starved"] or 0) > _STARVED:
        warning += f"; it waited {generator['starved']:.0%} of the time for a processor, which counts as latency"
    return f"{generator['busy']:.0%} of a core busy{spent}{warning}"
