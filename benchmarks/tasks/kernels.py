"""Every kernel in every variant that the processor has, called in a loop in C (`kernel_bench`).

For masking, all buffers of a task are 128 KiB in all, or one if it is larger, so that memcpy, which also writes
elsewhere, finds its place in the same cache. Without the extension there are no such tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from .. import corpus
from .base import Contender, Task, over, sizes
from .receiving import connections, rotation

try:
    from ..kernel_bench import kernel_bench as bench
except ImportError:
    bench = None

AREAS = ("mask kernel", "unmask kernel", "validate kernel", "decode kernel", "encode kernel", "new bytes", "bare loop")

MEMCPY = "memcpy"
CPYTHON = "CPython"
SIMDUTF = "simdutf"
BARE = "bare loop"

WORKING_SET = 1 << 17
PER_RUN = 1 << 17  # bytes, or 1,000 calls, that a run works on at least


def kernel_names() -> list[str]:
    """The preferred variant first."""
    return [] if bench is None else bench.names()


def tasks(*, quick: bool) -> Iterator[Task]:
    if bench is None:
        return
    for size in sizes(quick, least=16):
        items = corpus.payloads(size, _buffers(size))
        yield _masking("mask kernel", items, size)
        yield _masking("unmask kernel", items, size)
    for kind in ("ascii", "cyrillic") if quick else corpus.TEXTS:
        for size in sizes(quick, least=16):
            yield from _texts(kind, size)
    yield _new_bytes(16384)
    yield _bare("binary", 16)
    yield _bare("ascii", 16)


def _buffers(size: int) -> int:
    return max(1, min(1024, WORKING_SET // size))


def _repeats(count: int, size: int) -> int:
    """Odd, so that what is masked in place ends up masked."""
    return max(1, min(1000 // count, PER_RUN // (count * size))) | 1


def _masking(area: str, items: list[bytes], size: int) -> Task:
    repeats = _repeats(len(items), size)
    expected = bench.Arena(items).last_masked()

    function = bench.mask_inplace if area == "mask kernel" else bench.mask
    contenders = [_written(name, function, bench.Arena(items), name, repeats) for name in kernel_names()]
    # memcpy masks nothing: what it gives cannot be compared.
    copy = Contender(MEMCPY, lambda: partial(bench.copy, bench.Arena(items), repeats), lambda _: expected)
    return Task(area, "binary", size, len(items) * repeats, [*contenders, copy], expected, "call")


def _texts(kind: str, size: int) -> Iterator[Task]:
    texts = corpus.texts(kind, size, _buffers(size))
    items = [text.encode() for text in texts]
    repeats = _repeats(len(items), size)
    count = len(items) * repeats
    arena = bench.Arena(items)

    scans = _variants(bench.scan, arena, repeats)
    if bench.simdutf_version():
        scans.append(_timed(SIMDUTF, bench.scan_simdutf, arena, repeats))
    yield Task("validate kernel", kind, size, count, scans, True, "call")

    decoders = [*_variants(bench.decode, arena, repeats), _timed(CPYTHON, bench.decode_cpython, arena, repeats)]
    yield Task("decode kernel", kind, size, count, decoders, texts[-1], "call")

    encoders = [_written(name, bench.encode, bench.Texts(texts), name, repeats) for name in kernel_names()]
    encoders.append(_written(CPYTHON, bench.encode_cpython, bench.Texts(texts), repeats))
    yield Task("encode kernel", kind, size, count, encoders, items[-1], "call")


def _variants(function: Callable[..., Any], data: Any, repeats: int) -> list[Contender]:
    return [_timed(name, function, data, name, repeats) for name in kernel_names()]


def _timed(name: str, function: Callable[..., Any], *arguments: Any) -> Contender:
    return Contender(name, lambda: partial(function, *arguments))


def _written(name: str, function: Callable[..., Any], target: Any, *arguments: Any) -> Contender:
    """The result is in `target`, and is not fetched while time is taken."""
    return Contender(name, lambda: partial(function, target, *arguments), lambda _: target.last())


def _new_bytes(size: int) -> Task:
    """memcpy into new `bytes`, what receiving binary messages can cost at least."""
    groups, inputs, count = rotation("binary", size)
    header = len(inputs[0]) // count - size
    copies = Contender(
        MEMCPY, lambda: over(lambda data: bench.copy_out(data, header, size), inputs), lambda _: groups[0]
    )
    return Task("new bytes", "binary", size, count, [*connections(inputs)[:1], copies], groups[0])


def _bare(kind: str, size: int) -> Task:
    groups, inputs, count = rotation(kind, size)
    bare = Contender(BARE, lambda: over(lambda data: bench.bare_receive(data, kind != "binary"), inputs))
    return Task("bare loop", kind, size, count, [*connections(inputs)[:1], bare], groups[0])
