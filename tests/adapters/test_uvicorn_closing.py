"""How connections under uvicorn end: by the peer, by the application, by its failure, by keepalive, by the server."""

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import wscore
import wscore.adapters

from ..raw import Raw
from ..wire import BINARY, CLOSE, PING, PONG, TEXT, Frame, close_payload, from_client
from .asgi_server import HANGING, Event, Receive, Record, Running, Send, echo, serving, until_the_end

adapter = pytest.importorskip("wscore.adapters.uvicorn")


async def opened(running: Running) -> Raw:
    raw = await running.dial()
    await raw.upgrade()
    return raw


def closed_with(code: int, reason: str = "") -> Frame:
    return Frame(CLOSE, close_payload(code, reason.encode()))


def disconnect(code: int, reason: str | None = None) -> Event:
    return {"type": "websocket.disconnect", "code": code, **({} if reason is None else {"reason": reason})}


# By the peer


@pytest.mark.parametrize(
    ("payload", "event", "answer"),
    [
        (close_payload(1000), disconnect(1000, ""), close_payload(1000)),
        (close_payload(4321, "grüße".encode()), disconnect(4321, "grüße"), close_payload(4321)),
        (b"", disconnect(1005, ""), b""),
    ],
)
async def test_peer_closes(payload: bytes, event: Event, answer: bytes) -> None:
    app = Record()
    with serving(app) as running:
        raw = await opened(running)
        await raw.say(CLOSE, payload)
        assert await raw.frames(1) == [Frame(CLOSE, answer)]
        assert await raw.rest() == b""
        await raw.aclose()
    assert app.end == event


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (from_client(3), 1002),
        (from_client(TEXT, b"\xff"), 1007),
        (from_client(CLOSE, close_payload(1005)), 1002),
        (from_client(BINARY, b"", rsv=4), 1002),
    ],
)
async def test_broken_rule_closes_with_its_code_and_tells_the_application(data: bytes, code: int) -> None:
    app = Record()
    with serving(app) as running:
        raw = await opened(running)
        await raw.send(data)
        (frame,) = await raw.frames(1)
        assert await raw.rest() == b""
        await raw.aclose()
    assert frame.payload[:2] == code.to_bytes(2, "big")
    assert app.end == disconnect(code, frame.payload[2:].decode())


async def test_lost_connection_is_1006() -> None:
    app = Record()
    with serving(app) as running:
        raw = await opened(running)
        await raw.aclose()
        await running.until(lambda: app.events[-1]["type"] == "websocket.disconnect")
    assert app.end == disconnect(1006)


async def test_messages_before_a_close_are_answered_before_it() -> None:
    app = Record(echo)
    with serving(app) as running:
        raw = await opened(running)
        await raw.send(from_client(TEXT, b"one") + from_client(TEXT, b"two") + from_client(CLOSE, close_payload(1001)))
        frames = await raw.frames(3)
        await raw.aclose()
    assert frames == [Frame(TEXT, b"one"), Frame(TEXT, b"two"), closed_with(1001)]
    assert app.end == disconnect(1001, "")


async def test_close_is_answered_though_the_application_does_not_ask() -> None:
    may_end = asyncio.Event()

    async def deaf(receive: Receive, send: Send) -> None:
        await receive()
        await may_end.wait()

    with serving(Record(deaf)) as running:
        raw = await opened(running)
        await raw.send(from_client(TEXT, b"one") + from_client(CLOSE, close_payload(1001)))
        assert await raw.frames(1) == [closed_with(1001)]
        await running.in_loop(may_end.set)
        await raw.aclose()


async def test_after_the_end_receive_says_so_each_time_and_send_raises() -> None:
    ends: list[Any] = []

    async def talk(receive: Receive, send: Send) -> None:
        ends.append(await receive())
        # The connection is closing: to close it once more is no error.
        await send({"type": "websocket.close"})
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError as error:
            ends.append(error)
        ends.append(await receive())

    with serving(Record(talk)) as running:
        async with wscore.connect(running.url) as ws:
            await ws.aclose(4000, "bye")
        await running.until(lambda: len(ends) == 3)
    assert ends[::2] == [disconnect(4000, "bye")] * 2
    assert isinstance(ends[1], OSError)


async def test_application_that_does_not_notice_the_end_stops_nobody() -> None:
    async def blind(receive: Receive, send: Send) -> None:
        while True:
            await receive()

    with serving(Record(blind), timeout_graceful_shutdown=0) as running:
        async with wscore.connect(running.url) as ws:
            await ws.aclose(1000)
        async with wscore.connect(running.url):
            pass


async def test_errors_of_the_end_are_none_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    may_send = asyncio.Event()
    has_raised: list[bool] = []

    async def talk(receive: Receive, send: Send) -> None:
        await may_send.wait()
        try:
            await send({"type": "websocket.close"})
        finally:
            has_raised.append(True)

    with serving(Record(talk)) as running:
        raw = await opened(running)
        await raw.aclose()
        await running.until(lambda: not running.server.server_state.connections)
        await running.in_loop(may_send.set)
        await running.until(lambda: has_raised)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


