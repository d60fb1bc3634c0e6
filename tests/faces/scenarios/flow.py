"""Flow: who waits for whom, how many bytes that takes, and that nothing gets lost on the way."""

from typing import Any

from ...wire import CLOSE, PING, TEXT
from ..face import Face
from ..scenario import AIO, Within, scenario
from .cancelling import fill
from .messages import BOTH, echo, frame

KIB = 1024


@scenario(Within(2, 2 << 20))
async def flow_to_a_peer_that_never_reads(face: Face) -> Any:
    """Bytes that a peer takes that never reads, until send_nowait says that there is no room"""
    async with face.opened(small=True, max_send_buffer=64 * KIB) as (ws, _):
        taken = 0
        while True:
            while ws.send_nowait(bytes(4 * KIB)):
                taken += 4 * KIB
                await face.sleep(0)
            await face.moment()
            if not ws.send_nowait(bytes(4 * KIB)):
                return taken
            taken += 4 * KIB


@scenario(Within(2, 2 << 20))
async def flow_from_an_echo_to_a_peer_that_never_reads(face: Face) -> Any:
    """Bytes that an echo by on_message takes of a peer that never reads"""
    async with face.serving(on_message=echo_or_wait, receive_buffer=16 * KIB, max_send_buffer=64 * KIB) as server:
        peer = await face.dial(server, receive_buffer=4 * KIB, send_buffer=4 * KIB)
        await peer.upgrade()
        return await taken_from(face, peer)


def echo_or_wait(ws: Any, message: Any) -> None:
    ws.send_nowait(message)


async def taken_from(face: Face, peer: Any) -> int:
    """How many bytes of messages a peer can send before it has to wait."""
    data = peer.frame_of(2, bytes(1000))
    taken = 0

    async def send() -> None:
        nonlocal taken
        while True:
            await peer.send(data)
            taken += len(data)

    sending = face.start(send)
    before = -1
    while before != taken:
        before = taken
        await face.sleep(0.1)
    sending.cancel()
    return taken


@scenario(Within(2, 1 << 20))
async def flow_into_the_receive_queue(face: Face) -> Any:
    """Bytes that a connection takes whose messages nobody receives"""
    async with face.serving(lambda ws: ws.wait_closed(), receive_buffer=16 * KIB, max_receive_queue=100_000) as server:
        peer = await face.dial(server, send_buffer=4 * KIB)
        await peer.upgrade()
        return await taken_from(face, peer)


@scenario(Within(2, 1 << 20))
async def flow_of_empty_messages_into_the_receive_queue(face: Face) -> Any:
    """Empty messages that a connection takes whose messages nobody receives"""
    async with face.serving(lambda ws: ws.wait_closed(), receive_buffer=16 * KIB, max_receive_queue=100_000) as server:
        peer = await face.dial(server, send_buffer=4 * KIB)
        await peer.upgrade()
        peer.frame_of = lambda *_: frame(TEXT) * 100  # type: ignore[method-assign]
        return await taken_from(face, peer)


@scenario({"waits": True, "then": "sent", "peer": "all"})
async def flow_send_waits(face: Face) -> Any:
    """send waits while there is no room, and goes on when the peer reads"""
    async with face.opened(small=True, max_send_buffer=50_000) as (ws, peer):
        count = await fill(face, ws)
        sending = face.start(ws.send, bytes(10_000))
        waits = await face.waits(sending)
        seen = {await peer.sees() for _ in range(count + 1)}
        then = "sent" if await sending.ended() is None else await sending.ended()
        return {"waits": waits, "then": then, "peer": "all" if seen == {"binary of 10000 bytes"} else sorted(seen)}


