"""`serve(authorize=...)`: who is asked, what an answer does, and that nobody gets in when it fails."""

import logging

import pytest
import trio
import trio.lowlevel

import wscore
from wscore.server.auth import basic_auth, bearer_auth
from wscore.server.pages import plain

from ..raw import dial, echo, serving, status_of, url_of

pytestmark = pytest.mark.usefixtures("each_transport")

TOKEN = "s3cret-token"


def ada(request: wscore.Request) -> wscore.Accept:
    return wscore.Accept(user="ada")


async def users_of(server: wscore.Server, **changes: str | None) -> list[object]:
    """Open a WebSocket, and return the users of all that are open."""
    async with dial(server) as raw:
        await raw.upgrade(**changes)
        while not server.connections:
            await trio.lowlevel.checkpoint()
        return [ws.user for ws in server.connections]


async def answer_to(server: wscore.Server, line: str = "GET / HTTP/1.1", **changes: str | None) -> bytes:
    async with dial(server) as raw:
        await raw.ask(line, **changes)
        head = await raw.head()
        return head if status_of(head) == 101 else head + await raw.rest()


async def test_a_client_with_the_right_password_is_let_in_and_known() -> None:
    async def tell(ws: wscore.WebSocket) -> None:
        await ws.send(f"{ws.user} {ws.request.user}")

    async with serving(tell, authorize=basic_auth({"ada": "love:lace"})) as server:
        async with wscore.connect(url_of(server).replace("ws://", "ws://ada:love%3Alace@")) as ws:
            assert await ws.receive() == "ada ada"
        with pytest.raises(wscore.HandshakeError) as refused:
            async with wscore.connect(url_of(server).replace("ws://", "ws://ada:wrong@")):
                pass
    assert refused.value.response.status == 401
    assert refused.value.response.headers.get("www-authenticate") == 'Basic realm="WebSocket", charset="UTF-8"'


async def test_a_refusal_has_any_status_and_headers_and_is_counted() -> None:
    def pay(request: wscore.Request) -> wscore.Refuse:
        return wscore.Refuse(402, b"<p>Pay first.", {"Content-Type": "text/html", "X-Price": "5"})

    async with serving(authorize=pay) as server:
        response = await answer_to(server)
        assert status_of(response) == 402
        assert b"\r\nX-Price: 5\r\n" in response
        assert b"\r\nContent-Type: text/html\r\n" in response
        assert response.endswith(b"<p>Pay first.")
        statistics = server.statistics()
        assert (statistics.refusals, statistics.reasons, statistics.accepted) == ({402: 1}, {"unauthorized": 1}, 0)


async def test_it_may_be_async() -> None:
    async def later(request: wscore.Request) -> wscore.Accept | wscore.Refuse:
        await trio.lowlevel.checkpoint()
        return wscore.Accept(user=request.path) if request.path == "/in" else wscore.Refuse(403, "No.")

    async with serving(authorize=later) as server:
        async with dial(server) as raw:
            await raw.ask("GET /in HTTP/1.1")
            assert status_of(await raw.head()) == 101
        assert status_of(await answer_to(server, "GET /out HTTP/1.1")) == 403


