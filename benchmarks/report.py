"""Tables of a run, in Markdown: the promises beside what was measured, and every area against every rival."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .book import Book
from .claims import Line, lines
from .rivals import NATIVE, PURE

__all__ = ["areas", "memory", "number", "promises", "table", "verdicts"]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table in Markdown, its columns aligned."""
    body = [tuple(heads), *map(tuple, rows)]
    widths = [max(len(row[column]) for row in body) for column in range(len(heads))]
    body.insert(1, tuple("-" * width for width in widths))
    for row in body:
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"


def promises(book: Book) -> Iterator[str]:
    """Each promise, what it needs, what was measured, and whether that is enough."""
    return verdicts(lines(book), "worst at")


def verdicts(judged: Iterable[Line], last: str) -> Iterator[str]:
    """The same for any lines; `last` heads the column of their `where`."""
    rows = []
    for line in judged:
        verdict = "" if line.where == "for comparison" else "yes" if line.kept else "NO"
        needed = f"{line.bound} {number(line.need)} {line.unit}"
        rows.append((line.what, needed, f"{number(line.measured)} {line.unit}", verdict, line.where))
    yield from table(("what", "needed", "measured", "kept", last), rows)


def areas(book: Book, only: str = "") -> Iterator[str]:
    """For each area a table: our time a unit, and how many times as long the others take."""
    for area in book.areas():
        if only not in area:
            continue
        rows = book.of(area)
        base = _base(rows)
        others = list(dict.fromkeys(name for row in rows for name in row["ns"] if name != base))
        yield f"\n## {area} (ns a {rows[0]['unit']}; then how many times as long the others take)\n"
        yield from table(("load", "size", base, *others), [_cells(book, row, base, others) for row in rows])


def _base(rows: Sequence[dict[str, object]]) -> str:
    names = list(rows[0]["ns"])  # type: ignore[call-overload]
    return next((name for name in (NATIVE, PURE) if name in names), names[0])


def _cells(book: Book, row: dict[str, object], base: str, others: Sequence[str]) -> list[str]:
    key = (row["area"], row["load"], row["size"])
    cells = [str(row["load"]), f"{row['size']:,}" if isinstance(row["size"], int) else str(row["size"])]
    cells.append(f"{number(book.ns(*key, base))} ns" if book.has(*key, base) else "-")
    for name in others:
        cells.append(f"{number(book.ratio(*key, name, base))} x" if book.has(*key, name, base) else "-")
    return cells


def memory(book: Book) -> Iterator[str]:
    """What streams and connections cost, if the run has measured it."""
    figures = book.figures
    if "deflate" in figures:
        yield "\n## permessage-deflate, context takeover, both ways, default settings\n"
        rows = [
            (name, f"{values['output']:.3f}", f"{values['bytes'] / 1024:.0f} KiB", _deflate_time(book, name))
            for name, values in figures["deflate"].items()
        ]
        yield from table(("library", "bytes out / in", "memory a connection", "a message both ways"), rows)
    if "streams" in figures:
        yield f"\n## What a compressor and an inflater cost ({book.about['wscore']['zlib']})\n"
        rows = [
            (s["kind"], str(s["window_bits"]), str(s.get("mem_level", "")), _kib(s["first"]), _kib(s["full"]))
            for s in figures["streams"]
        ]
        yield from table(("", "window bits", "memory level", "after one message", "window full"), rows)


def _deflate_time(book: Book, name: str) -> str:
    key = ("deflate and inflate", "json", 120)
    return f"{book.ns(*key, name) / 1000:.2f} us" if book.has(*key, name) else "-"


def _kib(size: float) -> str:
    return f"{size / 1024:.1f} KiB"


def number(value: float) -> str:
    """Three digits, or all before the point."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
