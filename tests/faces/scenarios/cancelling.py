"""Cancellation at every await: what has happened and what has not, and that the connection goes on or is gone."""

from typing import Any

from ...wire import TEXT
from ..face import Face
from ..scenario import AIO, Differs, scenario

NO_PIECES = "asyncio's WebSocket has no pieces"
CUT = "asyncio's abort closes the socket; a reset would have to be asked of the socket itself"
BROKE_OFF = "close 1011 the message broke off"
READY = "a call of asyncio that need not wait does not notice that it is cancelled"


async def cancelled(face: Face, function: Any, *arguments: Any) -> Any:
    """Call, wait until it waits, cancel; what came of the call."""
    task = face.start(function, *arguments)
    assert await face.waits(task)
    task.cancel()
    return await task.ended()


@scenario(["cancelled", "first", "second"])
async def cancel_receive(face: Face) -> Any:
    """A cancelled receive loses no message"""
    async with face.opened() as (ws, peer):
        outcome = await cancelled(face, ws.receive)
        await peer.say(TEXT, b"first")
        await peer.say(TEXT, b"second")
        return [outcome, await ws.receive(), await ws.receive()]


@scenario(["first", "second"])
async def cancel_receive_as_it_comes(face: Face) -> Any:
    """A receive that is cancelled in the moment in which a message comes loses none"""
    async with face.opened() as (ws, peer):
        got = []
        for text in ("first", "second"):
            task = face.start(ws.receive)
            assert await face.waits(task)
            await peer.say(TEXT, text.encode())
            task.cancel()
            outcome = await task.ended()
            got.append(await ws.receive() if outcome == "cancelled" else outcome)
        return got


@scenario(["cancelled", "first"])
async def cancel_iteration(face: Face) -> Any:
    """A cancelled step of async for loses no message"""
    async with face.opened() as (ws, peer):
        outcome = await cancelled(face, ws.__anext__)
        await peer.say(TEXT, b"first")
        return [outcome, await anext(ws)]


@scenario(
    ["cancelled", "first"],
    differs={AIO: Differs(["first", "second"], READY)},
)
async def cancel_receive_of_what_is_there(face: Face) -> Any:
    """receive in a cancelled task, with a message there"""
    async with face.opened() as (ws, peer):
        await peer.say(TEXT, b"first")
        await peer.say(TEXT, b"second")
        await face.moment()
        task = face.start(ws.receive)
        if face.column not in AIO:
            task.cancel()
        return [await task.ended(), await ws.receive()]


async def fill(face: Face, ws: Any) -> int:
    """Send until there is no more room; how many messages that took."""
    count = 0
    while True:
        while ws.send_nowait(bytes(10_000)):
            count += 1
            if count % 20 == 0:
                await face.sleep(0)
        await face.moment()
        if not ws.send_nowait(bytes(10_000)):
            return count
        count += 1


@scenario({"send": "cancelled", "peer": ["all", "text of 10002 bytes"]})
async def cancel_send(face: Face) -> Any:
    """A cancelled send that waited for room has sent nothing"""
    async with face.opened(small=True, max_send_buffer=50_000) as (ws, peer):
        count = await fill(face, ws)
        outcome = await cancelled(face, ws.send, "x" * 10_001)
        sending = face.start(ws.send, "x" * 10_002)
        seen = [await peer.sees() for _ in range(count + 1)]
        await sending.ended()
        return {"send": outcome, "peer": ["all" if set(seen[:-1]) == {"binary of 10000 bytes"} else seen, seen[-1]]}


@scenario({"first": "cancelled", "peer": ["text of 10002 bytes", "text of 10003 bytes"]})
async def cancel_first_in_line(face: Face) -> Any:
    """If the first of several waiting senders is cancelled, the others keep their order"""
    async with face.opened(small=True, max_send_buffer=50_000) as (ws, peer):
        count = await fill(face, ws)
        tasks = []
        for size in (10_001, 10_002, 10_003):
            tasks.append(face.start(ws.send, "x" * size))
            assert await face.waits(tasks[-1], 0.01)
        tasks[0].cancel()
        seen = [await peer.sees() for _ in range(count + 2)]
        return {"first": await tasks[0].ended(), "peer": seen[-2:]}


@scenario(["cancelled", "ping of 8 bytes", "a number"])
async def cancel_ping(face: Face) -> Any:
    """A cancelled ping was sent; its Pong is nobody's, and the next is answered"""
    async with face.opened() as (ws, peer):
        outcome = await cancelled(face, ws.ping)
        first = await peer.frame()
        pinging = face.start(ws.ping)
        second = await peer.frame()
        for frame in (first, second):
            await peer.say(10, frame.payload)
        seconds = await pinging.ended()
        return [outcome, f"ping of {len(first.payload)} bytes", "a number" if isinstance(seconds, float) else seconds]


@scenario({"aclose": "cancelled", "end": 1006, "peer": ["close 4001 why", "eof"]})
async def cancel_aclose(face: Face) -> Any:
    """A cancelled aclose has closed all the same, at once"""
    async with face.opened(close_timeout=10) as (ws, peer):
        outcome = await cancelled(face, ws.aclose, 4001, "why")
        assert await face.within(5, ws.wait_closed)
        seen = await peer.sees_until_end(answer_close=False)
        return {"aclose": outcome, "end": ws.close_code, "peer": seen}


@scenario(["cancelled", "first"])
async def cancel_wait_closed(face: Face) -> Any:
    """A cancelled wait_closed changes nothing"""
    async with face.opened() as (ws, peer):
        outcome = await cancelled(face, ws.wait_closed)
        await peer.say(TEXT, b"first")
        return [outcome, await ws.receive()]


