"""Charts of a run, as SVG: what is received and sent, each size on its own; the kernels; deflate with its memory.

Everything is drawn from the file of results, losses included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .book import Book
from .rivals import NATIVE, PURE
from .tasks.kernels import CPYTHON, MEMCPY, SIMDUTF

__all__ = ["STYLE", "draw", "save"]

COLOURS = {
    NATIVE: "#c2410c",
    PURE: "#fdba74",
    "picows": "#0f766e",
    "aiohttp": "#1d4ed8",
    "websockets": "#7c3aed",
    "wsproto": "#64748b",
    MEMCPY: "#94a3b8",
    CPYTHON: "#94a3b8",
    SIMDUTF: "#0f766e",
    "avx512": "#7c2d12",
    "avx2": "#c2410c",
    "ssse3": "#fb923c",
    "neon": "#c2410c",
    "scalar": "#fed7aa",
}

LIBRARIES = (NATIVE, "picows", "aiohttp", "websockets", "wsproto", PURE)

# Text stays text, and two drawings of the same numbers are the same file.
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "wscore",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
}

CAPTION_INCHES = 0.2

Key = tuple[str, str, int]


def draw(book: Book, folder: Path) -> Iterator[Path]:
    """Write the charts that the run has numbers for; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in _CHARTS.items():
        with mpl.rc_context(STYLE):
            figure = chart(book)
            if figure is None:
                continue
            path = folder / f"{name}.svg"
            save(figure, path, _caption(book))
            yield path


def save(figure: Figure, path: Path, caption: str) -> None:
    """Write it with lines below that say what was measured where."""
    below = CAPTION_INCHES * (1 + caption.count("\n")) / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, below, 1, 1 - below))
    figure.text(0.01, below / 4, caption, fontsize=6.5, color="#475569")
    figure.savefig(path, metadata={"Date": None})


def _caption(book: Book) -> str:
    versions = book.about["versions"]
    shown = ", ".join(f"{name} {versions[name]}" for name in (*LIBRARIES[1:5], "Python", SIMDUTF) if name in versions)
    return f"{book.about['machine']['processor']}; wscore {book.about['commit']}; {shown}; {book.about['date']}"


# Bars: one panel for each load, the time a message on a logarithmic scale


def _bars(book: Book, title: str, keys: Sequence[tuple[Key, str]]) -> Figure | None:
    keys = [(key, label) for key, label in keys if book.has(*key, NATIVE)]
    if not keys:
        return None
    figure = Figure(figsize=(9, 0.6 + 1.75 * ((len(keys) + 1) // 2)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    panels = figure.subplots((len(keys) + 1) // 2, 2, squeeze=False).flat
    for panel, (key, label) in zip(panels, keys, strict=False):
        _bar_panel(panel, book, key, label)
    for panel in list(panels)[len(keys) :]:
        panel.set_visible(False)
    return figure


def _bar_panel(panel: Axes, book: Book, key: Key, label: str) -> None:
    names = [name for name in LIBRARIES if book.has(*key, name)]
    times = [book.ns(*key, name) for name in names]
    bars = panel.barh(names, times, color=[COLOURS[name] for name in names])
    panel.bar_label(bars, [_time(time) for time in times], padding=3, fontsize=8)
    panel.set_xscale("log")
    panel.set_xlim(min(times) / 2, max(times) * 4)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _time(value)))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.invert_yaxis()
    panel.set_title(label)


def _time(ns: float) -> str:
    for unit, size in (("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def _receive(book: Book) -> Figure | None:
    loads = (
        ("binary", 16), ("ascii", 16), ("ascii", 125), ("cyrillic", 1024), ("emoji", 1024), ("binary", 16384),
    )  # fmt: skip
    keys = [(("receive", load, size), f"{load}, {size:,} bytes") for load, size in loads]
    return _bars(
        book,
        "Receiving masked messages, 64 KiB of frames at a time: time a message, logarithmic (less is better)",
        keys,
    )


def _send(book: Book) -> Figure | None:
    loads = (
        ("send", "binary", 16),
        ("send", "cyrillic", 1024),
        ("send", "binary", 16384),
        ("send masked", "binary", 125),
    )
    keys = [((area, load, size), f"{area}: {load}, {size:,} bytes") for area, load, size in loads]
    return _bars(book, "Sending: time a message, logarithmic (less is better)", keys)


# Lines: the same over all sizes


def _sizes(book: Book) -> Figure | None:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, load in zip(panels, ("binary", "cyrillic"), strict=True):
        if not book.has("receive", load, 16, NATIVE):
            return None
        for name in LIBRARIES:
            _line(panel, book, ("receive", load), name)
        _decorate(panel, f"Receiving {load}: time a message")
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _time(value)))
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def _line(
    panel: Axes, book: Book, what: tuple[str, str], name: str, value: Callable[[int, float], float] | None = None
) -> None:
    sizes = [row["size"] for row in book.of(what[0]) if row["load"] == what[1] and book.has(*what, row["size"], name)]
    sizes = [size for size in sizes if size]
    times = [book.ns(*what, size, name) for size in sizes]
    shown = times if value is None else [value(size, time) for size, time in zip(sizes, times, strict=True)]
    if sizes:
        panel.plot(sizes, shown, marker="o", markersize=3, label=name, color=COLOURS.get(name))


def _decorate(panel: Axes, title: str) -> None:
    panel.set_xscale("log", base=2)
    panel.set_xticks([16, 125, 1024, 16384, 1 << 20])
    panel.minorticks_off()
    panel.set_yscale("log")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _size(int(value))))
    panel.set_xlabel("bytes a message")
    panel.grid(visible=True, which="major", color="#e2e8f0", linewidth=0.6)
    panel.set_title(title)


