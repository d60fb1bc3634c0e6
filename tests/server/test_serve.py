"""A server as a whole: what it serves, what its handlers may raise, and how it ends."""

import contextlib
import contextvars
import gc
import inspect
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing

import wscore
from wscore.session import Session
from wscore.session.options import Options
from wscore.transport import reactor

from ..listening import listens_on
from ..raw import Raw, dial, echo, serve, serving, status_of, url_of
from ..steps import cancelled_at
from ..wire import BINARY, CLOSE, KEY, TEXT, Frame, from_client, header

pytestmark = pytest.mark.usefixtures("each_transport")


class Stop(BaseException):
    """What is no Exception."""


async def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await trio.sleep(0.001)


async def close_code_of(server: wscore.Server, *messages: str | bytes) -> int:
    async with wscore.connect(url_of(server)) as ws:
        for message in messages:
            await ws.send(message)
        async for _ in ws:
            pass
        return ws.close_code


# Serving


async def test_messages_are_served_and_counted() -> None:
    async with serving() as server:
        async with wscore.connect(url_of(server, "/chat?room=1")) as ws:
            for message in ("text", "ünïcödé", b"\x00\xff", "", b"", "x" * 100_000):
                await ws.send(message)
                assert await ws.receive() == message
            (theirs,) = server.connections
            assert theirs in server.connections
            assert theirs.request.path == "/chat"
            assert theirs.remote_address == ws.local_address
            assert theirs.local_address == ws.remote_address == server.addresses[0]
            statistics = server.statistics()
            assert (statistics.connections, statistics.accepted) == (1, 1)
            assert (statistics.messages_received, statistics.messages_sent) == (6, 6)
        await wait_until(lambda: not server.connections)
        statistics = server.statistics()
        assert (statistics.connections, statistics.messages_received) == (0, 6)
        assert statistics.close_codes == {1000: 1}
        assert (statistics.resets, statistics.errors) == (0, 0)


async def test_a_handler_that_returns_closes_with_1000() -> None:
    async def greet(ws: wscore.WebSocket) -> None:
        await ws.send("hello")

    async with serving(greet) as server, wscore.connect(url_of(server)) as ws:
        assert [message async for message in ws] == ["hello"]
        assert (ws.close_code, ws.close_reason) == (1000, "")


async def test_statistics_cannot_be_changed() -> None:
    async with serving() as server:
        statistics = server.statistics()
        with pytest.raises(AttributeError):
            statistics.accepted = 5
        with pytest.raises(TypeError):
            statistics.refusals[403] = 5


async def test_a_server_listens_on_every_address_of_its_host() -> None:
    async with serving(host=None) as server:
        assert len(server.addresses) == 1 + listens_on("::1")
        (port,) = {port for _, port, *_ in server.addresses}
        assert port
        async with wscore.connect(url_of(server)) as ws:
            await ws.send("hello")
            assert await ws.receive() == "hello"


@pytest.mark.parametrize("host", ["127.0.0.2", "127.0.1.1", "::1"])
async def test_a_server_on_any_loopback_address_serves_that_name(host: str) -> None:
    if not listens_on(host):
        pytest.skip(f"nobody can listen on {host} here")
    async with serving(host=host) as server:
        port = server.addresses[0][1]
        own = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        for name, status in ((own, 101), ("localhost", 101), ("127.0.0.3", 403), ("evil.example", 403)):
            async with dial(server) as raw:
                await raw.ask(Host=name, Origin=f"http://{name}")
                assert status_of(await raw.head()) == status


async def test_a_name_that_means_loopback_is_served_where_it_was_asked_for() -> None:
    """As Debian has it, the machine's own name is that of 127.0.1.1."""

    class Resolver(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *arguments: object) -> list:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

        async def getnameinfo(self, sockaddr: tuple, flags: int) -> tuple[str, str]:
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(Resolver())
    async with serving(host="Ada.example") as server:
        for name, status in (("ada.example", 101), ("localhost", 101), ("evil.example", 403)):
            async with dial(server) as raw:
                await raw.ask(Host=f"{name}:{server.addresses[0][1]}")
                assert status_of(await raw.head()) == status


