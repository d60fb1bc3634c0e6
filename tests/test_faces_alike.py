"""Every face does the same: each scenario of tests/faces on each of them, compared with what must be.

The rows stand side by side under -rP, or when a cell fails; `python -m tests.faces` writes all of them as Markdown.
Cells that are wrong today are strict expected failures; what must differ stands, with its reason, with the scenario.
"""

from collections.abc import Iterator

import pytest

from .faces.columns import Columns, missing
from .faces.scenario import COLUMNS, Scenario, Within, has_failed, is_right
from .faces.scenarios import SCENARIOS
from .faces.table import expected, spelled, table_of


def cells() -> Iterator[object]:
    for scenario in SCENARIOS.values():
        for column in COLUMNS:
            if column not in scenario.lacks:
                yield pytest.param(scenario, column, id=f"{scenario.name}-{column}", marks=marks_of(scenario, column))


def marks_of(scenario: Scenario, column: str) -> list[pytest.MarkDecorator]:
    wrong = pytest.mark.xfail(strict=True, reason=str(scenario.wrong.get(column)), raises=AssertionError)
    return [
        *[wrong] * (column in scenario.wrong),
        pytest.mark.skipif(missing(column) is not None, reason=str(missing(column))),
    ]


@pytest.fixture(scope="session")
def columns() -> Iterator[Columns]:
    columns = Columns()
    yield columns
    columns.close()


def want_all(columns: Columns, request: pytest.FixtureRequest) -> None:
    """Let all cells run that are wanted; where tests are divided among processes, each does when its turn comes."""
    if hasattr(request.config, "workerinput"):
        return
    for item in request.session.items:
        arguments = getattr(getattr(item, "callspec", None), "params", {})
        if getattr(item, "originalname", None) == test_a_cell.__name__ and not item.get_closest_marker("skip"):
            columns.want(arguments["scenario"].name, arguments["column"])


@pytest.mark.parametrize(("scenario", "column"), list(cells()))
def test_a_cell(scenario: Scenario, column: str, columns: Columns, request: pytest.FixtureRequest) -> None:
    want_all(columns, request)
    outcome = columns.want(scenario.name, column).result()
    if has_failed(outcome):
        raise RuntimeError(spelled(outcome))
    must = scenario.must_be(column)
    if isinstance(must, Within):
        columns.want(scenario.name, "stream" if missing("stream") is None else "pure-stream")
    row = columns.row(scenario.name)
    print(table_of(row, [scenario], [column for _, column in row]))
    assert is_right(outcome, must, row), f"{spelled(outcome)}, and it must be: {expected(must)}"
