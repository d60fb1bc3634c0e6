"""The logger of the library, the fields of its records, and what is said of a connection that was lost.

A record may say in fields, too, what its sentence says: `extra=fields(event="refused", status=403)`. Neither ever holds
a query, a header or a message: they may be secrets. What a peer can bring about has a `kind`: see `session.logs`, which
makes its text harmless and counts its repetitions.
"""

import logging
from typing import Protocol

from wscore.protocol.handshake import Request
from wscore.session.ends import Cause, End
from wscore.session.logs import escape, of_peer, place_of, repeats

__all__ = ["FIELDS", "fields", "log_loss", "logger", "tell_repeats"]

FIELDS = "wscore_fields"
"""The attribute of a record that has its fields."""

logger = logging.getLogger("wscore")
logger.addFilter(repeats)


def fields(*, kind: str | None = None, **values: object) -> dict[str, object]:
    """Return what `extra` of a logging call takes; the values are numbers, strings, or are shown as strings.

    `kind` is for a record that a peer can bring about as often as it likes: repetitions are counted by it.
    """
    return {FIELDS: values} | ({} if kind is None else of_peer(kind))


def tell_repeats(now: float) -> None:
    """Say of which kinds of records some were left out in the minute that is over by `now`, as `time.time` has it."""
    for kind, left_out in repeats.overdue(now):
        facts = fields(event="repeated", what=kind, count=left_out)
        logger.info("%d more in the last minute: %s", left_out, escape(kind), extra=facts)


# Ends that nobody need be told of: they were wanted, or what failed was logged.
_EXPECTED = {Cause.CLOSE, Cause.ABORT, Cause.FAILED}


class Ended(Protocol):
    """A WebSocket of a server, as far as its loss is told."""

    @property
    def end(self) -> End | None: ...
    @property
    def request(self) -> Request | None: ...


def log_loss(ws: Ended) -> None:
    """Say why a connection has ended, if that was neither wanted nor an error of the program's: peers cause it."""
    end = ws.end
    if end is None or end.cause in _EXPECTED or not logger.isEnabledFor(logging.INFO):
        return
    request, cause = ws.request, end.cause.value
    path = escape(request.path) if request else "a stream"
    remote = place_of(request.client.address) if request and request.client else "somebody"
    times = {"seconds": round(end.seconds, 3), "standstill": round(end.standstill, 3)}
    facts = fields(kind=f"lost: {cause}", event="lost", cause=cause, code=end.code, path=path, remote=remote, **times)
    logger.info("a connection to %s from %s was lost: %s", path, remote, end, extra=facts)