@scenario({"send": None, "send_nowait": False, "peer": ["all", "text 'after'"]})
async def flow_drop(face: Face) -> Any:
    """slow_consumer="drop": what has no room is dropped, and the connection goes on"""
    async with face.opened(small=True, max_send_buffer=50_000, slow_consumer="drop") as (ws, peer):
        count = await fill(face, ws)
        send, at_once = await ws.send("x" * 10_001), ws.send_nowait("x" * 10_002)
        seen = [await peer.sees() for _ in range(count)]
        await ws.send("after")
        kinds = "all" if set(seen) == {"binary of 10000 bytes"} else seen
        return {"send": send, "send_nowait": at_once, "peer": [kinds, await peer.sees()]}


CLOSED = "lost 1013 the peer receives too slowly"


@scenario({"send": CLOSED, "end": 1013, "peer": ["all", "close 1013 the peer receives too slowly"]})
async def flow_close(face: Face) -> Any:
    """slow_consumer="close": what has no room closes with 1013, behind what was sent"""
    async with face.opened(small=True, max_send_buffer=50_000, slow_consumer="close") as (ws, peer):
        count = 0
        while ws.send_nowait(bytes(10_000)):
            count += 1
            if count % 20 == 0:
                await face.moment()
        said = await face.said(ws.send, "x")
        seen = [await peer.sees() for _ in range(count + 1)]
        kinds = "all" if set(seen[:-1]) == {"binary of 10000 bytes"} else sorted(set(seen[:-1]))
        return {"send": said, "end": ws.close_code, "peer": [kinds, seen[-1]]}


@scenario(
    {"refused": 0, "peer": "all"},
)
async def flow_fast_peer_is_not_slow(face: Face) -> Any:
    """slow_consumer="close": a peer that reads is not slow because another task is in send"""
    async with face.opened(slow_consumer="close", max_send_buffer=8 << 20) as (ws, peer):
        refused = 0

        async def send_large() -> None:
            for _ in range(20):
                await ws.send(bytes(70_000))

        async def count() -> int:
            seen = 0
            while (await peer.sees()) not in ("text 'end'", "eof", "reset"):
                seen += 1
            return seen

        counting, sending = face.start(count), face.start(send_large)
        for _ in range(20):
            refused += face.said_at_once(ws.send_nowait, "news") is not True
            await face.sleep(0)
        await sending.ended()
        await face.said(ws.send, "end")
        return {"refused": refused, "peer": "all" if await counting.ended() == 40 else "not all"}


@scenario({"handler": "all", "on_message": "all"})
async def flow_to_a_slow_reader(face: Face) -> Any:
    """A peer that reads slowly gets all answers"""
    outcome = {}
    for name, given in zip(("handler", "on_message"), BOTH, strict=True):
        async with face.serving(**given, max_send_buffer=64 * KIB) as server:
            peer = await face.dial(server, receive_buffer=4 * KIB)
            await peer.upgrade()
            sending = face.start(peer.send, frame(TEXT, b"x" * 5000) * 40)
            seen = []
            for _ in range(40):
                await face.sleep(0.002)
                seen.append(await peer.sees())
            await sending.ended()
            outcome[name] = "all" if set(seen) == {"text of 5000 bytes"} else "not all"
    return outcome


@scenario({"handler": "all, close 1000, eof", "on_message": "all, close 1000, eof"})
async def flow_last_answers(face: Face) -> Any:
    """Messages, then a Close frame: all are answered before it, though answers have to wait for room"""
    outcome = {}
    for name, given in zip(("handler", "on_message"), BOTH, strict=True):
        async with face.serving(**given, max_send_buffer=64 * KIB) as server:
            peer = await face.dial(server, receive_buffer=4 * KIB)
            await peer.upgrade()
            sending = face.start(peer.send, frame(TEXT, b"x" * 60_000) * 10 + frame(CLOSE, b"\x03\xe8"))
            await face.sleep(0.2)
            seen = await peer.sees_until_end()
            await sending.ended()
            answers = [line for line in seen if line == "text of 60000 bytes"]
            all_of_them = "all" if len(answers) == 10 else f"{len(answers)} of 10"
            outcome[name] = ", ".join([all_of_them, *(line for line in seen if line not in answers)])
    return outcome


