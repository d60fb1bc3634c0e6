"""A plugin for pytest inside a foreign suite: here takes effect what suites.py says of tests, and of how many run."""

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase

import pytest
from suites import SUITES

SUITE = SUITES[os.environ["WSCORE_FOREIGN"]]
# How many are to run; empty where the user has chosen other ones.
WANTED = os.environ["WSCORE_FOREIGN_TESTS"]

_ran: set[str] = set()


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


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and (report.outcome != "skipped" or hasattr(report, "wasxfail")):
        _ran.add(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A suite of which tests have gone unnoticed would pass without having said anything."""
    if WANTED and len(_ran) != int(WANTED) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    differ = f", and suites.py says {WANTED}" if WANTED and len(_ran) != int(WANTED) else ""
    terminalreporter.write_line(f"{len(_ran)} of their tests ran{differ}")
