"""`python -m tests.faces [NAME...]`: run scenarios on all faces, and print the table as Markdown.

Ends with status 1 if a cell is neither what it must be nor known to be wrong.
"""

from __future__ import annotations

import sys
from typing import Any

from .columns import Columns, missing
from .scenario import COLUMNS, Scenario, has_failed, is_right
from .scenarios import SCENARIOS
from .table import notes_of, row_in, table_of


def main() -> int:
    chosen = [SCENARIOS[name] for name in sys.argv[1:]] or list(SCENARIOS.values())
    here = [column for column in COLUMNS if missing(column) is None]
    columns = Columns()
    cells = {
        (scenario.name, column): columns.want(scenario.name, column)
        for scenario in chosen
        for column in here
        if column not in scenario.lacks
    }
    outcomes = {key: cell.result() for key, cell in cells.items()}
    columns.close()
    print(table_of(outcomes, chosen, here))
    print(notes_of(chosen))
    surprises = [
        f"{scenario.name} on {column}"
        for scenario in chosen
        for column in here
        if column not in scenario.lacks and is_surprise(scenario, column, outcomes)
    ]
    for surprise in surprises:
        print(f"not as expected: {surprise}", file=sys.stderr)
    return bool(surprises)


def is_surprise(scenario: Scenario, column: str, outcomes: dict[tuple[str, str], Any]) -> bool:
    outcome = outcomes[scenario.name, column]
    right = is_right(outcome, scenario.must_be(column), row_in(outcomes, scenario))
    return has_failed(outcome) or right == (column in scenario.wrong)


if __name__ == "__main__":
    sys.exit(main())
