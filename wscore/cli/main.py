"""Where the program starts: which command, and which exit status.

Decides what is printed when something cannot be done: one sentence on standard error, status 2 if what was asked for is
wrong, whatever is told by the command line, the environment and files that they name, or if it needs something that is
not installed, 1 if it met something else; never a traceback for what a user or a peer did.

Refuses to know the commands: each is imported when it is called, so that `--help` and `--version` start fast.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from typing import Any

from wscore._extras import MissingExtra, require
from wscore._version import __version__
from wscore.cli import Failure, complain, open_standard_streams
from wscore.cli.options import BENCH, CONNECT, SERVE, Parser, add_options, settings_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments` (by default those of the process) and return its exit status."""
    open_standard_streams()
    parser = _parser()
    typed = parser.parse_args(arguments)
    if typed.command is None:
        parser.error("say what to do: serve, connect URL, or bench URL")
    try:
        require(f"wscore {typed.command}", "server", "trio", "h11")
        return _COMMANDS[typed.command](typed)
    except MissingExtra as missing:
        complain(str(missing))
        return 2
    except Failure as failure:
        complain(failure.sentence)
        return failure.status
    except KeyboardInterrupt:
        return 130


def _serve(typed: argparse.Namespace) -> int:
    from wscore.cli import config

    try:
        path = settings_of(typed, SERVE, os.environ)["config"]
        file = config.read_config(path, SERVE) if path else None
        settings = settings_of(typed, SERVE, os.environ, file)
    except ValueError as error:
        raise Failure(str(error), 2) from None
    from wscore.cli import serve

    return serve.run(settings)


def _connect(typed: argparse.Namespace) -> int:
    from wscore.cli import connect

    return connect.run(typed.url, settings_of(typed, CONNECT))


def _bench(typed: argparse.Namespace) -> int:
    from wscore.cli import bench

    return bench.run(typed.url, settings_of(typed, BENCH))


_COMMANDS = {"serve": _serve, "connect": _connect, "bench": _bench}


def _parser() -> Parser:
    parser = Parser(prog="wscore", description="WebSocket server and client.", allow_abbrev=False)
    parser.add_argument("--version", action=_Version, help="print version, implementation, kernel and libraries")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    serve = commands.add_parser(
        "serve",
        help="run a server: your handler, or an echo and a page to try it",
        description="Serve what --app or --on-message names; else echo on /echo, with a page to try it on /. "
        "A health check is on /healthz. SIGTERM and SIGINT close all connections properly; a second one ends at once. "
        "SIGHUP reads the TLS certificate anew. Sockets that systemd passes take the place of --host and --port. "
        "Each option may also be given by the environment variable named in brackets, or in the file of --config; "
        "a flag comes before the environment, and the environment before the file.",
        allow_abbrev=False,
    )
    add_options(serve, SERVE, environment=True)
    connect = commands.add_parser(
        "connect",
        help="talk to a server from the terminal",
        description="Send each line of standard input as a text message and print what comes back, a message a line. "
        "Ctrl-D (or the end of the input) and Ctrl-C close the connection properly.",
        allow_abbrev=False,
    )
    connect.add_argument("url", metavar="URL", help="ws://… or wss://…")
    add_options(connect, CONNECT, environment=False)
    bench = commands.add_parser(
        "bench",
        help="put a load on an echo server and measure it",
        description="Send messages on many connections, check that each comes back as it went, and print throughput, "
        "percentiles of the latency, and how busy this program itself was. Ctrl-C ends it early, with the results so "
        "far. The exit status is 0 only if every connection opened and lasted, and every message was answered.",
        allow_abbrev=False,
    )
    bench.add_argument("url", metavar="URL", help="ws://… or wss://…")
    add_options(bench, BENCH, environment=False)
    return parser


class _Version(argparse.Action):
    """Prints what runs: the codec is asked only now."""

    def __init__(self, option_strings: Sequence[str], dest: str, **keywords: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **keywords)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(version())
        parser.exit()


def version() -> str:
    """Return what `--version` prints: a line, and a second one if the extension is there but did not load."""
    from wscore import codec

    python = f"{platform.python_implementation().replace('CPython', 'Python')} {platform.python_version()}"
    parts = (f"wscore {__version__}", codec.IMPLEMENTATION, f"kernel {codec.KERNEL}", codec.DEFLATE_LIBRARY, python)
    line = ", ".join(parts) + "\n"
    return line + (f"The extension did not load: {codec.LOAD_ERROR}\n" if codec.LOAD_ERROR else "")
