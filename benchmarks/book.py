"""A file of results, and what can be read off it: medians, and medians of the ratios of each round."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from .measure import Result

__all__ = ["LATEST", "RESULTS", "Book"]

RESULTS = Path(__file__).parent / "results"
LATEST = RESULTS / "latest.json"


class Book:
    """`about` is machine, versions and commit; `figures` are memory and sizes; `rows` the times of each task."""

    def __init__(self, about: dict[str, Any], figures: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
        self.about = about
        self.figures = figures
        self.rows = {(row["area"], row["load"], row["size"]): row for row in rows}

    @classmethod
    def read(cls, path: Path) -> Book:
        content = json.loads(path.read_text())
        return cls(content["about"], content["figures"], content["tasks"])

    def write(self, path: Path) -> None:
        """One task a line, so that a later run can be compared with this one."""
        rows = ",\n".join("  " + json.dumps(row) for row in self.rows.values())
        about, figures = (json.dumps(part, indent=2) for part in (self.about, self.figures))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"about": {about},\n"figures": {figures},\n"tasks": [\n{rows}\n]}}\n')

    def add(self, result: Result) -> None:
        row = result.as_json()
        self.rows[row["area"], row["load"], row["size"]] = row

    def areas(self) -> list[str]:
        return list(dict.fromkeys(area for area, _, _ in self.rows))

    def of(self, area: str) -> list[dict[str, Any]]:
        return [row for row in self.rows.values() if row["area"] == area]

    def has(self, area: str, load: str, size: int | str, *names: str) -> bool:
        row = self.rows.get((area, load, size))
        return row is not None and all(row["ns"].get(name) for name in names)

    def ns(self, area: str, load: str, size: int | str, name: str) -> float:
        """The median time of a unit, in nanoseconds."""
        return median(self.rows[area, load, size]["ns"][name])

    def ratio(self, area: str, load: str, size: int | str, slow: str, fast: str) -> float:
        """How many times as long `slow` takes as `fast`: the median over the rounds."""
        times = self.rows[area, load, size]["ns"]
        return median(a / b for a, b in zip(times[slow], times[fast], strict=True))
