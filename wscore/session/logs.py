r"""What a peer can do to a log: the one place that makes its text harmless, and its repetitions cheap.

Decides which characters may reach a log or a terminal. A peer chooses paths, headers, messages and close reasons; were
they written as they came, an escape sequence could rewrite a terminal's screen or title, a line feed could forge a log
line, and a bidirectional override could make a line read as something else. So every call that logs or prints a peer's
text passes it through `escape`. What an exception says may be a peer's text, too, of any length: `describe` bounds it.

Decides, too, that of records which a peer can bring about the first of a kind is written, and the others are counted,
and told once a minute (`Repeats`): else it could fill a disk, or hide what matters. Kinds are words of ours.

Knows neither clocks nor the module `logging`: records have their time, and are what that module makes of them.
"""

import re
import traceback
from typing import Any

__all__ = ["MAX_LINE", "Repeats", "bounded", "describe", "escape", "harmless", "of_peer", "place_of"]

MAX_LINE = 4096
"""How long a line of a log may be, in characters."""

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


def bounded(text: str, limit: int = MAX_LINE) -> str:
    """Return `text` if it has at most `limit` characters; else its start and its end with `…` in between."""
    if len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def harmless(text: str, limit: int = MAX_LINE) -> str:
    """Return `text` escaped, and at most `limit` characters of it."""
    return bounded(escape(bounded(text, limit), None), limit)


def describe(error: BaseException, indent: str = "    ") -> str:
    """Return the traceback of an exception as indented lines, escaped, and at most `2 * MAX_LINE` characters in all."""
    lines = "".join(traceback.format_exception(error)).rstrip("\n").split("\n")
    return bounded("\n".join(indent + harmless(line, MAX_LINE // 4) for line in lines), 2 * MAX_LINE)


def place_of(address: object) -> str:
    """Return how an address, as `getpeername` has it, reads: `127.0.0.1:8765`, `[::1]:8765`, and without a port that
    nobody told (0). What is none of IP's, such as the name of a Unix socket, is escaped.
    """
    if not isinstance(address, tuple) or len(address) < 2:
        return escape(str(address))
    host, port = str(address[0]), address[1]
    name = f"[{host}]" if ":" in host else host
    return escape(f"{name}:{port}" if port else name)


_KIND = "wscore_kind"
_INTERVAL = 60.0
# Kinds are few; should they be more, they are counted together.
_MAX_KINDS = 256


def of_peer(kind: str) -> dict[str, object]:
    """Return what `extra` of a logging call takes for a record that a peer can bring about as often as it likes."""
    return {_KIND: kind}


class Repeats:
    """A filter for a logger of the module `logging`: of each kind of `of_peer`, one record a minute passes.

    An exception's type and place belong to its kind. Records of other loggers' and ours without a kind all pass, and of
    every one the traceback is bounded.
    """

    def __init__(self) -> None:
        self._counts: dict[str, tuple[float, int]] = {}  # since when, and how many were left out

    def filter(self, record: Any) -> bool:
        """Whether `record` is to be written; how many like it were left out before is added to its message."""
        kind = getattr(record, _KIND, None)
        error = record.exc_info[1] if record.exc_info else None
        if kind is not None:
            left_out = self._admit(kind if error is None else f"{kind}, {_place(error)}", record.created)
            if left_out is None:
                return False
            if left_out:
                record.msg = f"{record.msg} (and {left_out} more since the last)"
        if error is not None and not record.exc_text:
            record.exc_text = describe(error)
        return True

    def _admit(self, kind: str, now: float) -> int | None:
        if kind not in self._counts and len(self._counts) >= _MAX_KINDS:
            kind = "others"
        since, left_out = self._counts.get(kind, (-_INTERVAL, 0))
        if 0 <= now - since < _INTERVAL:
            self._counts[kind] = (since, left_out + 1)
            return None
        self._counts[kind] = (now, 0)
        return left_out

    def overdue(self, now: float) -> list[tuple[str, int]]:
        """The kinds whose minute is over, with how many were left out of each; they begin anew."""
        # A copy, since other threads may log meanwhile, or ask the same; made in one step. A list of items is not: the
        # collection of garbage may come between two of them, and let other threads run.
        over = [kind for kind, (since, _) in self._counts.copy().items() if not 0 <= now - since < _INTERVAL]
        counts = [(kind, self._counts.pop(kind, (now, 0))[1]) for kind in sorted(over)]
        return [(kind, left_out) for kind, left_out in counts if left_out]

    @property
    def is_counting(self) -> bool:
        """Whether the minute of some kind is not over, or was not asked for."""
        return bool(self._counts)

    def clear(self) -> None:
        """Forget everything."""
        self._counts.clear()


def _place(error: BaseException) -> str:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}"
    return f"{type(error).__qualname__}{where}"


repeats = Repeats()
"""The filter of the logger "wscore", whichever of our modules logs."""