@scenario(["eof", "all, close 4000 done"])
async def flow_close_behind_a_backlog(face: Face) -> Any:
    """aclose behind a backlog: a peer that reads, slowly, gets all of it, though it takes longer than close_timeout"""
    async with face.opened(small=True, max_send_buffer=400_000, close_timeout=1.0) as (ws, peer):
        for _ in range(30):
            await ws.send(bytes(10_000))
        face.start(ws.aclose, 4000, "done")
        seen = []
        while not seen or seen[-1] not in ("eof", "reset", "close 4000 done"):
            await face.sleep(0.06)
            seen.append(await peer.sees())
        kinds = "all" if seen[:-1] == ["binary of 10000 bytes"] * 30 else f"{len(seen) - 1} of 30"
        if seen[-1].startswith("close"):
            await peer.say_close(4000)
            last = await peer.sees()
        else:
            last = seen[-1]
        return [last, f"{kinds}, {seen[-1]}"]


@scenario({"end": 1006, "send": "lost 1006"})
async def flow_send_timeout(face: Face) -> Any:
    """A peer that takes no byte for send_timeout is given up, and who waits in send is told"""
    async with face.opened(small=True, max_send_buffer=50_000, send_timeout=0.4) as (ws, _):
        await fill(face, ws)
        sending = face.start(ws.send, bytes(60_000))
        assert await face.within(5, ws.wait_closed)
        return {"end": ws.close_code, "send": await sending.ended()}


@scenario("all", jumps=True)
async def flow_no_send_timeout_with_progress(face: Face) -> Any:
    """A peer that takes bytes all the time, if slowly, is not given up"""
    options: dict[str, Any] = {"max_send_buffer": 50_000, "send_timeout": 30.0, "ping_interval": None}
    async with face.opened(small=True, **options) as (ws, peer):
        count = await fill(face, ws)
        seen = []
        for _ in range(count):
            seen.append(await peer.sees())
            await face.moment()
            # In all longer than send_timeout; but the system makes room for several messages at once, or for none.
            face.jump(40 / count)
        return "all" if seen == ["binary of 10000 bytes"] * count else f"{len(seen)} and then {seen[-1]}"


@scenario("pong 'now'")
async def flow_pongs_in_a_pause(face: Face) -> Any:
    """Pings that were read before reading paused are answered"""
    async with face.serving(lambda ws: ws.wait_closed(), max_receive_queue=1000) as server:
        peer = await face.open(server)
        await peer.send(frame(PING, b"now") + frame(TEXT, b"x" * 2000) + frame(PING, b"later"))
        return await peer.sees()


@scenario({"received": 30, "then": "pong 'later'"})
async def flow_goes_on_after_a_pause(face: Face) -> Any:
    """What a pause has held back comes when somebody receives"""
    async with face.opened(max_receive_queue=1000) as (ws, peer):
        await peer.send(frame(TEXT, b"x" * 500) * 30 + frame(PING, b"later"))
        await face.moment()
        received = [await ws.receive() for _ in range(30)]
        return {"received": len(received), "then": await peer.sees()}


@scenario({"connections": 2, "got": ["text 'to all'", "text 'to all'"], "after": 0})
async def flow_broadcast(face: Face) -> Any:
    """One message to all connections of a server"""
    async with face.serving(echo) as server:
        peers = [await face.open(server) for _ in range(2)]
        await face.until(lambda: len(server.connections) == 2)
        count = len(server.connections)
        if face.column in AIO:  # has no call for that
            for ws in server.connections:
                ws.send_nowait(face.prepare("to all"))
        else:
            server.broadcast("to all")
        got = [await peer.sees() for peer in peers]
        for peer in peers:
            peer.reset()
        await face.until(lambda: not server.connections)
        return {"connections": count, "got": got, "after": len(server.connections)}
