"""Closing a stream so that the peer can still read what was sent last (RFC 9112 section 9.6).

A socket that is closed while bytes of the peer's are unread answers them with a reset, and a reset makes the peer's
system throw away what it had received but not handed over: a Close frame or a refusal in the middle of an upload would
never be seen. So sending is shut down first, what still comes is read and thrown away for a while, and only then is the
stream closed. Knows nothing of WebSockets: refusals of the opening handshake end here, too.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

import trio

from ..session import DISCARD_LIMIT, LINGER_TIME
from .sockets import transport_of

__all__ = ["DISCARD_LIMIT", "LINGER_TIME", "close_now", "discard", "end_sending", "linger", "reset"]

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


async def linger(
    stream: trio.abc.Stream,
    *,
    timeout: float = LINGER_TIME,
    limit: int = DISCARD_LIMIT,
) -> None:
    """End sending, read and discard until the peer ends too, `limit` bytes or `timeout` seconds, then close.

    No other task may use the stream. A peer that is gone already is no error. Cancelled, the stream is closed at once.
    """
    transport = transport_of(stream)
    try:
        with suppress(*_GONE):
            with trio.move_on_after(timeout):
                await end_sending(stream)
                await discard(transport, limit)
    finally:
        await close_now(transport)


async def discard(stream: trio.abc.ReceiveStream, limit: int = DISCARD_LIMIT) -> int:
    """Read and throw away until the peer ends or `limit` bytes have come; how many there were.

    Raises what the stream raises.
    """
    count = 0
    while count < limit and (data := await stream.receive_some(65536)):
        count += len(data)
    return count


async def close_now(stream: trio.abc.AsyncResource) -> None:
    """Close without waiting for anything, whether or not the caller is cancelled."""
    with trio.CancelScope(shield=True):
        await trio.aclose_forcefully(stream)


def reset(stream: trio.abc.Stream) -> None:
    """Make the next close of a socket a reset: what waits in the system's buffer is for a peer that takes nothing."""
    transport = transport_of(stream)
    if isinstance(transport, trio.SocketStream):
        with suppress(OSError):
            transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def end_sending(stream: trio.abc.Stream) -> None:
    """Say that we send no more, in TLS and below it, and wait for the peer to say so in TLS.

    No other task may use the stream. Raises what the stream raises. Cancelled, the stream is of no use any more.
    """
    if isinstance(stream, trio.SSLStream):
        transport = stream.transport_stream
        # This sends our close_notify and waits for the peer's. If data come in its place, OpenSSL gives up; the
        # alert is out by then, and what follows is discarded unread.
        with suppress(trio.BrokenResourceError):
            await stream.unwrap()
        await end_sending(transport)
    elif isinstance(stream, trio.abc.HalfCloseableStream):
        await stream.send_eof()
