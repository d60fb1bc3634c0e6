"""Deadlines: near and far ones, on a clock that the scenario sets forward; the sockets are real."""

from typing import Any

from ...clocks import STEP, TURNS
from ...wire import BINARY, PING, PONG, TEXT
from ..face import Face
from ..peer import Peer, described
from ..scenario import scenario
from .messages import echo


async def wait(ws: Any) -> None:
    await ws.wait_closed()


async def pass_time(face: Face, seconds: float) -> None:
    """Let so much time pass, in steps too small to be taken for a loop that stood still."""
    until = face.now() + seconds
    while face.now() < until:
        face.jump(min(until - face.now(), STEP))
        for _ in range(TURNS):
            await face.sleep(0.001)


async def quiet(face: Face, peer: Peer, seconds: float) -> str:
    """Let so much time pass, in which nothing should happen."""
    await pass_time(face, seconds)
    return "nothing" if await peer.sees_nothing(0.05) else await peer.sees()


async def due(face: Face, peer: Peer, seconds: float, answered: bool = False) -> str:
    """Let so much time pass, after which something is due; what the peer sees. If it is a Ping, it may be answered."""
    await pass_time(face, seconds)
    if await peer.sees_nothing(5):
        return "nothing"
    if not answered:
        return await peer.sees()
    frame = await peer.frame()
    assert frame is not None
    await peer.say(PONG, frame.payload)
    return described(frame)


async def settle(face: Face) -> None:
    """Let the server have what was sent to it, before time jumps."""
    await face.sleep(0.2)


@scenario(["nothing", "ping of 8 bytes", "nothing", "close 1011 a Ping was not answered in time"], jumps=True)
async def deadline_of_keepalive(face: Face) -> Any:
    """By default a Ping leaves after 20 seconds, and its Pong is due 20 seconds later"""
    async with face.opened() as (_, peer):
        seen = [await quiet(face, peer, 19), await due(face, peer, 2)]
        return [*seen, await quiet(face, peer, 18), await due(face, peer, 3)]


@scenario(["ping of 8 bytes", "ping of 8 bytes", "ping of 8 bytes"], jumps=True)
async def deadline_of_keepalive_when_answered(face: Face) -> Any:
    """A peer that answers sees a Ping every 20 seconds"""
    async with face.opened() as (_, peer):
        seen = []
        for _ in range(3):
            seen.append(await due(face, peer, 21, answered=True))
            await peer.say(PING, b"has it come?")
            assert await peer.sees() == "pong 'has it come?'"
        return seen


@scenario(["nothing", 408], jumps=True)
async def deadline_of_the_handshake(face: Face) -> Any:
    """By default a request has 10 seconds"""
    async with face.serving(wait) as server:
        peer = await face.dial(server)
        await peer.send(b"GET / HTTP/1.1\r\n")
        await settle(face)
        early = await quiet(face, peer, 9)
        face.jump(2)
        assert not await peer.sees_nothing(5)
        return [early, await peer.status()]


@scenario({"late by": 0}, jumps=True)
async def deadline_beside_a_far_one(face: Face) -> Any:
    """A deadline that is 100 seconds away does not make those of 10 seconds late"""
    async with face.serving(wait, ping_interval=100) as server:
        await face.open(server)
        face.jump(20)
        await settle(face)
        await face.open(server)
        face.jump(35)
        await settle(face)
        silent = await face.dial(server)
        await settle(face)
        face.jump(10.2)
        for late in range(40):
            if not await silent.sees_nothing(0.1):
                return {"late by": late}
            face.jump(1)
        return {"late by": "for ever"}


@scenario({"waits": [True, True], "peer": "reset"}, jumps=True)
async def deadline_of_closing(face: Face) -> Any:
    """By default a closing handshake has 10 seconds; a peer that does not answer is then cut off"""
    async with face.opened() as (ws, peer):
        closing = face.start(ws.aclose, 4001, "why")
        assert await peer.sees() == "close 4001 why"
        waits = [await face.waits(closing)]
        await pass_time(face, 9)
        waits.append(await face.waits(closing))
        await pass_time(face, 2)
        await closing.ended()
        return {"waits": waits, "peer": await peer.sees()}


