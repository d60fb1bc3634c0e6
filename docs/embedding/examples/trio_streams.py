"""An echo server on Trio's streams: `python trio_streams.py 8765`. (`wscore.serve` does this and much more.)"""

import sys
from functools import partial

import trio

import wscore

HANDSHAKE_TIMEOUT = 10.0
IDLE_TIMEOUT = 60.0
BUDGET = 1 << 20


async def main(port: int) -> None:
    await trio.serve_tcp(serve, port, host="127.0.0.1")


async def serve(stream: trio.SocketStream) -> None:
    try:
        with trio.fail_after(HANDSHAKE_TIMEOUT):
            connection, rest = await shake_hands(stream)
        if connection is not None:
            await converse(stream, connection, rest)
        await stream.send_eof()
        with trio.move_on_after(2.0):
            async for _ in stream:
                pass
    except (trio.BrokenResourceError, trio.TooSlowError) as error:
        print("connection lost:", error)
    finally:
        await trio.aclose_forcefully(stream)


async def shake_hands(stream: trio.SocketStream) -> tuple[wscore.Connection | None, bytes]:
    handshake = wscore.Handshake(wscore.SERVER)
    request = None
    while request is None:
        data = await stream.receive_some()
        if not data:
            handshake.receive_eof()
            break
        request = handshake.receive_data(data)
    if isinstance(request, wscore.Request):
        handshake.answer(wscore.Accept())
    await stream.send_all(handshake.data_to_send())
    return (wscore.Connection(wscore.SERVER) if handshake.accepted else None), bytes(handshake.rest)


async def converse(stream: trio.SocketStream, connection: wscore.Connection, data: bytes | bytearray) -> None:
    while True:
        while True:
            for event in connection.receive_data(data, BUDGET):
                if isinstance(event, str | bytes):
                    connection.send(event)
            data = b""
            await stream.send_all(connection.data_to_send())
            if not connection.has_rest:
                break
        if connection.state is wscore.State.CLOSED:
            return
        with trio.fail_after(IDLE_TIMEOUT):
            data = await stream.receive_some()
        if not data:
            connection.receive_eof()
            return


if __name__ == "__main__":
    trio.run(partial(main, int(sys.argv[1])))