@pytest.mark.parametrize("first_waits", [False, True])
@pytest.mark.parametrize("second_waits", [False, True])
async def test_both_hooks_have_a_say_and_on_request_the_last(first_waits: bool, second_waits: bool) -> None:
    def first(request: wscore.Request) -> object:
        return wscore.Accept("chat", {"X-First": "1"}, user="ada")

    def second(request: wscore.Request) -> object:
        assert request.user == "ada"
        if request.path == "/no":
            return wscore.Refuse(404, "There is no such room.")
        chosen = {"/own": {"subprotocol": "news", "user": "own"}}.get(request.path, {})
        return wscore.Accept(headers={"X-Second": "2"}, **chosen)

    async def first_async(request: wscore.Request) -> object:
        return first(request)

    async def second_async(request: wscore.Request) -> object:
        return second(request)

    users = []

    async def note(ws: wscore.WebSocket) -> None:
        users.append((ws.user, ws.subprotocol))

    hooks = {
        "authorize": first_async if first_waits else first,
        "on_request": second_async if second_waits else second,
    }
    async with serving(note, **hooks) as server:
        for path in ("/", "/own"):
            head = await answer_to(server, f"GET {path} HTTP/1.1", Sec_WebSocket_Protocol="news, chat")
            assert b"\r\nX-First: 1\r\n" in head
            assert b"\r\nX-Second: 2\r\n" in head
        refused = await answer_to(server, "GET /no HTTP/1.1", Sec_WebSocket_Protocol="news, chat")
        assert status_of(refused) == 404
    assert users == [("ada", "chat"), ("own", "news")]


async def fail_later(request: wscore.Request) -> wscore.Accept:
    await trio.lowlevel.checkpoint()
    raise KeyError("ada")


async def page_later(request: wscore.Request) -> wscore.Page:
    return wscore.Page()


