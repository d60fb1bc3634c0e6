"""Runs scenarios on one face: `python -m tests.faces.worker COLUMN` reads names, and answers each with a line of JSON.

A process of its own for each column: the pure twins are chosen for a whole process, a scenario may send itself Ctrl-C,
and one that hangs or crashes takes only its own cell with it.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import traceback
import warnings
from typing import Any

from wscore.codec import IMPLEMENTATION
from wscore.session.logs import repeats

from .face import Face, Logged
from .scenario import FAILED, TRIO, plain
from .scenarios import SCENARIOS


def face_of(column: str) -> Face:
    if column in TRIO:
        from .on_trio import TrioFace

        return TrioFace(column)
    from .on_asyncio import AsyncioFace

    return AsyncioFace(column)


def outcome_of(name: str, column: str) -> Any:
    """What one scenario comes to on one face."""
    face = face_of(column)
    repeats.clear()  # what one scenario has logged is no reason to leave out what another one logs
    handler = Logged(face.logged)
    logger = logging.getLogger("wscore")
    logger.addHandler(handler)
    try:
        return plain(face.outcome(SCENARIOS[name]))
    except BaseException as error:
        traceback.print_exc()
        print("logged:", *face.logged, sep="\n", file=sys.stderr)
        return {FAILED: f"{type(error).__name__}: {error}"}
    finally:
        logger.removeHandler(handler)
        face.close_peers()


def main() -> None:
    column = sys.argv[1]
    assert ("pure" if column.startswith("pure-") else "native") == IMPLEMENTATION
    warnings.simplefilter("error")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.getLogger("wscore").propagate = False
    for line in sys.stdin:
        print(json.dumps(outcome_of(line.strip(), column)), flush=True)


if __name__ == "__main__":
    main()
