"""What a log went without is told by the kind, with how many there were."""

import logging

import pytest

from wscore.session.logs import repeats
from wscore.session.site.logs import FIELDS, fields, logger, tell_repeats


@pytest.fixture(autouse=True)
def forget_repetitions():
    repeats.clear()
    yield
    repeats.clear()


def test_what_was_left_out_is_told_once_a_minute_is_over(caplog):
    caplog.set_level(logging.INFO, "wscore")
    for _ in range(3):
        logger.info("it happened", extra=fields(kind="a kind"))
    since = caplog.records[0].created
    tell_repeats(since + 59)
    assert [record.message for record in caplog.records] == ["it happened"]
    assert repeats.is_counting
    tell_repeats(since + 60)
    assert not repeats.is_counting
    tell_repeats(since + 120)
    assert [record.message for record in caplog.records[1:]] == ["2 more in the last minute: a kind"]
    assert getattr(caplog.records[1], FIELDS) == {"event": "repeated", "what": "a kind", "count": 2}


def test_fields_of_what_is_nobodys_doing_have_no_kind():
    assert fields(event="started", port=80) == {FIELDS: {"event": "started", "port": 80}}