async def test_listeners_may_be_brought_along(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listening = trio.socket.socket(socket.AF_UNIX)
    await listening.bind(path)
    listening.listen()
    tcp = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with serving(listeners=[trio.SocketListener(listening), *tcp]) as server:
        assert server.addresses == (path, tcp[0].socket.getsockname())
        stream = await trio.open_unix_socket(path)
        async with wscore.connect("ws://localhost/", stream=stream) as ws:
            await ws.send("hello")
            assert await ws.receive() == "hello"
    assert listening.fileno() == tcp[0].socket.fileno() == -1


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"handler": None}, ValueError, "handler or on_message"),
        ({"on_message": print}, ValueError, "handler or on_message"),
        ({"handler": None, "on_message": print, "pieces": True}, ValueError, "pieces"),
        ({"port": None}, ValueError, "port"),
        ({"port": -1}, ValueError, "port must be at least 0"),
        ({"port": 65536}, ValueError, "port must be at most 65535"),
        ({"port": "8000"}, TypeError, "port"),
        ({"listeners": []}, ValueError, "not both"),
        ({"host": None, "port": None, "listeners": []}, ValueError, "empty"),
        ({"transport": "carrier pigeon"}, ValueError, "transport"),
        ({"compression": "zip"}, ValueError, "compression"),
        ({"subprotocols": ["a b"]}, ValueError, "subprotocol"),
        ({"subprotocols": ["a", "a"]}, ValueError, "twice"),
        ({"allowed_origins": ["example.org"]}, ValueError, "origin"),
        ({"ping_interval": -1}, ValueError, "ping_interval"),
        ({"max_message_size": 0}, ValueError, "max_message_size"),
        ({"slow_consumer": "panic"}, ValueError, "slow_consumer"),
    ],
)
async def test_senseless_arguments_are_misuse(options: dict, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        await serve(**({"handler": echo, "host": "127.0.0.1", "port": 0} | options))


@pytest.mark.native
async def test_the_reactor_wants_sockets() -> None:
    class Nowhere(trio.abc.Listener[trio.abc.Stream]):
        async def accept(self) -> trio.abc.Stream:
            await trio.sleep_forever()

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    with pytest.raises(ValueError, match="sockets only"):
        await wscore.serve(echo, listeners=[Nowhere()], transport="reactor")


async def test_the_reactor_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactor, "AVAILABLE", False)
    with pytest.raises(ValueError, match="compiled"):
        await wscore.serve(echo, "127.0.0.1", 0, transport="reactor")


async def test_an_address_that_is_taken_is_an_os_error_as_it_is() -> None:
    async with serving() as server:
        with pytest.raises(OSError):
            await serve(echo, *server.addresses[0])


async def test_gc_freeze_exempts_what_is_there_at_the_start() -> None:
    try:
        async with serving(gc_freeze=True):
            assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


async def test_a_stream_is_served_like_a_connection() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wscore.serve_stream, echo, ours)
        async with wscore.connect("ws://any.example/", stream=theirs) as ws:
            assert ws.remote_address is None
            await ws.send("hello")
            assert await ws.receive() == "hello"


async def test_a_stream_is_served_with_on_message_too() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(wscore.serve_stream, None, ours, on_message=lambda ws, message: ws.send_nowait(message * 2))
        )
        async with wscore.connect("ws://any.example/", stream=theirs) as ws:
            await ws.send("ha")
            assert await ws.receive() == "haha"


# Every option of a connection, none with its default.
UNUSUAL = {
    "compression": "shared",
    "compression_threshold": 7,
    "pieces": True,
    "max_message_size": 1001,
    "max_fragments": 1002,
    "max_head_size": 1003,
    "max_headers": 104,
    "handshake_timeout": 5.5,
    "message_rate": 1007,
    "byte_rate": 100_008.5,
    "fast_producer": "close",
    "max_receive_queue": 1005,
    "max_send_buffer": 1006,
    "slow_consumer": "drop",
    "send_timeout": 7.5,
    "ping_interval": None,
    "ping_timeout": 8.5,
    "close_timeout": 9.5,
    "strict_checkpoints": True,
}


async def test_case_21_every_option_reaches_the_connection_in_both_roles() -> None:
    expected = Options(**UNUSUAL)
    assert [name for name, value in asdict(Options()).items() if value == asdict(expected)[name]] == []
    seen = []

    async def handler(ws: wscore.WebSocket) -> None:
        seen.append(ws._options)

    async with serving(handler, **UNUSUAL) as server, wscore.connect(url_of(server), **UNUSUAL) as ws:
        assert ws._options == expected
        await ws.wait_closed()
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(wscore.serve_stream, handler, ours, **UNUSUAL))
        nursery.start_soon(partial(call, "ws://example.org/", stream=theirs))
    assert seen == [expected, expected]


