"""Messages there and back, by both faces, over TCP and TLS."""

import asyncio
import logging
import random

import pytest

import wscore

from ...wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, close_payload, decode, encode, from_client
from .peers import answer_upgrade, echo_at_once, feed, tls_contexts, until

MESSAGES = ["", "text", "żółw 🐢", b"", b"\x00\xff", "a" * 70_000, bytes(range(256)) * 800]
FACES = pytest.mark.parametrize("options", [{}, {"on_message": echo_at_once}], ids=["stream", "callbacks"])


@FACES
async def test_every_message_comes_back_as_it_was(aio, options):
    async with aio.serving(**options) as server, aio.connect(server) as ws:
        for message in MESSAGES:
            await ws.send(message)
            assert await ws.receive() == message


@FACES
async def test_many_messages_at_once_come_back_in_order(aio, options):
    messages = [f"message {number} " + "x" * random.Random(number).randrange(300) for number in range(2000)]
    async with aio.serving(**options) as server, aio.connect(server) as ws:

        async def send() -> None:
            for message in messages:
                await ws.send(message)

        sending = asyncio.ensure_future(send())
        assert [await ws.receive() for _ in messages] == messages
        await sending


@FACES
async def test_over_tls_it_is_the_same(aio, options):
    of_server, of_client = tls_contexts()
    async with aio.serving(ssl=of_server, **options) as server, aio.connect(server, ssl=of_client) as ws:
        for message in MESSAGES:
            await ws.send(message)
            assert await ws.receive() == message
        await ws.aclose()
        assert ws.close_code == 1000


@pytest.mark.parametrize("compression", ["takeover", "shared", "dedicated"])
@FACES
async def test_messages_may_be_compressed(aio, options, compression):
    messages = ["compressible " * 200, b"\0" * 100_000, "short"]
    async with (
        aio.serving(compression=compression, **options) as server,
        aio.connect(server, compression=compression) as ws,
    ):
        for message in messages * 3:
            await ws.send(message)
            assert await ws.receive() == message
        await ws.send(messages[0], compress=False)
        assert await ws.receive() == messages[0]


async def test_buffers_and_prepared_messages_can_be_sent(aio):
    prepared = wscore.prepare("prepared")
    async with aio.serving() as server, aio.connect(server) as ws:
        for message, expected in [(bytearray(b"ab"), b"ab"), (memoryview(b"cd"), b"cd"), (prepared, "prepared")]:
            await ws.send(message)
            assert await ws.receive() == expected
            assert ws.send_nowait(message)
            assert await ws.receive() == expected


async def test_what_is_no_message_is_refused_and_the_connection_goes_on(aio):
    async with aio.serving() as server, aio.connect(server) as ws:
        with pytest.raises(TypeError):
            await ws.send(5)
        with pytest.raises(UnicodeEncodeError):
            ws.send_nowait("\ud800")
        await ws.send("fine")
        assert await ws.receive() == "fine"


@FACES
async def test_fragments_and_control_frames_between_them(aio, options):
    async with aio.serving(**options) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.say(TEXT, "żó".encode()[:3], fin=False)
        raw.say(PING, b"now")
        raw.say(CONTINUATION, "żó".encode()[3:])
        assert (await raw.frame()).payload == b"now"
        frame = await raw.frame()
        assert (frame.opcode, frame.payload.decode()) == (TEXT, "żó")


@FACES
async def test_bytes_may_come_one_by_one(aio, options):
    async with aio.serving(**options) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        for byte in from_client(BINARY, b"x" * 130) + from_client(PING, b"p"):
            raw.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await raw.frame()).payload == b"x" * 130
        assert (await raw.frame()).opcode == PONG


@FACES
async def test_frames_right_behind_the_request_are_messages(aio, options):
    async with aio.serving(**options) as server, aio.dialled(server) as raw:
        await raw.upgrade(rest=from_client(TEXT, b"early"))
        assert (await raw.frame()).payload == b"early"


async def test_frames_right_behind_the_answer_are_messages(aio):
    async def talk(raw):
        await answer_upgrade(raw, rest=b"\x81\x05early\x88\x02\x03\xe8")
        raw.writer.write_eof()
        await raw.rest()

    async with aio.raw_server(talk) as url, aio.names.connect(url) as ws:
        assert await ws.receive() == "early"
        with pytest.raises(aio.ConnectionClosed):
            await ws.receive()


async def test_a_burst_is_answered_in_one_piece(aio):
    """What one read brought leaves together: the peer reads all answers at once."""
    async with aio.serving(on_message=echo_at_once) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.send(from_client(BINARY, b"x" * 20) * 16)
        assert len(await raw.reader.read(1 << 16)) == 16 * 22


async def test_callbacks_are_told_of_the_beginning_and_the_end(aio):
    told = []
    hooks = {
        "on_open": lambda ws: told.append(("open", ws.request.path)),
        "on_message": lambda ws, message: told.append(("message", message)),
        "on_close": lambda ws, code, reason: told.append(("close", code, reason)),
    }
    async with aio.serving(**hooks) as server, aio.dialled(server) as raw:
        await raw.upgrade()
        raw.send(from_client(TEXT, b"one") + from_client(CLOSE, close_payload(4000, b"bye")))
        assert (await raw.frame()).payload == close_payload(4000)
        assert await raw.rest() == b""
    assert told == [("open", "/"), ("message", "one"), ("close", 4000, "bye")]