@scenario({"connect": "cancelled", "peer": "eof"})
async def cancel_connect(face: Face) -> Any:
    """A connect that is cancelled in the handshake leaves no connection"""
    async with face.listening() as (url, accept):

        async def connect() -> None:
            async with face.connect(url):
                pass

        task = face.start(connect)
        peer = await accept()
        await peer.head()
        task.cancel()
        return {"connect": await task.ended(), "peer": await peer.sees()}


@scenario({"block": "cancelled", "peer": ["eof"]})
async def cancel_client_block(face: Face) -> Any:
    """A client's block that is cancelled closes at once, without a handshake"""
    async with face.listening() as (url, accept):

        async def connect() -> None:
            async with face.connect(url) as ws:
                await ws.receive()

        task = face.start(connect)
        peer = await accept()
        await peer.answer_upgrade()
        await face.moment()
        task.cancel()
        return {"block": await task.ended(), "peer": await peer.sees_until_end()}


@scenario({"block": "cancelled", "peer": ["close 1000", "eof"]})
async def cancel_end_of_client_block(face: Face) -> Any:
    """A client that is cancelled while it closes is closed at once"""
    async with face.listening() as (url, accept):

        async def connect() -> None:
            async with face.connect(url):
                pass

        task = face.start(connect)
        peer = await accept()
        await peer.answer_upgrade()
        assert await peer.sees() == "close 1000"
        task.cancel()
        outcome = await task.ended()
        return {"block": outcome, "peer": ["close 1000", *await peer.sees_until_end(answer_close=False)]}


@scenario(
    {"drain": "cancelled", "handler": ["cancelled"], "peer": ["close 1001", "reset"]},
    differs={
        AIO: Differs(
            {"drain": "cancelled", "handler": ["cancelled"], "peer": ["close 1001", "eof"]},
            CUT,
        )
    },
)
async def cancel_drain(face: Face) -> Any:
    """A drain that is cancelled cuts off what is left"""

    async def handler(ws: Any) -> None:
        try:
            await face.event().wait()
        except BaseException as error:
            face.note("cancelled" if not isinstance(error, Exception) else face.told(error))
            raise

    async with face.serving(handler) as server:
        peer = await face.open(server)
        assert await face.until(lambda: server.connections)
        await face.moment()
        outcome = await cancelled(face, face.drain, server, 10)
        seen = await peer.sees_until_end(answer_close=False)
        return {"drain": outcome, "handler": face.notes, "peer": seen}


@scenario(
    {"handler": ["cancelled"], "peer": ["close 1001", "reset"]},
    differs={
        AIO: Differs(
            {"handler": ["cancelled"], "peer": ["close 1001", "eof"]},
            CUT,
        )
    },
)
async def drain_in_vain(face: Face) -> Any:
    """After the time of a drain, handlers that have not ended are cancelled"""

    async def handler(ws: Any) -> None:
        try:
            await face.event().wait()
        except BaseException as error:
            face.note("cancelled" if not isinstance(error, Exception) else face.told(error))
            raise

    async with face.serving(handler) as server:
        peer = await face.open(server)
        assert await face.until(lambda: server.connections)
        await face.moment()
        await face.drain(server, 0.1)
        return {"handler": face.notes, "peer": await peer.sees_until_end(answer_close=False)}


@scenario({"request": 101, "hook": []})
async def cancel_other_work_of_a_hook(face: Face) -> Any:
    """An async on_request that waits does not keep others from coming in"""
    over = face.event()

    async def on_request(request: Any) -> Any:
        from wscore import Accept

        if request.path == "/slow":
            await over.wait()
            face.note("over")
        return Accept()

    async with face.serving(lambda ws: ws.wait_closed(), on_request=on_request) as server:
        slow = await face.dial(server)
        await slow.ask("GET /slow HTTP/1.1")
        quick = await face.dial(server)
        await quick.ask()
        return {"request": await quick.status(), "hook": face.notes}


@scenario(
    {"send_pieces": "cancelled", "peer": ["text 'one' to be continued", BROKE_OFF, "eof"]},
    lacks={AIO: NO_PIECES},
)
async def cancel_send_pieces(face: Face) -> Any:
    """A send_pieces that is cancelled half-way closes with 1011"""

    async def pieces() -> Any:
        yield "one"
        await face.event().wait()

    async with face.opened() as (ws, peer):
        sending = face.start(ws.send_pieces, pieces())
        first = await peer.sees()
        sending.cancel()
        return {"send_pieces": await sending.ended(), "peer": [first, *await peer.sees_until_end()]}


@scenario(["one", "cancelled", "two"], lacks={AIO: NO_PIECES})
async def cancel_receive_pieces(face: Face) -> Any:
    """A receive_pieces that is cancelled half-way goes on where it stopped"""
    async with face.opened(pieces=True) as (ws, peer):
        await peer.say(TEXT, b"one", fin=False)
        pieces = ws.receive_pieces()
        first = await anext(pieces)
        outcome = await cancelled(face, pieces.__anext__)
        await peer.say(0, b"two")
        return [first, outcome, "".join([piece async for piece in ws.receive_pieces()])]


@scenario({"connect": "too slow", "peer": "eof"})
async def connect_in_vain(face: Face) -> Any:
    """A server that does not answer is given up after handshake_timeout"""
    async with face.listening() as (url, accept):

        async def connect() -> None:
            async with face.connect(url, handshake_timeout=0.1):
                pass

        task = face.start(connect)
        peer = await accept()
        await peer.head()
        return {"connect": await task.ended(), "peer": await peer.sees()}
