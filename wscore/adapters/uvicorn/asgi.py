"""ASGI's words (WebSocket specification 2.4) for what a handshake and a connection say: the scope, headers, the end."""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from uvicorn.logging import TRACE_LOG_LEVEL
from uvicorn.protocols.utils import (
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from uvicorn._types import ASGIReceiveEvent, WebSocketScope
    from uvicorn.config import Config

    from ...protocol.handshake import Request

__all__ = [
    "Phase",
    "complaint_about",
    "disconnect",
    "expect",
    "headers_of",
    "line_of",
    "no_message",
    "scope_of",
    "trace",
]


class Phase(enum.Enum):
    """What the application has said."""

    CONNECTING = "connecting"
    OPEN = "open"
    REFUSING = "refusing"
    """It has begun a response, and not completed it."""
    ENDED = "ended"
    """It has closed, or completed the response."""


def scope_of(
    request: Request, transport: asyncio.Transport, config: Config, app_state: dict[str, Any]
) -> WebSocketScope:
    """What an application is told of the connection and of the request. Text of the request is latin-1."""
    root_path = config.root_path
    return {
        "type": "websocket",
        "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
        "http_version": request.http_version,
        "scheme": "wss" if is_ssl(transport) else "ws",
        "server": get_local_addr(transport),
        "client": get_remote_addr(transport),
        "root_path": root_path,
        "path": root_path + unquote(request.path),
        "raw_path": (root_path + request.path).encode("latin-1"),
        "query_string": request.query.encode("latin-1"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers],
        "subprotocols": request.subprotocols,
        "state": app_state.copy(),
        "extensions": {"websocket.http.response": {}},
    }


def line_of(scope: WebSocketScope) -> str:
    """How uvicorn's log names a request."""
    return f'{get_client_addr(scope)} - "WebSocket {get_path_with_query_string(scope)}"'


def headers_of(*pairs: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """ASGI's headers as a handshake wants them."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for some in pairs for name, value in some]


def disconnect(code: int, reason: str | None = None) -> ASGIReceiveEvent:
    """The last event; without a reason where there was no Close frame."""
    if reason is None:
        return {"type": "websocket.disconnect", "code": code}
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def expect(kind: str, *expected: str) -> None:
    """Raise RuntimeError where an application sends what it may not send now."""
    if kind not in expected:
        names = " or ".join(f"'{name}'" for name in expected)
        raise RuntimeError(f"Expected ASGI message {names} but got '{kind}'.")


def no_message(key: str, value: object) -> Exception:
    """What an application hears that has put under a key what does not belong there: text is text, bytes are binary."""
    if value is None:
        return RuntimeError("ASGI message 'websocket.send' has neither 'bytes' nor 'text'.")
    return TypeError(f"'{key}' of ASGI message 'websocket.send' must not be {type(value).__name__}.")


def complaint_about(result: object, phase: Phase) -> str | None:
    """What is wrong with an application that has returned this, then; None if nothing is."""
    if phase is Phase.CONNECTING:
        return "ASGI callable returned without completing handshake."
    if phase is Phase.REFUSING:
        return "ASGI callable returned without completing response."
    return None if result is None else f"ASGI callable should return None, but returned a {type(result).__name__}."


def trace(logger: logging.Logger, transport: asyncio.Transport, text: str) -> None:
    """Log at uvicorn's finest level, with the client's address."""
    if logger.isEnabledFor(TRACE_LOG_LEVEL):
        client = get_remote_addr(transport)
        logger.log(TRACE_LOG_LEVEL, "%s%s", f"{client[0]}:{client[1]} - " if client else "", text)
