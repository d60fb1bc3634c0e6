"""The command: `python -m benchmarks build | run | table | charts | figures | memory | instructions | endtoend ...`."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Iterable
from pathlib import Path

from . import memory, report
from .book import LATEST, RESULTS, Book
from .endtoend.command import add_commands
from .machine import description
from .measure import Effort, measure
from .rivals import NATIVE, all_rivals
from .tasks import AREAS, all_tasks
from .tasks.deflating import output_ratio
from .tasks.kernels import bench

FULL = Effort(rounds=11, sample=0.01)
QUICK = Effort(rounds=3, sample=0.0005)


def main() -> None:
    options = _parser().parse_args()
    options.command(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = commands.add_parser("build", help="build the extension that calls the kernels by name")
    build.set_defaults(command=_build)

    run = commands.add_parser("run", help="measure, write the results, print what was promised beside them")
    run.add_argument("--quick", action="store_true", help="a smoke test: under a minute, numbers that mean nothing")
    run.add_argument("--only", default="", metavar="AREA", help=f"areas whose name contains this: {', '.join(AREAS)}")
    run.add_argument("--rounds", type=int, default=None, help="turns that each contender gets in a task")
    run.add_argument("--no-memory", action="store_true", help="leave out what takes processes of their own")
    run.add_argument("--out", type=Path, default=LATEST, metavar="FILE", help="where the results go")
    run.set_defaults(command=_run)

    table = commands.add_parser("table", help="print the tables of a run")
    table.add_argument("file", nargs="?", type=Path, default=LATEST)
    table.add_argument("--all", action="store_true", help="every area against every rival, too")
    table.add_argument("--only", default=None, metavar="AREA", help="only areas whose name contains this")
    table.set_defaults(command=_table)

    charts = commands.add_parser("charts", help="draw the charts of a run (needs matplotlib)")
    charts.add_argument("file", nargs="?", type=Path, default=LATEST)
    charts.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER")
    charts.set_defaults(command=_charts)

    figures = commands.add_parser("figures", help="write the figures of README.md and docs/ from the results")
    figures.add_argument("--check", action="store_true", help="write nothing; fail if a page says something else")
    figures.set_defaults(command=_write_figures)

    costs = commands.add_parser("memory", help="what connections, compressors and inflaters cost in memory")
    costs.add_argument("--quick", action="store_true")
    costs.set_defaults(command=_memory)

    count = commands.add_parser("instructions", help="count the instructions of Reader and Writer (needs valgrind)")
    count.add_argument("--store", action="store_true", help="keep the numbers to compare later changes with")
    count.add_argument("--only", default="", metavar="KIND", help="only kinds whose name contains this")
    count.set_defaults(command=_instructions)

    add_commands(commands.add_parser("endtoend", help="whole servers under load: run | table | charts | cases"))
    return parser


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _build(options: argparse.Namespace) -> None:
    from .kernel_bench.build import build

    print(build())


def _run(options: argparse.Namespace) -> None:
    effort = QUICK if options.quick else FULL
    effort = Effort(options.rounds or effort.rounds, effort.sample)
    about = {**description(), "date": datetime.date.today().isoformat(), "rounds": effort.rounds}
    if bench is None:
        print("The kernels are left out: python -m benchmarks build", file=sys.stderr)
    book = Book(about, {}, [])
    tasks = (task for task in all_tasks(quick=options.quick) if options.only in task.area)
    for result in measure(tasks, effort):
        if result.task.area not in book.areas():
            print(result.task.area, file=sys.stderr, flush=True)
        book.add(result)
    if not options.no_memory and not options.only:
        book.figures = _figures(quick=options.quick)
    book.write(options.out)
    _print(report.promises(book))
    print(f"\n{options.out}")


def _figures(*, quick: bool) -> dict[str, object]:
    """Memory, and sizes of what is sent."""
    ratios = {rival.name: output_ratio(rival) for rival in all_rivals()}
    figures: dict[str, object] = {}
    if not memory.available():
        return figures
    count = 20 if quick else memory.STREAMS
    figures["connection"] = memory.connection_bytes(count=20_000 if quick else memory.CONNECTIONS)
    measured = [NATIVE, "websockets"] if quick else list(ratios)
    figures["deflate"] = {
        name: {"output": ratios[name], "bytes": memory.deflate_bytes(name, count=count)}
        for name in measured
        if ratios.get(name) is not None
    }
    if NATIVE in ratios and not quick:
        figures["streams"] = _streams(quick=False)
    return figures


def _streams(*, quick: bool) -> list[dict[str, object]]:
    return [
        {"kind": kind, **settings, "first": first, "full": full}
        for kind, settings, first, full in memory.stream_costs(quick=quick)
    ]


def _table(options: argparse.Namespace) -> None:
    book = Book.read(options.file)
    if options.only is None:
        _print(report.promises(book))
        _print(report.memory(book))
    if options.all or options.only is not None:
        _print(report.areas(book, options.only or ""))


def _charts(options: argparse.Namespace) -> None:
    from .charts import draw

    _print(map(str, draw(Book.read(options.file), options.out)))


def _write_figures(options: argparse.Namespace) -> None:
    from . import figures

    pages = figures.outdated(write=not options.check)
    _print(f"{page}: {'not what the results say' if options.check else 'written'}" for page in pages)
    sys.exit(1 if options.check and pages else 0)


def _memory(options: argparse.Namespace) -> None:
    if not memory.available():
        sys.exit("This system does not say how much memory is resident.")
    book = Book(description(), {**_figures(quick=True), "streams": _streams(quick=options.quick)}, [])
    print(f"a Connection after a message each way: {memory.connection_bytes():.0f} bytes")
    _print(report.memory(book))


def _instructions(options: argparse.Namespace) -> None:
    from . import instructions

    _print(instructions.compare(options.only, store=options.store))


if __name__ == "__main__":
    main()
