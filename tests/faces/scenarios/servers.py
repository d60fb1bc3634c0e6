"""Servers: draining, many connections, counts, memory, and what ends a whole server."""

import tracemalloc
from typing import Any

from wscore.codec import CLIENT, Deflater, Writer

from ...wire import CONTINUATION, PING, TEXT
from ..face import Face, url_of
from ..scenario import scenario
from .messages import echo


@scenario(
    {
        "received": 3,
        "sent": 2,
        "bytes received": 6 + 3 + 6 + 100 + 6 + 2 + 6 + 2 + 6,
        "bytes sent": 2 + 3 + 4 + 200 + 2,
        "waiting": [2, 104 + 2 * 48],
        "failed": [False, False],
    },
)
async def counts_of_a_connection(face: Face) -> Any:
    """statistics() of one connection after the same traffic"""
    async with face.opened() as (ws, peer):
        await peer.say(TEXT, b"one")
        await peer.say(TEXT, bytes(100))
        await peer.say(TEXT, b"tw", fin=False)
        await peer.say(CONTINUATION, b"o!")
        await peer.say(PING)
        await ws.receive()
        await ws.send("two")
        await ws.send(bytes(200))
        for _ in range(3):
            await peer.sees()
        await face.moment()
        said = ws.statistics()
        return {
            "received": said.messages_received,
            "sent": said.messages_sent,
            "bytes received": said.bytes_received,
            "bytes sent": said.bytes_sent,
            "waiting": [said.messages_waiting, said.receive_queue],
            "failed": [said.failed, said.reset],
        }


@scenario(
    {
        "accepted": 4,
        "open": 1,
        "codes": {"1000": 1, "1002": 1, "1006": 1},
        "errors": 0,
        "refusals": {"426": 1},
        "messages": [4, 4],
    },
)
async def counts_of_a_server(face: Face) -> Any:
    """statistics() of a server after the same connections"""
    async with face.serving(echo) as server:
        peers = [await face.open(server) for _ in range(4)]
        for peer in peers:
            await peer.say(TEXT, b"x")
            await peer.sees()
        await peers[0].say_close()
        await peers[0].sees_until_end()
        await peers[1].say(TEXT, rsv=2)
        await peers[1].sees_until_end()
        peers[2].reset()
        refused = await face.dial(server)
        await refused.ask(Sec_WebSocket_Version="12")
        await refused.status()
        await face.until(lambda: len(server.connections) == 1)
        await face.moment()
        said = server.statistics()
        return {
            "accepted": said.accepted,
            "open": said.connections,
            "codes": {str(int(code)): count for code, count in sorted(said.close_codes.items())},
            "errors": said.errors,
            "refusals": {str(status): count for status, count in said.refusals.items()},
            "messages": [said.messages_received, said.messages_sent],
        }


@scenario({"new": "OSError", "handler": ["closed here", "done"], "peer": ["close 1001", "eof"]})
async def drain_with_a_handler_at_work(face: Face) -> Any:
    """A drain waits for handlers at work, and lets nobody in meanwhile"""
    done = face.event()

    async def handler(ws: Any) -> None:
        try:
            await ws.receive()
        except Exception as error:
            face.note(face.told(error))
        await done.wait()
        face.note("done")

    async with face.serving(handler) as server:
        peer = await face.open(server)
        url = url_of(server)
        await face.until(lambda: server.connections)
        seeing = face.start(peer.sees_until_end)
        draining = face.start(face.drain, server, 5)
        await face.moment()

        async def connect() -> str:
            async with face.connect(url, connect_timeout=1):
                return "open"

        new = await face.said(connect)
        done.set()
        await draining.ended()
        return {"new": new, "handler": face.notes, "peer": await seeing.ended()}


@scenario({"ended": True, "peer": ["close 1001", "eof"]})
async def drain_in_a_handler(face: Face) -> Any:
    """A handler that closes its own server"""
    servers: list[Any] = []
    ended = face.event()

    async def handler(ws: Any) -> None:
        await ws.receive()
        try:
            await face.drain(servers[0], 30)
        finally:
            ended.set()

    async with face.serving(handler) as server:
        servers.append(server)
        peer = await face.open(server)
        await peer.say(TEXT, b"close")
        seen = await peer.sees_until_end()
        return {"ended": await face.within(10, ended.wait), "peer": seen}


@scenario({"drain": True, "status": 503})
async def drain_in_a_handshake(face: Face) -> Any:
    """A drain while somebody is in the opening handshake"""
    async with face.serving(echo) as server:
        peer = await face.dial(server)
        await peer.send(b"GET / HTTP/1.1\r\n")
        await face.moment()
        ended = await face.within(3, face.drain, server, 1)
        try:
            status: Any = await peer.status()
        except AssertionError:
            status = "eof"
        return {"drain": ended, "status": status}


@scenario({"run": "SystemExit", "notes": []})
async def end_of_server_by_system_exit(face: Face) -> Any:
    """What is no Exception, out of a handler, ends the program"""

    async def handler(ws: Any) -> None:
        raise SystemExit

    async with face.serving(handler) as server:
        await face.open(server)
        await face.sleep(5)
    return "goes on"


