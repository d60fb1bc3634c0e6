"""What is known of a connection beside its messages: what the opening handshake settled, and counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..protocol.handshake import Request, Response

__all__ = ["Opening", "Statistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What the opening handshake has settled, as far as it is known."""

    request: Request | None = None
    response: Response | None = None
    subprotocol: str | None = None
    user: object = None
    local_address: object = None
    remote_address: object = None
    rest: bytes = b""
    """What the peer has sent after its head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """One connection at one moment; sizes are in bytes, as on the wire unless it says otherwise."""

    messages_received: int
    messages_sent: int
    messages_dropped: int
    """By `slow_consumer="drop"`."""
    bytes_received: int
    bytes_sent: int
    messages_waiting: int
    """Received, and not fetched yet; pieces count singly."""
    receive_queue: int
    """What they weigh: size after inflating, and 64 each."""
    send_buffer: int
    senders_waiting: int
    latency: float | None
    reset: bool
    """Whether the peer took nothing, or did not close, for so long that we gave it up."""
    failed: bool
    """Whether the handler or `on_message` raised what it should not."""