@pytest.mark.parametrize("function", [wscore.serve, wscore.serve_stream, wscore.connect])
def test_defaults_are_the_same_everywhere(function: Callable[..., object]) -> None:
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in asdict(Options())} == asdict(Options())


ECHO_UNTIL_INTERRUPTED = """
import signal, trio, wscore

# A shell that starts a program in the background has it ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Status:
    def started(self, server):
        print(server.addresses[0][1], flush=True)

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def main():
    await wscore.serve(echo, "127.0.0.1", 0, task_status=Status())

try:
    trio.run(main)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_comes_out_as_it_is() -> None:
    with subprocess.Popen([sys.executable, "-c", ECHO_UNTIL_INTERRUPTED], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().strip().isdigit()
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60) == ("interrupted\n", None)
        finally:
            process.kill()
    assert process.returncode == 0


# What is too much


async def test_16_mib_against_a_limit_of_1_mib_are_answered_with_1009() -> None:
    size = 16 << 20
    async with serving() as server, dial(server) as raw:
        await raw.upgrade()
        await raw.send(header(Frame(BINARY, key=KEY), size))
        for _ in range(size >> 16):
            await raw.send(bytes(1 << 16))
        (frame,) = await raw.frames(1)
        assert frame.opcode == CLOSE
        assert frame.payload[:2] == (1009).to_bytes(2, "big")
        assert await raw.rest() == b""


async def test_a_client_reads_1009_in_the_middle_of_its_upload() -> None:
    async with serving() as server, wscore.connect(url_of(server)) as ws:
        with pytest.raises(wscore.ConnectionLost) as caught:  # noqa: PT012
            while True:
                await ws.send(bytes(16 << 20))
        assert caught.value.code == ws.close_code == 1009


@pytest.mark.parametrize(
    ("code", "options", "frames"),
    [
        (1002, {}, from_client(3, b"")),
        (1002, {}, from_client(TEXT, b"x", rsv=4)),
        (1002, {}, b"\x81\x01x"),
        (1007, {}, from_client(TEXT, b"\xff")),
        (1008, {"max_fragments": 2}, from_client(TEXT, fin=False) + 2 * from_client(0, fin=False)),
        (1009, {"max_message_size": 3}, from_client(TEXT, b"four")),
    ],
)
async def test_a_bad_connection_gets_its_code_and_the_others_never_notice(
    code: int, options: dict, frames: bytes
) -> None:
    async with serving(**options) as server, wscore.connect(url_of(server)) as good:
        await good.send("one")
        async with dial(server) as bad:
            await bad.upgrade()
            await bad.send(frames)
            (frame,) = await bad.frames(1)
            assert int.from_bytes(frame.payload[:2], "big") == code
            assert await bad.rest() == b""
        await good.send("two")
        assert [await good.receive(), await good.receive()] == ["one", "two"]
        await wait_until(lambda: len(server.connections) == 1)
        assert server.statistics().close_codes == {code: 1}
        assert server.statistics().errors == 0


# on_message


async def test_on_message_echoes_without_a_handler() -> None:
    def on_message(ws: wscore.WebSocket, message: str | bytes) -> None:
        assert ws in server.connections
        ws.send_nowait(message)

    async with serving(None, on_message=on_message) as server, dial(server) as raw:
        await raw.ask(rest=from_client(TEXT, b"with the request") + from_client(BINARY, b"\x00"))
        await raw.head()
        assert [frame.payload for frame in await raw.frames(2)] == [b"with the request", b"\x00"]
        assert server.statistics().messages_received == 2


async def test_on_message_runs_in_the_context_in_which_serve_was_called() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    def on_message(ws: wscore.WebSocket, message: str | bytes) -> None:
        ws.send_nowait(variable.get())

    token = variable.set("ours")
    async with serving(None, on_message=on_message) as server:
        variable.reset(token)
        async with wscore.connect(url_of(server)) as ws:
            await ws.send("?")
            assert await ws.receive() == "ours"


async def test_on_message_may_close_any_connection() -> None:
    def on_message(ws: wscore.WebSocket, message: str | bytes) -> None:
        for other in server.connections:
            if other is not ws:
                other.close_nowait(4000, "kicked")

    async with (
        serving(None, on_message=on_message) as server,
        wscore.connect(url_of(server)) as kicker,
        wscore.connect(url_of(server)) as kicked,
    ):
        await kicker.send("go")
        with pytest.raises(wscore.ConnectionClosed) as caught:
            await kicked.receive()
        assert (caught.value.code, caught.value.reason) == (4000, "kicked")


# Errors


@pytest.mark.parametrize("mode", ["handler", "on_message"])
async def test_an_exception_closes_with_1011_is_logged_and_counted_and_the_others_go_on(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    def on_message(ws: wscore.WebSocket, message: str | bytes) -> None:
        if message == "bad":
            raise KeyError(message)
        ws.send_nowait(message)

    async def handler(ws: wscore.WebSocket) -> None:
        async for message in ws:
            on_message(ws, message)

    hooks = {"handler": handler} if mode == "handler" else {"handler": None, "on_message": on_message}
    async with serving(**hooks) as server, wscore.connect(url_of(server)) as good:
        assert await close_code_of(server, "bad") == 1011
        await good.send("good")
        assert await good.receive() == "good"
        await wait_until(lambda: len(server.connections) == 1)
        assert server.statistics().errors == 1
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "wscore"
    assert record.exc_info[0] is KeyError


async def test_on_error_gets_the_exception_in_place_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        raise KeyError("mine")

    errors = []
    async with serving(handler, on_error=lambda ws, error: errors.append((ws.request.path, error))) as server:
        assert await close_code_of(server) == 1011
        await wait_until(lambda: not server.connections)
        assert server.statistics().errors == 1
    (only,) = errors
    assert only[0] == "/"
    assert repr(only[1]) == "KeyError('mine')"
    assert [record for record in caplog.records if record.levelno == logging.ERROR] == []


@pytest.mark.parametrize("mode", ["handler", "on_message"])
async def test_an_on_error_that_fails_costs_its_own_connection_only(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        await ws.receive()
        raise KeyError("the first")

    def on_message(ws: wscore.WebSocket, message: str | bytes) -> None:
        raise KeyError("the first")

    def on_error(ws: wscore.WebSocket, error: Exception) -> None:
        raise ValueError("the second") from error

    hooks = {"handler": handler} if mode == "handler" else {"handler": None, "on_message": on_message}
    async with serving(**hooks, on_error=on_error) as server, wscore.connect(url_of(server)) as good:
        assert await close_code_of(server, "go") == 1011
        await wait_until(lambda: len(server.connections) == 1)
        assert "the second" in caplog.text
        assert await good.ping() >= 0


async def test_the_end_of_its_connection_out_of_a_handler_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        while True:
            await ws.receive()

    async with serving(handler) as server:
        async with wscore.connect(url_of(server)):
            pass
        async with dial(server) as raw:
            await raw.upgrade()
        await wait_until(lambda: server.statistics().accepted == 2 and not server.connections)
        assert server.statistics().errors == 0
        assert server.statistics().close_codes == {1000: 1, 1006: 1}
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.parametrize("error", [Stop(), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("mode", ["handler", "on_message"])
async def test_what_is_no_exception_ends_the_server_and_is_raised_as_it_is(mode: str, error: BaseException) -> None:
    def on_message(ws: wscore.WebSocket, message: str | bytes) -> None:
        raise error

    async def handler(ws: wscore.WebSocket) -> None:
        raise error

    hooks = {"handler": handler} if mode == "handler" else {"handler": None, "on_message": on_message}
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    raw = Raw(await trio.testing.open_stream_to_socket_listener(listener))
    await raw.ask(rest=from_client(TEXT, b"go"))
    with pytest.raises(type(error)) as caught:
        await serve(**hooks, listeners=[listener])
    assert caught.value is error
    await raw.head()
    assert await raw.rest() == b""
    await raw.aclose()


# Cancellation


async def test_cancelling_serve_closes_everything_at_once() -> None:
    begun, ended = trio.Event(), []

    async def handler(ws: wscore.WebSocket) -> None:
        begun.set()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                await ws.receive()
        except BaseExceptionGroup as group:
            ended.append(group)
            raise

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, handler, "127.0.0.1", 0)
        async with dial(server) as opened, dial(server) as half_way:
            await opened.upgrade()
            await half_way.send(b"GET / HTTP/1.1\r\n")
            await begun.wait()
            await wait_until(lambda: server.statistics().handshakes == 1)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                assert await opened.rest() == b""
                assert await half_way.rest() == b""
                with pytest.raises(OSError):
                    await trio.open_tcp_stream(*server.addresses[0])
    assert len(ended) == 1


async def test_cancelled_is_raised_as_it_is() -> None:
    outcome = []

    async def run() -> None:
        try:
            await serve(echo, "127.0.0.1", 0)
        except BaseException as error:
            outcome.append(error)
            raise

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [type(error) for error in outcome] == [trio.Cancelled]


async def call(url: str, **options: object) -> None:
    """A client that takes things as they come."""
    with contextlib.suppress(OSError, wscore.HandshakeError, wscore.ConnectionLost, wscore.ConnectionClosed):
        async with wscore.connect(url, **options) as ws:
            await ws.send("hello")
            await ws.receive()


async def plainly(function: Callable[[], Awaitable[object]]) -> None:
    """Run `function`, which raises at most `Cancelled`, in no group."""
    try:
        await function()
    except BaseException as error:
        assert type(error) is trio.Cancelled  # noqa: PT017
        raise


async def test_serve_stream_cancelled_at_every_await_closes_the_stream() -> None:
    step, again = 1, True
    async with trio.open_nursery() as nursery:
        while again:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(partial(call, "ws://example.org/", stream=theirs))
            again = await cancelled_at(step, partial(plainly, partial(wscore.serve_stream, echo, ours)))
            with pytest.raises(trio.ClosedResourceError):
                await ours.send_all(b"x")
            step += 1
    assert step > 5


async def test_serve_cancelled_at_every_await_leaves_nothing_behind() -> None:
    class Status:
        def started(self, server: wscore.Server) -> None:
            nursery.start_soon(self.use, server)

        async def use(self, server: wscore.Server) -> None:
            await call(url_of(server))
            await server.aclose(drain=1)

    before = len(os.listdir("/dev/fd"))
    step, again = 1, True
    while again:
        async with trio.open_nursery() as nursery:
            start = partial(serve, echo, "127.0.0.1", 0, task_status=Status())
            again = await cancelled_at(step, partial(plainly, start))
        await trio.testing.wait_all_tasks_blocked()  # until the reactor has gone
        assert len(os.listdir("/dev/fd")) == before
        step += 1
    assert step > 3


async def test_an_error_while_a_handler_is_cancelled_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    failing = trio.Event()

    async def handler(ws: wscore.WebSocket) -> None:
        async def fail() -> None:
            failing.set()
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("on the way out")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, handler, "127.0.0.1", 0)
        async with dial(server) as raw:
            await raw.upgrade()
            await failing.wait()
            nursery.cancel_scope.cancel()
    assert "on the way out" in caplog.text
    assert server.statistics().errors == 1


# Draining


async def test_draining_closes_with_1001_and_lets_serve_return() -> None:
    done = []

    async def handler(ws: wscore.WebSocket) -> None:
        with pytest.raises(wscore.ConnectionClosed) as caught:
            await ws.receive()
        done.append((caught.value.code, caught.value.by_peer))

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, handler, "127.0.0.1", 0)
        async with wscore.connect(url_of(server)) as ws:
            nursery.start_soon(partial(server.aclose, drain=5))
            with pytest.raises(wscore.ConnectionClosed) as caught:
                await ws.receive()
            assert (caught.value.code, caught.value.by_peer) == (1001, True)
    assert done == [(1001, False)]
    assert server.statistics().close_codes == {1001: 1}
    assert server.statistics().resets == 0


async def test_draining_serves_what_has_come_already() -> None:
    release = trio.Event()

    async def handler(ws: wscore.WebSocket) -> None:
        await release.wait()
        messages = [message async for message in ws]
        received.extend(messages)

    received: list[str | bytes] = []
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, handler, "127.0.0.1", 0)
        async with wscore.connect(url_of(server)) as ws:
            await ws.send("before")
            await wait_until(lambda: server.statistics().messages_received == 1)
            nursery.start_soon(server.aclose)
            await ws.wait_closed()
            release.set()
    assert received == ["before"]


async def test_while_draining_nobody_gets_in_and_who_was_half_way_gets_503() -> None:
    async with serving() as server, dial(server) as silent, dial(server) as half_way, dial(server) as opened:
        await opened.upgrade()
        await half_way.send(b"GET / HTTP/1.1\r\n")
        await wait_until(lambda: server.statistics().handshakes == 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(server.aclose, drain=5))
            for raw in (silent, half_way):
                assert status_of(await raw.rest()) == 503
                await raw.aclose()
            with pytest.raises(OSError):
                await trio.open_tcp_stream(*server.addresses[0])
            (frame,) = await opened.frames(1)
            assert frame.payload == (1001).to_bytes(2, "big")
            await opened.send(from_client(CLOSE, frame.payload))
            await opened.aclose()


async def test_an_application_that_is_still_thinking_when_draining_begins_cannot_accept() -> None:
    release = trio.Event()

    async def on_request(request: wscore.Request) -> wscore.Accept:
        await release.wait()
        return wscore.Accept()

    async with serving(on_request=on_request) as server, dial(server) as raw:
        await raw.ask()
        await wait_until(lambda: server.statistics().handshakes == 1)
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(server.aclose, drain=5))
            await trio.testing.wait_all_tasks_blocked()
            release.set()
            assert status_of(await raw.rest()) == 503
            await raw.aclose()


async def test_after_the_drain_what_is_left_is_reset_and_its_handler_cancelled() -> None:
    cancelled = []

    async def handler(ws: wscore.WebSocket) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(True)
            raise

    async with serving(handler) as server, dial(server) as raw:
        await raw.upgrade()
        await wait_until(lambda: len(server.connections) == 1)
        await server.aclose(drain=0.05)
        assert cancelled == [True]
        assert server.statistics().connections == 0
        assert server.statistics().resets == 1
        (frame,) = await raw.frames(1)
        assert frame.opcode == CLOSE
        with pytest.raises(trio.BrokenResourceError):
            await raw.rest()


async def test_a_handler_with_a_nursery_that_is_cut_off_ends_nothing_else() -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, handler, "127.0.0.1", 0)
        async with dial(server) as raw:
            await raw.upgrade()
            await wait_until(lambda: len(server.connections) == 1)
            await server.aclose(drain=0.02)
    assert server.statistics().errors == 0


async def test_a_drain_that_is_cancelled_cuts_the_rest_off() -> None:
    async with serving() as server, dial(server) as raw:
        await raw.upgrade()
        with trio.move_on_after(0.05) as scope:
            await server.aclose(drain=100)
        assert scope.cancelled_caught
        await server.aclose(drain=100)
        assert not server.connections


async def test_a_second_drain_may_be_shorter() -> None:
    async with serving() as server, dial(server) as raw:
        await raw.upgrade()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(server.aclose, drain=100))
            await trio.testing.wait_all_tasks_blocked()
            await server.aclose(drain=0.02)
        await server.aclose()


async def test_a_handler_may_close_its_server() -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        await ws.receive()
        await server.aclose(drain=0.05)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, handler, "127.0.0.1", 0)
        async with wscore.connect(url_of(server)) as ws:
            await ws.send("stop")
            with pytest.raises(wscore.ConnectionClosed):
                await ws.receive()


async def test_in_a_handler_or_below_a_drain_waits_for_the_other_connections_only() -> None:
    others_end, done = trio.Event(), []
    arrived: list[object] = []

    async def close(ws: wscore.WebSocket) -> None:
        await server.aclose(drain=100)
        done.append(ws)

    async def handler(ws: wscore.WebSocket) -> None:
        arrived.append(what := await ws.receive())
        await wait_until(lambda: len(arrived) == 3)  # what comes after a Close is for nobody
        if what == "stay":
            await others_end.wait()
        elif what == "close":
            await close(ws)
        else:
            async with trio.open_nursery() as tasks:
                tasks.start_soon(close, ws)
                tasks.start_soon(close, ws)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, handler, "127.0.0.1", 0)
        async with wscore.connect(url_of(server)) as a, wscore.connect(url_of(server)) as b:
            async with wscore.connect(url_of(server)) as other:
                await other.send("stay")
                await a.send("close")
                await b.send("close below")
                for ws in (a, b, other):
                    with pytest.raises(wscore.ConnectionClosed) as error:
                        await ws.receive()
                    assert error.value.code == 1001
            await trio.testing.wait_all_tasks_blocked()
            assert not done
            others_end.set()
            with trio.fail_after(10):
                await wait_until(lambda: len(done) == 3)


async def test_a_drain_in_a_handler_that_takes_too_long_cancels_that_handler_too() -> None:
    cancelled = []

    async def handler(ws: wscore.WebSocket) -> None:
        try:
            if await ws.receive() == "close":
                await server.aclose(drain=0.05)
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(ws)
            raise

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve, handler, "127.0.0.1", 0)
            async with wscore.connect(url_of(server)) as other, wscore.connect(url_of(server)) as ws:
                await other.send("stay")
                await ws.send("close")
                await wait_until(lambda: len(cancelled) == 2)


@pytest.mark.parametrize("drain", [100, 0])
async def test_a_hook_may_close_its_server_and_what_it_accepts_then_is_refused(drain: float) -> None:
    async def on_request(request: wscore.Request) -> wscore.Accept:
        await server.aclose(drain=drain)
        return wscore.Accept()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(partial(serve, echo, "127.0.0.1", 0, on_request=on_request))
            with pytest.raises(wscore.HandshakeError) as error:
                async with wscore.connect(url_of(server)):
                    pass
    assert error.value.response is not None
    assert error.value.response.status == 503


async def test_who_serves_in_its_own_task_may_close_from_a_task_beside() -> None:
    class Status:
        def started(self, server: wscore.Server) -> None:
            nursery.start_soon(partial(server.aclose, drain=100))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await serve(echo, "127.0.0.1", 0, task_status=Status())


async def test_a_peer_that_vanishes_is_cut_off_though_its_handler_closes_after_it(
    monkeypatch: pytest.MonkeyPatch, each_transport: str
) -> None:
    """It neither answers nor ends; what the handler does when it hears of that begins no other wait."""
    monkeypatch.setattr(inspect.getmodule(Session.__base__), "LINGER_TIME", 0.1)
    async with serving(ping_interval=0.05, ping_timeout=0.05, close_timeout=0.1) as server, dial(server) as raw:
        await raw.upgrade()
        with trio.fail_after(30):
            await wait_until(lambda: server.statistics().close_codes == {1011: 1})


# Broadcasting


async def test_a_broadcast_reaches_everybody_and_waits_for_nobody() -> None:
    message = wscore.prepare("x" * 50_000)
    async with serving(max_send_buffer=1 << 16) as server, dial(server) as slow:
        await slow.upgrade()
        async with wscore.connect(url_of(server)) as one, wscore.connect(url_of(server)) as two:
            await wait_until(lambda: len(server.connections) == 3)
            fast = [ws for ws in server.connections if ws.remote_address in (one.local_address, two.local_address)]
            took = 3
            while took == 3:
                took = server.broadcast(message)
                assert await one.receive() == await two.receive() == "x" * 50_000
            assert took == 2  # the slow one has no room left
            assert server.broadcast(b"to two", to=fast) == 2
            assert await one.receive() == await two.receive() == b"to two"


async def test_a_broadcast_is_framed_and_compressed_once() -> None:
    async with serving(compression="takeover") as server, contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(wscore.connect(url_of(server), compression="shared")) for _ in range(3)
        ]
        await wait_until(lambda: len(server.connections) == 3)
        assert server.broadcast("x" * 100_000) == 3
        for client in clients:
            assert await client.receive() == "x" * 100_000
        assert server.statistics().bytes_sent < 3_000


async def test_a_broadcast_may_go_to_nobody_to_one_twice_and_to_connections_of_a_client() -> None:
    """Whoever a client's frames are for wants them masked, each with a key of its own."""
    async with serving() as server, wscore.connect(url_of(server)) as ws:
        await wait_until(lambda: len(server.connections) == 1)
        assert server.broadcast("x", to=[]) == 0
        assert server.broadcast("x", to=(ours for ours in [*server.connections] * 2)) == 2
        assert [await ws.receive() for _ in range(2)] == ["x", "x"]
        assert server.broadcast(b"echoed", to=[ws, *server.connections, ws]) == 3
        assert [await ws.receive() for _ in range(3)] == [b"echoed"] * 3


