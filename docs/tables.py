"""Tables of the documentation that come from where their facts stand: options, metrics and results of benchmarks.

A page says where with a comment, `<!-- table: serve -->`. Each is made as Markdown.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.book import LATEST, Book
from benchmarks.report import areas, table
from wscore.cli import options
from wscore.server import metrics


def of_options(known: Iterable[options.Option], *, environment: bool) -> Iterator[str]:
    """What `--help` says, but for the variables, whose names follow from the flags'."""
    heads = ("flag", "default", "what it is")
    rows = []
    for option in known:
        value = f" {option.metavar}" if option.metavar else ""
        notes = ["may be repeated"] if option.repeatable else []
        notes += ["counted in each worker"] if option.per_process and environment else []
        note = f" ({', '.join(notes)})" if notes else ""
        rows.append((f"`{option.flag}{value}`", option.default or "", option.help + note))
    yield from table(heads, rows)


def of_metrics() -> Iterator[str]:
    """Names as Prometheus has them: counters end in _total."""
    rows = []
    for metric in metrics._METRICS:
        name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
        rows.append((f"`{name}`" + (f" by `{metric.label}`" if metric.label else ""), metric.kind, metric.help))
    yield from table(("metric", "kind", "what it counts"), rows)


def of_results() -> Iterator[str]:
    """The last run of the codec's benchmarks against other libraries, as it lies in the repository."""
    for line in areas(Book.read(LATEST)):
        yield re.sub(r"## (.*) \((.*)\)", r"## \1\n\nIn \2.", line)


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "serve": lambda: of_options(options.PROGRAM, environment=True),
    "serve, as keywords": lambda: of_options(options.SERVER, environment=True),
    "connect": lambda: of_options(options.CONNECT, environment=False),
    "bench": lambda: of_options(options.BENCH, environment=False),
    "metrics": of_metrics,
    "results": of_results,
}


def fill_in(app: Sphinx, page: str, source: list[str]) -> None:
    """Put each table in the place of its comment."""
    source[0] = re.sub(r"<!-- table: (.+) -->", lambda mark: "\n".join(TABLES[mark[1]]()), source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", fill_in)
