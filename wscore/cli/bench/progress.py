"""The line on the terminal that says how far a run is, written anew twice a second; not where there is no terminal.

Refuses to know what a run is made of: it asks the engine for its numbers.
"""

import sys

import trio

from wscore.cli.bench.engine import Engine
from wscore.cli.terminal import write

_EVERY = 0.5
_ERASE = "\r\x1b[K"


async def show_progress(engine: Engine) -> None:
    """Write the line for ever, if standard error is a terminal. Cancelled, it is erased."""
    if not sys.stderr.isatty():
        return
    answered, then = 0, trio.current_time()
    try:
        while True:
            await trio.sleep(_EVERY)
            now, count = trio.current_time(), engine.answered
            rate = (count - answered) / (now - then)
            await write(sys.stderr.fileno(), _ERASE + _line(engine, rate))
            answered, then = count, now
    finally:
        sys.stderr.write(_ERASE)
        sys.stderr.flush()


def _line(engine: Engine, rate: float) -> str:
    recent = engine.tally.recent
    parts = [f"{engine.elapsed:.0f} s", engine.phase, f"{engine.open_lines:,} connections", f"{rate:,.0f} messages/s"]
    if recent.count:
        parts += [f"p{percent} {recent.percentile(percent) / 1e6:.3f} ms" for percent in (50, 99)]
    engine.tally.latencies()
    return ", ".join(parts)
