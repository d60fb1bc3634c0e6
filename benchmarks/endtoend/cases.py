"""What is measured: the load of each case, and what the server is asked to do.

A throughput case is void where the server's core was not busy: then something else was the limit. Rounds and seconds
are those of a full run; README.md says how long that takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .contenders import Contender

__all__ = ["AREAS", "Case", "Effort", "all_cases"]

KIB = 1024
DEPTH = 16
KEEPALIVE = 20.0
SUBSCRIBERS = 2000
ASGI = "ASGI"


@dataclass(frozen=True)
class Case:
    """`load` are the load generator's options. `seconds` and `rounds`, where given, override the run's."""

    area: str
    name: str
    mode: str
    connections: int
    load: tuple[str, ...] = ()
    server: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    is_throughput: bool = True
    seconds: float | None = None
    rounds: int | None = None

    @property
    def key(self) -> str:
        return f"{self.area}: {self.name}"

    def has(self, contender: Contender) -> bool:
        takes_part = self.area in contender.areas if contender.areas else self.area != ASGI or contender.is_asgi
        return takes_part and not self.needs & contender.cannot


@dataclass(frozen=True)
class Effort:
    """Turns of each contender in a case, seconds of each turn, and what else the load generator is told."""

    rounds: int
    seconds: float
    load: tuple[str, ...] = ()


def _bytes(size: int) -> str:
    return f"{size // KIB} KiB" if size >= KIB else f"{size} B"


def _echo(area: str, connections: int, size: int, *load: str, text: bool = False, **more: object) -> Case:
    depth = "" if not load else f", bursts of {DEPTH}" if "--bursts" in load else f", window of {DEPTH}"
    kind = ", text" if text else ""
    options = ("--size", str(size), *load, *(("--text",) if text else ()))
    return Case(area, f"{connections:,} x {_bytes(size)}{kind}{depth}", "echo", connections, options, **more)  # type: ignore[arg-type]


BURSTS = ("--depth", str(DEPTH), "--bursts")
WINDOW = ("--depth", str(DEPTH))


def _one_in_flight() -> Iterator[Case]:
    for size in (20, 125, 512):
        yield _echo("echo", 100, size)
    for size in (20, 512):
        yield _echo("echo", 100, size, text=True)
    for connections, size in ((1000, 20), (1000, 512), (5000, 20), (5000, 512)):
        yield _echo("echo", connections, size)
    yield _echo("echo", 50, 16 * KIB)
    yield _echo("echo", 50, 16 * KIB, text=True)
    yield _echo("echo", 50, 64 * KIB)


def _pipelined() -> Iterator[Case]:
    for load in (BURSTS, WINDOW):
        yield _echo("pipelined", 100, 20, *load)
        yield _echo("pipelined", 100, 125, *load, text=True)
        yield _echo("pipelined", 1000, 512, *load)
        yield _echo("pipelined", 1, 20, *load, is_throughput=False)


def _latency() -> Iterator[Case]:
    for size in (20, 512, 16 * KIB):
        yield _echo("latency", 1, size, is_throughput=False)


def _tls() -> Iterator[Case]:
    for connections, size in ((100, 20), (50, 16 * KIB)):
        yield _echo("TLS", connections, size, server=("--tls",), needs=frozenset({"tls"}))


def _asgi() -> Iterator[Case]:
    yield _echo(ASGI, 100, 20)
    yield _echo(ASGI, 100, 20, *BURSTS)
    yield _echo(ASGI, 50, 16 * KIB)
    deflate = ("--size", "512", "--json", "--deflate")
    yield Case(ASGI, "100 x 512 B, compressed", "echo", 100, deflate, ("--compress",), frozenset({"compress"}))


def _fanout() -> Iterator[Case]:
    load = ("--size", "128", "--depth", "4", "--json")
    yield Case("fan-out", "128 B", "fanout", SUBSCRIBERS, load, ("--fanout",))
    compress = ("--fanout", "--compress")
    yield Case(
        "fan-out", "128 B, compressed", "fanout", SUBSCRIBERS, (*load, "--deflate"), compress, frozenset({"compress"})
    )


def _others() -> Iterator[Case]:
    yield Case("handshakes", "connect, upgrade, close", "handshakes", 64, ("--concurrency", "64"))
    yield Case("memory", "2,000 idle connections", "idle", 2000, is_throughput=False, seconds=0.5, rounds=3)
    # One interval sees exactly one ping of each connection.
    keepalive = ("--keepalive", str(KEEPALIVE))
    yield Case(
        "keepalive", "5,000 idle connections", "idle", 5000, (), keepalive, frozenset({"keepalive"}),
        is_throughput=False, seconds=KEEPALIVE, rounds=2,
    )  # fmt: skip


def all_cases(*, quick: bool = False) -> list[Case]:
    """Every case; `quick` are a few small ones, for a smoke test."""
    everything = [*_one_in_flight(), *_pipelined(), *_latency(), *_tls(), *_asgi(), *_fanout(), *_others()]
    if not quick:
        return everything
    first = [next(case for case in everything if case.area == area) for area in AREAS]
    compressed = [case for case in everything if "compress" in case.needs]
    # Latency is measured as echo is.
    return [_small(case) for case in (*first, *compressed) if case.area != "latency"]


def _small(case: Case) -> Case:
    keepalive = ("--keepalive", "0.5") if "--keepalive" in case.server else case.server
    # Two of these intervals, so that one is inside whenever they begin.
    seconds = 1.1 if keepalive != case.server else None
    return replace(case, connections=min(case.connections, 100), server=keepalive, seconds=seconds)


AREAS = ("echo", "pipelined", "latency", "TLS", ASGI, "fan-out", "handshakes", "memory", "keepalive")
