"""The logger of the library, and the fields of its records.

A record may say in fields, too, what its sentence says: `extra=fields(event="refused", status=403)`. Neither ever holds
a query, a header or a message: they may be secrets. What a peer can bring about has a `kind`: see `session.logs`, which
makes its text harmless and counts its repetitions.
"""

import logging

from wscore.session.logs import escape, of_peer, repeats

__all__ = ["FIELDS", "fields", "logger", "tell_repeats"]

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
