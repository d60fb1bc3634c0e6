"""A plugin for pytest inside a foreign suite: what suites.py says of single tests takes effect here."""

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase

import pytest
from suites import SUITES

SUITE = SUITES[os.environ["WSCORE_FOREIGN"]]


def reason_for(item: pytest.Item, reasons: Mapping[str, str], used: set[str]) -> str | None:
    for pattern, reason in reasons.items():
        if fnmatchcase(item.name, pattern):
            used.add(pattern)
            return reason
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    used: set[str] = set()
    for item in items:
        if reason := reason_for(item, SUITE.left_out, used):
            item.add_marker(pytest.mark.skip(reason=reason))
        elif reason := reason_for(item, SUITE.differs, used):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    if stale := {*SUITE.left_out, *SUITE.differs} - used:
        raise pytest.UsageError(f"suites.py names tests that are not there: {', '.join(sorted(stale))}")
