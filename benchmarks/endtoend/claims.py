"""What wscore promises about whole servers, beside what a run has measured."""

from __future__ import annotations

from collections.abc import Iterator

from ..claims import AT_LEAST, AT_MOST, Line
from ..report import number
from .contenders import (
    ASGI_OURS,
    ASGI_WEBSOCKETS,
    ASGI_WSPROTO,
    ASYNC,
    ASYNCIO_CALLBACKS,
    BARE_C,
    ON_MESSAGE,
    PICOWS,
    UVICORN,
    WEBSOCKETS,
    WEBSOCKETS_TRIO,
    WITHOUT_CODEC,
)
from .results import Figure, Results

__all__ = ["lines", "promised_cases", "promised_contenders"]

SMALL = "echo: 100 x 20 B"
BURSTS = "pipelined: 100 x 20 B, bursts of 16"
WINDOW = "pipelined: 100 x 20 B, window of 16"
MANY = "echo: 1,000 x 512 B"
LARGE = "echo: 50 x 16 KiB"
ONE = "latency: 1 x 20 B"
FANOUT = "fan-out: 128 B"
COMPRESSED = "fan-out: 128 B, compressed"
HANDSHAKES = "handshakes: connect, upgrade, close"
MEMORY = "memory: 2,000 idle connections"
KEEPALIVE = "keepalive: 5,000 idle connections"

# Ours, the case, the other, and how many times its rate.
RATES = (
    (ON_MESSAGE, SMALL, PICOWS, 1.2),
    (ON_MESSAGE, BURSTS, PICOWS, 10),
    (ON_MESSAGE, WINDOW, PICOWS, 10),
    (ASYNC, SMALL, PICOWS, 0.9),
    (ASYNC, SMALL, WEBSOCKETS, 2),
    (ASYNC, SMALL, WEBSOCKETS_TRIO, 6),
    (ASYNC, BURSTS, PICOWS, 7),
    (ASYNC, MANY, PICOWS, 0.75),
    (ON_MESSAGE, LARGE, PICOWS, 1.3),
    (ASYNCIO_CALLBACKS, SMALL, PICOWS, 1),
    (ASYNCIO_CALLBACKS, BURSTS, PICOWS, 3),
    *(
        (ours, f"TLS: {load}", other, need)
        for load in ("100 x 20 B", "50 x 16 KiB")
        for ours in (ON_MESSAGE, ASYNC)
        for other, need in ((PICOWS, 0.8), (WEBSOCKETS, 2))
    ),
    (ON_MESSAGE, FANOUT, BARE_C, 0.9),
    (ON_MESSAGE, FANOUT, WEBSOCKETS, 1.3),
    (ON_MESSAGE, COMPRESSED, WEBSOCKETS, 5),
    *(
        (ASGI_OURS, f"ASGI: {load}", other, need)
        for load in ("100 x 20 B", "100 x 20 B, bursts of 16", "50 x 16 KiB", "100 x 512 B, compressed")
        for other, need in ((ASGI_WEBSOCKETS, 2), (ASGI_WSPROTO, 2), (UVICORN, 1.5))
    ),
)

KIB = 1024


def promised_cases() -> set[str]:
    """The keys of all cases that a promise is about."""
    return {key for _, key, _, _ in RATES} | {ONE, HANDSHAKES, MEMORY, KEEPALIVE}


def promised_contenders() -> set[str]:
    """Ours, and those with which a promise compares."""
    ours = {ASYNC, ASYNCIO_CALLBACKS, ON_MESSAGE, ASGI_OURS, WITHOUT_CODEC}
    return ours | {other for _, _, other, _ in RATES}


def lines(results: Results) -> Iterator[Line]:
    """All that the run has numbers for. `where` is the processor time a message beside a rate, and what is void."""
    yield from _rates(results)
    yield from _latencies(results)
    yield from _costs(results)


def _rates(results: Results) -> Iterator[Line]:
    for ours, key, other, need in RATES:
        if results.has(key, ours, other):
            rate, cpu = results.ratio(key, ours, other, "rate"), results.ratio(key, other, ours, "cpu_us")
            beside = f"{cpu.value:.3g} x by CPU time{_void(rate)}"
            yield Line(f"{key}, {ours}, rate of {other}", AT_LEAST, need, rate.value, "x", beside)


def _latencies(results: Results) -> Iterator[Line]:
    for ours in (ON_MESSAGE, ASYNC):
        for field, name in (("p50_us", "median"), ("p99_us", "p99")):
            if results.has(ONE, ours, PICOWS):
                ratio = results.ratio(ONE, ours, PICOWS, field)
                beside = f"{number(results.figure(ONE, ours, field).value)} us"
                yield Line(f"{ONE}, {ours}, {name} latency of {PICOWS}", AT_MOST, 1, ratio.value, "x", beside)


def _costs(results: Results) -> Iterator[Line]:
    for ours, kib in ((ASYNC, 6), (ON_MESSAGE, 1.5)):
        if results.has(HANDSHAKES, ours, PICOWS):
            ratio = results.ratio(HANDSHAKES, ours, PICOWS, "cpu_us")
            beside = f"{number(results.figure(HANDSHAKES, ours, 'cpu_us').value)} us{_void(ratio)}"
            yield Line(f"handshake, {ours}, CPU time of {PICOWS}", AT_MOST, 0.5, ratio.value, "x", beside)
        if results.has(MEMORY, ours):
            size = results.figure(MEMORY, ours, "rss_bytes").value / KIB
            yield Line(f"memory per idle connection, {ours}", AT_MOST, kib, size, "KiB")
        if results.has(KEEPALIVE, ours):
            cpu = results.figure(KEEPALIVE, ours, "cpu_us").value
            yield Line(f"{KEEPALIVE}, {ours}, a second each", AT_MOST, 2.5, cpu, "us")


def _void(figure: Figure) -> str:
    return ", void" if figure.is_void else ""
