"""The commands `python -m benchmarks endtoend run | table | charts | cases`."""

from __future__ import annotations

import argparse
import datetime
import re
import ssl
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..book import RESULTS
from ..machine import description
from . import report
from .build import BuildError
from .cases import AREAS, Case, Effort, all_cases
from .claims import promised_cases, promised_contenders
from .contenders import ASYNC, CONTENDERS, ON_MESSAGE, PICOWS, WEBSOCKETS, Contender, chosen
from .processes import LOAD_CORE, SERVER_CORE
from .results import LATEST, Results
from .session import measure, seconds_of

__all__ = ["add_commands"]

FULL = Effort(rounds=5, seconds=3.0)
QUICK = Effort(rounds=1, seconds=0.2, load=("--warmup", "0.1", "--settle", "0.2"))
QUICK_CONTENDERS = f"{ASYNC},{ON_MESSAGE},{PICOWS},{WEBSOCKETS}"


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of `endtoend`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="measure, write the results, print what was promised beside them")
    _choose(run)
    run.add_argument("--transport", choices=("auto", "reactor", "stream"), default="auto", help="of wscore's servers")
    run.add_argument("--out", type=Path, default=LATEST, metavar="FILE", help="where the results go")
    run.set_defaults(command=_run)

    cases = commands.add_parser("cases", help="list what would be measured, and about how long it takes")
    _choose(cases)
    cases.set_defaults(command=_cases)

    table = commands.add_parser("table", help="print the tables of a run")
    table.add_argument("file", nargs="?", type=Path, default=LATEST)
    table.add_argument("--only", default="", metavar="AREA", help="only areas whose name contains this")
    table.set_defaults(command=_table)

    charts = commands.add_parser("charts", help="draw the charts of a run (needs matplotlib)")
    charts.add_argument("file", nargs="?", type=Path, default=LATEST)
    charts.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER")
    charts.set_defaults(command=_charts)


def _choose(parser: argparse.ArgumentParser) -> None:
    quick = "a smoke test: a few small cases, two rivals, numbers that mean nothing"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--promised", action="store_true", help="only what promises are about, and compare with")
    only = f"cases whose area and name match this regular expression; areas: {', '.join(AREAS)}"
    parser.add_argument("--only", default="", metavar="PATTERN", type=_pattern, help=only)
    names = "; ".join(one.name for one in CONTENDERS)
    parser.add_argument("--contenders", metavar="NAMES", help=f"servers whose name contains one of these: {names}")
    parser.add_argument("--rounds", type=_positive(int), help=f"turns of each server in a case (default {FULL.rounds})")
    parser.add_argument("--seconds", type=_positive(float), help=f"of each turn (default {FULL.seconds:g})")


def _positive(kind: type[int] | type[float]) -> Any:
    def parse(text: str) -> float:
        value = kind(text)
        if not 0 < value < 3600:
            raise ValueError
        return value

    parse.__name__ = f"positive {kind.__name__}"
    return parse


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"not a regular expression: {error}") from None


def _plan(options: argparse.Namespace) -> tuple[list[Case], list[Contender], Effort]:
    usual = QUICK if options.quick else FULL
    effort = Effort(options.rounds or usual.rounds, options.seconds or usual.seconds, usual.load)
    names = options.contenders or (QUICK_CONTENDERS if options.quick else "")
    cases = [case for case in all_cases(quick=options.quick) if re.search(options.only, case.key)]
    contenders = list(chosen(names))
    if options.promised:
        cases = [case for case in cases if case.key in promised_cases()]
        contenders = [one for one in contenders if one.name in promised_contenders()]
    if not cases or not contenders:
        sys.exit("Nothing to measure: see `python -m benchmarks endtoend cases`.")
    return cases, contenders, effort


def _run(options: argparse.Namespace) -> None:
    cases, contenders, effort = _plan(options)
    results = Results(_about(effort, options.transport))
    _say(_duration(cases, contenders, effort))
    try:
        for outcome in measure(cases, contenders, effort, transport=options.transport, say=_say):
            results.add(outcome)
            results.write(options.out)
    except BuildError as error:
        sys.exit(str(error))
    _print(report.promises(results))
    _print(report.warnings(results))
    print(f"\n{options.out}")
    sys.exit(any(row["failures"] for row in results.rows.values()))


def _about(effort: Effort, transport: str) -> dict[str, Any]:
    return {
        **description(),
        "date": datetime.date.today().isoformat(),
        "rounds": effort.rounds,
        "seconds": effort.seconds,
        "transport": transport,
        "cores": {"server": SERVER_CORE, "load": LOAD_CORE},
        "OpenSSL": ssl.OPENSSL_VERSION,
    }


def _cases(options: argparse.Namespace) -> None:
    cases, contenders, effort = _plan(options)
    for case in cases:
        print(f"{case.key}: {', '.join(one.name for one in contenders if case.has(one))}")
    print(f"\n{_duration(cases, contenders, effort)}")


def _duration(cases: list[Case], contenders: list[Contender], effort: Effort) -> str:
    seconds = seconds_of(cases, contenders, effort)
    return f"about {seconds:.0f} seconds" if seconds < 120 else f"about {seconds / 60:.0f} minutes"


def _table(options: argparse.Namespace) -> None:
    results = Results.read(options.file)
    if not options.only:
        _print(report.promises(results))
    _print(report.areas(results, options.only))
    if not options.only:
        _print(report.warnings(results))


def _charts(options: argparse.Namespace) -> None:
    from .charts import draw

    _print(map(str, draw(Results.read(options.file), options.out)))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)
