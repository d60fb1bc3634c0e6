"""`connect`: a WebSocket client for Trio programs.

Decides how a server is reached (name, TCP, TLS, the opening handshake), how long that may take, and which errors come
of it. No redirect is followed: headers such as Authorization are meant for the server that was named (RFC 6455 section
4.1, RFC 9110 section 15.4).
"""

import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cache
from typing import Literal

import trio

from wscore.codec import CLIENT
from wscore.protocol.connection import Connection
from wscore.protocol.handshake import ClientHandshake, HeadersLike
from wscore.protocol.uri import Uri
from wscore.session.opening import ClientOpening, Opening
from wscore.session.options import Compression, FastProducer, Options, SlowConsumer
from wscore.session.rates import Rate
from wscore.transport.addresses import addresses_of
from wscore.transport.choice import check_transport
from wscore.transport.linger import close_now
from wscore.transport.stream import new_connection, open_websocket
from wscore.transport.tls import start_tls
from wscore.transport.trio_glue import unwrapped
from wscore.transport.websocket import WebSocket

__all__ = ["connect"]

_RECEIVE_SIZE = 1 << 16


@asynccontextmanager
async def connect(
    url: str,
    *,
    stream: trio.abc.Stream | None = None,
    ssl_context: ssl.SSLContext | None = None,
    transport: Literal["auto", "reactor", "stream"] = "auto",
    subprotocols: Sequence[str] = (),
    headers: HeadersLike = (),
    compression: Compression | None = None,
    compression_threshold: int | None = None,
    pieces: bool = False,
    max_message_size: int = 1 << 20,
    max_fragments: int = 4096,
    max_head_size: int = 16 << 10,
    max_headers: int = 128,
    connect_timeout: float = 10.0,
    handshake_timeout: float = 10.0,
    message_rate: Rate | float | None = None,
    byte_rate: Rate | float | None = None,
    fast_producer: FastProducer = "pause",
    max_receive_queue: int = 1 << 20,
    max_send_buffer: int = 1 << 20,
    slow_consumer: SlowConsumer = "wait",
    send_timeout: float = 30.0,
    ping_interval: float | None = 20.0,
    ping_timeout: float | None = 20.0,
    close_timeout: float = 10.0,
    strict_checkpoints: bool = False,
) -> AsyncIterator[WebSocket]:
    """Connect to `url`, `ws://` or `wss://`: `async with wscore.connect(url) as ws` (RFC 6455 section 4.1).

    The end of the block closes with 1000, an Exception that leaves it with 1011; it is left when the connection is
    closed. Cancelled, the connection is closed at once.

    `stream` is used instead of a TCP connection, to a proxy for example, and belongs to the WebSocket. For `wss://`,
    `ssl_context` decides whom to trust, by default the system's authorities. User and password of the URL become HTTP
    Basic authentication; `headers` are sent beside those of the handshake. `subprotocols` are offered, the favourite
    first; `ws.subprotocol` is the server's choice. Redirects are not followed.

    `transport` is what moves the bytes: "auto" is the reactor where there is one, for a TCP connection of ours, and
    "stream" for a `stream` that was given; "reactor" takes the socket out of one that is a plain `trio.SocketStream`.

    Finding and reaching the server may take `connect_timeout` seconds, TLS and the opening handshake another
    `handshake_timeout`. The other limits are those of `serve`.

    Raises, on entering, `OSError` if the server cannot be reached or breaks off (`ssl.SSLError` included, such as
    `ssl.SSLCertVerificationError`), `HandshakeError` if it refuses or does not speak WebSocket (`.response` has its
    answer), `trio.TooSlowError`; and `ValueError`, `TypeError` or `LocalProtocolError` for senseless arguments.
    """
    options = Options(
        compression=compression,
        compression_threshold=compression_threshold,
        pieces=pieces,
        max_message_size=max_message_size,
        max_fragments=max_fragments,
        max_head_size=max_head_size,
        max_headers=max_headers,
        handshake_timeout=handshake_timeout,
        message_rate=message_rate,
        byte_rate=byte_rate,
        fast_producer=fast_producer,
        max_receive_queue=max_receive_queue,
        max_send_buffer=max_send_buffer,
        slow_consumer=slow_consumer,
        send_timeout=send_timeout,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
        strict_checkpoints=strict_checkpoints,
    )
    handshake = ClientHandshake(
        CLIENT,
        url,
        subprotocols=subprotocols,
        headers=headers,
        compression=compression,
        max_head_size=max_head_size,
        max_headers=max_headers,
    )
    context = context_for(handshake.uri, ssl_context)
    on_the_reactor = _on_the_reactor(transport, stream)
    opening = ClientOpening(handshake)
    below = await reach(handshake.uri, connect_timeout) if stream is None else stream
    local, remote = addresses_of(below)
    try:
        top = await _open(below, opening, context, handshake.uri.server_name, handshake_timeout, on_the_reactor)
        connection = new_connection(CLIENT, options, handshake.deflate)
        async with _go_on(top, connection, options, opening.opened(local, remote), on_the_reactor) as ws:
            yield ws
    finally:
        await close_now(below)


