"""An echo server on asyncio's streams: `python asyncio_streams.py 8765`. (`wscore.adapters.asyncio` is faster.)"""

import asyncio
import sys

import wscore

HANDSHAKE_TIMEOUT = 10.0
IDLE_TIMEOUT = 60.0
BUDGET = 1 << 20


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            connection, rest = await shake_hands(reader, writer)
        if connection is not None:
            await converse(reader, writer, connection, rest)
        writer.write_eof()
        async with asyncio.timeout(2.0):
            while await reader.read(1 << 16):
                pass
    except (OSError, TimeoutError) as error:
        print("connection lost:", error)
    finally:
        writer.close()


async def shake_hands(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[wscore.Connection | None, bytes]:
    handshake = wscore.Handshake(wscore.SERVER)
    request = None
    while request is None:
        data = await reader.read(1 << 16)
        if not data:
            handshake.receive_eof()
            break
        request = handshake.receive_data(data)
    if isinstance(request, wscore.Request):
        handshake.answer(wscore.Accept())
    writer.write(handshake.data_to_send())
    return (wscore.Connection(wscore.SERVER) if handshake.accepted else None), bytes(handshake.rest)


async def converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: wscore.Connection, data: bytes
) -> None:
    while True:
        while True:
            for event in connection.receive_data(data, BUDGET):
                if isinstance(event, str | bytes):
                    connection.send(event)
            data = b""
            writer.write(connection.data_to_send())
            await writer.drain()  # who does not read our answers is not read from
            if not connection.has_rest:
                break
        if connection.state is wscore.State.CLOSED:
            return
        async with asyncio.timeout(IDLE_TIMEOUT):
            data = await reader.read(1 << 16)
        if not data:
            connection.receive_eof()
            return


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
