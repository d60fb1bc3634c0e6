"""What all connections hold together is limited; and those that hold little do not notice (design: limits)."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
import trustme

import wscore
from wscore.codec import CLIENT, Deflater, Writer
from wscore.server.pages import plain
from wscore.server.relief import FIRST_SECONDS, SURVEY_INTERVAL
from wscore.session.opening.server import TLS_HANDSHAKE
from wscore.transport.reserve import QUANTUM

from ..raw import Raw, dial, echo, serving, status_of
from ..wire import BINARY, CLOSE, KEY, TEXT, Frame, encode, from_client

pytestmark = pytest.mark.usefixtures("each_transport")

KIB = 1 << 10
HANGING = 60
ENOUGH = {"max_total_buffers": 1024 * KIB, "ping_interval": None}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.lowlevel.checkpoint()


def living(server: wscore.Server) -> int:
    return sum(ws.close_code is None for ws in server.connections)


def held(server: wscore.Server) -> int:
    return server._conversations.reserve.held


def is_paused_in_a_message(ws: wscore.WebSocket) -> bool:
    """Whether it has a message in part, and does not read on."""
    incoming = ws._message_under_way()
    return incoming is not None and incoming.is_paused


async def hold(server: wscore.Server, raw: Raw, size: int, **headers: str) -> bytes:
    """Open a WebSocket, and send so much of a message of 600 KiB; what is left of it."""
    await raw.upgrade(**headers)
    return await hold_more(server, raw, size)


async def hold_more(server: wscore.Server, raw: Raw, size: int, of: int = 600 * KIB) -> bytes:
    """Send so much of a message of 600 KiB; what is left of it."""
    message = encode(Frame(BINARY, bytes(of), key=KEY))
    before = held(server)
    await raw.send(message[:size])
    await until(lambda: held(server) >= before + size - 2 * QUANTUM or held(server) < before)
    return message[size:]


async def opens(server: wscore.Server) -> int:
    async with dial(server) as raw:
        await raw.ask()
        return status_of(await raw.head())


async def echoes(raw: Raw, text: bytes) -> None:
    await raw.say(TEXT, text)
    assert [frame.payload for frame in await raw.frames(1)] == [text]


async def gets_its_echo(raw: Raw) -> None:
    """All of the message of 600 KiB."""
    received = 0
    while received < 600 * KIB + 10:
        received += len(await raw.stream.receive_some(1 << 16))


SHORT = (1013).to_bytes(2) + b"the server is short of memory"


async def is_closed_with_1013(raw: Raw) -> None:
    (close,) = await raw.frames(1)
    assert (close.opcode, close.payload) == (CLOSE, SHORT)


async def test_at_the_limit_nobody_goes_and_above_it_the_largest_and_newcomers_find_room() -> None:
    async with (
        serving(**ENOUGH) as server,
        dial(server) as honest,
        dial(server) as one,
        dial(server) as most,
        dial(server) as three,
    ):
        await honest.upgrade()
        rest = await hold(server, one, 300 * KIB)
        await hold(server, most, 500 * KIB)
        await hold(server, three, 220 * KIB)
        assert len(server.connections) == 4
        assert await opens(server) == 101
        await three.send(bytes(16 * KIB))
        await is_closed_with_1013(most)
        await until(lambda: held(server) < 560 * KIB)  # at once, though the peer has not closed yet
        assert await opens(server) == 101
        assert server.statistics().reasons == {}
        await echoes(honest, b"as if nothing had happened")
        await one.send(rest)
        await gets_its_echo(one)


async def test_as_many_go_as_it_takes_until_nine_tenths_are_held() -> None:
    async with serving(**ENOUGH) as server, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(dial(server)) for _ in range(20)]
        for peer in peers[:-1]:
            await hold(server, peer, 50 * KIB)
        await hold(server, peers[-1], 90 * KIB)
        await until(lambda: held(server) <= 1024 * KIB * 9 // 10)
        assert held(server) > 1024 * KIB * 9 // 10 - 50 * KIB
        await is_closed_with_1013(peers[-1])


async def test_of_the_address_that_holds_most_the_largest_goes_though_others_hold_more() -> None:
    async with serving(**ENOUGH, trusted_proxies="127.0.0.1") as server, AsyncExitStack() as stack:
        alone, *crowd = [await stack.enter_async_context(dial(server)) for _ in range(4)]
        await hold(server, alone, 400 * KIB, X_Forwarded_For="192.0.2.1")
        await hold(server, crowd[0], 200 * KIB, X_Forwarded_For="192.0.2.2")
        await hold(server, crowd[1], 300 * KIB, X_Forwarded_For="192.0.2.2")
        await hold(server, crowd[2], 200 * KIB, X_Forwarded_For="192.0.2.2")
        await is_closed_with_1013(crowd[1])
        assert living(server) == 3


async def test_what_a_peer_does_not_read_is_given_back_with_a_reset() -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        await ws.send(bytes(32 << 20))
        await ws.wait_closed()

    async with serving(handler, **ENOUGH) as server, dial(server) as raw:
        await raw.upgrade()
        await until(lambda: server.statistics().resets == 1)
        await until(lambda: held(server) == 0)


async def test_while_too_much_is_held_newcomers_get_503_and_pages_are_answered() -> None:
    pages = {"/healthz": lambda: plain(200, "ok")}
    async with serving(**ENOUGH, pages=pages) as server, dial(server) as honest:
        await honest.upgrade()
        server._conversations.reserve.change(1024 * KIB + 1)  # by what cannot be closed
        assert await opens(server) == 503
        assert server.statistics().reasons == {"memory": 1}
        async with dial(server) as raw:
            await raw.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status_of(await raw.rest()) == 200
        await echoes(honest, b"as if nothing had happened")
        server._conversations.reserve.change(-1)
        assert await opens(server) == 101


async def pass_time(clock: trio.testing.MockClock, seconds: float) -> None:
    """In steps of the survey, each of which is seen to the end."""
    for _ in range(round(seconds / SURVEY_INTERVAL)):
        clock.jump(SURVEY_INTERVAL)
        await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize(("option", "size"), [({}, 600), ({"min_message_rate": 20 * KIB}, 605)])
async def test_while_more_than_half_is_held_a_message_must_come_at_a_least_rate(
    mock_clock: trio.testing.MockClock, option: dict[str, Any], size: int
) -> None:
    async with serving(**ENOUGH, **option) as server, dial(server) as slow:
        await hold(server, slow, 599 * KIB)
        rate = option.get("min_message_rate", 8 * KIB)
        assert size * KIB / rate > FIRST_SECONDS
        await pass_time(mock_clock, 599 * KIB / rate - 2)
        assert living(server) == 1
        await pass_time(mock_clock, 4)
        await is_closed_with_1013(slow)


@pytest.mark.parametrize("option", [{"min_message_rate": 1e9}, {"min_message_rate": None}])
async def test_a_message_has_its_first_thirty_seconds_whatever_its_rate(
    mock_clock: trio.testing.MockClock, option: dict[str, Any]
) -> None:
    async with serving(**ENOUGH, **option) as server, dial(server) as slow:
        await hold(server, slow, 599 * KIB)
        await pass_time(mock_clock, FIRST_SECONDS - 1)
        assert living(server) == 1
        await pass_time(mock_clock, 3)
        if option["min_message_rate"] is not None:
            await is_closed_with_1013(slow)
        else:
            assert living(server) == 1


async def test_while_half_is_held_a_message_may_take_its_time(mock_clock: trio.testing.MockClock) -> None:
    async with serving(**ENOUGH, min_message_rate=1e9) as server, dial(server) as slow:
        await hold(server, slow, 510 * KIB)
        await pass_time(mock_clock, 100)
        assert living(server) == 1


async def test_a_message_that_follows_another_has_its_own_time(mock_clock: trio.testing.MockClock) -> None:
    async with serving(**ENOUGH, min_message_rate=1e9) as server, dial(server) as large, dial(server) as busy:
        await busy.upgrade()
        await until(lambda: living(server) == 1)
        (busy_one,) = server.connections
        rest = await hold_more(server, busy, 20 * KIB, of=30 * KIB)
        await hold(server, large, 520 * KIB)
        await pass_time(mock_clock, 20)
        await busy.send(rest)
        assert len(await busy.frames(1)) == 1
        await until(lambda: held(server) < 522 * KIB)
        await hold_more(server, busy, 20 * KIB)
        await pass_time(mock_clock, 15)
        await is_closed_with_1013(large)
        assert busy_one.close_code is None


async def test_time_in_which_we_did_not_read_does_not_count(mock_clock: trio.testing.MockClock) -> None:
    go = trio.Event()

    async def handler(ws: wscore.WebSocket) -> None:
        await go.wait()
        await ws.receive()
        await ws.wait_closed()

    little = {"max_total_buffers": 40 * KIB, "max_receive_queue": 1, "ping_interval": None}
    async with serving(handler, **little, min_message_rate=1e9) as server, dial(server) as raw:
        await raw.upgrade()
        await until(lambda: living(server) == 1)
        await raw.send(from_client(BINARY, bytes(30 * KIB)) + encode(Frame(BINARY, bytes(9 * KIB), key=KEY))[: 5 * KIB])
        (ws,) = server.connections
        await until(lambda: is_paused_in_a_message(ws))
        await pass_time(mock_clock, 100)
        assert living(server) == 1
        go.set()
        await until(lambda: not is_paused_in_a_message(ws))


async def test_what_waits_to_be_received_counts_until_it_is_received() -> None:
    go = trio.Event()

    async def handler(ws: wscore.WebSocket) -> None:
        await go.wait()
        async for _ in ws:
            pass

    async with serving(handler, **ENOUGH) as server, dial(server) as raw:
        await raw.upgrade()
        await raw.send(from_client(BINARY, bytes(50 * KIB)) * 10)
        await until(lambda: held(server) > 490 * KIB)
        go.set()
        await until(lambda: held(server) < QUANTUM)


async def test_what_waits_to_be_sent_counts_until_it_has_left() -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        await ws.send(bytes(32 << 20))
        await ws.wait_closed()

    async with serving(handler, **ENOUGH | {"max_total_buffers": 64 << 20}) as server, dial(server) as raw:
        await raw.upgrade()
        await until(lambda: held(server) > 1 << 20)
        while held(server) > QUANTUM:
            await raw.stream.receive_some(1 << 20)


async def test_nothing_is_left_when_all_have_gone() -> None:
    async with serving(**ENOUGH) as server:
        for _ in range(3):
            async with dial(server) as one, dial(server) as two:
                await hold(server, one, 300 * KIB)
                await hold(server, two, 500 * KIB)
            await until(lambda: not server.connections)
            await until(lambda: held(server) == 0)
            assert server._conversations.reserve.share == 1024 * KIB


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError)])
async def test_senseless_limits_are_misuse(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_total_buffers"):
        await wscore.serve(echo, "127.0.0.1", 0, max_total_buffers=value)


async def test_a_tls_handshake_under_way_counts_until_it_is_over_whatever_comes_of_it() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    theirs = ssl.create_default_context()
    authority.configure_trust(theirs)
    async with serving(**ENOUGH, ssl_context=context) as server:
        async with dial(server) as silent, dial(server) as wrong:
            await until(lambda: held(server) == 2 * TLS_HANDSHAKE)
            await wrong.send(b"GET / HTTP/1.1\r\n\r\n")
            await until(lambda: held(server) == TLS_HANDSHAKE)
            await silent.send(b"\x16\x03\x01")
            url = f"wss://localhost:{server.addresses[0][1]}"
            async with wscore.connect(url, ssl_context=theirs):
                await until(lambda: held(server) == TLS_HANDSHAKE)
        await until(lambda: held(server) == 0)
        with pytest.raises(wscore.HandshakeError):
            async with wscore.connect(url, ssl_context=theirs, headers=[("Origin", "http://evil.example")]):
                pass
        await until(lambda: held(server) == 0)


async def test_many_tls_handshakes_are_too_much_for_newcomers() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with serving(**ENOUGH, ssl_context=context) as server, AsyncExitStack() as stack:
        for _ in range(17):
            await stack.enter_async_context(dial(server))
        await until(lambda: server._conversations.reserve.is_over)


async def test_tls_handshakes_that_hold_too_much_go_themselves_and_no_websocket_for_them() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    theirs = ssl.create_default_context()
    authority.configure_trust(theirs)
    async with serving(**ENOUGH, ssl_context=context) as server, AsyncExitStack() as stack:
        url = f"wss://localhost:{server.addresses[0][1]}"
        honest = await stack.enter_async_context(wscore.connect(url, ssl_context=theirs))
        may_end = trio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield bytes(8 * KIB)
            await may_end.wait()
            yield b"end"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(honest.send_pieces, pieces())
            await until(lambda: held(server) >= 8 * KIB - QUANTUM)
            silent = [await stack.enter_async_context(dial(server)) for _ in range(40)]
            await until(lambda: server._conversations.reserve.is_over)
            with trio.fail_after(60):
                with suppress(trio.BrokenResourceError):
                    assert await silent[0].rest() == b""  # the oldest has gone
                while server._conversations.reserve.is_over:  # noqa: ASYNC110 - its clock says when
                    await trio.sleep(0.01)
            async with wscore.connect(url, ssl_context=theirs):
                pass
            may_end.set()
            assert await honest.receive() == bytes(8 * KIB) + b"end"


async def test_what_came_encrypted_and_waits_to_be_decrypted_counts() -> None:
    """60 kB in four records; one of them is decrypted, and fills the queue with its first message."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    theirs = ssl.create_default_context()
    authority.configure_trust(theirs)
    go, received = trio.Event(), []
    messages = [bytes([number]) * 1000 for number in range(60)]

    async def handler(ws: wscore.WebSocket) -> None:
        await go.wait()
        received.extend([await ws.receive() for _ in messages])

    options = ENOUGH | {"ssl_context": context, "max_receive_queue": 1000}
    async with serving(handler, **options) as server, dial(server) as below:
        raw = Raw(trio.SSLStream(below.stream, theirs, server_hostname="localhost"))
        await raw.upgrade()
        await raw.send(b"".join(from_client(BINARY, message) for message in messages))
        with trio.fail_after(HANGING):
            await until(lambda: held(server) > 24 * KIB)
            go.set()
            await until(lambda: len(received) == 60)
        assert received == messages


