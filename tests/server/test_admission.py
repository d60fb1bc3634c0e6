"""What a connection hears before it is a WebSocket: every refusal, and that it can be read."""

import logging
import re
import socket
import ssl
import struct
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
import trio
import trio.testing
import trustme

import wscore
from wscore.server.pages import plain
from wscore.transport.trio_glue import unwrapped

from ..raw import Raw, dial, serving, status_of, url_of
from ..wire import TEXT, from_client

pytestmark = pytest.mark.usefixtures("each_transport")


async def answer_to(*arguments: object, options: dict | None = None, **changes: str | None) -> bytes:
    """The whole response to one request."""
    async with serving(**(options or {})) as server, dial(server) as raw:
        await raw.ask(*arguments, **changes)
        return await raw.rest()


@pytest.mark.parametrize(
    ("status", "line", "changes"),
    [
        (400, "GET / HTTP/1.1", {"Sec_WebSocket_Key": "short"}),
        (400, "GET / HTTP/1.1", {"Connection": "keep-alive"}),
        (400, "GET /", {}),
        (400, "\x16\x03\x01", {}),
        (403, "GET / HTTP/1.1", {"Origin": "http://evil.example"}),
        (403, "GET / HTTP/1.1", {"Host": "evil.example"}),
        (405, "POST / HTTP/1.1", {}),
        (413, "GET / HTTP/1.1", {"Content_Length": "5"}),
        (414, f"GET /{'x' * 20_000} HTTP/1.1", {}),
        (426, "GET / HTTP/1.1", {"Sec_WebSocket_Version": "8"}),
        (426, "GET / HTTP/1.1", {"Upgrade": None}),
        (431, "GET / HTTP/1.1", {"X_Long": "x" * 20_000}),
        (431, "GET / HTTP/1.1", {f"X_{number}": "" for number in range(130)}),
        (505, "GET / HTTP/1.0", {}),
        (505, "GET / HTTP/2.0", {}),
    ],
)
async def test_a_bad_request_is_refused_in_one_sentence(status: int, line: str, changes: dict[str, str | None]) -> None:
    response = await answer_to(line, **changes)
    head, _, body = response.decode().partition("\r\n\r\n")
    assert status_of(response) == status
    assert "\r\nConnection:" in head
    (date,) = re.findall(r"\r\nDate: ([^\r]*)\r?", head)
    assert abs(parsedate_to_datetime(date) - datetime.now(UTC)) < timedelta(minutes=1)
    assert body.endswith(".")
    assert f"Content-Length: {len(body)}" in head


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"GET / HTTP/1.1\nHost: localhost\n\n", 400), (b"\n", 400), (b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)],
)
async def test_what_will_never_be_a_request_is_refused_at_once(data: bytes, status: int) -> None:
    async with serving(handshake_timeout=1000) as server, dial(server) as raw:
        await raw.send(data)
        assert status_of(await raw.head()) == status


async def test_empty_lines_may_stand_before_a_request() -> None:
    """RFC 9112 section 2.2. A page is answered by another parser, which would take none."""
    options = {"on_request": lambda request: wscore.Page(), "pages": {"/page": lambda: plain(200, "hi")}}
    async with serving(**options) as server, dial(server) as raw:
        await raw.send(b"\r\n\r\n")
        await raw.ask("GET /page HTTP/1.1", Upgrade=None)
        assert (await raw.rest()).endswith(b"hi\n")
    async with serving() as server, dial(server) as raw:
        await raw.send(b"\r\n")
        await raw.upgrade()


async def test_an_absolute_target_is_judged_in_place_of_the_header_host() -> None:
    """RFC 9112 section 3.2.2."""
    async with serving() as server:
        for target, host, status in (
            ("ws://localhost/x", "evil.example", 101),
            ("http://localhost:80/x", "evil.example", 101),
            ("http://evil.example/", "localhost", 403),
        ):
            async with dial(server) as raw:
                await raw.ask(f"GET {target} HTTP/1.1", Host=host)
                assert status_of(await raw.head()) == status


async def test_405_says_what_is_allowed_and_426_which_version() -> None:
    assert b"\r\nAllow: GET\r\n" in await answer_to("POST / HTTP/1.1")
    response = await answer_to(Sec_WebSocket_Version="12")
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in response
    assert b"\r\nUpgrade: websocket\r\n" in response


