"""What a task is, and helpers to make one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from .. import corpus
from ..wire import Message

Run = Callable[[], Any]

# Sizes and texts that a smoke test needs.
QUICK_SIZES = (16, 1024)
QUICK_KINDS = ("binary", "ascii", "cyrillic")

KINDS = ("binary", *corpus.TEXTS)
# For Reader and Writer alone, whose other numbers are those of Connection.
OWN_KINDS = ("binary", "ascii", "cyrillic", "emoji")


@dataclass(frozen=True)
class Contender:
    """`prepare` makes what is timed, without arguments; `result` turns what that returns into what the task expects.

    Where a run leaves something behind that is no part of the work, `tidy`, not timed, comes after each one.
    """

    name: str
    prepare: Callable[[], Run | None]
    result: Callable[[Any], Any] = field(default=lambda value: value)
    tidy: Callable[[], object] | None = None


@dataclass(frozen=True)
class Task:
    """One row: `area` and `load` say what, `size` is in bytes a message; a run does `count` units of `unit`.

    The first run of each contender must give `expected`, unless that is None.
    """

    area: str
    load: str
    size: int | str
    count: int
    contenders: Sequence[Contender]
    expected: Any = None
    unit: str = "message"

    @property
    def name(self) -> str:
        return f"{self.area}/{self.load}/{self.size}"


def sizes(quick: bool, *, least: int = 0) -> list[int]:
    return [size for size in (QUICK_SIZES if quick else corpus.SIZES) if size >= least]


def kinds(quick: bool) -> Sequence[str]:
    return QUICK_KINDS if quick else KINDS


def own_kinds(quick: bool) -> Sequence[str]:
    return QUICK_KINDS if quick else OWN_KINDS


def messages(kind: str, size: int, count: int) -> list[Message]:
    """Random payloads or texts."""
    return corpus.payloads(size, count) if kind == "binary" else corpus.texts(kind, size, count)


def batches(items: Sequence[Any], length: int) -> list[Sequence[Any]]:
    return [items[start : start + length] for start in range(0, len(items), length)]


def over(function: Callable[[Any], Any], arguments: Iterable[Any]) -> Run:
    """Calls `function` with the next argument each time, beginning with the first."""
    following = cycle(arguments).__next__
    return lambda: function(following())


def contender(rival: Any, make: Callable[[], Any], arguments: Sequence[Any], result: Any) -> Contender:
    """A contender that `make` prepares, once it is its turn, to be called with `arguments` one after the other."""

    def prepare() -> Run | None:
        function = make()
        return None if function is None else over(function, arguments)

    return Contender(rival.name, prepare, result)
