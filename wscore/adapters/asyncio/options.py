"""Every limit and switch of one connection, with its default: what a peer can make grow is bounded.

Sizes are bytes, times seconds. What concerns a whole server stands with the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from wscore.protocol.checks import check_choice, check_size, check_time

__all__ = ["Compression", "Options", "SlowConsumer"]

Compression: TypeAlias = Literal["takeover", "shared", "dedicated"]
SlowConsumer: TypeAlias = Literal["wait", "drop", "close"]

_SIZES = (
    *("max_message_size", "max_fragments", "max_head_size", "max_headers"),
    *("max_receive_queue", "max_send_buffer"),
)
_TIMES = ("handshake_timeout", "send_timeout", "close_timeout")
_TIMES_OR_NONE = ("ping_interval", "ping_timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How one connection behaves. Raises `ValueError` or `TypeError` for a value that cannot be meant."""

    compression: Compression | None = None
    """permessage-deflate (RFC 7692): None, or the policy that says who owns the compressors."""
    compression_threshold: int | None = None
    """Messages below this size are not compressed; None: what the policy has."""
    max_message_size: int = 1 << 20
    """A larger message, inflated, closes with 1009."""
    max_fragments: int = 4096
    """A message of more fragments closes with 1008; empty ones count."""
    max_head_size: int = 16 << 10
    """A larger head of the opening handshake is refused (431, 414)."""
    max_headers: int = 128
    """A head with more fields is refused (431)."""
    handshake_timeout: float = 10.0
    """Request and answer together (408). TLS has a deadline of asyncio's own, `ssl_handshake_timeout`."""
    max_receive_queue: int = 1 << 20
    """What waits to be received, and 48 bytes a message, 8 if it is empty or one byte; reading pauses above."""
    max_send_buffer: int = 1 << 20
    """What waits to be sent, beside one message; above, `slow_consumer` decides."""
    slow_consumer: SlowConsumer = "wait"
    """`send` waits for room; or drops the message; or closes with 1013."""
    send_timeout: float = 30.0
    """Waiting bytes of which none leaves for so long (a quarter more at most) break the connection off."""
    ping_interval: float | None = 20.0
    """A Ping goes out so often; None: never."""
    ping_timeout: float | None = 20.0
    """A Ping unanswered for so long closes with 1011; None: it may."""
    close_timeout: float = 10.0
    """A closing handshake that takes longer is broken off."""

    def __post_init__(self) -> None:
        check_choice("compression", self.compression, (None, "takeover", "shared", "dedicated"))
        check_choice("slow_consumer", self.slow_consumer, ("wait", "drop", "close"))
        if self.compression_threshold is not None:
            check_size("compression_threshold", self.compression_threshold, least=0)
        for name in _SIZES:
            check_size(name, getattr(self, name))
        for name in _TIMES:
            check_time(name, getattr(self, name))
        for name in _TIMES_OR_NONE:
            check_time(name, getattr(self, name), may_be_none=True)
