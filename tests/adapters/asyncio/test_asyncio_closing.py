"""How connections end, from either side, and what users are told."""

import asyncio
import inspect
import socket
from contextlib import suppress

import pytest

from wscore.session import Session

from ...wire import BINARY, CLOSE, PING, PONG, TEXT, close_payload, decode, from_client
from .peers import Raw, answer_upgrade, feed, tls_contexts, turns, until

HANGING = 20


class Keeper:
    """A handler that receives until the end, and keeps what it saw."""

    def __init__(self) -> None:
        self.ws = None
        self.messages = []
        self.error = None

    async def __call__(self, ws):
        self.ws = ws
        try:
            while True:
                self.messages.append(await ws.receive())
        except Exception as error:
            self.error = error


async def test_the_peers_close_is_answered_and_ends_receiving(aio):
    keeper = Keeper()
    async with aio.serving(keeper) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.send(from_client(TEXT, b"last") + from_client(CLOSE, close_payload(4001, b"reason")))
        assert await raw.rest() == b"\x88\x02" + close_payload(4001)
        await until(lambda: keeper.error)
        assert keeper.messages == ["last"]
        assert isinstance(keeper.error, aio.ConnectionClosed)
        assert (keeper.error.code, keeper.error.reason, keeper.error.by_peer) == (4001, "reason", True)
        assert str(keeper.error) == "the peer closed the connection with 4001 'reason'"
        assert (keeper.ws.close_code, keeper.ws.close_reason) == (4001, "reason")
        with pytest.raises(aio.ConnectionLost):
            await keeper.ws.send("too late")
        with pytest.raises(aio.ConnectionLost):
            await keeper.ws.ping()


@pytest.mark.parametrize("begun_by", ["client", "server", "a broken rule"])
@pytest.mark.parametrize("ends", [True, False])
async def test_a_client_lets_its_server_end_first(aio, begun_by, ends):
    """RFC 6455 section 7.1.1: whoever ends TCP first has to remember the connection (TIME_WAIT). Some never do."""
    ended = []
    first = {"client": b"", "server": b"\x88\x02\x03\xe8", "a broken rule": b"\xff\xff"}[begun_by]

    async def talk(raw):
        await answer_upgrade(raw, first)
        assert (await raw.reader.read(1000))[0] == 0x88
        raw.send(b"\x88\x02\x03\xe8" if begun_by == "client" else b"")
        if ends:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(raw.reader.read(1), 0.1)
            raw.writer.write_eof()
        ended.append(await raw.reader.read())

    async with aio.raw_server(talk) as url:
        start = asyncio.get_running_loop().time()
        async with aio.names.connect(url, close_timeout=60 if ends else 0.3) as ws:
            if begun_by != "client":
                await ws.wait_closed()
        assert ends or asyncio.get_running_loop().time() - start >= 0.3
        await until(lambda: ended)
    assert ended == [b""]


async def test_what_came_before_a_close_is_answered_before_it_takes_effect(aio):
    async with aio.serving() as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.send(from_client(TEXT, b"1") + from_client(TEXT, b"2") + from_client(CLOSE, close_payload(1000)))
        assert await raw.rest() == b"\x81\x011\x81\x012\x88\x02\x03\xe8"


async def test_though_nobody_receives_the_peers_close_is_answered(aio):
    async def handler(ws):
        await ws.wait_closed()

    async with aio.serving(handler, close_timeout=0.2) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.send(from_client(TEXT, b"nobody wants this") + from_client(CLOSE, close_payload(1000)))
        assert await raw.rest() == b"\x88\x02\x03\xe8"


async def test_the_iteration_ends_with_the_peers_close_and_fails_with_a_loss(aio):
    ends = []

    async def handler(ws):
        try:
            async for _ in ws:
                pass
            ends.append(None)
        except Exception as error:
            ends.append(error)

    async with aio.serving(handler) as server:
        async with aio.connect(server):
            pass
        await until(lambda: len(ends) == 1)
        async with aio.dialled(server) as raw:
            await raw.upgrade()
            raw.writer.write_eof()
            assert await raw.rest() == b""
        await until(lambda: len(ends) == 2)
    assert ends[0] is None
    assert isinstance(ends[1], aio.ConnectionLost)
    assert ends[1].code == 1006
    assert "1006" in str(ends[1])


async def test_a_handler_that_returns_closes_with_1000(aio):
    async def handler(ws):
        await ws.send("bye")

    async with aio.serving(handler) as server, aio.connect(server) as ws:
        assert await ws.receive() == "bye"
        with pytest.raises(aio.ConnectionClosed) as ended:
            await ws.receive()
        assert (ended.value.code, ended.value.by_peer) == (1000, True)


