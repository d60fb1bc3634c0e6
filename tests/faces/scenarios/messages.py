"""Messages and control frames: what comes out of what a peer sends, piece by piece, and what it gets for it.

RFC 6455 sections 5.4 and 5.5.
"""

from typing import Any

from ...wire import BINARY, CONTINUATION, PING, PONG, TEXT
from ..face import Face, url_of
from ..peer import Peer
from ..scenario import AIO, scenario
from .cancelling import NO_PIECES


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


def echo_at_once(ws: Any, message: Any) -> None:
    ws.send_nowait(message)


BOTH = ({"handler": echo}, {"on_message": echo_at_once})


async def echoed(face: Face, count: int, *frames: bytes, step: int = 0) -> list[list[str]]:
    """What comes back from an echo, by handler and by on_message; sent `step` bytes at a time if that is not 0."""
    told = []
    for given in BOTH:
        async with face.serving(**given) as server:
            peer = await face.open(server)
            data = b"".join(frames)
            for at in range(0, len(data), step or len(data)):
                await peer.send(data[at : at + (step or len(data))])
                await face.sleep(0)
            told.append([await peer.sees() for _ in range(count)])
    return told


def frame(opcode: int, payload: bytes = b"", **bits: Any) -> bytes:
    return Peer.frame_of(_CLIENT, opcode, payload, **bits)  # type: ignore[arg-type]


class _CLIENT:
    is_client = True


def twice(*seen: str) -> list[list[str]]:
    return [list(seen)] * 2


@scenario(twice("text 'text'", "binary 'bytes'", "text ''", "binary ''", f"text {'é€'.encode()!r}".replace("b'", "'")))
async def messages_echoed(face: Face) -> Any:
    """Text and bytes, empty ones too, come back as they came"""
    sent = ((TEXT, b"text"), (BINARY, b"bytes"), (TEXT, b""), (BINARY, b""), (TEXT, "é€".encode()))
    return await echoed(face, 5, *(frame(*each) for each in sent))


@scenario(twice("text 'one two three'"))
async def messages_in_fragments(face: Face) -> Any:
    """Fragments come back as one message"""
    parts = frame(TEXT, b"one ", fin=False), frame(CONTINUATION, b"two ", fin=False), frame(CONTINUATION, b"three")
    return await echoed(face, 1, *parts)


@scenario(twice("pong 'now'", "text 'one two'"))
async def messages_with_ping_inside(face: Face) -> Any:
    """A Ping between fragments is answered before the message ends"""
    return await echoed(face, 2, frame(TEXT, b"one ", fin=False), frame(PING, b"now"), frame(CONTINUATION, b"two"))


@scenario(twice("text of 300 bytes", "text of 70000 bytes"))
async def messages_byte_by_byte(face: Face) -> Any:
    """A slow upload, a few bytes at a time"""
    short = await echoed(face, 1, frame(TEXT, b"x" * 300), step=1)
    long = await echoed(face, 1, frame(TEXT, b"x" * 70_000), step=700)
    return [[*one, *two] for one, two in zip(short, long, strict=True)]


@scenario(twice(*(f"text '{number}'" for number in range(200))))
async def messages_in_order(face: Face) -> Any:
    """200 messages at once keep their order"""
    return await echoed(face, 200, *(frame(TEXT, str(number).encode()) for number in range(200)))


@scenario(twice("text 'last'"))
async def messages_empty(face: Face) -> Any:
    """20,000 empty messages, and then one"""
    told = []
    for given in BOTH:
        async with face.serving(**given) as server:
            peer = await face.open(server)
            sending = face.start(peer.send, frame(TEXT) * 20_000 + frame(TEXT, b"last"))
            while (said := await peer.sees()) == "text ''":
                pass
            await sending.ended()
            told.append([said])
    return told


@scenario(
    ["text 'one ' to be continued", "continuation 'two' to be continued", "continuation ''"],
    lacks={AIO: NO_PIECES},
)
async def messages_sent_in_pieces(face: Face) -> Any:
    """send_pieces sends each piece as it comes"""
    async with face.opened() as (ws, peer):
        await ws.send_pieces(["one ", "two"])
        return [await peer.sees() for _ in range(3)]


@scenario({"joined": "one two", "next": "whole"}, lacks={AIO: NO_PIECES})
async def messages_received_in_pieces(face: Face) -> Any:
    """receive_pieces, and receive for the next message"""
    async with face.opened(pieces=True) as (ws, peer):
        await peer.say(TEXT, b"one ", fin=False)
        await peer.say(CONTINUATION, b"two")
        await peer.say(TEXT, b"whole")
        joined = "".join([piece async for piece in ws.receive_pieces()])
        return {"joined": joined, "next": await ws.receive()}


@scenario(
    {"without": "LocalProtocolError", "none": "ValueError", "mixed": "LocalProtocolError", "a message": "TypeError"},
    lacks={AIO: NO_PIECES},
)
async def messages_in_bad_pieces(face: Face) -> Any:
    """Misuse of pieces"""

    async def receive(ws: Any) -> None:
        async for _ in ws.receive_pieces():
            pass

    outcome = {}
    async with face.opened() as (ws, _):
        outcome["without"] = await face.said(receive, ws)
        outcome["none"] = await face.said(ws.send_pieces, [])
        outcome["a message"] = await face.said(ws.send_pieces, "text")
        outcome["mixed"] = await face.said(ws.send_pieces, ["one", b"two"])
    return outcome