def _on_the_reactor(transport: str, given: trio.abc.Stream | None) -> bool:
    """Whether the reactor is wanted and there, and can have the socket; "auto" means "if it can".

    Raises `ValueError` if it is wanted for a stream that is no socket.
    """
    is_available = check_transport(transport)
    is_socket = given is None or type(given) is trio.SocketStream
    if transport == "reactor" and not is_socket:
        raise ValueError("the reactor moves the bytes of sockets only: give a trio.SocketStream, or leave stream out")
    # Whoever brought a stream may use it beside us, to break off for one, unless told that its socket is taken.
    return is_available and (transport == "reactor" or (transport == "auto" and given is None))


def context_for(uri: Uri, given: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """What decides about TLS, or None if there is to be none; raises `ValueError` for one that is of no use."""
    if uri.secure:
        return given or _default_context()
    if given is not None:
        raise ValueError("an ssl_context is of no use for ws://: write wss://")
    return None


@cache
def _default_context() -> ssl.SSLContext:
    """Trusts the system's authorities, and asks for HTTP/1.1. Reading them takes milliseconds, so it is done once."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def reach(uri: Uri, timeout: float) -> trio.SocketStream:
    """Connect to whichever of the host's addresses answers first (RFC 8305). Cancelled, nothing stays open.

    Raises `OSError`, and `trio.TooSlowError` after `timeout` seconds.
    """
    try:
        with trio.fail_after(timeout):
            return await trio.open_tcp_stream(uri.host, uri.port)
    except OSError as error:
        raise _plain(error, uri) from None
    except BaseExceptionGroup as group:
        raise unwrapped(group) from None


def _plain(error: OSError, uri: Uri) -> OSError:
    """Why no address answered; if all for one reason, then as that error, such as `ConnectionRefusedError`."""
    attempts = error.__cause__
    if isinstance(attempts, ExceptionGroup):
        reasons = {each.errno for each in attempts.exceptions if isinstance(each, OSError)}
        if len(reasons) == 1 and (reason := reasons.pop()) is not None:
            return OSError(reason, os.strerror(reason), f"{uri.host}:{uri.port}")
    return error


async def _open(
    stream: trio.abc.Stream,
    opening: ClientOpening,
    context: ssl.SSLContext | None,
    server_name: str,
    timeout: float,
    on_the_reactor: bool,
) -> trio.abc.Stream:
    """Shake hands, first on TLS, then on WebSocket; return the stream to go on with."""
    try:
        with trio.fail_after(timeout):
            if context is not None:
                stream = await _encrypt(stream, context, server_name, on_the_reactor)
            await _ask(stream, opening)
    except trio.TooSlowError as error:
        raise opening.failure(error) from None
    except trio.BrokenResourceError as error:
        why = error.__cause__
        raise opening.failure(why if isinstance(why, OSError) else None) from None
    return stream


async def _encrypt(
    stream: trio.abc.Stream, context: ssl.SSLContext, host: str, on_the_reactor: bool
) -> trio.abc.Stream:
    if not on_the_reactor:
        return await start_tls(stream, context, server_hostname=host)
    from wscore.transport.reactor import opening

    assert isinstance(stream, trio.SocketStream)
    return await opening.start_tls(stream, context, server_hostname=host)


def _go_on(
    stream: trio.abc.Stream, connection: Connection, options: Options, opening: Opening, on_the_reactor: bool
) -> AbstractAsyncContextManager[WebSocket]:
    if not on_the_reactor:
        return open_websocket(stream, connection, options, opening)
    from wscore.transport.reactor.opening import EncryptedStream, go_on

    assert isinstance(stream, trio.SocketStream | EncryptedStream)
    return go_on(stream, connection, options, opening)


async def _ask(stream: trio.abc.Stream, opening: ClientOpening) -> None:
    with suppress(trio.BrokenResourceError):  # see `ClientOpening.request`
        await stream.send_all(opening.request())
    while not opening.received(await stream.receive_some(_RECEIVE_SIZE)):
        pass
