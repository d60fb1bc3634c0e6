"""A file of results: every turn of every contender, and the medians that can be read off it.

Ratios are medians of the rounds' ratios. Void turns (the server's core was not busy) do not count where others are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ..book import RESULTS
from .session import Outcome

__all__ = ["LATEST", "Figure", "Results"]

LATEST = RESULTS / "endtoend.json"
# Below this share of a core, something other than the server was the limit.
BUSY = 0.9
# Above this share, the load generator could not have reached twice the rate.
LOAD_BUSY = 0.5


class Figure(NamedTuple):
    """A median, and whether all that it comes from is void."""

    value: float
    is_void: bool


class Results:
    """`about` is machine, versions and commit; `rows` have an area, a name, turns and failures."""

    def __init__(self, about: dict[str, Any], rows: Iterable[dict[str, Any]] = ()) -> None:
        self.about = about
        self.rows = {row["area"] + ": " + row["name"]: row for row in rows}

    @classmethod
    def read(cls, path: Path) -> Results:
        content = json.loads(path.read_text())
        return cls(content["about"], content["cases"])

    def write(self, path: Path) -> None:
        """One case a line."""
        rows = ",\n".join("  " + json.dumps(row) for row in self.rows.values())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"about": {json.dumps(self.about, indent=2)},\n"cases": [\n{rows}\n]}}\n')

    def add(self, outcome: Outcome) -> None:
        """Turns that are void are marked."""
        case = outcome.case
        for turns in outcome.turns.values():
            for turn in turns:
                turn["void"] = case.is_throughput and turn["busy"] < BUSY
        self.rows[case.key] = {
            "area": case.area, "name": case.name, "connections": case.connections, "mode": case.mode,
            "load": list(case.load), "server": list(case.server), "throughput": case.is_throughput,
            "turns": outcome.turns, "failures": outcome.failures,
        }  # fmt: skip
        self.about.setdefault("versions", {}).update(outcome.versions)

    def areas(self) -> list[str]:
        return list(dict.fromkeys(row["area"] for row in self.rows.values()))

    def of(self, area: str) -> list[dict[str, Any]]:
        return [row for row in self.rows.values() if row["area"] == area]

    def has(self, key: str, *names: str) -> bool:
        return key in self.rows and all(self.rows[key]["turns"].get(name) for name in names)

    def figure(self, key: str, name: str, field: str) -> Figure:
        """The median of a field over the turns that count."""
        turns = self.rows[key]["turns"][name]
        good = [turn[field] for turn in turns if not turn["void"]]
        return Figure(median(good or [turn[field] for turn in turns]), not good)

    def ratio(self, key: str, name: str, other: str, field: str) -> Figure:
        """How many times as much `name` has as `other`: the median over the rounds."""
        turns = self.rows[key]["turns"]
        pairs = list(zip(turns[name], turns[other], strict=False))
        good = [pair for pair in pairs if not (pair[0]["void"] or pair[1]["void"])]
        return Figure(median(_quotient(a[field], b[field]) for a, b in good or pairs), not good)

    def warnings(self) -> Iterator[str]:
        """What the reader has to know about single cases."""
        for key, row in self.rows.items():
            voids = {name: sum(turn["void"] for turn in turns) for name, turns in row["turns"].items()}
            void = [f"{name} ({count} of {len(row['turns'][name])})" for name, count in voids.items() if count]
            if void:
                yield f"{key}: turns are void, the server's core was not busy: {', '.join(void)}"
            fast = [name for name, turns in row["turns"].items() if row["throughput"] and _limits(turns)]
            if fast:
                yield f"{key}: the load generator may not reach twice the rate of {', '.join(fast)}"
            yield from (f"{key}: {name} failed: {failure}" for name, failure in row["failures"].items())


def _limits(turns: list[dict[str, Any]]) -> bool:
    return median(turn["load_busy"] for turn in turns) > LOAD_BUSY


def _quotient(a: float, b: float) -> float:
    return a / b if b else float("inf")
