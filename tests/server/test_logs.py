"""Nothing that a peer wrote may command a terminal or forge a line of a log (security case 61 for logs)."""

import json
import logging
import os
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wscore.server.logs import EscapingFormatter, JsonFormatter, escape, fields


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("Grüße, 日本語, สวัสดี, 😀", "Grüße, 日本語, สวัสดี, 😀"),
        ("می‌خواهم", "می‌خواهم"),  # a zero-width non-joiner belongs to the word
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("one\r\ntwo\tthree\0", r"one\r\ntwo\tthree\x00"),
        ("\x7f\x9b31m\x85", r"\x7f\x9b31m\x85"),
        ("user\u202egnp.exe", r"user\u202egnp.exe"),
        ("a\u2028b\u2066c\ufeff", r"a\u2028b\u2066c\ufeff"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        (r"a \ stays", r"a \ stays"),
    ],
)
def test_harmful_characters_are_written_out_and_others_stay(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_no_control_character_and_no_mark_of_direction_passes() -> None:
    shown = escape("".join(map(chr, range(0x110000))), None)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    directions = {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
    assert not any(unicodedata.bidirectional(c) in directions for c in shown)


def test_text_that_was_escaped_stays_as_it_is() -> None:
    once = escape("a\x1b\\\n", None)
    assert escape(once, None) == once


def test_long_text_is_cut_and_says_so() -> None:
    assert escape("a" * 300) == "a" * 200 + "…"
    assert escape("abc", 3) == "abc"
    assert escape("abcd", 3) == "abc…"
    assert escape("a" * 300, None) == "a" * 300


def formatted(message: str, error: Exception | None = None) -> str:
    information = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("wscore", logging.ERROR, __file__, 1, message, (), information)
    return EscapingFormatter("%(levelname)s %(message)s").format(record)


def test_a_record_stays_on_one_line() -> None:
    assert formatted("a\nERROR forged\x1b[0m") == r"ERROR a\nERROR forged\x1b[0m"


def test_a_traceback_is_escaped_and_indented_so_that_no_line_of_it_passes_for_a_record() -> None:
    lines = formatted("failed", ValueError("from the peer:\x1b[2J\nERROR forged")).split("\n")
    assert lines[0] == "ERROR failed"
    assert all(line.startswith("    ") for line in lines[1:])
    assert lines[-2:] == [r"    ValueError: from the peer:\x1b[2J", "    ERROR forged"]


# As JSON


def as_json(message: str, *arguments: object, error: Exception | None = None, **values: object) -> dict[str, Any]:
    information = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("wscore", logging.WARNING, __file__, 1, message, arguments, information)
    vars(record).update(fields(**values))
    line = JsonFormatter().format(record)
    assert "\n" not in line
    entry: dict[str, Any] = json.loads(line)
    return entry


def test_a_record_is_an_object_with_time_level_process_and_sentence() -> None:
    entry = as_json("%s of %d", "one", 2)
    assert (entry["level"], entry["message"], entry["pid"]) == ("warning", "one of 2", os.getpid())
    time = datetime.fromisoformat(entry["time"])
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=1)
    assert set(entry) == {"time", "level", "message", "pid"}


def test_fields_stand_beside_the_sentence() -> None:
    entry = as_json("refused", event="refused", status=403, path="/chat", nothing=None, seconds=0.5, peer=("::1", 1))
    assert entry["status"] == 403
    assert (entry["event"], entry["path"], entry["nothing"], entry["seconds"]) == ("refused", "/chat", None, 0.5)
    assert entry["peer"] == "('::1', 1)"


def test_nothing_harmful_is_left_when_a_reader_decodes_the_strings() -> None:
    entry = as_json("\x1b[2J\u202e\n", error=ValueError("\x9b31m\nforged"), path="\x07\u2028")
    assert entry["message"] == r"\x1b[2J\u202e\n"
    assert entry["path"] == r"\x07\u2028"
    assert entry["error"] == r"ValueError: \x9b31m\nforged"
    assert entry["traceback"].endswith("\nforged")  # a traceback has lines; none of them can pass for an entry
    assert "\x9b" not in entry["traceback"]


def test_the_plain_format_does_without_fields() -> None:
    record = logging.LogRecord("wscore", logging.ERROR, __file__, 1, "sentence", (), None)
    vars(record).update(fields(event="refused"))
    assert EscapingFormatter("%(levelname)s %(message)s").format(record) == "ERROR sentence"
