"""What a peer brings about again and again is written once, and told once a minute as so many more."""

import asyncio
import contextvars
import logging
import time

import pytest

from wscore.session.logs import repeats

WHO = contextvars.ContextVar("who", default="nobody")


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.001)


def fail(ws, message):
    raise ZeroDivisionError


async def failed(aio, server, times):
    for _ in range(times):
        async with aio.dialled(server) as raw:
            await raw.upgrade()
            raw.say(1, b"x")
            await raw.rest()


@pytest.fixture
def let_a_minute_pass(monkeypatch):
    """For the log's clock, whoever asks it."""
    now, now_ns, ahead = time.time, time.time_ns, [0]
    monkeypatch.setattr(time, "time", lambda: now() + ahead[0])
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + ahead[0] * 10**9)

    def jump():
        ahead[0] += 61

    return jump


async def test_what_was_left_out_is_told_after_a_minute_and_once(aio, caplog, monkeypatch, let_a_minute_pass):
    monkeypatch.setattr(aio.logs, "AFTER", 0.01)
    caplog.set_level(logging.INFO, "wscore")
    async with aio.serving(on_message=fail) as server:
        await failed(aio, server, 3)
        assert len(caplog.records) == 1
        let_a_minute_pass()
        await until(lambda: len(caplog.records) > 1)
        assert caplog.records[1].message.startswith("2 more in the last minute: handler_failed, ZeroDivisionError at ")
        await until(lambda: not repeats.is_counting)
        # The next one is the first again.
        await failed(aio, server, 2)
        let_a_minute_pass()
        await until(lambda: len(caplog.records) == 4)
    assert [record.message.startswith("1 more") for record in caplog.records[2:]] == [False, True]


async def test_nothing_is_told_where_nothing_was_left_out(aio, caplog, monkeypatch, let_a_minute_pass):
    monkeypatch.setattr(aio.logs, "AFTER", 0.01)
    caplog.set_level(logging.INFO, "wscore")
    async with aio.serving(on_message=fail) as server:
        await failed(aio, server, 1)
        let_a_minute_pass()
        await until(lambda: not repeats.is_counting)
    assert len(caplog.records) == 1


async def test_refusals_are_told_as_well(aio, caplog, monkeypatch, let_a_minute_pass):
    monkeypatch.setattr(aio.logs, "AFTER", 0.01)
    caplog.set_level(logging.INFO, "wscore")
    async with aio.serving() as server:
        for _ in range(2):
            async with aio.dialled(server) as raw:
                raw.ask(Origin="https://evil.example")
                assert await raw.status() == 403
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        let_a_minute_pass()
        await until(lambda: len(caplog.records) == 4)
    told = [record.message for record in caplog.records[2:]]
    assert told == [f"1 more in the last minute: {kind}" for kind in ("objection: origin", "refused: 403 origin")]


async def test_it_is_told_in_the_context_of_no_connection(aio, caplog, monkeypatch, let_a_minute_pass):
    monkeypatch.setattr(aio.logs, "AFTER", 0.01)
    seen = []
    caplog.set_level(logging.INFO, "wscore")
    caplog.handler.addFilter(lambda record: seen.append((record.getMessage().partition(" ")[0], WHO.get())) is None)

    def on_message(ws, message):
        WHO.set(message)
        raise ZeroDivisionError

    async with aio.serving(on_message=on_message) as server:
        for name in ("ada", "bob"):
            async with aio.dialled(server) as raw:
                await raw.upgrade()
                raw.say(1, name.encode())
                await raw.rest()
        let_a_minute_pass()
        await until(lambda: len(seen) == 2)
    assert seen == [("the", "ada"), ("1", "nobody")]
