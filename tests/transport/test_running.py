"""A connection from its first byte to its last: handlers, blocks, and what leaves them."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from wscore.codec import CLIENT, SERVER
from wscore.protocol.extensions import DeflateParameters
from wscore.session.options import Options
from wscore.transport import stream
from wscore.transport.errors import ConnectionClosed, ConnectionLost
from wscore.transport.records import Opening
from wscore.transport.stream import new_connection, open_websocket, run_websocket
from wscore.transport.websocket import WebSocket


class Handled:
    """A connection that a handler is running on, and the peer's end as a `WebSocket` of its own."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.statistics = None


@asynccontextmanager
async def handled(handler, **hooks) -> AsyncIterator:
    """Run `handler` as a server does; the block gets the client's `WebSocket` and what the server made of it."""
    ours, theirs = trio.testing.memory_stream_pair()
    options = Options()
    outcome = Handled()

    async def serve() -> None:
        outcome.statistics = await run_websocket(
            ours,
            new_connection(SERVER, options),
            options,
            Opening(),
            handler,
            on_error=lambda ws, error: outcome.errors.append(error),
            **hooks,
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_websocket(theirs, new_connection(CLIENT, options), options, Opening()) as ws:
            yield ws, outcome


async def test_a_handler_that_returns_closes_with_1000() -> None:
    async def handler(ws) -> None:
        await ws.send("hello")

    async with handled(handler) as (client, outcome):
        assert [message async for message in client] == ["hello"]
        assert client.close_code == 1000
    assert outcome.errors == []
    assert outcome.statistics.messages_sent == 1
    assert not outcome.statistics.failed


async def test_a_handler_may_let_the_end_of_its_own_connection_escape() -> None:
    async def handler(ws) -> None:
        await ws.receive()

    async with handled(handler) as (client, outcome):
        await client.aclose()
    assert outcome.errors == []
    assert not outcome.statistics.failed


async def test_a_handler_with_a_nursery_may_let_it_escape_in_a_group() -> None:
    async def handler(ws) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.receive)

    async with handled(handler) as (client, outcome):
        client.abort()
    assert outcome.errors == []


@pytest.mark.parametrize("error", [KeyError("mine"), ConnectionLost(1006, ""), ExceptionGroup("", [OSError()])])
async def test_any_other_exception_closes_with_1011_and_is_reported(error: Exception) -> None:
    async def handler(ws) -> None:
        raise error

    async with handled(handler) as (client, outcome):
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive()
        assert (caught.value.code, caught.value.reason) == (1011, "")
    assert outcome.errors == [error]
    assert outcome.statistics.failed


async def test_an_error_after_the_end_is_reported_too() -> None:
    async def handler(ws) -> None:
        with pytest.raises(ConnectionClosed):
            await ws.receive()
        raise KeyError("late")

    async with handled(handler) as (client, outcome):
        await client.aclose(1000)
    assert [type(error) for error in outcome.errors] == [KeyError]


async def test_without_a_hook_the_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(ws) -> None:
        raise KeyError("mine")

    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    with caplog.at_level(logging.ERROR, "wscore"):
        await run_websocket(ours, new_connection(SERVER, Options()), Options(), Opening(), handler)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


class Stop(BaseException):
    pass


async def test_what_is_no_exception_is_raised_as_it_is_and_closes_at_once() -> None:
    async def handler(ws) -> None:
        raise Stop

    ours, theirs = trio.testing.memory_stream_pair()
    with pytest.raises(Stop):
        await run_websocket(ours, new_connection(SERVER, Options()), Options(), Opening(), handler)
    assert await theirs.receive_some() == b""


async def test_what_on_error_raises_is_raised_as_it_is() -> None:
    async def handler(ws) -> None:
        raise KeyError("the handler's")

    def on_error(ws, error: Exception) -> None:
        raise ValueError("the hook's") from error

    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    with pytest.raises(ValueError, match="the hook's"):
        await run_websocket(ours, new_connection(SERVER, Options()), Options(), Opening(), handler, on_error=on_error)


async def test_a_cancelled_handler_closes_at_once_without_a_handshake(autojump_clock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    start = trio.current_time()
    with trio.move_on_after(5) as scope:
        await run_websocket(ours, new_connection(SERVER, Options()), Options(), Opening(), WebSocket.receive)
    assert scope.cancelled_caught
    assert trio.current_time() - start == 5
    assert await theirs.receive_some() == b""


async def test_scopes_inside_the_handler_do_not_reach_the_connection(autojump_clock) -> None:
    async def handler(ws) -> None:
        for _ in range(3):
            with trio.move_on_after(1):
                await ws.receive()
        await ws.send("unharmed")

    async with handled(handler) as (client, _):
        assert await client.receive() == "unharmed"


# The block of a client


async def test_a_block_that_ends_closes_with_1000(role) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    other = CLIENT if role is SERVER else SERVER
    codes = []

    async def peer() -> None:
        async with open_websocket(theirs, new_connection(other, Options()), Options(), Opening()) as ws:
            with pytest.raises(ConnectionClosed) as caught:
                await ws.receive()
            codes.append(caught.value.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer)
        async with open_websocket(ours, new_connection(role, Options()), Options(), Opening()):
            pass
    assert codes == [1000]


async def test_a_block_that_raises_closes_with_1011_and_the_error_comes_out_as_it_is(role) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    other = CLIENT if role is SERVER else SERVER
    codes = []

    async def peer() -> None:
        async with open_websocket(theirs, new_connection(other, Options()), Options(), Opening()) as ws:
            async for _ in ws:
                pass
            codes.append(ws.close_code)

    error = KeyError("mine")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer)
        with pytest.raises(KeyError) as caught:
            async with open_websocket(ours, new_connection(role, Options()), Options(), Opening()):
                raise error
        assert caught.value is error
        assert error.__context__ is None
    assert codes == [1011]


