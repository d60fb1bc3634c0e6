"""The figures in README.md and the documentation, made from the results in the repository.

A page has them between `<!-- figures: NAME -->` and `<!-- end of figures -->`. Decides what is said there, whole
sentences and tables: what somebody writes by hand beside results is soon that of another run. Refuses to measure.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import claims
from .book import LATEST, Book
from .endtoend import claims as endtoend_claims
from .endtoend import contenders as servers
from .endtoend.results import LATEST as SERVERS
from .endtoend.results import Results
from .report import number
from .rivals import AS_WSPROTO, NATIVE

__all__ = ["BLOCKS", "PAGES", "filled_in", "outdated"]

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "docs/performance.md",
    "docs/embedding/uvicorn.md",
    "docs/embedding/wsproto.md",
    "docs/reference/compression.md",
)
WIDTH = 128
KIB = 1024

_BLOCK = re.compile(r"(<!-- figures: ([^\n]+) -->\n).*?(<!-- end of figures -->)", re.S)


def filled_in(text: str) -> str:
    """Return a page with its figures as they are now. Raises `KeyError` for a name that is not known."""
    return _BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block[2]]()}\n{block[3]}", text)


def outdated(*, write: bool) -> list[str]:
    """The pages that say something else than the results do; with `write` they are mended."""
    found = []
    for name in PAGES:
        old = (ROOT / name).read_text(encoding="utf-8")
        new = filled_in(old)
        if new != old:
            found.append(name)
            if write:
                (ROOT / name).write_text(new, encoding="utf-8")
    return found


# How figures are written


def _paragraph(*sentences: str) -> str:
    return textwrap.fill(" ".join(sentences), WIDTH, break_long_words=False, break_on_hyphens=False)


def _table(heads: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _range(ratios: Sequence[float]) -> str:
    return f"{number(min(ratios))} to {number(max(ratios))} times"


def _rounded(value: float) -> str:
    """Three digits, since more would differ in the next round."""
    return f"{float(f'{value:.3g}'):,.0f}"


def _origin(about: Mapping[str, Any]) -> str:
    processor = re.sub(r"\((R|TM)\)", "", about["machine"]["processor"])
    python = about["versions"]["Python"].removeprefix("CPython ")
    run = f"{processor}, kernel {about['wscore']['kernel']}, Python {python}, {about['wscore']['zlib']}"
    return f"{run}; commit {about['commit']}, {about['date']}, medians of {about['rounds']} rounds"


def _unkept(lines: Iterator[claims.Line], what_is_where: str) -> str:
    """A table of the promises that a run does not keep, which is the part that nobody may leave out."""
    rows = (
        (line.what, f"{line.bound} {number(line.need)} {line.unit}", f"{number(line.measured)} {line.unit}", line.where)
        for line in lines
        if not line.kept and line.where != "for comparison"
    )
    return _table(("what", "promised", "measured", what_is_where), rows)


def _codec() -> Book:
    return Book.read(LATEST)


def _servers() -> Results:
    return Results.read(SERVERS)


# What stands in the pages


def _rate_under_uvicorn() -> str:
    results = _servers()
    own = {name: _ratios_under_uvicorn(results, name) for name in (servers.UVICORN, *_OTHERS)}
    others = [ratio for name in _OTHERS for ratio in own[name]]
    return _paragraph(
        f"In the last run it echoes at {_range(own[servers.UVICORN])} the rate of uvicorn's default,",
        f"`websockets-sansio`, and at {_range(others)} that of `websockets` and `wsproto`.",
    )


_OTHERS = (servers.ASGI_WEBSOCKETS, servers.ASGI_WSPROTO)


def _ratios_under_uvicorn(results: Results, other: str) -> list[float]:
    rows = [f"{row['area']}: {row['name']}" for row in results.of("ASGI")]
    return [results.ratio(key, servers.ASGI_OURS, other, "rate").value for key in rows]


def _servers_measured() -> str:
    results = _servers()
    there = {name for row in results.rows.values() for name, turns in row["turns"].items() if turns}
    others = [one.name for one in servers.CONTENDERS if one.name in there and one.name not in _OURS]
    return _paragraph(f"In the last run of whole servers, these were measured beside ours: {_listed(others)}.")


_OURS = {servers.ASYNC, servers.ON_MESSAGE, servers.ASYNCIO_CALLBACKS, servers.ASYNCIO_STREAM, servers.ASGI_OURS}


def _codec_misses() -> str:
    book = _codec()
    head = _paragraph(f"Of what was promised of the codec, this is not kept ({_origin(book.about)}):")
    return f"{head}\n\n{_unkept(claims.lines(book), 'worst at')}"


def _servers_miss() -> str:
    results = _servers()
    head = _paragraph(f"Of what was promised of servers, this is not kept ({_origin(results.about)}):")
    return f"{head}\n\n{_unkept(endtoend_claims.lines(results), 'beside it')}"


_UNDER_UVICORN = {
    servers.ASGI_OURS: "adapter",
    servers.UVICORN: "`websockets-sansio`",
    servers.ASGI_WEBSOCKETS: "`websockets`",
    servers.ASGI_WSPROTO: "`wsproto`",
    servers.WITHOUT_CODEC: "without a codec",
}


def _under_uvicorn() -> str:
    results = _servers()
    rows = ((row["name"], *_rates(results, f"ASGI: {row['name']}")) for row in results.of("ASGI"))
    table = _table(("connections, message", *_UNDER_UVICORN.values()), rows)
    return f"{table}\n\n" + _paragraph(f"{_origin(results.about)}.")


def _rates(results: Results, key: str) -> Iterator[str]:
    for name in _UNDER_UVICORN:
        yield _rounded(results.figure(key, name, "rate").value) if results.has(key, name) else "–"


_BY_WSPROTOS_INTERFACE = (
    ("receive, many messages at a time", "receive", ("binary", "ascii")),
    ("receive, one at a time", "receive one by one", ("binary", "ascii")),
    ("send as a client", "send masked", ("binary", "ascii")),
    ("send as a server, text", "send", ("ascii",)),
    ("send as a server, bytes", "send", ("binary",)),
)
_SIZES = {16: "16 B", 125: "125 B", 4096: "4 KiB", 65536: "64 KiB", 1 << 20: "1 MiB"}


def _by_wsprotos_interface() -> str:
    book = _codec()
    rows = ((what, *_least_ratios(book, area, loads)) for what, area, loads in _BY_WSPROTOS_INTERFACE)
    table = _table(("", *_SIZES.values()), rows)
    return f"{table}\n\n" + _paragraph(f"Of bytes and ASCII the lesser. {_origin(book.about)}.")


def _least_ratios(book: Book, area: str, loads: Sequence[str]) -> Iterator[str]:
    for size in _SIZES:
        ratios = [
            book.ratio(area, load, size, "wsproto", AS_WSPROTO)
            for load in loads
            if book.has(area, load, size, "wsproto", AS_WSPROTO)
        ]
        yield number(min(ratios)) if ratios else ""


_MEM_LEVEL = 8
_POOL = 256
_POOLED_BITS = 12


def _memory_of_compression() -> str:
    book = _codec()
    streams = {
        (row["kind"], row["window_bits"]): row["full"] / KIB
        for row in book.figures["streams"]
        if row.get("mem_level", _MEM_LEVEL) == _MEM_LEVEL
    }
    bits = sorted({each for _, each in streams})
    rows = ((kind, *(number(streams[kind, each]) for each in bits)) for kind in ("compressor", "inflater"))
    table = _table(("KiB, by bits of the window", *map(str, bits)), rows)
    pool = _POOL * streams["compressor", _POOLED_BITS] / KIB
    return f"{table}\n\n" + _paragraph(
        f"So the pool of {_POOL} compressors with {_POOLED_BITS} bits takes at most {number(pool)} MiB,",
        f"however many connections there are ({_origin(book.about)}).",
    )


def _time_of_compression() -> str:
    book = _codec()
    names = (NATIVE, "websockets", "wsproto", "aiohttp")
    table = _table(("", "compress", "inflate", "both", "output"), (_compressing(book, name) for name in names))
    return f"{table}\n\n" + _paragraph(f"{_origin(book.about)}.")


def _compressing(book: Book, name: str) -> list[str]:
    version = book.about["versions"][name]
    times = [book.ns(area, "json", 120, name) / 1000 for area in ("deflate", "inflate", "deflate and inflate")]
    return [f"{name} {version}", *map(number, times), f"{book.figures['deflate'][name]['output']:.2f}"]


BLOCKS: dict[str, Callable[[], str]] = {
    "rate under uvicorn": _rate_under_uvicorn,
    "servers measured": _servers_measured,
    "promises of the codec that are not kept": _codec_misses,
    "promises of servers that are not kept": _servers_miss,
    "servers under uvicorn": _under_uvicorn,
    "by wsproto's interface": _by_wsprotos_interface,
    "memory of compression": _memory_of_compression,
    "time of compression": _time_of_compression,
}