@pytest.mark.parametrize(("excess", "took"), [(0, 1), (1, 0)])
async def test_a_broadcast_goes_to_those_that_have_room_for_all_of_it(excess: int, took: int) -> None:
    first, mark, header = 1000, 1 << 16, 14
    async with serving(max_send_buffer=mark) as server, wscore.connect(url_of(server)) as ws:
        await wait_until(lambda: len(server.connections) == 1)
        assert server.broadcast(bytes(first)) == 1
        (ours,) = server.connections
        unsent = ours.statistics().send_buffer
        assert first < unsent <= first + header
        assert server.broadcast(bytes(mark - unsent - header + excess)) == took
        assert len(await ws.receive()) == first


async def test_a_broadcast_does_not_overtake_those_that_wait_to_send() -> None:
    async with serving(wscore.WebSocket.wait_closed, max_send_buffer=1 << 16) as server, dial(server) as slow:
        await slow.upgrade()
        await wait_until(lambda: len(server.connections) == 1)
        (ws,) = server.connections

        async def send_on() -> None:
            while True:
                await ws.send(bytes(1 << 16))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_on)
            await wait_until(lambda: ws.statistics().senders_waiting == 1)
            assert server.broadcast(b"") == 0
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("message", [None, 5, ["list"], "\ud800"])
async def test_a_broadcast_of_no_message_is_misuse_even_with_nobody_there(message: object) -> None:
    async with serving() as server:
        with pytest.raises((TypeError, UnicodeEncodeError)):
            server.broadcast(message)


