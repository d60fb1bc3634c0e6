"""What a peer can do to a log: little, however often, however long."""

import logging
import sys
import threading
from collections.abc import Callable

import pytest

from wscore.session.logs import MAX_LINE, Repeats, bounded, describe, harmless, of_peer, place_of


class Written(logging.Handler):
    """Keeps what is written, as the standard formatter has it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> logging.Logger:
    log = logging.Logger("peers")
    log.addFilter(Repeats())
    log.addHandler(Written())
    return log


def written(log: logging.Logger) -> list[str]:
    (handler,) = log.handlers
    assert isinstance(handler, Written)
    return handler.lines


def repeats(log: logging.Logger) -> Repeats:
    (found,) = log.filters
    assert isinstance(found, Repeats)
    return found


def warn(log: logging.Logger, text: str, kind: str, second: float = 0) -> None:
    """A record of that time."""
    record = log.makeRecord("peers", logging.WARNING, __file__, 1, text, (), None, extra=of_peer(kind))
    record.created = 1e9 + second
    log.handle(record)


def test_the_first_of_a_kind_is_written_and_the_next_after_a_minute_says_how_many_there_were(
    log: logging.Logger,
) -> None:
    for second in (0, 1, 59, 60):
        warn(log, f"refused {second}", "refused", second)
    assert written(log) == ["refused 0", "refused 60 (and 2 more since the last)"]


def test_kinds_are_counted_apart_and_what_has_none_is_always_written(log: logging.Logger) -> None:
    for _ in range(2):
        log.warning("one", extra=of_peer("one"))
        log.warning("two", extra=of_peer("two"))
        log.warning("draining")
    assert written(log) == ["one", "two", "draining", "draining"]


def test_an_exception_is_of_a_kind_with_those_of_its_type_from_its_place(log: logging.Logger) -> None:
    for number in (0, 0, 1, 1):
        try:
            if number:
                raise KeyError(number)
            raise ValueError(number)
        except LookupError:
            log.exception("failed", extra=of_peer("handler"))
        except ValueError:
            log.exception("failed", extra=of_peer("handler"))
    assert [line.splitlines()[-1] for line in written(log)] == ["    ValueError: 0", "    KeyError: 1"]


def test_its_place_is_where_it_was_raised_whoever_called(log: logging.Logger) -> None:
    def fail() -> None:
        raise ValueError

    for _ in range(2):
        try:
            fail()
        except ValueError:
            log.exception("failed", extra=of_peer("handler"))
    assert len(written(log)) == 1


def test_what_was_left_out_is_told_once_its_minute_is_over(
    log: logging.Logger,
) -> None:
    for _ in range(5):
        warn(log, "refused", "refused")
    warn(log, "dropped", "dropped")
    assert repeats(log).overdue(1e9 + 59) == []
    assert repeats(log).overdue(1e9 + 60) == [("refused", 4)]
    assert repeats(log).overdue(1e9 + 60) == []


def test_a_clock_that_is_set_back_keeps_nothing_out(log: logging.Logger) -> None:
    for second in (0, -3600):
        warn(log, "refused", "refused", second)
    assert written(log) == ["refused", "refused"]


def test_kinds_without_number_are_counted_together(log: logging.Logger) -> None:
    for number in range(1000):
        log.warning("%d", number, extra=of_peer(str(number)))
    assert len(written(log)) == 257
    assert len(repeats(log)._counts) == 257


@pytest.mark.parametrize("text", ["A" * 2_000_000, "\n" * 100_000, "\U000e0041" * 100_000, "\x1b[2J" * 100_000])
def test_an_exception_is_some_kib_whatever_it_says(log: logging.Logger, text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError as error:
        told = describe(error)
        log.exception("failed")
    assert len(told) <= 2 * MAX_LINE
    assert told in written(log)[0]  # whoever's handler it is
    assert all(line.startswith("    ") for line in told.split("\n"))
    assert "\x1b" not in told
    assert told.startswith("    Traceback (most recent call last):")


def test_a_short_one_is_told_in_full() -> None:
    with pytest.raises(ValueError, match="short") as caught:
        raise ValueError("short")
    assert describe(caught.value).endswith('    raise ValueError("short")\n    ValueError: short')


@pytest.mark.parametrize("size", [0, 9, 10, 11, 1000])
def test_what_is_too_long_keeps_its_start_and_its_end(size: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(size))
    cut = bounded(text, 10)
    assert cut == text if size <= 10 else len(cut) <= 10
    assert size <= 10 or (cut[0], cut[-1]) == (text[0], text[-1])


def test_escaping_makes_nothing_longer_than_it_may_be() -> None:
    assert len(harmless("\U000e0041" * 50, 50)) <= 50


def test_an_exception_that_was_never_raised_has_no_place(log: logging.Logger) -> None:
    for number in range(2):
        log.error("failed", exc_info=ValueError(number), extra=of_peer("handler"))
    assert written(log) == ["failed\n    ValueError: 0"]


def test_threads_may_log_while_others_ask_what_is_overdue(log: logging.Logger) -> None:
    """As servers do whose Trio runs are in threads: an error there would end one."""
    told = repeats(log)
    errors: list[Exception] = []

    def try_often(act: Callable[[int], object]) -> None:
        try:
            for number in range(20_000):
                act(number)
        except Exception as error:
            errors.append(error)

    def say(number: int) -> None:
        warn(log, "x", str(number % 200), number)

    def ask(number: int) -> None:
        told.overdue(1e9 + 61 * number)

    threads = [threading.Thread(target=try_often, args=(act,)) for act in (say, say, ask, ask)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []


@pytest.mark.parametrize(
    ("address", "place"),
    [
        (("127.0.0.1", 8765), "127.0.0.1:8765"),
        (("::1", 8765, 0, 0), "[::1]:8765"),
        (("fe80::1%eth0", 8765, 0, 2), "[fe80::1%eth0]:8765"),
        (("2001:db8::7", 0), "[2001:db8::7]"),
        (("192.0.2.7", 0), "192.0.2.7"),
        ("/run/\x1b[2J", r"/run/\x1b[2J"),
        (b"\0abstract", r"b'\x00abstract'"),
        (None, "None"),
    ],
)
def test_an_address_reads_as_in_a_url(address: object, place: str) -> None:
    assert place_of(address) == place
