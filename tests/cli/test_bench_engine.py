"""A run of `wscore bench` inside this process: what cancelling it leaves behind, and how connections are opened."""

import os
import selectors
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import wscore
from wscore.cli import Failure
from wscore.cli.bench import run
from wscore.cli.bench.engine import Engine
from wscore.cli.bench.line import Shared
from wscore.cli.bench.loads import Window
from wscore.cli.bench.opening import Opener
from wscore.cli.bench.payloads import Payloads
from wscore.cli.bench.tally import Tally
from wscore.cli.options import BENCH, Parser, Settings, add_options, settings_of

from ..raw import Raw


def settings(*typed: str) -> Settings:
    parser = Parser(prog="wscore")
    add_options(parser, BENCH, environment=False)
    return settings_of(parser.parse_args(typed), BENCH)


def engine_for(url: str, *typed: str) -> Engine:
    tally = Tally()
    load = Window(tally, 1)
    shared = Shared(selectors.DefaultSelector(), Payloads(20, False, 1), tally, True)
    return Engine(settings(*typed), Opener(url, settings(*typed), None), load, shared)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def dial_and_answer(answer: Callable[[Raw, bytes], Awaitable[object]], **changes: str) -> Any:
    """Open one connection to a server that answers by hand; return it, or the error that came of it."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def serve(stream: trio.SocketStream) -> None:
        raw = Raw(stream)
        await answer(raw, await raw.head())

    typed = [text for name, value in changes.items() for text in (f"--{name}", value)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/"
        try:
            return await Opener(url, settings(*typed), None).open()
        except wscore.HandshakeError as error:
            return error
        finally:
            nursery.cancel_scope.cancel()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux")
async def test_a_cancelled_run_closes_all_connections_at_once(serving: Callable[..., Any]) -> None:
    codes = []
    all_there, all_gone = trio.Event(), trio.Event()

    async def listen(ws: wscore.WebSocket) -> None:
        try:
            await ws.send(await ws.receive())
            await ws.receive()
            all_there.set()
            async for _ in ws:  # which is not answered: a polite end would wait for replies
                pass
        except wscore.ConnectionLost as error:
            codes.append(error.code)
        if len(codes) == 3:
            all_gone.set()

    async with serving(listen) as url:
        before = open_descriptors()
        async with trio.open_nursery() as nursery:
            engine = engine_for(url, "--connections", "3")
            nursery.start_soon(engine.run)
            await all_there.wait()
            nursery.cancel_scope.cancel()
        assert engine.open_lines == 0
        await all_gone.wait()
    assert codes == [1006] * 3
    assert open_descriptors() <= before


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux")
@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_opening_can_be_cancelled_and_leaves_nothing_open(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        opener = Opener(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/", settings(), None)
        # Once with an address to find, once with the one that was found.
        for _ in range(2):
            before = open_descriptors()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(opener.open)
                accepted, _ = await trio.to_thread.run_sync(silent.accept)
                await trio.to_thread.run_sync(accepted.recv, 1)  # the request, or the beginning of TLS
                nursery.cancel_scope.cancel()
            accepted.close()
            assert open_descriptors() == before


async def test_what_comes_with_the_answer_is_not_lost() -> None:
    async def greet(raw: Raw, request: bytes) -> None:
        handshake = wscore.Handshake(wscore.SERVER)
        handshake.receive_data(request + b"\r\n")
        handshake.answer(wscore.Accept())
        greeting = wscore.Connection(wscore.SERVER)
        greeting.send("hello")
        await raw.send(handshake.data_to_send() + greeting.data_to_send())

    opened = await dial_and_answer(greet)
    opened.socket.close()
    assert opened.connection.receive_data(opened.rest) == ["hello"]
    assert not opened.compresses


async def test_a_refusal_that_breaks_off_is_a_refusal_all_the_same() -> None:
    async def refuse(raw: Raw, _request: bytes) -> None:
        await raw.send(b"HTTP/1.1 429 Slowly\r\nContent-Length: 1000\r\n\r\nNot so")
        await raw.aclose()

    error = await dial_and_answer(refuse)
    assert (error.response.status, error.response.body) == (429, b"Not so")


async def test_a_refusal_whose_body_never_ends_is_a_refusal_all_the_same() -> None:
    async def refuse(raw: Raw, _request: bytes) -> None:
        await raw.send(b"HTTP/1.1 429 Slowly\r\nContent-Length: 1000\r\n\r\nNot so")
        await trio.sleep_forever()

    error = await dial_and_answer(refuse, timeout="0.1")
    assert (error.response.status, error.response.body) == (429, b"Not so")


async def test_a_server_that_hangs_up_has_not_answered() -> None:
    error = await dial_and_answer(lambda raw, _: raw.aclose())
    assert str(error) == "The connection ended before the server had answered."
    assert error.response is None


def test_without_epoll_and_kqueue_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
    with pytest.raises(Failure, match="needs epoll or kqueue"):
        run("ws://127.0.0.1:1/", settings())