@pytest.mark.parametrize(
    "hook", [lambda request: {}["ada"], lambda request: None, lambda request: wscore.Page(), fail_later, page_later]
)
async def test_nobody_gets_in_when_it_fails_or_says_anything_else(
    hook: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(authorize=hook) as server:
        assert status_of(await answer_to(server)) == 500
        statistics = server.statistics()
        assert (statistics.reasons, statistics.errors, statistics.accepted) == ({"error": 1}, 1, 0)
    assert "authorize to GET / failed" in caplog.text


async def test_a_failure_of_on_request_is_not_blamed_on_authorize(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(authorize=ada, on_request=lambda request: {}["room"]) as server:
        assert status_of(await answer_to(server)) == 500
        assert server.statistics().errors == 1
    assert "on_request to GET / failed" in caplog.text
    assert "authorize" not in caplog.records[0].message


async def test_pages_ask_nobody_and_other_requests_get_no_websocket() -> None:
    def nobody(request: wscore.Request) -> wscore.Refuse:
        return wscore.Refuse(401, "Who are you?")

    async with serving(authorize=nobody, pages={"/": lambda: plain(200, "hello")}) as server:
        assert status_of(await answer_to(server, Upgrade=None, Connection="close")) == 200
        assert status_of(await answer_to(server)) == 401
    async with serving(authorize=nobody) as server:
        assert status_of(await answer_to(server, Upgrade=None, Connection="close")) == 426


async def test_whose_page_may_not_connect_is_not_asked() -> None:
    asked = []

    def note(request: wscore.Request) -> wscore.Accept:
        asked.append(request.path)
        return wscore.Accept()

    async with serving(authorize=note) as server:
        assert status_of(await answer_to(server, Origin="http://evil.example")) == 403
        assert asked == []
        assert await users_of(server) == [None]
        assert asked == ["/"]


async def test_it_knows_who_has_sent_the_request() -> None:
    seen = []

    def look(request: wscore.Request) -> wscore.Accept:
        seen.append(request.client)
        return wscore.Accept()

    async with serving(authorize=look) as server, dial(server) as raw:
        await raw.upgrade()
        assert seen == [(raw.stream.socket.getsockname(), "http", None)]


async def test_one_that_never_answers_is_given_up_and_cancelled() -> None:
    cancelled = []

    async def think(request: wscore.Request) -> wscore.Accept:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(request.path)
            raise

    async with serving(authorize=think, handshake_timeout=0.3) as server:
        assert status_of(await answer_to(server)) == 503
        assert server.statistics().reasons == {"slow_answer": 1}
    assert cancelled == ["/"]


async def test_whoever_is_let_in_while_the_server_closes_is_told_so() -> None:
    async with trio.open_nursery() as nursery:
        asked, go = trio.Event(), trio.Event()

        async def think(request: wscore.Request) -> wscore.Accept:
            asked.set()
            await go.wait()
            return wscore.Accept()

        async with serving(authorize=think) as server, dial(server) as raw:
            await raw.ask()
            await asked.wait()
            nursery.start_soon(server.aclose)
            await trio.testing.wait_all_tasks_blocked()
            go.set()
            assert status_of(await raw.rest()) == 503


async def test_a_stream_is_served_to_those_alone_who_are_let_in() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: wscore.serve_stream(echo, ours, authorize=bearer_auth({TOKEN: "ada"})))
        await theirs.send_all(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        await theirs.send_all(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert status_of(await theirs.receive_some()) == 401
        await theirs.aclose()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/feed?access_token=s3cret-token&x=1", {}),
        ("/feed", {"Sec_WebSocket_Protocol": "bearer.s3cret-token, chat"}),
        ("/feed", {"Cookie": "session=s3cret-token"}),
        ("/feed", {"Authorization": "Bearer s3cret-token"}),
    ],
)
async def test_a_token_is_neither_logged_nor_sent_back(
    path: str, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    places = {"query": "access_token", "cookie": "session", "subprotocol": "bearer"}

    async def fail(ws: wscore.WebSocket) -> None:
        raise KeyError

    async def never(request: wscore.Request) -> wscore.Accept:
        await trio.sleep_forever()

    hooks = {"authorize": bearer_auth({TOKEN: "ada"}, **places), "subprotocols": ["chat"]}
    for options, status in (
        ({}, 101),
        ({"authorize": bearer_auth({"other": "eve"}, **places)}, 401),
        ({"on_request": lambda request: {}["room"]}, 500),
        ({"on_request": never, "handshake_timeout": 0.05}, 503),
    ):
        async with serving(fail, **(hooks | options)) as server:
            response = await answer_to(server, f"GET {path} HTTP/1.1", **headers)
            assert (status_of(response), TOKEN.encode() in response) == (status, False)
            while server.statistics().errors != (status in (101, 500)):
                await trio.lowlevel.checkpoint()
    assert "/feed" in caplog.text
    assert TOKEN not in caplog.text


async def test_a_subprotocol_beside_the_token_is_what_a_browser_gets() -> None:
    hook = bearer_auth({TOKEN: "ada"}, subprotocol="bearer")
    async with serving(authorize=hook, subprotocols=["chat", "bearer"]) as server:
        for offered, chosen in ((["bearer", f"bearer.{TOKEN}"], "bearer"), ([f"bearer.{TOKEN}", "chat"], "chat")):
            async with wscore.connect(url_of(server), subprotocols=offered) as ws:
                assert ws.subprotocol == chosen


class Routes(dict):
    """Hooks with a truth value of their own, which says nothing about whether there is a hook."""

    def __call__(self, request: wscore.Request) -> wscore.Refuse:
        return wscore.Refuse(404, "There is no such route.")


@pytest.mark.parametrize("which", ["authorize", "on_request"])
async def test_a_hook_that_is_empty_and_so_false_is_asked_all_the_same(which: str) -> None:
    async with serving(**{which: Routes()}) as server:
        assert status_of(await answer_to(server)) == 404


class Silent(list):
    """The same, for messages and errors."""

    def __call__(self, ws: wscore.WebSocket, what: object) -> None:
        name = type(what).__name__
        if ws.close_code is None:
            ws.send_nowait(name)
        if name == "str":
            raise ValueError
        self.append(name)


async def test_so_is_one_for_messages_or_errors() -> None:
    errors = Silent()
    async with serving(None, on_message=Silent(), on_error=errors) as server, wscore.connect(url_of(server)) as ws:
        await ws.send("x")
        assert await ws.receive() == "str"
        with pytest.raises(wscore.ConnectionClosed):
            await ws.receive()
    assert errors == ["ValueError"]
