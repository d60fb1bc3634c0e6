"""Every limit and switch of one connection, with its default: those of a session, but for what asyncio's `WebSocket`
does not have. What concerns a whole server stands with the server.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wscore.session import options as of_session
from wscore.session.options import Compression, SlowConsumer

__all__ = ["Compression", "Options", "SlowConsumer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(of_session.Options):
    """How one connection behaves. Raises `ValueError` or `TypeError` for a value that cannot be meant."""

    handshake_timeout: float = 10.0
    """Request and answer together (408). TLS has a deadline of asyncio's own, `ssl_handshake_timeout`."""
    send_timeout: float = 30.0
    """Waiting bytes of which none leaves for so long (a quarter more at most) reset the connection."""
    pieces: bool = field(default=False, init=False)
    strict_checkpoints: bool = field(default=False, init=False)
