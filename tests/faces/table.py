"""The table of faces as Markdown: outcomes side by side, what must differ and why, what is wrong today.

`python -m tests.faces` prints it; `python -m tests.faces NAME...` runs these scenarios only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .scenario import COLUMNS, Scenario, Within, is_right

LACKING = "–"


def table_of(outcomes: Mapping[tuple[str, str], Any], scenarios: Iterable[Scenario], columns: Iterable[str]) -> str:
    """Rows of what came out, cells that are not what they must be marked with an exclamation mark."""
    columns = list(columns)
    lines: list[str] = []
    area = ""
    for scenario in scenarios:
        if scenario.area != area:
            area = scenario.area
            lines += ["", f"### {area.replace('_', ' ').capitalize()}", "", *head_of(["scenario", *columns])]
        cells = [cell_of(scenario, column, outcomes) for column in columns]
        shown = [f"all: {cells[0]}", *[""] * (len(cells) - 1)] if len(set(cells)) == 1 else cells
        lines.append(row_of([scenario.title, *shown]))
    return "\n".join(lines).strip() + "\n"


def notes_of(scenarios: Iterable[Scenario]) -> str:
    """What must differ, what is not there, and what is wrong today, each with its reason."""
    differing, lacking, wrong = [], [], []
    for scenario in scenarios:
        for columns, why in grouped({column: differs.why for column, differs in scenario.differs.items()}):
            differing.append(row_of([scenario.title, columns, why]))
        lacking += [row_of([scenario.title, *pair]) for pair in grouped(scenario.lacks)]
        wrong += [row_of([scenario.title, *pair]) for pair in grouped(scenario.wrong)]
    parts = []
    for title, rows in (("What must differ", differing), ("What is not there", lacking), ("Wrong today", wrong)):
        if rows:
            parts += ["", f"### {title}", "", *head_of(["scenario", "faces", "reason"]), *rows]
    return "\n".join(parts).strip() + "\n"


def cell_of(scenario: Scenario, column: str, outcomes: Mapping[tuple[str, str], Any]) -> str:
    if column in scenario.lacks or (scenario.name, column) not in outcomes:
        return LACKING
    outcome = outcomes[scenario.name, column]
    right = is_right(outcome, scenario.must_be(column), row_in(outcomes, scenario))
    return spelled(outcome) + ("" if right else " **!**")


def row_in(outcomes: Mapping[tuple[str, str], Any], scenario: Scenario) -> dict[tuple[str, str], Any]:
    return {cell: outcome for cell, outcome in outcomes.items() if cell[0] == scenario.name}


def grouped(said: Mapping[str, str]) -> list[tuple[str, str]]:
    """Columns of which the same is said, together."""
    together: dict[str, list[str]] = {}
    for column in COLUMNS:
        if column in said:
            together.setdefault(said[column], []).append(column)
    return [(", ".join(columns), why) for why, columns in together.items()]


def spelled(outcome: Any) -> str:
    """An outcome in few words."""
    if isinstance(outcome, str):
        return outcome
    if isinstance(outcome, dict):
        return "; ".join(f"{key}: {spelled(value)}" for key, value in outcome.items())
    if isinstance(outcome, list):
        return ", ".join(map(spelled, outcome)) or "nothing"
    return "yes" if outcome is True else "no" if outcome is False else json.dumps(outcome)


def expected(must: Any) -> str:
    return f"within {must.factor} of the stream's" if isinstance(must, Within) else spelled(must)


def head_of(names: list[str]) -> list[str]:
    return [row_of(names), row_of(["---"] * len(names))]


def row_of(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
