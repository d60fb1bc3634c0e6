"""Errors, and the helpers for header fields that wsproto's users import."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING

from wscore.protocol import request as _request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .events import Event

__all__ = [
    "ACCEPT_GUID",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "generate_accept_token",
    "generate_nonce",
    "normed_header_dict",
    "split_comma_header",
]

ACCEPT_GUID = _request.ACCEPT_GUID


class ProtocolError(Exception):
    """What both sides can do wrong."""


class LocalProtocolError(ProtocolError):
    """The caller asked for something that the state of the connection or RFC 6455 forbids; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer broke a rule of the opening handshake; `event_hint` is the event to answer with, None for none."""

    def __init__(self, message: str, event_hint: Event | None = None) -> None:
        self.event_hint = event_hint
        super().__init__(message)


def normed_header_dict(h11_headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Fields by name, the values of those that stand several times joined by commas (RFC 9110 section 5.3)."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in h11_headers:
        values.setdefault(name, []).append(value)
    return {name: b", ".join(each) for name, each in values.items()}


def split_comma_header(value: bytes) -> list[str]:
    """The elements of a list; raises UnicodeDecodeError for what is not ASCII."""
    return [piece.strip() for piece in value.decode("ascii").split(",")]


def generate_nonce() -> bytes:
    """A Sec-WebSocket-Key: 16 unpredictable bytes in base64 (RFC 6455 section 4.1)."""
    return b64encode(os.urandom(16))


def generate_accept_token(token: bytes) -> bytes:
    """The Sec-WebSocket-Accept for a key (RFC 6455 section 4.2.2)."""
    return _request.accept_key(token.decode("latin-1")).encode("ascii")
