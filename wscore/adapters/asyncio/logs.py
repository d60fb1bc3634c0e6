"""What the adapter says to its operator, in the log "wscore": what peers can bring about, and so all of it by kinds.

Decides when the repetitions of a kind are told that the log went without (`session.logs` counts them): when the minute
of its first is over. A timer for that exists only while something is counted. Knows no sockets.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextvars import Context
from typing import TYPE_CHECKING
from weakref import WeakSet

from wscore.session.logs import repeats
from wscore.session.site.logs import fields, logger, tell_repeats

if TYPE_CHECKING:
    from .websocket import WebSocket

__all__ = ["log", "log_error", "watch_repeats"]

# A little more than the minute, since the clock of a loop is not that of the log.
AFTER = 60.5

# Those that have a timer.
_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def log(level: int, kind: str, sentence: str, *arguments: object, error: Exception | None = None) -> None:
    """Write a record, or count it. To be called in the loop of the connection."""
    logger.log(level, sentence, *arguments, exc_info=error, extra=fields(kind=kind))
    watch_repeats()


def watch_repeats() -> None:
    """See to it that what the log went without is told, if there is anything. To be called after others have logged."""
    loop = asyncio.get_running_loop()
    if repeats.is_counting and loop not in _loops:
        _loops.add(loop)
        _tell_later(loop)


def log_error(ws: WebSocket, error: Exception) -> None:
    """What becomes of the exception of a handler or hook if nobody says otherwise."""
    log(logging.ERROR, "handler_failed", "the handler of a connection failed; it is closed with 1011", error=error)


def _tell_later(loop: asyncio.AbstractEventLoop) -> None:
    # In nobody's context: this is not about the connection whose record was the first.
    loop.call_later(AFTER, _tell, loop, context=Context())


def _tell(loop: asyncio.AbstractEventLoop) -> None:
    tell_repeats(time.time())
    if repeats.is_counting:
        _tell_later(loop)
    else:
        _loops.discard(loop)