async def test_a_broadcast_passes_over_those_that_are_closing_or_gone() -> None:
    async with serving(wscore.WebSocket.wait_closed) as server, wscore.connect(url_of(server)) as good:
        async with dial(server) as closing:
            await closing.upgrade()
            await wait_until(lambda: len(server.connections) == 2)
            both = list(server.connections)
            gone = next(ws for ws in both if ws.remote_address != good.local_address)
            gone.close_nowait()
            assert server.broadcast("to one") == 1
        await wait_until(lambda: len(server.connections) == 1)
        assert server.broadcast("to one", to=both) == 1
        assert [await good.receive(), await good.receive()] == ["to one", "to one"]


async def test_slow_consumers_may_be_closed_with_1013() -> None:
    async with serving(max_send_buffer=1 << 16, slow_consumer="close") as server, dial(server) as slow:
        await slow.upgrade()
        await wait_until(lambda: len(server.connections) == 1)
        while server.broadcast(bytes(1 << 16)):
            await trio.lowlevel.checkpoint()
        assert (1013).to_bytes(2, "big") in (await slow.rest())[-64:]
        await slow.aclose()
        await wait_until(lambda: not server.connections)
        assert server.statistics().close_codes == {1013: 1}


# Compression


@pytest.mark.parametrize("server_policy", [None, "takeover", "shared", "dedicated"])
@pytest.mark.parametrize("client_policy", [None, "takeover", "shared", "dedicated"])
async def test_compression_is_agreed_on_and_carries_own_and_prepared_messages(
    server_policy: str | None, client_policy: str | None
) -> None:
    prepared = wscore.prepare("prepared " * 1000)

    async def handler(ws: wscore.WebSocket) -> None:
        async for message in ws:
            await ws.send(message)
            await ws.send(prepared)
            await ws.send(message)
            await ws.send("plain " * 1000, compress=False)

    async with (
        serving(handler, compression=server_policy) as server,
        wscore.connect(url_of(server), compression=client_policy) as ws,
    ):
        agreed = "sec-websocket-extensions" in ws.response.headers
        assert agreed == (server_policy is not None and client_policy is not None)
        for message in ("own " * 1000, b"\x00" * 5000, ""):
            await ws.send(message)
            replies = [await ws.receive() for _ in range(4)]
            assert replies == [message, "prepared " * 1000, message, "plain " * 1000]
        assert (server.statistics().bytes_sent < 45_000) == agreed


async def test_a_small_message_that_inflates_beyond_the_limit_gets_1009() -> None:
    async with serving(compression="takeover") as server:
        async with wscore.connect(url_of(server), compression="takeover") as ws:
            await ws.send(bytes(2 << 20))
            assert [message async for message in lossless(ws)] == []
            assert ws.close_code == 1009
        assert server.statistics().bytes_received < 1 << 16


async def lossless(ws: wscore.WebSocket):
    try:
        async for message in ws:
            yield message
    except wscore.ConnectionLost:
        pass


async def test_what_fails_before_serving_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, each_transport: str
) -> None:
    opened = []

    def fail(site: object, addresses: list[tuple[str, int]], *_: object) -> None:
        opened.extend(addresses)
        raise MemoryError

    monkeypatch.setattr("wscore.protocol.origin.SitePolicy.bind", fail)
    with pytest.raises(MemoryError):
        await wscore.serve(echo, "127.0.0.1", 0, transport=each_transport)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(opened[0])
