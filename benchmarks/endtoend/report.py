"""Tables of a run, in Markdown: the promises beside what was measured, and each area with all contenders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..report import number, table, verdicts
from .claims import lines
from .contenders import CONTENDERS
from .results import Results

__all__ = ["areas", "promises", "warnings"]

KIB = 1024
ORDER = [one.name for one in CONTENDERS]


def promises(results: Results) -> Iterator[str]:
    """What was promised, and what has come of it."""
    return verdicts(lines(results), "beside it")


def areas(results: Results, only: str = "") -> Iterator[str]:
    """A table for each case: rate, processor time, latency and shares of the cores; void figures are in brackets."""
    for area in results.areas():
        if only in area:
            yield f"\n## {area}"
            for row in results.of(area):
                yield f"\n### {row['name']}\n"
                yield from _case(results, row)


def _case(results: Results, row: dict[str, Any]) -> Iterator[str]:
    names = sorted((name for name in row["turns"] if row["turns"][name]), key=ORDER.index)
    heads, cells = (_IDLE_HEADS, _idle_cells) if row["mode"] == "idle" else (_HEADS, _cells)
    key = f"{row['area']}: {row['name']}"
    yield from table(heads, [(name, *cells(results, key, name)) for name in names])


_HEADS = ("server", "a second", "CPU us each", "p50 us", "p99 us", "server busy", "load busy")


def _cells(results: Results, key: str, name: str) -> Iterator[str]:
    for field in ("rate", "cpu_us", "p50_us", "p99_us"):
        figure = results.figure(key, name, field)
        # No latency: no message that was asked for within the turn came back within it.
        shown = number(figure.value) if figure.value else "-"
        yield f"({shown})" if figure.is_void else shown
    for field in ("busy", "load_busy"):
        yield f"{results.figure(key, name, field).value:.0%}"


_IDLE_HEADS = ("server", "KiB a connection", "CPU us a second and connection", "pings", "opening s")


def _idle_cells(results: Results, key: str, name: str) -> Iterator[str]:
    yield number(results.figure(key, name, "rss_bytes").value / KIB)
    for field in ("cpu_us", "pings", "opening_seconds"):
        yield number(results.figure(key, name, field).value)


def warnings(results: Results) -> Iterator[str]:
    """What has to be said about single cases, as a list."""
    said = list(results.warnings())
    if said:
        yield "\n## To be known\n"
        yield from (f"- {one}" for one in said)
