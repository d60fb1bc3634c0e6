"""From a stream to the reactor: what a client's opening handshake goes over, and what becomes of it then.

Decides how TLS is spoken until the reactor takes over: on the `Tls` that moves into it, with the same errors as
`transport.tls` and Trio's `SSLStream`. The opening handshake itself, and how long it may take, is its user's.
"""

from __future__ import annotations

import ssl
from contextlib import AbstractAsyncContextManager, suppress

import trio

from ...protocol.connection import Connection
from ...session.options import Options
from ..records import Opening
from .arrival import Arrival
from .running import reactor_of_this_run
from .websocket import ReactorWebSocket, open_websocket
from .wire import Tls

__all__ = ["EncryptedStream", "go_on", "start_tls"]

_RECEIVE_SIZE = 1 << 16


class EncryptedStream(trio.abc.Stream):
    """TLS on top of a socket, after its handshake; for one task at a time."""

    def __init__(self, transport_stream: trio.SocketStream, tls: Tls) -> None:
        self.transport_stream = transport_stream
        self.tls = tls

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`. Raises `trio.BrokenResourceError`. Cancelled, the stream is of no use any more."""
        await self.transport_stream.send_all(self.tls.encrypt(bytes(data)))

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the socket takes something. Cancelled, nothing has happened."""
        await self.transport_stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has come, or b"" at the end. Raises `trio.BrokenResourceError`. Cancelled, nothing is lost."""
        received: bytes | bytearray = b""
        while True:
            try:
                data = self.tls.decrypt(received, max_bytes or _RECEIVE_SIZE)
            except ssl.SSLError as error:
                raise trio.BrokenResourceError from error
            if data is None or data:
                return data or b""
            received = await self.transport_stream.receive_some(_RECEIVE_SIZE)
            if not received:
                return b""

    async def aclose(self) -> None:
        """Close the socket at once, without close_notify."""
        await self.transport_stream.aclose()


async def start_tls(stream: trio.SocketStream, ssl_context: ssl.SSLContext, *, server_hostname: str) -> EncryptedStream:
    """As `transport.tls.start_tls`, on a client's end of a socket."""
    tls = Tls(ssl_context, False, server_hostname)
    received: bytes | bytearray = b""
    try:
        while not tls.is_done:
            await _shake_hands(stream, tls, received)
            if not tls.is_done:
                received = await stream.receive_some(_RECEIVE_SIZE)
                if not received:
                    raise ConnectionResetError("the connection broke during the TLS handshake")
    except trio.BrokenResourceError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise ConnectionResetError("the connection broke during the TLS handshake") from None
    return EncryptedStream(stream, tls)


async def _shake_hands(stream: trio.SocketStream, tls: Tls, received: bytes | bytearray) -> None:
    try:
        answer = tls.shake_hands(received)
    except ssl.SSLError:
        # The peer is told why; whether it listens is another matter.
        with suppress(trio.BrokenResourceError):
            await stream.send_all(tls.leftover())
        raise
    if answer:
        await stream.send_all(answer)


def go_on(
    stream: trio.SocketStream | EncryptedStream, connection: Connection, options: Options, opening: Opening
) -> AbstractAsyncContextManager[ReactorWebSocket]:
    """Let the reactor have the socket of `stream`, after the opening handshake: `transport.reactor.open_websocket`."""
    tls = None
    if isinstance(stream, EncryptedStream):
        tls, stream = stream.tls, stream.transport_stream
    trio.lowlevel.notify_closing(stream.socket)
    arrival = Arrival(reactor_of_this_run().reactor, stream.socket.fileno(), tls)
    stream.socket.detach()
    return open_websocket(arrival, connection, options, opening)