async def test_a_client_may_have_callbacks_too(aio):
    answers = asyncio.Queue()
    async with (
        aio.serving() as server,
        aio.connect(server, on_message=lambda ws, message: answers.put_nowait(message)) as ws,
    ):
        assert ws.send_nowait("hello")
        assert await answers.get() == "hello"
        with pytest.raises(RuntimeError):
            await ws.receive()


@pytest.mark.parametrize("hook", ["on_open", "on_message", "handler"])
async def test_an_exception_closes_with_1011_and_goes_to_on_error(aio, hook):
    errors = []

    def fail(*_):
        raise ZeroDivisionError

    async def handler(ws):
        fail()

    options = {"on_message": lambda *_: None} | ({hook: fail} if hook != "handler" else {})
    if hook == "handler":
        options = {"handler": handler}
    async with (
        aio.serving(on_error=lambda ws, error: errors.append(error), **options) as server,
        aio.dialled(server) as raw,
    ):
        await raw.upgrade()
        raw.say(TEXT, b"x")
        frame = await raw.frame()
        assert (frame.opcode, frame.payload) == (CLOSE, close_payload(1011))
        assert await raw.rest() == b""
    assert [type(error) for error in errors] == [ZeroDivisionError]


async def test_by_default_an_exception_is_logged(aio, caplog):
    async def handler(ws):
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR, "wscore"):
        async with aio.serving(handler) as server, aio.dialled(server) as raw:
            await raw.upgrade()
            assert (await raw.frame()).payload == close_payload(1011)
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


async def test_one_misfortune_leaves_the_others_alone(aio):
    def on_message(ws, message):
        if message == "fail":
            raise ZeroDivisionError
        ws.send_nowait(message)

    async with (
        aio.serving(on_message=on_message, on_error=lambda *_: None) as server,
        aio.connect(server) as one,
        aio.connect(server) as other,
    ):
        await one.send("fail")
        with pytest.raises(aio.ConnectionClosed) as ended:
            await one.receive()
        assert ended.value.code == 1011
        await other.send("fine")
        assert await other.receive() == "fine"


@pytest.mark.native
async def test_both_twins_have_the_same_methods(aio):
    from wscore.adapters.asyncio import native_link, pure_link

    def methods(link):
        return {name for name, value in vars(link).items() if callable(value) and not name.startswith("__")}

    hidden = {"_budget", "_call", "_deliver", "_fell_behind", "_fits", "_has_handed_over", "_next_read"}
    hidden |= {"_flush_session", "_may_receive", "_pass", "_tell"}  # plain C functions, in the compiled one
    assert methods(pure_link.Link) - hidden == methods(native_link.Link)


async def test_a_second_receiver_is_refused_also_while_the_first_is_being_woken(aio):
    """It comes in the same turn of the loop in which a message has woken the first, before that has run."""
    peers = []

    async def handler(ws):
        peers.append(ws)
        await ws.wait_closed()

    async with aio.serving(handler) as server, aio.connect(server) as other, aio.connect(server) as ws:
        await until(lambda: len(peers) == 2)

        async def second():
            await other.receive()
            return await ws.receive()

        # `other` is woken first, so that `second` runs between the message for `ws` and its first receiver.
        two = asyncio.ensure_future(second())
        await asyncio.sleep(0)
        one = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        feed(other, encode(Frame(TEXT, b"go")))
        feed(ws, encode(Frame(TEXT, b"1")))
        with pytest.raises(RuntimeError, match="somebody else"):
            await two
        assert await one == "1"
        peers[1].send_nowait("2")
        assert await ws.receive() == "2"


async def test_after_a_cancelled_receiver_another_may_receive(aio):
    async with aio.serving() as server, aio.connect(server) as ws:
        waiting = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await ws.send("for another")
        assert await ws.receive() == "for another"


async def test_a_ping_may_have_a_payload(aio):
    async def talk(raw):
        await answer_upgrade(raw)
        seen.append(await raw.reader.readexactly(2 + 4 + 5))
        raw.send(b"\x8a\x05hello")
        await raw.rest()

    seen = []
    async with aio.raw_server(talk) as url, aio.names.connect(url) as ws:
        waiting = asyncio.ensure_future(ws.ping(bytearray(b"hello")))
        await asyncio.sleep(0)
        with pytest.raises(wscore.LocalProtocolError, match="under way"):
            await ws.ping(b"hello")
        with pytest.raises(wscore.LocalProtocolError, match="125"):
            await ws.ping(bytes(126))
        with pytest.raises(TypeError):
            await ws.ping("hello")
        assert await waiting > 0
        assert [frame.payload for frame in decode(seen[0])] == [b"hello"]
        ws.abort()


async def test_a_cancelled_ping_may_be_repeated(aio):
    async with aio.serving() as server, aio.connect(server) as ws:
        waiting = asyncio.ensure_future(ws.ping(b"again"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await ws.ping(b"again") >= 0  # the Pong to the first will do
