"""Context variables: each connection has its own copy of the context of whoever made the server, and keeps it.

What one peer's hooks set must never be seen where another peer is served: servers keep users and tenants there.
"""

import asyncio
from contextvars import ContextVar

import pytest

from wscore import Accept

from ...wire import TEXT, from_client
from .peers import feed, until
from .test_asyncio_flow import fill

user = ContextVar("user", default="nobody")


def judge(request):
    """Sets a variable for those who come to a path of their own."""
    if request.path != "/":
        user.set(request.path)
    return Accept()


async def judge_slowly(request):
    await asyncio.sleep(0)
    return judge(request)


async def tell(ws):
    await ws.send(user.get())
    async for _ in ws:
        pass


@pytest.mark.parametrize("on_request", [judge, judge_slowly])
async def test_a_handler_sees_what_its_own_opening_hook_has_set_and_no_other(aio, on_request):
    user.set("caller")
    async with aio.serving(tell, on_request=on_request) as server:
        for path in ("/alice", "/", "/bob", "/"):
            async with aio.connect(server, path) as ws:
                assert await ws.receive() == ("caller" if path == "/" else path)
    assert user.get() == "caller"


async def test_callbacks_of_a_connection_share_its_context(aio):
    user.set("caller")
    told = []

    def on_open(ws):
        told.append(("open", user.get()))
        user.set(user.get() + "+open")

    def on_message(ws, message):
        told.append((message, user.get()))
        user.set(user.get() + "+" + message)
        if message == "wrong":
            raise ZeroDivisionError

    def on_error(ws, error):
        told.append(("error", user.get()))

    def on_close(ws, code, reason):
        told.append(("close", user.get()))

    hooks = {"on_open": on_open, "on_message": on_message, "on_close": on_close, "on_error": on_error}
    async with aio.serving(on_request=judge, **hooks) as server:
        async with aio.connect(server, "/a") as ws:
            await ws.send("wrong")
            with pytest.raises(aio.ConnectionClosed):
                await ws.receive()
        await until(lambda: len(told) == 4)
        assert told == [
            ("open", "/a"),
            ("wrong", "/a+open"),
            ("error", "/a+open+wrong"),
            ("close", "/a+open+wrong"),
        ]
        told.clear()
        async with aio.connect(server) as ws:
            await ws.send("x")
        await until(lambda: len(told) == 3)
        assert told == [("open", "caller"), ("x", "caller+open"), ("close", "caller+open+x")]


async def test_flow_control_does_not_lend_a_context(aio):
    """Whoever resumes reading, or takes what waits, is not who sent the messages that are handed over then."""
    connections = {}

    def on_message(ws, message):
        verb, _, name = message.partition(" ")
        if verb == "login":
            user.set(name)
            connections[name] = ws
        elif verb == "pause":
            ws.pause_reading()
        elif verb == "resume":
            connections[name].resume_reading()
        ws.send_nowait(user.get())

    async with aio.serving(on_message=on_message) as server, aio.connect(server) as a, aio.connect(server) as b:
        for ws, message, seen in ((a, "login alice", "alice"), (b, "login bob", "bob"), (b, "pause", "bob")):
            await ws.send(message)
            assert await ws.receive() == seen
        feed(connections["bob"], from_client(TEXT, b"who"))
        await a.send("resume bob")
        assert await a.receive() == "alice"
        assert await b.receive() == "bob"
        for _ in range(3):
            await b.send("who")
            assert await b.receive() == "bob"


async def test_a_clients_callbacks_run_in_a_copy_of_its_callers_context(aio):
    user.set("caller")
    seen = []

    def on_message(ws, message):
        seen.append(user.get())
        user.set("inside")

    async with aio.serving() as server, aio.connect(server, on_message=on_message) as ws:
        await ws.send("1")
        await ws.send("2")
        await until(lambda: len(seen) == 2)
    assert seen == ["caller", "inside"]
    assert user.get() == "caller"


async def test_contexts_of_two_servers_are_their_own(aio):
    user.set("first")
    async with aio.serving(tell) as first:
        user.set("second")
        async with aio.serving(tell) as second:
            user.set("later")
            for server, seen in ((first, "first"), (second, "second"), (first, "first")):
                async with aio.connect(server) as ws:
                    assert await ws.receive() == seen


async def test_what_waited_for_room_is_handed_over_in_its_own_context(aio):
    """Here the transport resumes, when the peer has read, and the loop calls in the context of who wrote last."""
    sockets = []
    seen = []

    def on_message(ws, message):
        seen.append((message[:1], user.get()))
        if message.startswith("login"):
            user.set("bob")
            sockets.append(ws)
        else:
            ws.send_nowait(bytes(1 << 20))

    async with aio.serving(on_message=on_message, max_send_buffer=1 << 16) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.say(TEXT, b"login")
        await until(lambda: sockets)
        raw.writer.transport.pause_reading()

        async def somebody_else():
            user.set("mallory")
            await fill(sockets[0])

        await asyncio.create_task(somebody_else())
        feed(sockets[0], from_client(TEXT, b"who?".ljust(60_000)) * 4)
        assert seen == [("l", "nobody")]
        raw.writer.transport.resume_reading()
        while len(seen) < 5:
            await raw.reader.read(1 << 20)
        assert seen[1:] == [("w", "bob")] * 4
