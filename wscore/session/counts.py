"""What one connection has counted, as users see it: `ws.statistics()`, the same of every face.

Decides what is worth telling of one connection. Where the counts stand is the session's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ._core import Session

__all__ = ["Statistics", "statistics_of"]


class Statistics(NamedTuple):
    """One connection at one moment; sizes are in bytes, as on the wire unless it says otherwise.

    A tuple, since one is made at the end of each connection of a server: three times as quick as a frozen dataclass.
    """

    messages_received: int
    messages_sent: int
    messages_dropped: int
    """By `slow_consumer="drop"`."""
    bytes_received: int
    bytes_sent: int
    messages_waiting: int
    """Received, and not fetched yet; pieces count singly."""
    receive_queue: int
    """What they weigh: size after inflating, and 48 each, 8 if they are empty or one byte."""
    send_buffer: int
    senders_waiting: int
    latency: float | None
    reset: bool
    """Whether the peer took nothing, or did not close, for so long that we gave it up."""
    failed: bool
    """Whether the handler or `on_message` raised what it should not."""


def statistics_of(
    session: Session, *, failed: bool, senders_waiting: int, messages_received: int | None = None
) -> Statistics:
    """What a session has counted, with what its pump knows: `messages_received` if those went to a hook."""
    messages_waiting, receive_queue = session.receive_queue
    return Statistics(
        messages_received=session.messages_received if messages_received is None else messages_received,
        messages_sent=session.messages_sent,
        messages_dropped=session.messages_dropped,
        bytes_received=session.bytes_received,
        bytes_sent=session.bytes_sent,
        messages_waiting=messages_waiting,
        receive_queue=receive_queue,
        send_buffer=session.unsent,
        senders_waiting=senders_waiting,
        latency=session.latency,
        reset=session.resets,
        failed=failed,
    )