# By the application


@pytest.mark.parametrize(
    ("event", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": 4321, "reason": "grüße"}, 4321, "grüße"),
        ({"code": None, "reason": None}, 1000, ""),
    ],
)
async def test_application_closes(event: Event, code: int, reason: str) -> None:
    async def talk(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", "text": "last words"})
        await send({"type": "websocket.close", **event})
        await until_the_end(receive, send)

    app = Record(talk)
    with serving(app) as running:
        raw = await opened(running)
        assert await raw.frames(2) == [Frame(TEXT, b"last words"), closed_with(code, reason)]
        # It waits for our answer, and discards what comes before.
        await raw.say(TEXT, b"crossing")
        await raw.say(PING, b"?")
        assert await raw.frames(1) == [Frame(PONG, b"?")]
        await raw.say(CLOSE, close_payload(code))
        assert await raw.rest() == b""
        await raw.aclose()
    assert app.end == disconnect(code, reason)


async def test_peer_that_does_not_answer_a_close_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})

    monkeypatch.setattr(adapter.WebSocketProtocol, "close_timeout", 0.1)
    with serving(Record(talk)) as running:
        raw = await opened(running)
        assert await raw.frames(1) == [closed_with(1000)]
        assert await raw.rest() == b""
        await raw.aclose()


async def test_peer_that_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", "bytes": bytes(1 << 24)})

    monkeypatch.setattr("wscore.adapters.uvicorn.leaving.STALLED", 0.1)
    monkeypatch.setattr(adapter.WebSocketProtocol, "close_timeout", 0.1)
    with serving(Record(talk)) as running:
        raw = await opened(running)
        await running.until(lambda: not running.server.server_state.connections)
        await raw.aclose()


async def test_slow_peer_has_the_time_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", "bytes": bytes(1 << 22)})

    monkeypatch.setattr("wscore.adapters.uvicorn.leaving.STALLED", 1.0)
    monkeypatch.setattr(adapter.WebSocketProtocol, "close_timeout", 0.1)
    with serving(Record(talk)) as running:
        raw = await opened(running)
        await running.until(lambda: running.protocol.transport.is_closing())
        received = len(await raw.rest())
        await raw.aclose()
    assert received == (1 << 22) + 10 + 4


async def returns(receive: Receive, send: Send) -> None:
    await receive()


async def returns_something(receive: Receive, send: Send) -> int:
    await receive()
    return 1


async def fails(receive: Receive, send: Send) -> None:
    await receive()
    raise ValueError("secret")


async def accepts_again(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})


async def sends_nothing(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.send"})


async def sends_a_number(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.send", "bytes": 17})


async def sends_a_lone_surrogate(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.send", "text": "\ud800"})


async def closes_with_a_code_that_must_not_be_sent(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1006})


async def closes_with_too_long_a_reason(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "reason": "x" * 124})


@pytest.mark.parametrize(
    ("talk", "code"),
    [(returns, 1000)] + [(wrong, 1011) for wrong in (
        returns_something, fails, accepts_again, sends_nothing, sends_a_number, sends_a_lone_surrogate,
        closes_with_a_code_that_must_not_be_sent, closes_with_too_long_a_reason,
    )],
)  # fmt: skip
async def test_application_that_ends_is_closed_and_one_that_fails_says_nothing_of_why(
    talk: Callable[[Receive, Send], Any], code: int, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Record(talk)) as running:
        raw = await opened(running)
        await raw.say(TEXT, b"go on")
        assert await raw.frames(1) == [closed_with(code)]
        await raw.say(CLOSE, close_payload(code))
        assert await raw.rest() == b""
        await raw.aclose()
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == (code != 1000)


async def test_nothing_is_sent_after_a_close() -> None:
    raised: list[Exception] = []

    async def talk(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})
        for event in ({"type": "websocket.send", "text": "late"}, {"type": "websocket.close"}):
            try:
                await send(event)
            except RuntimeError as error:
                raised.append(error)

    with serving(Record(talk)) as running:
        async with wscore.connect(running.url) as ws:
            assert [message async for message in ws] == []
    assert len(raised) == 2


async def test_what_waits_unread_is_discarded_with_a_close_and_its_end_is_seen() -> None:
    may_close = asyncio.Event()

    async def talk(receive: Receive, send: Send) -> None:
        await may_close.wait()
        await send({"type": "websocket.close"})

    with serving(Record(talk), ws_max_queue=2) as running:
        raw = await opened(running)
        await raw.send(from_client(TEXT, b"x") * 100)
        await running.until(lambda: not running.protocol.transport.is_reading())
        await running.in_loop(may_close.set)
        assert await raw.frames(1) == [closed_with(1000)]
        await raw.say(CLOSE, close_payload(1000))
        assert await raw.rest() == b""
        await raw.aclose()


# By keepalive


async def test_pings_are_sent_and_answers_keep_the_connection() -> None:
    with serving(Record(), ws_ping_interval=0.05, ws_ping_timeout=HANGING) as running:
        raw = await opened(running)
        payloads = set()
        for _ in range(3):
            (frame,) = await raw.frames(1)
            assert frame.opcode == PING
            payloads.add(frame.payload)
            await raw.say(PONG, b"not that")
            await raw.say(PONG, frame.payload)
        assert len(payloads) == 3
        await raw.aclose()