async def test_messages_for_on_message_that_compress_well_take_no_more_than_one_and_an_answer() -> None:
    """A server that echoes to peers that do not read; each has sent 40 messages of 100 kB in some 5 kB."""
    count, size = 20, 100_000
    writer = Writer(CLIENT, deflater=Deflater(context_takeover=False))
    for _ in range(40):
        writer.write(bytes(size))
    burst = writer.take()

    def echo_plainly(ws: wscore.WebSocket, message: str | bytes) -> None:
        ws.send_nowait(message, compress=False)

    options: dict[str, Any] = {"compression": "shared", "max_send_buffer": 64 * KIB, "ping_interval": None}
    async with serving(None, on_message=echo_plainly, **options) as server, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(dial(server)) for _ in range(count)]
        for raw in peers:
            await raw.upgrade(Sec_WebSocket_Extensions="permessage-deflate; client_no_context_takeover")
        for raw in peers:
            await raw.send(burst)
        with trio.fail_after(HANGING):
            await until(lambda: server.statistics().messages_waiting == count)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert server.statistics().receive_queue == count * (size + 48)
        assert count * size <= held(server) <= count * (2 * size + len(burst))


async def test_nothing_is_held_for_a_tls_handshake_that_cannot_even_begin() -> None:
    def failed(server: wscore.Server) -> int:
        statistics = server.statistics()
        return statistics.errors + statistics.tls_failures

    async with serving(**ENOUGH, ssl_context=ssl.create_default_context()) as server:  # a client's
        for count in (1, 2, 3):
            async with dial(server) as raw:
                with suppress(trio.BrokenResourceError):
                    assert await raw.rest() == b""
            with trio.fail_after(60):
                while failed(server) < count:
                    await trio.lowlevel.checkpoint()
        with trio.fail_after(60):
            await until(lambda: (held(server), server.statistics().handshakes) == (0, 0))