# Control frames


@scenario(["pong ''", "pong 'x'", "pong of 125 bytes"])
async def control_pings_answered(face: Face) -> Any:
    """A peer's Pings are answered with their payload, while nobody receives"""
    async with face.opened() as (_, peer):
        seen = []
        for payload in (b"", b"x", bytes(125)):
            await peer.say(PING, payload)
            seen.append(await peer.sees())
        return seen


@scenario({"newest": "pong '99'", "at most": True})
async def control_pings_at_once(face: Face) -> Any:
    """Of 100 Pings at once the newest is answered, whatever becomes of the others"""
    async with face.opened() as (_, peer):
        await peer.send(b"".join(peer.frame_of(PING, str(number).encode()) for number in range(100)))
        seen = []
        while not seen or seen[-1] != "pong '99'":
            seen.append(await peer.sees())
        return {"newest": seen[-1], "at most": len(seen) <= 100}


@scenario({"unasked": "text 'after'", "latency": None})
async def control_unasked_pong(face: Face) -> Any:
    """An unasked Pong means nothing"""
    async with face.serving(echo) as server:
        peer = await face.open(server)
        await peer.say(PONG, b"unasked")
        await peer.say(TEXT, b"after")
        return {"unasked": await peer.sees(), "latency": next(iter(server.connections)).latency}


@scenario({"wrong": "waits", "right": "a number", "latency": "a number"})
async def control_own_ping(face: Face) -> Any:
    """ping waits for the Pong with its payload, and no other"""
    async with face.opened() as (ws, peer):
        pinging = face.start(ws.ping)
        ping = await peer.frame()
        assert ping is not None
        await peer.say(PONG, b"wrong")
        wrong = "waits" if await face.waits(pinging) else "ended"
        await peer.say(PONG, ping.payload)
        right, latency = await pinging.ended(), ws.latency
        return {"wrong": wrong, "right": number(right), "latency": number(latency)}


def number(value: Any) -> Any:
    return "a number" if isinstance(value, float) and 0 <= value < 10 else value


@scenario(["a number", "a number", "a number"])
async def control_pings_answered_by_the_newest(face: Face) -> Any:
    """A Pong for the newest of several Pings answers those before it"""
    async with face.opened() as (ws, peer):
        tasks = [face.start(ws.ping) for _ in range(3)]
        frames = [await peer.frame() for _ in range(3)]
        await peer.say(PONG, frames[-1].payload)  # type: ignore[union-attr]
        return [number(await task.ended()) for task in tasks]


@scenario(
    {"closed": "lost 1000", "reset": "lost 1006", "here": "closed here"},
)
async def control_ping_at_the_end(face: Face) -> Any:
    """A ping that waits when the connection ends"""
    outcome: dict[str, Any] = {}
    for name in ("closed", "reset", "here"):
        async with face.opened() as (ws, peer):
            pinging = face.start(ws.ping)
            await peer.frame()
            if name == "closed":
                await peer.say_close()
            elif name == "reset":
                peer.reset()
            else:
                face.start(ws.aclose)
            outcome[name] = await pinging.ended()
    return outcome


@scenario(
    {"payload": "ping of 4 bytes", "long": "LocalProtocolError", "twice": "LocalProtocolError", "text": "TypeError"},
)
async def control_ping_payload(face: Face) -> Any:
    """ping with a payload: its own, one that is too long, one that is under way, and text"""
    async with face.opened() as (ws, peer):
        face.start(face.said, ws.ping, b"mine")
        seen = await peer.sees() if not await peer.sees_nothing() else "nothing"
        long, again = await face.said(ws.ping, bytes(126)), await face.said(ws.ping, b"mine")
        return {"payload": seen, "long": long, "twice": again, "text": await face.said(ws.ping, "text")}


@scenario({"pings": True, "open": "text 'still here'"})
async def control_keepalive(face: Face) -> Any:
    """A peer that answers Pings is kept, in both roles"""
    keepalive = {"ping_interval": 0.05, "ping_timeout": 0.2}
    async with face.serving(echo, **keepalive) as server, face.connect(url_of(server), **keepalive) as ws:
        await face.sleep(0.4)
        await ws.send("still here")
        return {"pings": ws.latency is not None, "open": f"text {await ws.receive()!r}"}


@scenario({"open": "text of 400 bytes"})
async def control_keepalive_in_slow_upload(face: Face) -> Any:
    """A peer that sends one message slowly, and answers no Ping before its end, is alive: bytes are life"""
    async with face.serving(echo, ping_interval=0.2, ping_timeout=0.4) as server:
        peer = await face.open(server)

        async def upload() -> None:
            for byte in peer.frame_of(TEXT, b"x" * 400):
                await peer.send(bytes([byte]))
                await face.sleep(0.002)

        await face.said(upload)
        while (seen := await peer.sees()).startswith("ping"):
            pass
        return {"open": seen}
