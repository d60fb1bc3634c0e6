"""Charts of a run, as SVG: for each area a panel for each case, and how rates hold with more connections.

Everything is drawn from the file of results, losses included; void figures are hatched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib import figure as mpl_figure
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from ..charts import STYLE, save
from ..report import number
from .contenders import (
    AIOHTTP,
    ASGI_OURS,
    ASGI_WEBSOCKETS,
    ASGI_WSPROTO,
    ASYNC,
    ASYNCIO_CALLBACKS,
    ASYNCIO_STREAM,
    BARE_C,
    CONTENDERS,
    NODE,
    ON_MESSAGE,
    PICOWS,
    TRIO_WEBSOCKET,
    UVICORN,
    WEBSOCKETS,
    WEBSOCKETS_TRIO,
    WITHOUT_CODEC,
)
from .results import Results

__all__ = ["draw"]

COLOURS = {
    ASYNC: "#c2410c",
    ON_MESSAGE: "#fb923c",
    ASYNCIO_CALLBACKS: "#b91c1c",
    ASYNCIO_STREAM: "#fca5a5",
    BARE_C: "#94a3b8",
    PICOWS: "#0f766e",
    WEBSOCKETS: "#7c3aed",
    WEBSOCKETS_TRIO: "#c4b5fd",
    AIOHTTP: "#1d4ed8",
    UVICORN: "#38bdf8",
    ASGI_OURS: "#ea580c",
    ASGI_WEBSOCKETS: "#a78bfa",
    ASGI_WSPROTO: "#334155",
    WITHOUT_CODEC: "#cbd5e1",
    TRIO_WEBSOCKET: "#475569",
    NODE: "#65a30d",
}
VERSIONS = ("picows", "websockets", "aiohttp", "uvicorn", "trio-websocket", "ws", "uvloop", "trio", "Python", "Node")
ROOM_FOR_LABELS = 1.45


class Shown(NamedTuple):
    """Which field an area's bars show, divided by `unit`; and what stands beside the number."""

    title: str
    field: str
    unit: float = 1
    beside: str | None = None


SHOWN = {
    "echo": Shown("Echo, one message in flight: messages a second (processor time each)", "rate", beside="cpu_us"),
    "pipelined": Shown("Echo, 16 messages in flight: messages a second (processor time each)", "rate", beside="cpu_us"),
    "latency": Shown("Echo, one connection: median latency in us (p99); less is better", "p50_us", beside="p99_us"),
    "TLS": Shown("Echo over TLS: messages a second (processor time each)", "rate", beside="cpu_us"),
    "ASGI": Shown("Echo of an ASGI application: messages a second (processor time each)", "rate", beside="cpu_us"),
    "fan-out": Shown("Fan-out: deliveries a second (processor time each)", "rate", beside="cpu_us"),
    "handshakes": Shown("Connect, upgrade, close: processor time each, us; less is better", "cpu_us"),
    "memory": Shown("Memory of an idle connection, KiB; less is better", "rss_bytes", 1024),
    "keepalive": Shown("5,000 idle connections with keepalive: us of processor time a second each", "cpu_us"),
}


def draw(results: Results, folder: Path) -> Iterator[Path]:
    """Write the charts that the run has numbers for; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for area, shown in SHOWN.items():
            if results.of(area):
                path = folder / f"endtoend-{area.lower()}.svg"
                save(_bars(results, area, shown), path, _caption(results))
                yield path
        if len(_scaling_rows(results)) > 1:
            path = folder / "endtoend-connections.svg"
            save(_scaling(results), path, _caption(results))
            yield path


def _caption(results: Results) -> str:
    about = results.about
    versions = ", ".join(f"{name} {about['versions'][name]}" for name in VERSIONS if name in about["versions"])
    return f"{about['machine']['processor']}; wscore {about['commit']}; {about['date']}\n{versions}"


def _bars(results: Results, area: str, shown: Shown) -> mpl_figure.Figure:
    rows = [row for row in results.of(area) if row["turns"]]
    columns = min(2, max(1, len(rows)))
    lines = max(1, -(-len(rows) // columns))
    figure = mpl_figure.Figure(figsize=(9, 0.6 + 2.2 * lines), layout="constrained")
    figure.suptitle(shown.title, x=0.01, ha="left", fontsize=11)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for panel, row in zip(panels, rows, strict=False):
        _panel(panel, results, row, shown)
    for panel in panels[len(rows) :]:
        panel.set_visible(False)
    return figure


def _panel(panel: Axes, results: Results, row: dict[str, Any], shown: Shown) -> None:
    key = f"{row['area']}: {row['name']}"
    names = [one.name for one in CONTENDERS if results.has(key, one.name)]
    figures = [results.figure(key, name, shown.field) for name in names]
    values = [figure.value / shown.unit for figure in figures]
    hatches = ["///" if figure.is_void else "" for figure in figures]
    colours = [COLOURS[name] for name in names]
    bars = panel.barh(names, values, color=colours, hatch=hatches, edgecolor="white", linewidth=0)
    labels = [_label(results, key, name, value, shown) for name, value in zip(names, values, strict=True)]
    panel.bar_label(bars, labels, padding=3, fontsize=7)
    panel.set_xlim(0, max(values) * ROOM_FOR_LABELS or 1)
    panel.set_xticks([])
    panel.tick_params(axis="y", labelsize=7)
    panel.invert_yaxis()
    panel.set_title(row["name"])


def _label(results: Results, key: str, name: str, value: float, shown: Shown) -> str:
    if shown.beside is None:
        return number(value)
    return f"{number(value)} ({number(results.figure(key, name, shown.beside).value)} us)"


def _scaling_rows(results: Results) -> list[dict[str, Any]]:
    """Echo of 20 bytes, binary, one in flight, over the number of connections."""
    rows = [*results.of("latency"), *results.of("echo")]
    return sorted((row for row in rows if row["load"] == ["--size", "20"]), key=lambda row: row["connections"])


def _scaling(results: Results) -> mpl_figure.Figure:
    figure = mpl_figure.Figure(figsize=(9, 3.6), layout="constrained")
    panel = figure.subplots()
    for one in CONTENDERS:
        points = _points(results, one.name)
        if points:
            panel.plot(*zip(*points, strict=True), marker="o", markersize=3, label=one.name, color=COLOURS[one.name])
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(sorted({row["connections"] for row in _scaling_rows(results)}))
    panel.minorticks_off()
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    panel.set_xlabel("connections, each with one message of 20 bytes in flight")
    panel.set_title("Echo: messages a second")
    panel.grid(visible=True, which="major", color="#e2e8f0", linewidth=0.6)
    panel.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _points(results: Results, name: str) -> list[tuple[int, float]]:
    keys = [(row["connections"], f"{row['area']}: {row['name']}") for row in _scaling_rows(results)]
    return [(count, results.figure(key, name, "rate").value) for count, key in keys if results.has(key, name)]
