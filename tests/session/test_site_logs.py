"""What a log went without is told by the kind, with how many there were."""

import logging
from types import SimpleNamespace

import pytest

from wscore.protocol.headers import Headers
from wscore.protocol.request import Client, Request
from wscore.session import Cause, End
from wscore.session.logs import MAX_LINE, repeats
from wscore.session.site.logs import FIELDS, fields, log_loss, logger, tell_repeats


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


def a_request(path="/chat?token=secret", address=("192.0.2.1", 5000)):
    return Request("GET", path, Headers([("host", "example.org")]), "1.1", Client(address))


def test_why_a_connection_was_lost_is_told_with_numbers_and_without_the_query(caplog):
    caplog.set_level(logging.INFO, "wscore")
    end = End(1011, "a Ping was not answered in time", False, Cause.SILENT, 20.0004, 3.25)
    log_loss(SimpleNamespace(end=end, request=a_request()))
    [record] = caplog.records
    assert record.message == (
        "a connection to /chat from 192.0.2.1:5000 was lost: the peer was silent for 20.0 s: "
        "1011 'a Ping was not answered in time' (our own loop stood still for 3.2 s)"
    )
    assert getattr(record, FIELDS) == {
        "event": "lost",
        "cause": "silent",
        "code": 1011,
        "path": "/chat",
        "remote": "192.0.2.1:5000",
        "seconds": 20.0,
        "standstill": 3.25,
    }


@pytest.mark.parametrize("cause", Cause)
def test_what_was_wanted_and_what_failed_here_is_no_loss(caplog, cause):
    caplog.set_level(logging.INFO, "wscore")
    for _ in range(2):
        log_loss(SimpleNamespace(end=End(1006, "", False, cause), request=None))
    expected = cause in (Cause.CLOSE, Cause.ABORT, Cause.FAILED)
    assert [record.message for record in caplog.records] == [
        f"a connection to a stream from somebody was lost: {End(1006, '', False, cause)}"
    ] * (not expected)


def test_a_peer_cannot_make_its_loss_a_long_line(caplog):
    caplog.set_level(logging.INFO, "wscore")
    request = a_request("/" + "x" * 10_000, "\x1b" * 5000)
    log_loss(SimpleNamespace(end=End(1006, "", False, Cause.EOF), request=request))
    assert len(caplog.records[0].message) < MAX_LINE
    assert "\x1b" not in caplog.records[0].message


def test_nothing_is_looked_up_for_a_log_that_does_not_take_it(caplog):
    caplog.set_level(logging.WARNING, "wscore")
    log_loss(SimpleNamespace(end=End(1006, "", False, Cause.EOF)))
    log_loss(SimpleNamespace(end=None))
    assert caplog.records == []
