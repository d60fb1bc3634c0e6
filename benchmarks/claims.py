"""What wscore promises about its speed and memory, beside what a run has measured.

A claim over many sizes or texts is judged by the worst of them, which is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import corpus
from .book import Book
from .rivals import AS_WSPROTO, NATIVE, PURE
from .tasks.broadcasting import FLOOR
from .tasks.kernels import BARE, CPYTHON, MEMCPY, SIMDUTF

__all__ = ["Line", "lines"]

# In bytes, or in words, as in `Task`.
Size = int | str

AT_LEAST, AT_MOST = "at least", "at most"

FROM_1_KIB = tuple(size for size in corpus.SIZES if size >= 1024)
FROM_4_KIB = tuple(size for size in corpus.SIZES if size >= 4096)
FROM_16 = tuple(size for size in corpus.SIZES if size >= 16)
NOT_ASCII = tuple(kind for kind in corpus.TEXTS if kind != "ascii")

MEMORY_LIMIT = 700


@dataclass(frozen=True)
class Line:
    """`need` is what `measured` must be at least or at most; `where` is the worst of several."""

    what: str
    bound: str
    need: float
    measured: float
    unit: str
    where: str = ""

    @property
    def kept(self) -> bool:
        return self.measured >= self.need if self.bound is AT_LEAST else self.measured <= self.need


def lines(book: Book) -> Iterator[Line]:
    """All that the run has numbers for."""
    for part in (_receiving, _masking, _validating, _transcoding, _writing, _deflating, _embedding, _others):
        yield from part(book)


def _worst(
    book: Book, area: str, loads: Sequence[str], sizes: Sequence[Size], slow: str, fast: str
) -> tuple[float, str] | None:
    """The least ratio, and where."""
    found = [
        (book.ratio(area, load, size, slow, fast), f"{load}, {_bytes(size)}")
        for load in loads
        for size in sizes
        if book.has(area, load, size, slow, fast)
    ]
    return min(found) if found else None


def _bytes(size: Size) -> str:
    if isinstance(size, str):
        return f"{size} B"
    if size >= 1 << 20:
        return f"{size >> 20} MiB"
    return f"{size >> 10} KiB" if size >= 1024 else f"{size} B"


def _times(
    book: Book, what: str, need: float, area: str, loads: Sequence[str], sizes: Sequence[Size], slow: str, fast: str
) -> Iterator[Line]:
    """`fast` is at least `need` times as fast as `slow`."""
    worst = _worst(book, area, loads, sizes, slow, fast)
    if worst is not None:
        several = len(loads) * len(sizes) > 1
        yield Line(what, AT_LEAST, need, worst[0], "x", worst[1] if several else "")


def _nanoseconds(
    book: Book, what: str, need: float, area: str, load: str, size: int, name: str = NATIVE
) -> Iterator[Line]:
    if book.has(area, load, size, name):
        yield Line(what, AT_MOST, need, book.ns(area, load, size, name), "ns")


def _receiving(book: Book) -> Iterator[Line]:
    for load, bare in (("binary", 21), ("ascii", 25)):
        for rival, need in (("aiohttp", 10), ("websockets", 60), ("wsproto", 200)):
            what = f"receive 16 B {load}, against {rival}"
            yield from _times(book, what, need, "receive", [load], [16], rival, NATIVE)
        yield from _nanoseconds(book, f"receive 16 B {load}, a message (aim)", 40, "receive", load, 16)
        what = f"a bare loop for the same, without checks (was {bare} ns)"
        if book.has("bare loop", load, 16, BARE):
            yield Line(what, AT_MOST, bare, book.ns("bare loop", load, 16, BARE), "ns", "for comparison")
    if book.has("new bytes", "binary", 16384, NATIVE, MEMCPY):
        ratio = book.ratio("new bytes", "binary", 16384, NATIVE, MEMCPY)
        yield Line("receive 16 KiB binary, against memcpy into new bytes", AT_MOST, 1.2, ratio, "x")
    for rival, what in (("websockets", "masks in C"), ("websockets pure", "all in Python")):
        for size in corpus.SIZES[1:]:
            yield from _times(
                book, f"pure twin, receive {_bytes(size)}, against {rival} ({what})", 1, "receive", ["binary", "ascii"],
                [size], rival, PURE,
            )  # fmt: skip


def _masking(book: Book) -> Iterator[Line]:
    best = _best_kernel(book)
    yield from _times(
        book,
        "masking in place, 4 KiB to 1 MiB, speed of memcpy",
        0.9,
        "mask kernel",
        ["binary"],
        FROM_4_KIB,
        MEMCPY,
        best,
    )
    yield from _times(
        book, "masking in place, 1 KiB, speed of memcpy", 0.7, "mask kernel", ["binary"], [1024], MEMCPY, best
    )
    for area, rival in (("mask in place", "aiohttp"), ("mask", "websockets")):
        what = f"{area} from Python, against {rival}"
        yield from _times(book, what, 1, area, ["binary"], (16, 125, 1024), rival, NATIVE)


def _validating(book: Book) -> Iterator[Line]:
    best = _best_kernel(book)
    for kind in corpus.TEXTS:
        what = f"validation from 1 KiB, {kind}, speed of simdutf"
        yield from _times(book, what, 0.8, "validate kernel", [kind], FROM_1_KIB, SIMDUTF, best)


def _transcoding(book: Book) -> Iterator[Line]:
    best = _best_kernel(book)
    for kind, need in (("latin", 2), ("cyrillic", 4), ("cjk", 4), ("emoji", 4)):
        what = f"UTF-8 to str from 1 KiB, {kind}, against CPython"
        yield from _times(book, what, need, "decode kernel", [kind], FROM_1_KIB, CPYTHON, best)
    what = "UTF-8 to str from 16 B, all texts, against CPython"
    yield from _times(book, what, 1, "decode kernel", corpus.TEXTS, FROM_16, CPYTHON, best)
    for kind in NOT_ASCII:
        what = f"str to UTF-8 from 16 B, {kind}, against CPython"
        yield from _times(book, what, 2, "encode kernel", [kind], FROM_16, CPYTHON, best)


def _writing(book: Book) -> Iterator[Line]:
    for area, need in (("Writer", 50), ("Writer masked", 90)):
        yield from _nanoseconds(book, f"{area}, a frame of 125 B", need, area, "binary", 125)
        yield from _times(book, f"{area}, 125 B, against websockets", 10, area, ["binary"], [125], "websockets", NATIVE)


def _deflating(book: Book) -> Iterator[Line]:
    library = book.about["wscore"]["zlib"]
    what = f"permessage-deflate both ways, against websockets ({library})"
    need = 4 if library.startswith("zlib-ng") else 1
    yield from _times(book, what, need, "deflate and inflate", ["json"], [120], "websockets", NATIVE)
    deflate = book.figures.get("deflate", {})
    if NATIVE in deflate and "websockets" in deflate:
        ratio = deflate[NATIVE]["output"] / deflate["websockets"]["output"]
        yield Line("permessage-deflate, bytes sent, against websockets", AT_MOST, 1.3, ratio, "x")


def _embedding(book: Book) -> Iterator[Line]:
    for area in ("receive", "receive one by one", "receive mixed", "send", "send masked", "send mixed"):
        loads = ["all kinds"] if area.endswith("mixed") else ["binary", "ascii"]
        sizes = ["0 to 4096"] if area.endswith("mixed") else corpus.SIZES
        what = f"{area} by wsproto's interface, against wsproto"
        yield from _times(book, what, 5, area, loads, sizes, "wsproto", AS_WSPROTO)


def _others(book: Book) -> Iterator[Line]:
    for row in book.of("broadcast"):
        if book.has("broadcast", row["load"], row["size"], NATIVE, FLOOR):
            ratio = book.ratio("broadcast", row["load"], row["size"], NATIVE, FLOOR)
            yield Line(f"prepared broadcast of {row['size']:,} B, against {FLOOR}", AT_MOST, 1.1, ratio, "x")
    if "connection" in book.figures:
        yield Line("a Connection after a message each way", AT_MOST, MEMORY_LIMIT, book.figures["connection"], "bytes")


def _best_kernel(book: Book) -> str:
    kernels = book.about["wscore"]["kernels"]
    return kernels[0] if kernels else "none"