@pytest.mark.parametrize(
    ("status", "line", "changes"),
    [
        (413, "GET / HTTP/1.1", {"Content_Length": str(16 << 20)}),
        (405, "POST / HTTP/1.1", {"Content_Length": "16777216"}),
    ],
)
async def test_a_refusal_can_be_read_in_the_middle_of_an_upload(
    status: int, line: str, changes: dict[str, str]
) -> None:
    async with serving() as server, dial(server) as raw:
        await raw.ask(line, **changes)
        for _ in range(256):
            await raw.send(bytes(1 << 16))
        assert status_of(await raw.rest()) == status


async def test_a_head_that_never_ends_is_refused_in_the_middle_of_it() -> None:
    async with serving() as server, dial(server) as raw:
        await raw.send(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(256):
            await raw.send(b"x" * (1 << 16))
        assert status_of(await raw.rest()) == 431


async def test_case_47_what_follows_a_refused_request_is_no_second_request() -> None:
    async with serving() as server, dial(server) as raw:
        await raw.ask(Sec_WebSocket_Version="7", rest=b"GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await raw.rest()).count(b"HTTP/1.1 ") == 1


async def test_frames_behind_the_request_are_the_first_of_the_websocket() -> None:
    async with serving() as server, dial(server) as raw:
        await raw.ask(rest=from_client(TEXT, b"early"))
        await raw.head()
        assert [frame.payload for frame in await raw.frames(1)] == [b"early"]


async def test_a_request_may_come_byte_by_byte() -> None:
    async with serving() as server, dial(server) as raw:
        request = Raw(trio.testing.MemorySendStream())  # only to have its bytes
        await request.ask()
        for byte in request.stream.get_data_nowait():
            await raw.send(bytes([byte]))
        assert status_of(await raw.head()) == 101


async def test_a_slow_head_gets_408() -> None:
    async with serving(handshake_timeout=0.05) as server, dial(server) as raw:
        await raw.send(b"GET / HTTP/1.1\r\n")
        assert status_of(await raw.rest()) == 408
        assert server.statistics().refusals == {408: 1}


async def test_silence_gets_408_after_ten_seconds_and_no_sooner(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wscore.serve_stream, wscore.WebSocket.wait_closed, ours)
        start = trio.current_time()
        assert status_of(await theirs.receive_some()) == 408
        assert trio.current_time() - start == pytest.approx(10.0)
        await theirs.aclose()


async def test_a_head_that_is_dribbled_gets_no_more_time(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()

    async def dribble() -> None:
        await theirs.send_all(b"GET / HTTP/1.1\r\nX: ")
        while True:
            await trio.sleep(1)
            await theirs.send_all(b"x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wscore.serve_stream, wscore.WebSocket.wait_closed, ours)
        nursery.start_soon(dribble)
        start = trio.current_time()
        assert status_of(await theirs.receive_some()) == 408
        assert trio.current_time() - start == pytest.approx(10.0)
        nursery.cancel_scope.cancel()


async def test_a_peer_that_takes_no_refusal_is_left_alone(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.lockstep_stream_pair()  # what is sent has to be taken
    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send_all, b"POST / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
        start = trio.current_time()
        await wscore.serve_stream(wscore.WebSocket.wait_closed, ours)
        assert 10 <= trio.current_time() - start <= 10 + 2 + 2


async def test_a_request_is_made_when_somebody_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def noted(*arguments: object, **keywords: object) -> wscore.Request:
        made.append("a request")
        return wscore.Request(*arguments, **keywords)  # type: ignore[arg-type]

    for module in ("wscore.protocol.handshake", "wscore.session.opening.facts"):
        monkeypatch.setattr(f"{module}.Request", noted)
    monkeypatch.setattr("wscore.protocol.head.Headers.from_distinct", lambda _: made.append("headers"))
    async with serving() as server, dial(server) as raw:
        await raw.upgrade()
        await raw.say(TEXT, b"hello")
        await raw.frames(1)
        (ws,) = server.connections
        assert made == []
        monkeypatch.undo()
        assert ws.request is not None
        assert (ws.request.path, ws.request.headers.get("upgrade")) == ("/", "websocket")
        assert ws.request.client == (ws.remote_address, "http", None)


async def test_half_a_request_gets_400_and_none_gets_nothing() -> None:
    async with serving() as server:
        async with dial(server) as raw:
            await raw.send(b"GET / HT")
            await raw.stream.send_eof()
            assert status_of(await raw.rest()) == 400
        async with dial(server) as raw:
            await raw.stream.send_eof()
            assert await raw.rest() == b""
        assert server.statistics().refusals == {400: 1}


async def test_a_peer_that_vanishes_in_its_request_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wscore")
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wscore.serve_stream, wscore.WebSocket.wait_closed, ours)
        await theirs.send_all(b"GET /")
        await theirs.aclose()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_refusal_in_the_log_names_the_peer_as_in_a_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wscore")
    async with serving() as server, dial(server) as raw:
        host, port = raw.stream.socket.getsockname()
        await raw.ask(Sec_WebSocket_Version="12")
        assert status_of(await raw.rest()) == 426
    (record,) = [record for record in caplog.records if "refused" in record.message]
    assert record.message == f"refused with 426: GET / from {host}:{port}"


# What on_request says


async def test_on_request_sees_the_request_and_may_accept_with_more() -> None:
    seen = []
    used = []

    def on_request(request: wscore.Request) -> wscore.Accept:
        seen.append((request.method, request.path, request.query, request.headers.get("x-token")))
        return wscore.Accept(headers={"X-Answer": "42"}, user={"name": "ada"})

    async def handler(ws: wscore.WebSocket) -> None:
        used.append((ws.user, ws.request.path))

    async with serving(handler, on_request=on_request) as server, dial(server) as raw:
        await raw.ask("GET /feed?room=1 HTTP/1.1", X_Token="secret")
        assert b"\r\nX-Answer: 42\r\n" in await raw.head()
        await raw.frames(1)
    assert seen == [("GET", "/feed", "room=1", "secret")]
    assert used == [({"name": "ada"}, "/feed")]


async def test_on_request_may_be_awaited_and_refuse_with_any_status() -> None:
    async def on_request(request: wscore.Request) -> wscore.Refuse:
        await trio.lowlevel.checkpoint()
        return wscore.Refuse(401, "Who are you?", {"WWW-Authenticate": "Basic"})

    response = await answer_to(options={"on_request": on_request})
    assert status_of(response) == 401
    assert b"\r\nWWW-Authenticate: Basic\r\n" in response
    assert response.endswith(b"\r\n\r\nWho are you?")


@pytest.mark.parametrize("outcome", [KeyError("no \x1b[2J"), ExceptionGroup("", [OSError()]), None, "yes", True, 403])
async def test_an_on_request_that_fails_is_answered_with_500_and_logged(
    caplog: pytest.LogCaptureFixture, outcome: object
) -> None:
    def on_request(request: wscore.Request) -> object:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async with serving(on_request=on_request) as server:
        for _ in range(2):
            async with dial(server) as raw:
                await raw.ask("GET /a%1b HTTP/1.1")
                assert status_of(await raw.rest()) == 500
        assert server.statistics().errors == 2
        assert server.statistics().refusals == {500: 2}
    assert "on_request to GET /a%1b failed" in caplog.text
    assert all(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)


async def test_accepting_a_subprotocol_that_was_not_offered_is_an_error_of_ours() -> None:
    response = await answer_to(options={"on_request": lambda request: wscore.Accept("chat")})
    assert status_of(response) == 500


async def test_an_on_request_that_takes_too_long_is_answered_with_503() -> None:
    async def on_request(request: wscore.Request) -> wscore.Accept:
        await trio.sleep_forever()
        return wscore.Accept()

    options = {"on_request": on_request, "handshake_timeout": 0.05}
    assert status_of(await answer_to(options=options)) == 503


async def test_what_is_no_exception_out_of_on_request_ends_the_server_as_it_is() -> None:
    class Stop(BaseException):
        pass

    def on_request(request: wscore.Request) -> wscore.Accept:
        raise Stop

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    raw = Raw(await trio.testing.open_stream_to_socket_listener(listener))
    await raw.ask()
    with pytest.raises(Stop):
        await wscore.serve(wscore.WebSocket.wait_closed, listeners=[listener], on_request=on_request)
    await raw.aclose()


@pytest.mark.parametrize(
    ("offered", "chosen"), [("chat, superchat", "superchat"), ("chat", "chat"), ("other", None), (None, None)]
)
async def test_the_first_of_our_subprotocols_that_is_offered_is_taken(offered: str | None, chosen: str | None) -> None:
    seen = []

    async def handler(ws: wscore.WebSocket) -> None:
        seen.append(ws.subprotocol)

    async with serving(handler, subprotocols=["superchat", "chat"]) as server, dial(server) as raw:
        await raw.ask(Sec_WebSocket_Protocol=offered)
        head = await raw.head()
        await raw.frames(1)
    assert seen == [chosen]
    assert (b"Sec-WebSocket-Protocol" in head) == (chosen is not None)


# Pages


async def test_pages_are_answered_and_everything_else_is_404_or_405() -> None:
    async with serving(pages={"/healthz": lambda: plain(200, "ok")}) as server:
        for line, status in [("GET /healthz", 200), ("HEAD /healthz", 200), ("GET /x", 404), ("POST /healthz", 405)]:
            async with dial(server) as raw:
                await raw.ask(f"{line} HTTP/1.1", Upgrade=None, Connection=None)
                response = await raw.rest()
                assert status_of(response) == status
                assert (b"Allow: GET, HEAD" in response) == (status == 405)
        async with dial(server) as raw:
            await raw.upgrade()
        assert server.statistics().pages == 4
        assert server.statistics().refusals == {}


async def test_on_request_decides_between_page_and_websocket() -> None:
    options = {"on_request": lambda request: wscore.Page(), "pages": {"/": lambda: plain(200, "a page")}}
    assert (await answer_to(options=options)).endswith(b"a page\n")
    del options["pages"]
    assert status_of(await answer_to(options=options)) == 404


async def test_a_page_that_fails_is_a_500() -> None:
    def broken() -> None:
        raise KeyError

    response = await answer_to(options={"pages": {"/": broken}}, Upgrade=None, Connection=None)
    assert status_of(response) == 500


async def test_a_page_can_be_read_in_the_middle_of_an_upload() -> None:
    async with serving(pages={}) as server, dial(server) as raw:
        await raw.ask("POST / HTTP/1.1", Upgrade=None, Connection=None, Content_Length=str(16 << 20))
        for _ in range(256):
            await raw.send(bytes(1 << 16))
        assert status_of(await raw.rest()) == 405


# What reaches the log


async def test_refusals_are_logged_with_the_option_that_would_have_helped(caplog: pytest.LogCaptureFixture) -> None:
    await answer_to(Origin="http://evil.example/\x9b31m")
    await answer_to(Host="rebound.example")
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "allowed_origins" in warnings[0]
    assert "allowed_hosts" in warnings[1]
    assert "\x9b" not in caplog.text


async def test_allowed_origins_and_hosts_reach_the_check() -> None:
    options = {"allowed_origins": ["http://app.example"], "allowed_hosts": ["served.example"]}
    async with serving(**options) as server, dial(server) as raw:
        await raw.upgrade(Host="served.example", Origin="http://app.example")


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_refusals_can_be_read_through_tls_in_the_middle_of_an_upload(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with serving(ssl_context=server_tls) as server, dial(server) as plain_text:
        stream = trio.SSLStream(plain_text.stream, client_tls, server_hostname="127.0.0.1", https_compatible=True)
        raw = Raw(stream)
        await raw.ask(Content_Length=str(4 << 20))
        for _ in range(64):
            await raw.send(bytes(1 << 16))
        assert status_of(await raw.rest()) == 413


async def test_an_unfinished_tls_handshake_is_closed_silently(server_tls: ssl.SSLContext) -> None:
    async with serving(ssl_context=server_tls, handshake_timeout=0.05) as server, dial(server) as raw:
        assert await raw.rest() == b""
        assert server.statistics().tls_failures == 1
        assert server.statistics().refusals == {}


async def test_http_on_a_tls_port_is_closed_and_others_never_notice(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with serving(ssl_context=server_tls) as server, dial(server) as raw:
        await raw.ask()
        assert b"HTTP" not in await raw.rest()
        async with wscore.connect(url_of(server, scheme="wss"), ssl_context=client_tls) as ws:
            await ws.send("hello")
            assert await ws.receive() == "hello"
        assert server.statistics().tls_failures == 1


async def test_tls_on_a_plain_port_gets_400(client_tls: ssl.SSLContext) -> None:
    async with serving() as server:
        with pytest.raises(ssl.SSLError):
            async with wscore.connect(url_of(server, scheme="wss"), ssl_context=client_tls):
                pass
        assert server.statistics().refusals == {400: 1}


async def test_a_date_of_the_applications_own_is_the_only_one() -> None:
    own = {"Date": "Sun, 06 Nov 1994 08:49:37 GMT"}
    response = await answer_to(options={"on_request": lambda request: wscore.Refuse(403, "no", own)})
    assert re.findall(rb"(?i)\r\ndate: ([^\r]*)", response) == [b"Sun, 06 Nov 1994 08:49:37 GMT"]


# Those who go while the application thinks


async def think(request: wscore.Request) -> wscore.Accept:
    await trio.sleep_forever()
    raise AssertionError


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("hook", ["on_request", "authorize"])
@pytest.mark.parametrize("early", [0, 3])
async def test_who_goes_while_a_hook_thinks_gives_its_place_back(hook: str, is_reset: bool, early: int) -> None:
    cancelled = trio.Event()

    async def slow(request: wscore.Request) -> wscore.Accept:
        try:
            return await think(request)
        finally:
            cancelled.set()

    options = {hook: slow, "max_connections": 1, "handshake_timeout": 1000}
    async with serving(**options) as server:
        async with dial(server) as raw:
            await raw.ask()
            while not server.statistics().handshakes:
                await trio.lowlevel.checkpoint()
            for _ in range(early):
                await raw.say(TEXT, b"early")
                await trio.testing.wait_all_tasks_blocked()
            if is_reset:
                raw.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with trio.fail_after(60):
            await cancelled.wait()
            while server._limits._connections.count:
                await trio.lowlevel.checkpoint()
        assert server.statistics().dropped == {"gone": 1}


async def test_who_sends_early_while_a_hook_thinks_loses_nothing() -> None:
    go = trio.Event()

    async def slow(request: wscore.Request) -> wscore.Accept:
        await go.wait()
        return wscore.Accept()

    async with serving(on_request=slow) as server, dial(server) as raw:
        await raw.ask()
        while not server.statistics().handshakes:
            await trio.lowlevel.checkpoint()
        for number in range(3):
            await raw.say(TEXT, str(number).encode())
            await trio.testing.wait_all_tasks_blocked()
        go.set()
        await raw.head()
        assert [frame.payload for frame in await raw.frames(3)] == [b"0", b"1", b"2"]


async def test_who_sends_without_end_while_a_hook_thinks_is_read_no_more() -> None:
    async with serving(on_request=think, handshake_timeout=1000) as server, dial(server) as raw:
        await raw.ask()
        while not server.statistics().handshakes:
            await trio.lowlevel.checkpoint()
        for _ in range(1024):
            with trio.move_on_after(1) as waiting:
                await raw.send(bytes(1 << 16))
            if waiting.cancelled_caught:
                break
        else:
            pytest.fail("64 MiB were taken")


async def test_who_only_reads_still_gets_a_page_that_takes_its_time() -> None:
    async def slow(request: wscore.Request) -> wscore.Page:
        await trio.testing.wait_all_tasks_blocked(0.01)
        return wscore.Page()

    pages = {"/": lambda: plain(200, "here")}
    async with serving(on_request=slow, pages=pages) as server, dial(server) as raw:
        await raw.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert isinstance(raw.stream, trio.SocketStream)
        await raw.stream.send_eof()
        assert status_of(await raw.rest()) == 200


async def test_an_error_that_is_no_exception_in_a_hook_that_thinks_ends_the_server_as_it_is() -> None:
    async def slow(request: wscore.Request) -> wscore.Accept:
        await trio.lowlevel.checkpoint()
        raise KeyboardInterrupt

    with pytest.raises(BaseException) as caught:  # noqa: PT012
        async with serving(on_request=slow) as server, dial(server) as raw:
            await raw.ask()
            await raw.rest()
    assert isinstance(unwrapped(caught.value), KeyboardInterrupt)