async def test_aclose_sends_what_waits_then_its_code_and_waits_for_the_answer(aio):
    keeper = Keeper()
    async with aio.serving(keeper) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: keeper.ws)
        keeper.ws.send_nowait("before")
        closing = asyncio.ensure_future(keeper.ws.aclose(4002, "enough"))
        assert (await raw.frame()).payload == b"before"
        assert (await raw.frame()).payload == close_payload(4002, b"enough")
        with pytest.raises(aio.ConnectionClosed) as ended:
            await keeper.ws.send("too late")
        assert not ended.value.by_peer
        assert not closing.done()
        raw.send(from_client(TEXT, b"thrown away") + from_client(CLOSE, close_payload(4002, b"enough")))
        assert await raw.rest() == b""
        raw.abort()
        await closing
        await until(lambda: keeper.error)
        assert keeper.messages == []
        assert isinstance(keeper.error, aio.ConnectionClosed)
        assert str(keeper.error) == "this side closed the connection with 4002 'enough'"
        await keeper.ws.aclose()


async def test_closes_that_cross_end_both_sides(aio):
    keeper = Keeper()
    async with aio.serving(keeper) as server, aio.connect(server) as ws:
        await until(lambda: keeper.ws)
        await asyncio.gather(ws.aclose(), keeper.ws.aclose())
        assert ws.close_code == keeper.ws.close_code == 1000


@pytest.mark.parametrize(("code", "reason"), [(1005, ""), (999, ""), (1000, "x" * 124)])
async def test_a_close_that_cannot_be_sent_is_misuse(aio, code, reason):
    from wscore import LocalProtocolError

    async with aio.serving() as server, aio.connect(server) as ws:
        with pytest.raises(LocalProtocolError):
            await ws.aclose(code, reason)
        await ws.send("still there")
        assert await ws.receive() == "still there"


async def test_a_peer_that_does_not_answer_our_close_is_given_up_in_time(aio):
    keeper = Keeper()
    async with aio.serving(keeper, close_timeout=0.1) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: keeper.ws)
        await keeper.ws.aclose()
        assert keeper.ws.close_code == 1006
        assert keeper.ws.transport is None


async def test_a_peer_that_answers_but_does_not_end_has_two_seconds(aio, monkeypatch):
    monkeypatch.setattr(inspect.getmodule(Session.__base__), "LINGER_TIME", 0.1)
    keeper = Keeper()
    async with aio.serving(keeper) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.say(CLOSE, close_payload(1000))
        assert await raw.rest() == b"\x88\x02\x03\xe8"
        await keeper.ws.wait_closed()
        assert keeper.ws.close_code == 1000


async def test_what_still_comes_after_the_end_is_read_up_to_a_limit(aio, monkeypatch):
    """Else our last frame is lost in a reset (RFC 9112 section 9.6)."""
    monkeypatch.setattr(inspect.getmodule(Session), "DISCARD_LIMIT", 1 << 20)
    keeper = Keeper()
    async with aio.serving(keeper) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.send(from_client(3) + bytes(900_000))
        frame = await raw.frame()
        assert frame.payload[:2] == close_payload(1002)
        assert keeper.ws.transport is not None
        raw.send(bytes(400_000))
        await keeper.ws.wait_closed()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x83\x80abcd", 1002),
        (b"\x81\x05hello", 1002),
        (from_client(TEXT, b"\xff"), 1007),
        (from_client(BINARY, bytes(1001)), 1009),
        (from_client(BINARY, b"", fin=False) + from_client(0, b"", fin=False) * 3, 1008),
        (from_client(CLOSE, b"x"), 1002),
    ],
)
async def test_what_breaks_a_rule_or_a_limit_is_closed_with_the_code_for_it(aio, data, code):
    keeper = Keeper()
    options = {"max_message_size": 1000, "max_fragments": 3}
    async with aio.serving(keeper, **options) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.send(from_client(BINARY, bytes(1000)) + from_client(BINARY, b"", fin=False) + from_client(0, b"") + data)
        assert (await raw.frame()).payload[:2] == close_payload(code)
        assert await raw.rest() == b""
        await until(lambda: keeper.error)
        assert keeper.messages == [bytes(1000), b""]
        assert isinstance(keeper.error, aio.ConnectionLost)
        assert keeper.error.code == code


async def test_a_reset_is_a_loss(aio):
    keeper = Keeper()
    async with aio.serving(keeper) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: keeper.ws)
        raw.abort()
        await until(lambda: keeper.error)
        assert isinstance(keeper.error, aio.ConnectionLost)
        assert keeper.error.code == 1006


