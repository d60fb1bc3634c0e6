"""`wscore bench`: puts a load on a server, and says how it bore it.

The server is taken for an echo: each message is to come back as it went, in order (`--no-check` asks only for as many).
The work is divided so: `opening` opens connections, a `line` moves the bytes of one, a load (`loads`) decides when it
sends, the `engine` runs all of them, the `tally` counts, and `results` says what came of it.

Here is decided which options go together, and the exit status: 0 for a good run, 1 if anything went wrong, 130 if it
was interrupted before anything was measured.
"""

import json
import selectors
import signal
import sys

import trio

from wscore.cli import Failure, complain, reason
from wscore.cli.bench.engine import Engine
from wscore.cli.bench.line import Shared
from wscore.cli.bench.loads import Burst, Load, Rate, Window
from wscore.cli.bench.opening import Opener
from wscore.cli.bench.payloads import Payloads
from wscore.cli.bench.progress import show_progress
from wscore.cli.bench.results import Results, complaints_about, lines_of, results_of
from wscore.cli.bench.tally import Tally
from wscore.cli.descriptors import raise_descriptor_limit
from wscore.cli.options import Settings
from wscore.cli.reaching import failure_of, tls_of
from wscore.cli.terminal import write_line
from wscore.codec import LocalProtocolError

_INTERRUPTED = 130
_MOST_IN_FLIGHT = 256 << 20  # bytes, on one connection


def run(url: str, settings: Settings) -> int:
    """Put the load on `url`, print the results and return the exit status. Raises `Failure` for a wrong command line.

    SIGINT and SIGTERM end the run early, with the results so far.
    """
    settings = _completed(settings)
    if not hasattr(selectors.DefaultSelector, "fileno"):
        raise Failure("wscore bench needs epoll or kqueue, which this system does not have", 2)
    try:
        opener = Opener(url, settings, tls_of(settings))
    except (ValueError, LocalProtocolError) as error:
        raise failure_of(error) from None
    raise_descriptor_limit()
    return trio.run(_run, opener, settings)


def _completed(settings: Settings) -> Settings:
    """The settings, with the defaults of those that depend on others; raises `Failure` if they do not go together."""
    if settings["rate"] is not None:
        for name in ("in_flight", "pattern"):
            if settings[name] is not None:
                raise Failure(f"--{name.replace('_', '-')} is of no use with --rate, which waits for no reply", 2)
        return settings
    settings = settings | {"in_flight": settings["in_flight"] or 1, "pattern": settings["pattern"] or "window"}
    if settings["in_flight"] * settings["size"] > _MOST_IN_FLIGHT:
        raise Failure("--in-flight times --size must be at most 256 MiB", 2)
    return settings


async def _run(opener: Opener, settings: Settings) -> int:
    tally = Tally()
    load = _load(settings, tally)
    payloads = Payloads(settings["size"], settings["binary"], load.in_a_row)
    shared = Shared(selectors.DefaultSelector(), payloads, tally, not settings["no_check"])
    engine = Engine(settings, opener, load, shared)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.obey, signals)
            nursery.start_soon(show_progress, engine)
            await engine.run()
            nursery.cancel_scope.cancel()
    return await _report(results_of(opener.uri, settings, load, engine), settings["json"])


def _load(settings: Settings, tally: Tally) -> Load:
    if settings["rate"] is not None:
        return Rate(tally, settings["rate"], settings["connections"], settings["size"])
    kind = Burst if settings["pattern"] == "burst" else Window
    return kind(tally, settings["in_flight"])


async def _report(results: Results, as_json: bool) -> int:
    lines = [json.dumps(results)] if as_json else lines_of(results)
    try:
        for line in lines:
            await write_line(sys.stdout.fileno(), line)
    except BrokenPipeError:  # nobody reads any more
        return 1
    except OSError as error:
        raise Failure(f"cannot write to standard output: {reason(error)}") from None
    return _complain_about(results)


def _complain_about(results: Results) -> int:
    """Say what went wrong; return the exit status."""
    status = 0
    for sentence in complaints_about(results):
        complain(sentence)
        status = 1
    if results["measured"] is None and results["interrupted"]:
        complain("interrupted before anything was measured")
        return _INTERRUPTED
    return status
