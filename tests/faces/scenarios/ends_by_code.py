"""Ends that a program's own code brings about: handlers and hooks of a server, other tasks, the block of a client.

What the connection comes to, what its peer sees, and what is logged.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from ...wire import TEXT
from ..face import Face, url_of
from ..peer import Peer
from ..scenario import AIO, Differs, scenario


async def end_of_server(
    face: Face, handler: Any, act: Callable[[Any, Peer], Awaitable[Any]] | None = None, **options: Any
) -> dict[str, Any]:
    """What a server's connection comes to, what its peer sees, and what is logged."""
    websockets: list[Any] = []

    async def noted(ws: Any) -> None:
        await ws.receive()
        websockets.append(ws)
        await handler(ws)

    def on_message(ws: Any, message: Any) -> None:
        websockets.append(ws)
        handler(ws, message)

    given = {"on_message": on_message} if options.pop("calls", False) else {"handler": noted}
    async with face.serving(**given, **options) as server:
        peer = await face.open(server)
        await peer.say(TEXT, b"a word")
        if act is not None:
            await face.until(lambda: websockets)
            await act(server, peer)
        seen = await peer.sees_until_end()
        ws = websockets[0]
        await face.within(5, ws.wait_closed)
        await face.moment()
        return {"end": f"{int(ws.close_code)} {ws.close_reason}".rstrip(), "peer": seen, "logged": logged(face)}


def logged(face: Face) -> list[str]:
    return [line.split(" ")[0] for line in face.logged]


async def wait(ws: Any) -> None:
    await ws.wait_closed()


@scenario({"end": "1000", "peer": ["close 1000", "eof"], "logged": []})
async def end_by_handler_return(face: Face) -> Any:
    """The handler returns"""

    async def handler(ws: Any) -> None:
        pass

    return await end_of_server(face, handler)


@scenario({"end": "1011", "peer": ["close 1011", "eof"], "logged": ["ERROR"]})
async def end_by_handler_error(face: Face) -> Any:
    """The handler raises"""

    async def handler(ws: Any) -> None:
        raise ValueError("secret")

    return await end_of_server(face, handler)


@scenario({"end": "1011", "peer": ["close 1011", "eof"], "logged": ["ERROR"]})
async def end_by_on_message_error(face: Face) -> Any:
    """on_message raises"""

    def on_message(ws: Any, message: Any) -> None:
        raise ValueError("secret")

    return await end_of_server(face, on_message, calls=True)


@scenario({"end": "4001 why", "peer": ["close 4001 why", "eof"], "logged": []})
async def end_by_close_in_on_message(face: Face) -> Any:
    """on_message closes with 4001"""
    return await end_of_server(face, lambda ws, message: ws.close_nowait(4001, "why"), calls=True)


@scenario({"end": "1006", "peer": ["eof"], "logged": []})
async def end_by_abort_in_on_message(face: Face) -> Any:
    """on_message aborts"""
    return await end_of_server(face, lambda ws, message: ws.abort(), calls=True)


@scenario({"end": "4001 why", "peer": ["close 4001 why", "eof"], "logged": []})
async def end_by_kick(face: Face) -> Any:
    """Another task closes a connection whose handler receives, with aclose(4001, "why")"""

    async def handler(ws: Any) -> None:
        while True:
            await ws.receive()

    async def act(server: Any, peer: Peer) -> None:
        (victim,) = server.connections
        face.start(victim.aclose, 4001, "why")

    return await end_of_server(face, handler, act)


@scenario({"end": "1006", "peer": ["eof"], "logged": []})
async def end_by_abort_of_another(face: Face) -> Any:
    """Another task aborts a connection whose handler receives"""

    async def handler(ws: Any) -> None:
        while True:
            await ws.receive()

    async def act(server: Any, peer: Peer) -> None:
        (victim,) = server.connections
        victim.abort()

    return await end_of_server(face, handler, act)


@scenario({"end": "1001", "peer": ["close 1001", "eof"], "logged": []})
async def end_by_drain(face: Face) -> Any:
    """The server drains"""

    async def handler(ws: Any) -> None:
        async for _ in ws:
            pass

    async def act(server: Any, peer: Peer) -> None:
        face.start(face.drain, server)

    return await end_of_server(face, handler, act)


@scenario(
    {"handler": "cancelled", "peer": ["eof"]},
    differs={
        AIO: Differs(
            {"handler": "closed here", "peer": ["close 1001", "eof"]},
            "asyncio's server is no call that could be cancelled: leaving its block drains it",
        )
    },
)
async def end_by_cancelled_server(face: Face) -> Any:
    """serve is cancelled: no handshake, and handlers are cancelled"""
    peers: list[Peer] = []
    handling: list[Any] = []

    async def serve() -> None:
        async with face.serving(handler) as server:
            peers.append(await face.open(server))
            await face.until(lambda: handling)

    async def handler(ws: Any) -> None:
        try:
            handling.append(ws)
            await ws.receive()
        except BaseException as error:
            face.note("cancelled" if not isinstance(error, Exception) else face.told(error))
            raise

    await serve()
    return {"handler": face.notes[0], "peer": await peers[0].sees_until_end()}


@scenario({"calls": 1, "send_nowait": ["closed here"], "logged": []})
async def end_by_abort_before_more_messages(face: Face) -> Any:
    """After abort in on_message nothing more is delivered or sent, though more has come in the same piece"""
    said: list[Any] = []

    def on_message(ws: Any, message: Any) -> None:
        ws.abort()
        said.append(face.said_at_once(ws.send_nowait, "x"))

    async with face.serving(on_message=on_message) as server:
        peer = await face.open(server)
        await peer.send(peer.frame_of(TEXT, b"x") * 10)
        await peer.sees_until_end()
        return {"calls": len(said), "send_nowait": said, "logged": logged(face)}


# What a client's own block brings about


async def end_of_block(face: Face, block: Callable[[Any], Awaitable[Any]]) -> dict[str, Any]:
    async with face.listening() as (url, accept):

        async def peer_of_it() -> list[str]:
            peer = await accept()
            await peer.answer_upgrade()
            return await peer.sees_until_end()

        peering = face.start(peer_of_it)

        async def connect() -> Any:
            async with face.connect(url) as ws:
                await block(ws)
            return "left"

        return {"block": await face.said(connect), "peer": await peering.ended()}


@scenario({"block": "left", "peer": ["text 'hello'", "close 1000", "eof"]})
async def end_of_client_block(face: Face) -> Any:
    """A client leaves its block"""
    return await end_of_block(face, lambda ws: ws.send("hello"))


@scenario({"block": "KeyError", "peer": ["close 1011", "eof"]})
async def end_of_client_block_by_error(face: Face) -> Any:
    """An exception leaves a client's block"""

    async def block(ws: Any) -> None:
        raise KeyError

    return await end_of_block(face, block)


@scenario(["last"])
async def end_of_client_loop(face: Face) -> Any:
    """A client's async for ends when the server's handler returns"""

    async def handler(ws: Any) -> None:
        await ws.send("last")

    async with face.serving(handler) as server, face.connect(url_of(server)) as ws:
        return [message async for message in ws]
