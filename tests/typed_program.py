"""A program as a user writes it, for mypy alone (`test_typing.py`): what type checkers know of the public names."""

from functools import partial
from typing import assert_type

import trio

import wscore
from wscore.codec import Piece, Reader, Stop, Writer


async def echo(ws: wscore.WebSocket) -> None:
    async for message in ws:
        assert_type(message, str | bytes)
        await ws.send(message)
    assert_type(await ws.receive(), str | bytes)
    assert_type(ws.send_nowait("text"), bool)
    assert_type(await ws.ping(), float)
    assert_type(ws.subprotocol, str | None)
    assert_type(ws.close_code, int | None)
    async for piece in ws.receive_pieces():
        assert_type(piece, str | bytes)
    if ws.request is not None:
        assert_type(ws.request.path, str)
    await ws.send(7)  # type: ignore[arg-type]


def who(request: wscore.Request) -> wscore.Accept | wscore.Refuse:
    return wscore.Accept(user="ada") if request.headers.get("x") else wscore.Refuse(401, "Who are you?")


async def talk() -> None:
    async with wscore.connect("ws://localhost/", compression="takeover") as ws:
        assert_type(ws, wscore.WebSocket)
        try:
            await ws.receive()
        except wscore.ConnectionClosed as closed:
            assert_type(closed.code, int)
            assert_type(closed.by_peer, bool)
    wscore.connect("ws://localhost/", compression="best")  # type: ignore[arg-type]


async def run() -> None:
    async with trio.open_nursery() as nursery:
        server: wscore.Server = await nursery.start(partial(wscore.serve, echo, port=0, authorize=who))
        await server.aclose(drain=1)


def without_io() -> None:
    connection = wscore.Connection(wscore.SERVER)
    for event in connection.receive_data(b""):
        match event:
            case str() | bytes():
                connection.send(event)
            case wscore.Close(code, reason, _):
                assert_type(code, int)
                assert_type(reason, str)
    assert_type(connection.data_to_send(), bytes)
    messages: list[str | bytes | Piece] = []
    reader, writer = Reader(wscore.SERVER), Writer(wscore.CLIENT)
    assert_type(reader.read(writer.take(), messages), int)
    assert_type(reader.stop, Stop)
