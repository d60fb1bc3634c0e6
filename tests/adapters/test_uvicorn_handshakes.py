"""What an ASGI application hears of a request under uvicorn, and how it answers: yes, no, or wrongly."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest
import trio

import wscore
from wscore.adapters.uvicorn.opening import pool_of

from ..raw import status_of
from ..wire import CLOSE, TEXT, Frame, close_payload
from .asgi_server import Event, Receive, Record, Running, Send, echo, serving

COMBINATIONS = list(itertools.product(["h11", "httptools"], ["asyncio", "uvloop"]))


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def each_uvicorn(request: pytest.FixtureRequest) -> dict[str, str]:
    """uvicorn's options for each of its HTTP parsers on each of its loops."""
    for package in set(request.param) & {"httptools", "uvloop"}:
        pytest.importorskip(package)
    return dict(zip(("http", "loop"), request.param, strict=True))


async def answer_of(running: Running, **changes: Any) -> bytes:
    """All that a request for a WebSocket is answered with."""
    raw = await running.dial()
    await raw.ask(**changes)
    answer = await raw.rest()
    await raw.aclose()
    return answer


async def test_scope_tells_what_was_asked(each_uvicorn: dict[str, str]) -> None:
    app = Record()
    with serving(app, root_path="/api", **each_uvicorn) as running:
        url = running.url + "caf%C3%A9%2Fb?x=%20&y"
        async with wscore.connect(url, subprotocols=["chat", "v2"], headers={"X-Name": "é"}) as ws:
            assert ws.subprotocol is None
            host, port = ws.local_address[:2]
    scope = app.scope
    headers = dict(scope.pop("headers"))
    assert headers[b"x-name"] == "é".encode("latin-1")
    assert headers[b"host"] == f"127.0.0.1:{running.port}".encode()
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("127.0.0.1", running.port),
        "client": (host, port),
        "root_path": "/api",
        "path": "/api/café/b",
        "raw_path": b"/api/caf%C3%A9%2Fb",
        "query_string": b"x=%20&y",
        "subprotocols": ["chat", "v2"],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }


async def test_state_of_the_lifespan_is_copied_for_each_connection() -> None:
    states: list[Event] = []

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["shared"] = []
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        states.append(dict(scope["state"]))
        scope["state"]["own"] = True
        scope["state"]["shared"].append(1)
        await Record()(scope, receive, send)

    with serving(app, lifespan="on") as running:
        for _ in range(2):
            async with wscore.connect(running.url):
                pass
    assert [set(state) for state in states] == [{"shared"}, {"shared"}]
    assert states[0]["shared"] is states[1]["shared"]


async def test_application_chooses_subprotocol_and_headers(each_uvicorn: dict[str, str]) -> None:
    headers = [(b"x-one", b"1"), (b"x-one", b"2"), (b"server", b"own")]
    options = {"headers": [("x-site", "all")], **each_uvicorn}
    with serving(Record(subprotocol="v2", headers=headers), **options) as running:
        async with wscore.connect(running.url, subprotocols=["chat", "v2"]) as ws:
            assert ws.subprotocol == "v2"
            answer = ws.response.headers
            assert answer.get_all("x-one") == ["1", "2"]
            assert answer.get_all("server") == ["uvicorn", "own"]
            assert answer.get_all("x-site") == ["all"]
            assert len(answer.get_all("date")) == 1


async def test_close_instead_of_accept_is_403(each_uvicorn: dict[str, str]) -> None:
    events: list[Event] = []

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4000})
        events.extend([await receive(), await receive()])

    with serving(app, **each_uvicorn) as running:
        answer = await answer_of(running)
    assert status_of(answer) == 403
    assert answer.endswith(b"\r\n\r\n")
    assert events == [{"type": "websocket.disconnect", "code": 1006}] * 2


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_response_instead_of_accept(each_uvicorn: dict[str, str], declared: bool) -> None:
    events: list[Event] = []
    headers = [(b"content-type", b"application/json")] + [(b"content-length", b"6")] * declared

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b'{"a"', "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b":1", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"" if declared else b"}"})
        events.append(await receive())

    with serving(app, **each_uvicorn) as running:
        answer = await answer_of(running)
        with pytest.raises(wscore.HandshakeError) as refused:
            async with wscore.connect(running.url):
                pass
    assert refused.value.response is not None
    assert refused.value.response.status == 401
    assert refused.value.response.headers.get("content-type") == "application/json"
    assert refused.value.response.body == (b'{"a":1' if declared else b'{"a":1}')
    assert answer.count(b"date: ") == 1
    assert events == [{"type": "websocket.disconnect", "code": 1006}] * 2


# What an application does wrong before it has answered


async def fails(receive: Receive, send: Send) -> None:
    raise ValueError("secret")


async def returns(receive: Receive, send: Send) -> None:
    await receive()


async def sends(receive: Receive, send: Send) -> None:
    await send({"type": "websocket.send", "text": "early"})