def _size(size: int) -> str:
    if size >= 1 << 20:
        return f"{size >> 20} MiB"
    return f"{size >> 10} KiB" if size >= 1024 else str(size)


def _kernels(book: Book) -> Figure | None:
    panels = (
        ("mask kernel", "binary", "Masking in place"),
        ("validate kernel", "cyrillic", "Validating Cyrillic"),
        ("decode kernel", "cyrillic", "UTF-8 to str, Cyrillic"),
        ("encode kernel", "cyrillic", "str to UTF-8, Cyrillic"),
    )
    if not book.of("mask kernel"):
        return None
    figure = Figure(figsize=(9, 6), layout="constrained")
    for panel, (area, load, title) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        for name in dict.fromkeys(name for row in book.of(area) for name in row["ns"]):
            _line(panel, book, (area, load), name, lambda size, time: size / time)
        _decorate(panel, f"{title}: GB/s")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.legend(fontsize=8, frameon=False)
    return figure


def _deflate(book: Book) -> Figure | None:
    key = ("deflate and inflate", "json", 120)
    figures = book.figures.get("deflate", {})
    names = [name for name in LIBRARIES if name in figures and book.has(*key, name)]
    if not names:
        return None
    figure = Figure(figsize=(9, 2.4), layout="constrained")
    values = (
        ("permessage-deflate, 120-byte JSON: us both ways", [book.ns(*key, name) / 1000 for name in names], "{:.2f}"),
        ("bytes out for each byte in", [figures[name]["output"] for name in names], "{:.2f}"),
        ("KiB a connection", [figures[name]["bytes"] / 1024 for name in names], "{:.0f}"),
    )
    for panel, (title, numbers, form) in zip(figure.subplots(1, 3), values, strict=True):
        bars = panel.barh(names, numbers, color=[COLOURS[name] for name in names])
        panel.bar_label(bars, [form.format(number) for number in numbers], padding=3, fontsize=8)
        panel.set_xlim(0, max(numbers) * 1.25)
        panel.invert_yaxis()
        panel.set_title(title, fontsize=8)
    return figure


_CHARTS: dict[str, Callable[[Book], Figure | None]] = {
    "receive": _receive,
    "send": _send,
    "sizes": _sizes,
    "kernels": _kernels,
    "deflate": _deflate,
}
