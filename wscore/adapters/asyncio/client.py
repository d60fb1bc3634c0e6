"""`connect`: reach a server, shake hands, and close at the end of the block. TLS is asyncio's."""

from __future__ import annotations

import asyncio
import ssl as tls
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING, Any

from wscore.codec import CLIENT, CloseCode, DeflatePool
from wscore.protocol.handshake import ClientHandshake
from wscore.session.opening import ClientOpening

from .addresses import reach
from .logs import log_error
from .opening import Connecting
from .options import Options
from .websocket import WebSocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from wscore.protocol.headers import HeadersLike
    from wscore.protocol.uri import Uri

    from .endpoint import CloseHook, ErrorHook, MessageHook, OpenHook

__all__ = ["connect"]


@asynccontextmanager
async def connect(
    url: str,
    *,
    sock: Any = None,
    ssl: tls.SSLContext | None = None,
    on_open: OpenHook | None = None,
    on_message: MessageHook | None = None,
    on_close: CloseHook | None = None,
    on_error: ErrorHook = log_error,
    subprotocols: Sequence[str] = (),
    headers: HeadersLike = (),
    connect_timeout: float = 10.0,
    **options: Any,
) -> AsyncIterator[WebSocket]:
    """Connect to `url`, `ws://` or `wss://`: `async with connect(url) as ws` (RFC 6455 section 4.1).

    The end of the block closes with 1000, an Exception that leaves it with 1011; it is left when the connection is
    closed. Cancelled, the connection is closed at once.

    `sock` is a connected socket to use. For `wss://`, `ssl` decides whom to trust, by default the system's authorities.
    User and password of the URL become HTTP Basic authentication; `headers` are sent beside those of the handshake.
    `subprotocols` are offered, the favourite first. Redirects are not followed. Of several addresses the first that
    answers is used (RFC 8305). The callbacks are those of `Server`, and run in a copy of the caller's context. Finding
    and reaching the server, TLS included, may take `connect_timeout` seconds, the opening handshake another
    `handshake_timeout`. All other keywords are those of `Options`.

    Raises, on entering, `OSError` if the server cannot be reached or breaks off (`ssl.SSLError` included),
    `wscore.HandshakeError` if it refuses or does not speak WebSocket (`.response` has its answer), `TimeoutError`; and
    `ValueError`, `TypeError` or `LocalProtocolError` for senseless arguments.
    """
    chosen = Options(**options)
    handshake = ClientHandshake(
        CLIENT,
        url,
        subprotocols=subprotocols,
        headers=headers,
        compression=chosen.compression,
        max_head_size=chosen.max_head_size,
        max_headers=chosen.max_headers,
    )
    context = _context_for(handshake.uri, ssl)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[WebSocket] = loop.create_future()
    opening = Connecting(chosen, DeflatePool(1), ClientOpening(handshake), done)
    hooks = {"on_open": on_open, "on_message": on_message, "on_close": on_close, "on_error": on_error}
    ws = WebSocket(opening, chosen, copy_context(), **hooks)  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(connect_timeout):
            await _reach(loop, ws, handshake.uri, sock, context)
        await done
        yield ws
        await ws.aclose()
    except Exception:
        ws.close_nowait(CloseCode.INTERNAL_ERROR)
        await ws.wait_closed()
        raise
    finally:
        ws.abort()
        if not done.cancel() and not done.cancelled():
            done.exception()  # it has been raised; of what comes later nobody wants to know


async def _reach(
    loop: asyncio.AbstractEventLoop, ws: WebSocket, uri: Uri, sock: Any, context: tls.SSLContext | None
) -> None:
    reached = await reach(uri.host, uri.port) if sock is None else sock
    try:
        await loop.create_connection(
            lambda: ws, sock=reached, ssl=context, server_hostname=None if context is None else uri.server_name
        )
    except BaseException:
        if sock is None:
            reached.close()
        raise


def _context_for(uri: Uri, given: tls.SSLContext | None) -> tls.SSLContext | None:
    """What decides about TLS, or None if there is to be none; raises `ValueError` for one that is of no use."""
    if uri.secure:
        return given or _default_context()
    if given is not None:
        raise ValueError("an ssl context is of no use for ws://: write wss://")
    return None


@cache
def _default_context() -> tls.SSLContext:
    """Trusts the system's authorities, and asks for HTTP/1.1. Reading them takes milliseconds, so it is done once."""
    context = tls.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