async def test_missing_pong_closes_with_1011() -> None:
    app = Record()
    with serving(app, ws_ping_interval=0.05, ws_ping_timeout=0.1) as running:
        raw = await opened(running)
        frames = await raw.frames(2)
        assert await raw.rest() == b""
        await raw.aclose()
    assert frames[0].opcode == PING
    assert frames[1] == closed_with(1011, "keepalive ping timeout")
    assert app.end == disconnect(1011, "keepalive ping timeout")


async def test_without_a_ping_timeout_pings_go_on_unanswered() -> None:
    with serving(Record(), ws_ping_interval=0.05, ws_ping_timeout=None) as running:
        raw = await opened(running)
        assert [frame.opcode for frame in await raw.frames(3)] == [PING] * 3
        await raw.aclose()


@pytest.mark.parametrize("interval", [None, 0])
async def test_keepalive_can_be_switched_off(interval: float | None) -> None:
    with serving(Record(), ws_ping_interval=interval) as running:
        raw = await opened(running)
        await running.until(lambda: running.protocol._is_open)
        assert running.protocol._keepalive.timer is None
        await raw.aclose()


async def test_pong_that_waits_behind_unread_messages_is_not_missed() -> None:
    may_go_on = asyncio.Event()

    async def busy(receive: Receive, send: Send) -> None:
        await may_go_on.wait()
        await until_the_end(receive, send)

    app = Record(busy)
    with serving(app, ws_max_queue=1, ws_ping_interval=2, ws_ping_timeout=2) as running:
        raw = await opened(running)
        await raw.send(from_client(TEXT, b"x") * 5)
        await running.until(lambda: not running.protocol.transport.is_reading())
        await running.pass_time(2.1)
        (ping,) = await raw.frames(1)
        # Some of these deadlines pass.
        await running.pass_time(12)
        await raw.say(PONG, ping.payload)
        await running.in_loop(may_go_on.set)
        await raw.say(CLOSE, close_payload(1000))
        await raw.rest()
        await raw.aclose()
    assert app.end["code"] == 1000


# By the server


async def test_shutdown_closes_with_1012_and_waits_for_the_application() -> None:
    ends: list[Event] = []

    async def talk(receive: Receive, send: Send) -> None:
        ends.append(await receive())
        await asyncio.sleep(0.1)
        ends.append({})

    with serving(Record(talk)) as running:
        async with wscore.connect(running.url) as ws:
            running.shut_down()
            with pytest.raises(wscore.ConnectionClosed) as closed:
                await ws.receive()
    assert closed.value.code == 1012
    assert ends == [disconnect(1012), {}]


async def test_shutdown_while_the_answer_to_a_close_is_awaited_does_not_wait() -> None:
    async def talk(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})

    with serving(Record(talk)) as running:
        raw = await opened(running)
        assert await raw.frames(1) == [closed_with(1000)]
        running.shut_down()
        assert await raw.rest() == b""
        await raw.aclose()


async def test_applications_that_outlive_the_shutdown_are_cancelled() -> None:
    cancelled: list[bool] = []

    async def talk(receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(HANGING)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with serving(Record(talk), timeout_graceful_shutdown=0) as running:
        async with wscore.connect(running.url) as ws:
            running.shut_down()
            with pytest.raises(wscore.ConnectionClosed) as closed:
                await ws.receive()
    assert closed.value.code == 1012
    assert cancelled == [True]


async def test_cancelled_application_closes_with_1011() -> None:
    async def talk(receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await receive()

    with serving(Record(talk)) as running:
        async with wscore.connect(running.url) as ws:
            with pytest.raises(wscore.ConnectionClosed) as closed:
                await ws.receive()
    assert closed.value.code == 1011


async def test_nothing_stays_behind() -> None:
    with serving(Record(echo)) as running:
        async with wscore.connect(running.url) as ws:
            await ws.send("hello")
            protocol = await running.in_loop(lambda: weakref.ref(running.protocol))
        await running.until(lambda: not running.server.server_state.connections)
        await running.until(lambda: not running.server.server_state.tasks)
        # No timer, callback or task holds it.
        await running.until(lambda: gc.collect() >= 0 and protocol() is None)


async def test_bytes_of_a_message_under_way_are_life_and_silence_is_not() -> None:
    """The Pong cannot stand within the frame; when nothing comes any more, the peer is gone all the same."""
    with serving(Record(), ws_ping_interval=1, ws_ping_timeout=3) as running:
        raw = await opened(running)
        data = from_client(BINARY, bytes(200))
        for at in range(0, 100, 5):
            await raw.send(data[at : at + 5])
            await running.pass_time(0.8)
            assert running.server.server_state.connections
        await running.pass_time(5)
        frames = await raw.frames(2)
        assert [frame.opcode for frame in frames] == [PING, CLOSE]
        assert frames[1].payload[:2] == close_payload(1011)
        await raw.aclose()