async def test_a_group_that_the_block_raises_comes_out_as_it_is(link) -> None:
    group = ExceptionGroup("mine", [KeyError("x")])
    with pytest.raises(ExceptionGroup) as caught:
        async with link():
            raise group
    assert caught.value is group


async def test_the_end_of_the_connection_comes_out_of_the_block(link) -> None:
    async def block() -> None:
        async with link() as (ws, peer):
            await peer.stream.aclose()
            await ws.receive()

    with pytest.raises(ConnectionLost):
        await block()


async def test_a_cancelled_block_closes_at_once_without_a_handshake(link, autojump_clock) -> None:
    start = trio.current_time()
    with trio.move_on_after(5) as scope:
        async with link() as (ws, peer):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() - start == 5
    assert ws.close_code == 1006
    assert peer.connection.close_event is None


async def test_cancelled_while_it_closes_it_ends_at_once(autojump_clock) -> None:
    ours, _theirs = trio.testing.memory_stream_pair()
    start = trio.current_time()
    with trio.move_on_after(3) as scope:
        async with open_websocket(ours, new_connection(CLIENT, Options()), Options(), Opening()):
            pass
    assert scope.cancelled_caught
    assert trio.current_time() - start == 3


async def test_an_error_while_cancelled_comes_out(link) -> None:
    async def block() -> None:
        with trio.CancelScope() as scope:
            async with link():
                scope.cancel()
                raise KeyError("mine")

    with pytest.raises(KeyError):
        await block()


async def test_an_error_inside_the_transport_ends_the_block_and_is_raised_as_it_is(role) -> None:
    class Broken(trio.abc.Stream):
        """A stream with a mistake, as an application's own may have one."""

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            await trio.lowlevel.checkpoint()
            raise ZeroDivisionError

        async def send_all(self, data: object) -> None:
            await trio.sleep_forever()

        async def wait_send_all_might_not_block(self) -> None: ...

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    async def block() -> None:
        async with open_websocket(Broken(), new_connection(role, Options()), Options(), Opening()) as ws:
            await ws.send("x")
            await trio.sleep_forever()

    with pytest.raises(ZeroDivisionError):
        await block()


async def test_facts_of_the_opening_are_kept(link) -> None:
    opening = Opening(subprotocol="chat", user="me", local_address=("::1", 1), remote_address=("::1", 2))
    async with link(opening=opening) as (ws, _):
        assert (ws.subprotocol, ws.user, ws.local_address, ws.remote_address) == ("chat", "me", ("::1", 1), ("::1", 2))
        assert (ws.request, ws.response) == (None, None)


async def test_statistics_do_not_change_afterwards(link, role) -> None:
    async with link() as (ws, peer):
        before = ws.statistics()
        await ws.send("x")
        await peer.next()
        assert (before.messages_sent, before.bytes_sent) == (0, 0)
        assert ws.statistics().messages_sent == 1
        assert ws.statistics().bytes_sent == len(b"x") + (2 if role is SERVER else 6)


async def test_connections_of_one_run_share_their_compressors() -> None:
    options = Options(compression="takeover")
    deflate = DeflateParameters()
    connections = [new_connection(SERVER, options, deflate) for _ in range(2)]
    for connection in connections:
        connection.send("x" * 100)
    assert len(stream._deflate_pool.get()) == 2


@pytest.mark.parametrize("policy", ["takeover", "shared", "dedicated"])
async def test_what_was_agreed_is_compressed_unless_a_message_says_otherwise(policy: str) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    options = Options(compression=policy)
    deflate = DeflateParameters()
    text = "compress me " * 1000
    async with (
        open_websocket(ours, new_connection(SERVER, options, deflate), options, Opening()) as server,
        open_websocket(theirs, new_connection(CLIENT, options, deflate), options, Opening()) as client,
    ):
        for compress, least, most in ((None, 0, 1000), (False, len(text), len(text) + 20), (True, 0, 1000)):
            before = server.statistics().bytes_sent
            await server.send(text, compress=compress)
            assert await client.receive() == text
            assert least <= server.statistics().bytes_sent - before <= most
        await client.send_pieces([text, text])
        assert await server.receive() == text + text
        assert client.statistics().bytes_sent < 2000
        client.close_nowait()