async def test_abort_closes_at_once_without_a_close_frame(aio):
    keeper = Keeper()
    async with aio.serving(keeper) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: keeper.ws)
        keeper.ws.abort()
        assert await raw.rest() == b""
        await until(lambda: keeper.error)
        assert keeper.error.code == 1006


async def test_a_client_block_that_fails_closes_with_1011(aio):
    keeper = Keeper()
    async with aio.serving(keeper) as server:
        with pytest.raises(ZeroDivisionError):
            async with aio.connect(server):
                raise ZeroDivisionError
        await until(lambda: keeper.error)
        assert keeper.error.code == 1011


async def test_a_closing_server_says_1001_and_waits_for_handlers(aio):
    keeper = Keeper()
    may_end, ended = asyncio.Event(), []

    async def handler(ws):
        await keeper(ws)
        await may_end.wait()
        ended.append(True)

    async with aio.serving(handler) as server, aio.connect(server) as ws:
        await until(lambda: keeper.ws)
        assert list(server.connections) == [keeper.ws]
        address = server.addresses[0]
        closing = asyncio.ensure_future(server.aclose())
        await until(lambda: keeper.error)
        assert not closing.done()
        may_end.set()
        await closing
        assert ended == [True]
        with pytest.raises(aio.ConnectionClosed) as closed:
            await ws.receive()
        assert (closed.value.code, closed.value.by_peer) == (1001, True)
        assert isinstance(keeper.error, aio.ConnectionClosed)
        with pytest.raises(OSError):
            await asyncio.open_connection(*address)


async def test_whoever_waits_for_a_server_goes_on_when_it_is_closed(aio):
    async with aio.serving() as server:
        waiting = asyncio.ensure_future(server.serve_forever())
        await asyncio.sleep(0)
        await server.aclose()
        await waiting


async def test_a_closing_server_cuts_what_takes_too_long(aio):
    cancelled = []

    async def handler(ws):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with aio.serving(handler) as server, aio.dialled(server) as raw, aio.dialled(server) as silent:
        await raw.upgrade()
        await until(lambda: server.connections)
        await server.aclose(timeout=0.1)
        assert cancelled == [True]
        assert (await raw.frame()).payload == close_payload(1001)
        assert await silent.status() == 503


async def test_closing_over_tls(aio):
    of_server, of_client = tls_contexts()
    keeper = Keeper()
    async with aio.serving(keeper, ssl=of_server) as server:
        async with aio.connect(server, ssl=of_client) as ws:
            await ws.send("x")
            await ws.aclose(4000, "enough")
            assert ws.close_code == 4000
        await until(lambda: keeper.error)
        assert (keeper.error.code, keeper.error.reason) == (4000, "enough")
        await keeper.ws.wait_closed()


async def test_a_peer_that_ends_tls_without_a_close_frame_is_lost(aio):
    of_server, of_client = tls_contexts()
    keeper = Keeper()
    async with (
        aio.serving(keeper, ssl=of_server) as server,
        aio.dialled(server, ssl=of_client, server_hostname="localhost") as raw,
    ):
        await raw.upgrade()
        raw.say(TEXT, b"last")
        raw.writer.close()
        await until(lambda: keeper.error)
        assert keeper.messages == ["last"]
        assert keeper.error.code == 1006


async def test_a_client_answers_the_servers_close_and_ends_its_side(aio):
    seen = []

    async def talk(raw):
        await answer_upgrade(raw)
        raw.send(b"\x89\x00\x88\x02\x03\xe9")
        raw.writer.write_eof()
        seen.extend(decode(await raw.rest()))

    async with aio.raw_server(talk) as url, aio.names.connect(url) as ws:
        with pytest.raises(aio.ConnectionClosed) as ended:
            await ws.receive()
        assert ended.value.code == 1001
        await until(lambda: len(seen) == 2)
    assert [(frame.opcode, frame.payload) for frame in seen] == [(PONG, b""), (CLOSE, close_payload(1001))]
    assert all(frame.key for frame in seen)


# Closing from inside


async def test_a_handler_may_close_its_server(aio):
    async def handler(ws):
        await ws.receive()
        await server.aclose(timeout=HANGING)
        closed.set()

    closed = asyncio.Event()
    async with aio.serving(handler) as server, aio.connect(server) as ws:
        await ws.send("close it")
        with pytest.raises(aio.ConnectionClosed) as ended:
            await ws.receive()
        assert ended.value.code == 1001
        async with asyncio.timeout(HANGING / 2):
            await closed.wait()