@scenario({"on_error": ["ValueError"], "peer": ["close 1011", "eof"], "logged": 0})
async def errors_to_on_error(face: Face) -> Any:
    """With on_error, what a handler raises goes there, and not into the log"""

    async def handler(ws: Any) -> None:
        raise ValueError("secret")

    async with face.serving(handler, on_error=lambda ws, error: face.note(type(error).__name__)) as server:
        seen = await (await face.open(server)).sees_until_end()
        await face.moment()
        return {"on_error": face.notes, "peer": seen, "logged": len(face.logged)}


@scenario({"peer": ["close 1000", "eof"], "logged": 0})
async def errors_that_are_an_end(face: Face) -> Any:
    """A handler out of which the peer's close is raised, alone or in a group, has ended in order"""

    async def handler(ws: Any) -> None:
        try:
            await ws.receive()
        except Exception as error:
            raise ExceptionGroup("of tasks", [error]) from None

    async with face.serving(handler) as server:
        peer = await face.open(server)
        await peer.say_close()
        seen = await peer.sees_until_end()
        await face.moment()
        return {"peer": seen, "logged": len(face.logged)}


MIB = 1 << 20


@scenario("within")
async def memory_of_on_message(face: Face) -> Any:
    """What waits for on_message is bounded, also where 400 compressed messages inflate to 40 MB"""
    writer = Writer(CLIENT, deflater=Deflater(context_takeover=False))
    for _ in range(400):
        writer.write(b"a" * 100_000, True)
    burst = writer.take()
    bounds = {"max_receive_queue": 200_000, "max_send_buffer": 1 << 16}
    compression = {"compression": "shared", "receive_buffer": 1 << 14}

    def on_message(ws: Any, message: Any) -> None:
        ws.send_nowait(message, compress=False)

    async with face.serving(on_message=on_message, **bounds, **compression) as server:
        peer = await face.dial(server, receive_buffer=4096)
        await peer.upgrade(Sec_WebSocket_Extensions=WITHOUT_TAKEOVER)
        return await grown(face, peer, burst, 4 * MIB)


WITHOUT_TAKEOVER = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"


async def grown(face: Face, peer: Any, data: bytes, bound: int) -> str:
    """Whether memory stays within the bound while a peer sends that, and reads nothing."""
    tracemalloc.start()
    try:
        sending = face.start(peer.send, data)
        await face.sleep(0.3)
        peak = tracemalloc.get_traced_memory()[1]
        sending.cancel()
    finally:
        tracemalloc.stop()
    return "within" if peak < bound else f"{peak / MIB:.0f} MiB"


@scenario("within")
async def memory_of_receive_queue(face: Face) -> Any:
    """What waits for receive is bounded, also where 400 compressed messages inflate to 40 MB"""
    writer = Writer(CLIENT, deflater=Deflater(context_takeover=False))
    for _ in range(400):
        writer.write(b"a" * 100_000, True)
    burst = writer.take()
    async with face.serving(lambda ws: ws.wait_closed(), compression="shared", max_receive_queue=200_000) as server:
        peer = await face.dial(server)
        await peer.upgrade(Sec_WebSocket_Extensions=WITHOUT_TAKEOVER)
        return await grown(face, peer, burst, 4 * MIB)


@scenario("within")
async def memory_while_closing(face: Face) -> Any:
    """What comes after our Close frame, 400 compressed messages of 100 kB, takes no memory"""
    writer = Writer(CLIENT, deflater=Deflater(context_takeover=False))
    for _ in range(400):
        writer.write(b"a" * 100_000, True)
    burst = writer.take()
    async with face.serving(closing_at_once, compression="shared") as server:
        peer = await face.dial(server)
        await peer.upgrade(Sec_WebSocket_Extensions=WITHOUT_TAKEOVER)
        assert await peer.sees() == "close 4000"
        return await grown(face, peer, burst, 4 * MIB)


async def closing_at_once(ws: Any) -> None:
    await ws.aclose(4000)


@scenario({"close": "close 1009 the message is larger than the limit", "memory": "within"})
async def memory_of_a_bomb(face: Face) -> Any:
    """A compressed message that inflates to 100 MB is refused by what it inflates to"""
    deflater = Deflater(context_takeover=False)
    writer = Writer(CLIENT, deflater=deflater)
    writer.write(bytes(100 * MIB), True)
    bomb = writer.take()
    async with face.serving(echo, compression="shared") as server:
        peer = await face.dial(server)
        await peer.upgrade(Sec_WebSocket_Extensions=WITHOUT_TAKEOVER)
        memory = await grown(face, peer, bomb, 8 * MIB)
        return {"close": await peer.sees(), "memory": memory}


@scenario({"open": 50, "answers": 50, "after": 0})
async def many_connections(face: Face) -> Any:
    """50 connections at once, each answered, and none left"""
    async with face.serving(echo) as server:
        peers = [await face.open(server) for _ in range(50)]
        await face.until(lambda: len(server.connections) == 50)
        count = len(server.connections)
        for peer in peers:
            await peer.say(TEXT, b"x")
        answers = [await peer.sees() for peer in peers]
        for peer in peers:
            await peer.say_close()
            await peer.sees_until_end()
        await face.until(lambda: not server.connections)
        return {"open": count, "answers": answers.count("text 'x'"), "after": len(server.connections)}
