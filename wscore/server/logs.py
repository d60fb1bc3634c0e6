"""What the library says to its operator: one logger, and the one place that makes a peer's text harmless.

Decides which characters may reach a log or a terminal. A peer chooses paths, headers, messages and close reasons; were
they written as they came, an escape sequence could rewrite a terminal's screen or title, a line feed could forge a log
line, and a bidirectional override could make a line read as something else. So every call that logs or prints a peer's
text passes it through `escape`.

A record may say in fields, too, what its sentence says: `extra=fields(event="refused", status=403)`. Neither ever holds
a query, a header or a message: they may be secrets.

Refuses to know what is logged, and where to: that is the application's configuration of `logging`.
"""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

logger = logging.getLogger("wscore")

# C0, DEL and C1 controls; marks, overrides and isolates of direction; line and paragraph separators; invisible and
# deprecated format characters; interlinear annotations; surrogates, which no stream can encode; tag characters.
# The two joiners (U+200C, U+200D) stay: Persian and emoji need them, and no terminal obeys them.
_HARMFUL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def _visible(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def escape(text: str, limit: int | None = 200) -> str:
    r"""Return `text` with every character that could harm a terminal or a log written out, such as `\n` or `\x1b`.

    At most `limit` characters of `text` are kept, and `…` says that there were more; `None` keeps all of them. A
    backslash stays as it is: text that was escaped once comes back unchanged. Raises nothing.
    """
    cut = limit is not None and len(text) > limit
    return _HARMFUL.sub(_visible, text[:limit]) + ("…" if cut else "")


class EscapingFormatter(logging.Formatter):
    """Formats a record as one line and its traceback as indented ones, all escaped: no record can pass for another."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return escape(super().formatMessage(record), None)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join("    " + escape(line, None) for line in super().formatException(ei).split("\n"))


_FIELDS = "wscore_fields"


def fields(**values: object) -> dict[str, object]:
    """Return what `extra` of a logging call takes; the values are numbers, strings, or are shown as strings."""
    return {_FIELDS: values}


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
            "message": escape(record.getMessage(), None),
        }
        entry |= {name: _plain(value) for name, value in getattr(record, _FIELDS, {}).items()}
        if record.exc_info and record.exc_info[0] is not None:
            entry["error"] = escape(f"{record.exc_info[0].__name__}: {record.exc_info[1]}", None)
            lines = self.formatException(record.exc_info).split("\n")
            entry["traceback"] = "\n".join(escape(line, None) for line in lines)
        return json.dumps(entry)


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | None) else escape(str(value))