async def test_handlers_that_all_close_their_server_do_not_wait_for_each_other(aio):
    async def handler(ws):
        arrived.append(await ws.receive())
        await until(lambda: len(arrived) == 2)  # what comes after a Close is for nobody
        await server.aclose(timeout=HANGING)
        closed.append(ws)

    arrived, closed = [], []
    async with aio.serving(handler) as server, aio.connect(server) as one, aio.connect(server) as other:
        await one.send("close it")
        await other.send("close it")
        async with asyncio.timeout(HANGING / 2):
            await until(lambda: len(closed) == 2)


async def test_whoever_else_closes_the_server_waits_for_a_handler_that_does(aio):
    may_end, closed, ended = asyncio.Event(), [], []

    async def handler(ws):
        await ws.receive()
        await server.aclose()
        closed.append(ws)
        await may_end.wait()
        ended.append(ws)

    async with aio.serving(handler) as server, aio.connect(server) as ws:
        await ws.send("close it")
        await until(lambda: closed)
        closing = asyncio.ensure_future(server.aclose())
        await turns()
        assert not closing.done()
        may_end.set()
        await closing
        assert len(ended) == 1


async def test_a_handler_that_is_cancelled_while_it_closes_its_server_ends(aio):
    tasks = []

    async def handler(ws):
        tasks.append(asyncio.current_task())
        await ws.receive()
        await server.aclose()

    async with aio.serving(handler) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.say(TEXT, b"close it")
        assert (await raw.frame()).payload == close_payload(1001)
        tasks[0].cancel()
        assert await raw.rest() == b""
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]


async def test_a_tls_handshake_that_ends_after_the_server_becomes_no_connection(aio):
    of_server, of_client = tls_contexts()
    async with aio.serving(ssl=of_server) as server:
        with socket.create_connection(server.addresses[0]) as sock:
            await asyncio.sleep(0.05)
            await server.aclose()
            sock.setblocking(False)
            with suppress(OSError):
                raw = Raw(*await asyncio.open_connection(sock=sock, ssl=of_client, server_hostname="localhost"))
                assert await raw.status() == 503
                raw.abort()
            await until(lambda: server.statistics().handshakes == 0)
            assert not server.connections


async def test_after_abort_in_on_message_nothing_more_is_delivered_or_sent(aio):
    came = []

    def on_message(ws, message):
        came.append(message)
        ws.send_nowait("answer to " + message)
        if message == "2":
            ws.abort()
            with pytest.raises(aio.ConnectionClosed) as refused:
                ws.send_nowait("more")
            assert (refused.value.code, refused.value.by_peer) == (1006, False)

    async with aio.serving(on_message=on_message) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.send(b"".join(from_client(TEXT, b"%d" % number) for number in range(5)) + from_client(PING))
        assert await raw.rest() == b""
        await until(lambda: not server.connections)
    assert came == ["0", "1", "2"]


async def test_after_abort_nothing_more_is_received(aio):
    keeper = Keeper()
    released = asyncio.Event()

    async def handler(ws):
        keeper.ws = ws
        await released.wait()
        ws.abort()
        assert ws.close_code == 1006
        await keeper(ws)

    async with aio.serving(handler) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        await until(lambda: keeper.ws)
        feed(keeper.ws, from_client(TEXT, b"unread") * 5)
        released.set()
        await until(lambda: keeper.error)
    assert keeper.messages == []
    assert isinstance(keeper.error, aio.ConnectionClosed)


@pytest.mark.parametrize("way", ["aclose", "wait_closed"])
async def test_an_end_is_seen_though_the_transport_went_while_reading_was_paused(aio, way):
    """The session has still to hear that nothing arrives any more; it was called all the time, and was not told."""
    ended = asyncio.get_running_loop().create_future()

    async def handler(ws):
        await ws.receive()
        await until(lambda: not ws.transport.is_reading())
        ws.transport.abort()
        await asyncio.sleep(0)
        await getattr(ws, way)()
        ended.set_result(ws.end)

    limits = {"max_receive_queue": 300, "close_timeout": 0.3}
    async with aio.serving(handler, **limits) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.send(from_client(TEXT, b"x" * 100) * 20)
        async with asyncio.timeout(HANGING):
            assert await ended is not None


async def test_pings_that_nobody_waits_for_any_more_leave_nothing(aio):
    kept = asyncio.get_running_loop().create_future()

    async def handler(ws):
        for _ in range(3):
            task = asyncio.create_task(ws.ping())
            await turns(2)
            task.cancel()
        await ws.receive()
        kept.set_result(ws._session.pings.answered)
        await ws.wait_closed()

    async with aio.serving(handler, ping_interval=None) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        pings = [await raw.frame() for _ in range(3)]
        raw.send(b"".join(from_client(PONG, ping.payload) for ping in pings) + from_client(TEXT, b"now"))
        assert await kept == {}