@scenario({"waits": True, "peer": ["close 4001 why", "eof"]}, jumps=True)
async def deadline_of_lingering(face: Face) -> Any:
    """A peer that has answered our Close, but does not end its bytes, has 2 seconds"""
    async with face.opened() as (ws, peer):
        closing = face.start(ws.aclose, 4001, "why")
        seen = [await peer.sees()]
        await peer.say_close(4001)
        seen.append(await peer.sees())
        waits = await face.waits(closing)
        await pass_time(face, 2.5)
        assert await face.within(2, closing.ended)
        return {"waits": waits, "peer": seen}


@scenario({"waits": [True, True], "peer": ["close 4001 why", "eof"]}, jumps=True)
async def deadline_of_a_server_that_does_not_end(face: Face) -> Any:
    """A server that has answered our Close, but does not end its bytes, has 10 seconds: its client's close_timeout"""
    async with face.opened("client") as (ws, peer):
        closing = face.start(ws.aclose, 4001, "why")
        seen = [await peer.sees()]
        await peer.say_close(4001)
        waits = [await face.waits(closing)]
        face.jump(9)
        waits.append(await face.waits(closing))
        face.jump(1.4)
        assert await face.within(2, closing.ended)
        return {"waits": waits, "peer": [*seen, await peer.sees()]}


@scenario({"pauses": "text 'x'", "messages": 20})
async def deadline_of_keepalive_in_a_pause(face: Face) -> Any:
    """A handler that is slow to receive does not cost its peer the connection: while reading pauses, no Pong is due"""
    go_on = face.event()
    received: list[Any] = []

    async def handler(ws: Any) -> None:
        await go_on.wait()
        for _ in range(20):
            received.append(await ws.receive())
        await ws.send("x")

    async with face.serving(handler, max_receive_queue=1000, ping_interval=0.1, ping_timeout=0.1) as server:
        peer = await face.open(server)
        await peer.send(peer.frame_of(TEXT, b"x" * 500) * 20)

        async def answer() -> str:
            while (frame := await peer.frame()) is not None and frame.opcode == 9:
                await peer.say(PONG, frame.payload)
            return "the end" if frame is None else f"text {frame.payload.decode()!r}"

        answering = face.start(answer)
        await face.sleep(0.6)
        go_on.set()
        return {"pauses": await answering.ended(), "messages": len(received)}


@scenario(["60 messages", "pong 'still here?'"])
async def deadline_of_keepalive_behind_a_backlog(face: Face) -> Any:
    """A peer that reads slowly, and answers each Ping when it has come to it, is kept"""
    over = face.event()

    async def handler(ws: Any) -> None:
        for _ in range(60):
            await ws.send(bytes(10_000))
        await over.wait()

    async with face.serving(handler, max_send_buffer=1 << 20, ping_interval=0.1, ping_timeout=0.3) as server:
        peer = await face.dial(server, receive_buffer=4096)
        await peer.upgrade()
        messages = 0
        while (frame := await peer.frame()) is not None:
            if frame.opcode == PING:
                await peer.say(PONG, frame.payload)
            elif frame.opcode != BINARY:
                return [f"{messages} messages", described(frame)]
            else:
                messages += 1
                await face.sleep(0.015)
                if messages == 60:
                    await peer.say(PING, b"still here?")
        return [f"{messages} messages", "the end"]


@scenario("text 'still here'")
async def deadlines_switched_off(face: Face) -> Any:
    """Without ping_interval there are no Pings, without ping_timeout nobody is given up"""
    async with (
        face.serving(echo, ping_interval=None) as server,
        face.serving(echo, ping_interval=0.05, ping_timeout=None) as other,
    ):
        quiet, patient = await face.open(server), await face.open(other)
        nothing = await quiet.sees_nothing(0.3)
        while await patient.more() and len(patient.received) > 20:
            pass
        for peer in (quiet, patient):
            await peer.say(TEXT, b"still here")
        while (seen := await patient.sees()).startswith("ping"):
            pass
        return seen if nothing and seen == await quiet.sees() else "otherwise"
