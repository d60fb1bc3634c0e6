"""What a scenario is, which columns the table of faces has, and how outcomes are compared.

Decides what counts as equal, and what is said about cells that are not. Knows neither Trio nor asyncio.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .face import Face

# Faces by what moves the bytes; the pure twins run in a process of their own, with WSCORE_PURE=1.
COLUMNS = ("stream", "reactor", "asyncio", "uvloop", "pure-stream", "pure-asyncio")
STREAMS = ("stream", "pure-stream")
TRIO = ("stream", "reactor", "pure-stream")
AIO = ("asyncio", "uvloop", "pure-asyncio")
LOOP = ("asyncio", "pure-asyncio")
PURE = ("pure-stream", "pure-asyncio")
EVERYWHERE = COLUMNS

# The key of what a scenario comes to that did not reach its end; no cell is allowed to, whatever is known to be wrong.
FAILED = "the scenario failed"

Where: TypeAlias = str | tuple[str, ...]
Run: TypeAlias = Callable[["Face"], Awaitable[Any]]


@dataclass(frozen=True)
class Differs:
    """What one face must do otherwise, and why it must."""

    must: Any
    why: str


@dataclass(frozen=True)
class Within:
    """An amount that is right if it is within a factor of the stream's, and at most so large."""

    factor: float
    most: float


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    title: str
    area: str
    run: Run
    must: Any
    jumps: bool = False
    """Whether it needs a clock that jumps: uvloop has none."""
    differs: Mapping[str, Differs] = field(default_factory=dict)
    """What must differ: by column."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Columns that do not have what the scenario is about, with the reason."""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """Cells that are wrong today: the kind of the defect, and the reason."""

    def must_be(self, column: str) -> Any:
        return plain(self.differs[column].must if column in self.differs else self.must)


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    must: Any,
    *,
    differs: Mapping[Where, Differs] | None = None,
    lacks: Mapping[Where, str] | None = None,
    wrong: Mapping[Where, str] | None = None,
    jumps: bool = False,
) -> Callable[[Run], Run]:
    """Make a row of the table of an async function; the first line of its docstring is what the row is called."""

    def note(run: Run) -> Run:
        name = run.__name__
        assert name not in SCENARIOS
        missing = by_column(lacks or {})
        if jumps:
            missing["uvloop"] = "its clock cannot be set"
        SCENARIOS[name] = Scenario(
            name=name,
            title=(run.__doc__ or name).strip().splitlines()[0].rstrip("."),
            area=run.__module__.rpartition(".")[2],
            run=run,
            must=must,
            jumps=jumps,
            differs=by_column(differs or {}),
            lacks=missing,
            wrong=by_column(wrong or {}),
        )
        return run

    return note


def by_column(said: Mapping[Where, Any]) -> dict[str, Any]:
    """For each column, what was said of it or of a group with it."""
    spread = {}
    for where, what in said.items():
        for column in (where,) if isinstance(where, str) else where:
            assert column in COLUMNS
            assert column not in spread
            spread[column] = what
    return spread


def plain(outcome: Any) -> Any:
    """An outcome as it comes out of a worker: tuples have become lists, bytes text."""
    return outcome if isinstance(outcome, Within) else json.loads(json.dumps(outcome, default=spelled))


def spelled(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return repr(bytes(value)) if len(value) <= 64 else f"{len(value)} bytes"
    raise TypeError(f"no plain value: {value!r}")


def has_failed(outcome: Any) -> bool:
    return isinstance(outcome, dict) and FAILED in outcome


def is_right(outcome: Any, must: Any, row: Mapping[tuple[str, str], Any]) -> bool:
    """Whether a cell holds what it must; an amount is compared with the stream's in the same row."""
    if not isinstance(must, Within):
        return bool(outcome == must)
    of_stream = next((row[cell] for column in STREAMS for cell in row if cell[1] == column), None)
    if not isinstance(outcome, int | float) or not isinstance(of_stream, int | float):
        return False
    return outcome <= must.most and of_stream / must.factor <= outcome <= of_stream * must.factor