async def chooses_what_was_not_offered(receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept", "subprotocol": "v3"})


async def sets_the_subprotocol_as_a_header(receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept", "headers": [(b"sec-websocket-protocol", b"chat")]})


async def splits_a_header(receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept", "headers": [(b"x", b"1\r\nsecret: 2")]})


async def answers_with_a_strange_status(receive: Receive, send: Send) -> None:
    await send({"type": "websocket.http.response.start", "status": 700})


async def begins_a_response_and_fails(receive: Receive, send: Send) -> None:
    await send({"type": "websocket.http.response.start", "status": 404})
    raise ValueError("secret")


async def begins_a_response_twice(receive: Receive, send: Send) -> None:
    for _ in range(2):
        await send({"type": "websocket.http.response.start", "status": 404})


async def is_cancelled(receive: Receive, send: Send) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    "app",
    [fails, returns, sends, chooses_what_was_not_offered, sets_the_subprotocol_as_a_header, splits_a_header,
     answers_with_a_strange_status, begins_a_response_and_fails, begins_a_response_twice, is_cancelled],
)  # fmt: skip
async def test_failure_before_an_answer_is_500_without_details(
    app: Callable[[Receive, Send], Any], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(lambda scope, receive, send: app(receive, send)) as running:
        answer = await answer_of(running, Sec_WebSocket_Protocol="chat")
    assert status_of(answer) == 500
    assert answer.endswith(b"\r\n\r\nInternal Server Error")
    assert b"secret" not in answer
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(logged) == (app is not is_cancelled)


async def test_failure_within_a_response_cuts_it_short(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Event, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"100")]
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"begun", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"x" * 100})

    with serving(app) as running:
        answer = await answer_of(running)
    assert status_of(answer) == 404
    assert answer.endswith(b"\r\n\r\nbegun")
    assert "must be as long as its Content-Length says" in caplog.text


async def test_nothing_can_be_sent_after_a_response() -> None:
    raised: list[Exception] = []

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})
        try:
            await send({"type": "websocket.accept"})
        except (RuntimeError, OSError) as error:
            raised.append(error)

    with serving(app) as running:
        assert status_of(await answer_of(running)) == 403
    assert len(raised) == 1


# What a client does wrong, or unusually


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Version": "12"}, 426),
        ({"Sec_WebSocket_Protocol": "chat, chat"}, 400),
        ({"line": "POST / HTTP/1.1", "Content_Length": "0"}, 405),
    ],
)
async def test_request_that_breaks_the_rules_never_reaches_the_application(
    each_uvicorn: dict[str, str], changes: dict[str, str | None], status: int
) -> None:
    app = Record()
    with serving(app, **each_uvicorn) as running:
        answer = await answer_of(running, **changes)
    assert status_of(answer) == status
    assert app.scope == {}


async def test_long_heads_that_uvicorn_takes_are_taken() -> None:
    app = Record()
    with serving(app, http="h11", h11_max_incomplete_event_size=1 << 18) as running:
        headers = {f"x-{number}": "v" * 200 for number in range(300)}
        async with wscore.connect(running.url, headers=headers):
            pass
    assert len(app.scope["headers"]) > 300


async def test_frames_before_the_answer_are_kept(each_uvicorn: dict[str, str]) -> None:
    has_begun, may_accept = asyncio.Event(), asyncio.Event()
    app = Record(echo)

    async def late(scope: Event, receive: Receive, send: Send) -> None:
        has_begun.set()
        await may_accept.wait()
        await app(scope, receive, send)

    with serving(late, **each_uvicorn) as running:
        raw = await running.dial()
        await raw.ask()
        await running.until(has_begun.is_set)
        await raw.say(TEXT, b"one")
        await running.until(lambda: running.protocol._opening.early)
        await raw.say(TEXT, b"two")
        await running.in_loop(may_accept.set)
        await raw.head()
        assert await raw.frames(2) == [Frame(TEXT, b"one"), Frame(TEXT, b"two")]
        await raw.say(CLOSE, close_payload(1000))
        await raw.rest()
        await raw.aclose()


async def test_client_that_leaves_before_the_answer_is_told_of(each_uvicorn: dict[str, str]) -> None:
    events: list[Event] = []
    raised: list[Exception] = []
    has_begun = asyncio.Event()

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        await receive()
        has_begun.set()
        events.append(await receive())
        try:
            await send({"type": "websocket.accept"})
        except OSError as error:
            raised.append(error)

    with serving(app, **each_uvicorn) as running:
        raw = await running.dial()
        await raw.ask()
        await running.until(has_begun.is_set)
        await raw.aclose()
        await running.until(lambda: raised)
    assert events == [{"type": "websocket.disconnect", "code": 1006}]


async def test_tls_is_wss(tmp_path: Any) -> None:
    import ssl

    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "all.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    app = Record(echo)
    with serving(app, ssl_certfile=str(tmp_path / "all.pem")) as running:
        url = running.url.replace("ws:", "wss:")
        async with wscore.connect(url, ssl_context=context) as ws:
            await ws.send("hello")
            assert await ws.receive() == "hello"
    assert app.scope["scheme"] == "wss"
    assert app.end["code"] == 1000


async def test_every_connection_of_a_server_lends_from_one_pool() -> None:
    with serving(Record(echo)) as running:
        async with (
            wscore.connect(running.url, compression="takeover") as one,
            wscore.connect(running.url, compression="takeover") as two,
        ):
            for ws in (one, two):
                await ws.send("hello " * 100)
                assert await ws.receive() == "hello " * 100
            pools = await running.in_loop(
                lambda: {id(pool_of(protocol.server_state)) for protocol in running.server.server_state.connections}
            )
    assert len(pools) == 1


async def test_shutdown_refuses_who_waits_for_an_answer() -> None:
    events: list[Event] = []
    has_begun = asyncio.Event()

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        await receive()
        has_begun.set()
        events.append(await receive())

    with serving(app) as running:
        raw = await running.dial()
        await raw.ask()
        await running.until(has_begun.is_set)
        running.shut_down()
        assert status_of(await raw.rest()) == 503
        await raw.aclose()
        with trio.fail_after(10):
            await running.until(lambda: events)
    assert events == [{"type": "websocket.disconnect", "code": 1006}]
