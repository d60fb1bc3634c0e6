"""Masking and validation as Python calls them (RFC 6455 section 5.3)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .. import corpus
from ..rivals import all_rivals
from .base import Contender, Task, sizes

AREAS = ("mask", "mask in place", "validate")

MASKED = 1 << 18  # bytes that one run masks, at most


def _count(size: int) -> int:
    return max(1, min(1000, MASKED // max(size, 1)))


def tasks(*, quick: bool) -> Iterator[Task]:
    for size in sizes(quick):
        yield _mask(size)
        yield _mask_inplace(size)
    for kind in ("ascii", "cyrillic") if quick else corpus.TEXTS:
        for size in sizes(quick, least=16):
            yield _validate(kind, size)


def _mask(size: int) -> Task:
    count, pairs = _pairs(size)
    contenders = [Contender(rival.name, partial(rival.mask, pairs), bytes) for rival in all_rivals()]
    return Task("mask", "binary", size, count, contenders, _masked(pairs[-1]), "call")


def _mask_inplace(size: int) -> Task:
    count, pairs = _pairs(size)

    def own_copies() -> list[tuple[bytearray, bytes]]:
        return [(bytearray(data), key) for data, key in pairs]

    contenders = [Contender(rival.name, partial(rival.mask_inplace, own_copies()), bytes) for rival in all_rivals()]
    return Task("mask in place", "binary", size, count, contenders, _masked(pairs[-1]), "call")


def _pairs(size: int) -> tuple[int, list[tuple[bytes, bytes]]]:
    count = _count(size)
    return count, list(zip(corpus.payloads(size, count), corpus.keys(count), strict=True))


def _masked(pair: tuple[bytes, bytes]) -> bytes:
    data, key = pair
    return bytes(byte ^ key[i & 3] for i, byte in enumerate(data))


def _validate(kind: str, size: int) -> Task:
    count = _count(size)
    payloads = [text.encode() for text in corpus.texts(kind, size, count)]
    contenders = [Contender(rival.name, partial(rival.validate, payloads)) for rival in all_rivals()]
    return Task("validate", kind, size, count, contenders, True, "call")
