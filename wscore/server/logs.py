"""What the library says to its operator, on a line: of text, or as JSON. The logger and the fields of its records stand
in `session.site.logs`.

Refuses to know what is logged, and where to: that is the application's configuration of `logging`.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from wscore.session.logs import MAX_LINE, bounded, describe, escape, harmless
from wscore.session.site.logs import FIELDS, fields, logger, tell_repeats

__all__ = ["EscapingFormatter", "JsonFormatter", "escape", "fields", "logger", "tell_repeats"]


class EscapingFormatter(logging.Formatter):
    """Formats a record as one line and its traceback as indented ones, all escaped: no record can pass for another.

    Neither is longer than some KiB.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return harmless(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return describe(ei[1])

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return "\n".join(f"    {harmless(line)}" for line in bounded(stack_info, 2 * MAX_LINE).split("\n"))


class JsonFormatter(logging.Formatter):
    """Formats a record as an object of JSON on one line.

    `time` (RFC 3339, UTC), `level`, `pid` and `message` are always there, then the record's fields; of an exception,
    `error` says what it is, `traceback` where it comes from. Strings are escaped, so that they are harmless even when
    whatever reads the line decodes and prints them.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "pid": record.process,
            "message": harmless(record.getMessage()),
        }
        entry |= {name: _plain(value) for name, value in getattr(record, FIELDS, {}).items()}
        if record.exc_info and record.exc_info[0] is not None:
            entry["error"] = harmless(f"{record.exc_info[0].__name__}: {record.exc_info[1]}", MAX_LINE // 4)
            entry["traceback"] = describe(record.exc_info[1], indent="")
        return json.dumps(entry)


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | None) else escape(str(value))
