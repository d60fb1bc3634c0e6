"""Every limit and switch of one connection, with its default.

Whatever a peer can make grow is bounded by default; a value that would unbound it by accident is refused at once, in a
sentence. Sizes are bytes, times seconds. What concerns a whole server stands with the server.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..protocol.checks import check_choice, check_size, check_time
from ..protocol.connection import Connection
from .rates import Rate, Throttle, rate_of

if TYPE_CHECKING:
    from ..codec import DeflatePool, Role
    from ..protocol.extensions import DeflateParameters

__all__ = ["NOTSENT_LOWAT", "Compression", "FastProducer", "Options", "SlowConsumer"]

# Of what the kernel has been given and not sent, so many bytes may wait before an accepted socket counts as full
# (TCP_NOTSENT_LOWAT), on every transport: else a peer that does not read is noticed megabytes late.
NOTSENT_LOWAT = 1 << 16

Compression: TypeAlias = Literal["takeover", "shared", "dedicated"]
SlowConsumer: TypeAlias = Literal["wait", "drop", "close"]
FastProducer: TypeAlias = Literal["pause", "close"]

_CHOICES = {
    "compression": (None, "takeover", "shared", "dedicated"),
    "slow_consumer": ("wait", "drop", "close"),
    "fast_producer": ("pause", "close"),
}
_RATES = {"message_rate", "byte_rate"}
_SWITCHES = {"pieces", "strict_checkpoints"}
_TIMES = {"handshake_timeout", "send_timeout", "ping_interval", "ping_timeout", "close_timeout"}
_MAY_BE_NONE = {"compression_threshold", "ping_interval", "ping_timeout"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How one connection behaves. Raises `ValueError` or `TypeError` for a value that cannot be meant."""

    compression: Compression | None = None
    """permessage-deflate (RFC 7692): None, or the policy that says who owns the compressors."""
    compression_threshold: int | None = None
    """Messages below this size are not compressed; None: what the policy has."""
    pieces: bool = False
    """Deliver messages as they come, to `receive_pieces`."""
    max_message_size: int = 1 << 20
    """A larger message, inflated, closes with 1009."""
    max_fragments: int = 4096
    """A message of more fragments closes with 1008; empty ones count."""
    max_head_size: int = 16 << 10
    """A larger head of the opening handshake is refused (431, 414)."""
    max_headers: int = 128
    """A head with more fields is refused (431)."""
    handshake_timeout: float = 10.0
    """TLS, request and answer together (408)."""
    max_receive_queue: int = 1 << 20
    """What waits to be received, and 48 bytes a message, 8 if it is empty or one byte; reading pauses above."""
    max_send_buffer: int = 1 << 20
    """What waits to be sent; above, `slow_consumer` decides."""
    slow_consumer: SlowConsumer = "wait"
    """`send` waits for room; or drops the message; or closes with 1013."""
    message_rate: Rate | float | None = None
    """What a peer may send in a second, Pings and Pongs included; None: any number. Above, `fast_producer` decides."""
    byte_rate: Rate | float | None = None
    """The same in bytes, as on the wire."""
    fast_producer: FastProducer = "pause"
    """Reading pauses; or the connection is closed with 1008."""
    send_timeout: float = 30.0
    """Waiting bytes of which none leaves for so long reset the connection."""
    ping_interval: float | None = 20.0
    """A Ping goes out so often; None: never."""
    ping_timeout: float | None = 20.0
    """A Ping unanswered for so long closes with 1011; None: it may."""
    close_timeout: float = 10.0
    """A closing handshake that takes longer ends in a reset."""
    strict_checkpoints: bool = False
    """Every call gives way to other tasks, as Trio's own do, not only once in 2 milliseconds."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))

    def new_connection(
        self, role: Role, pool: DeflatePool | None = None, deflate: DeflateParameters | None = None
    ) -> Connection:
        """A `Connection` with these options, whose compressors live in `pool`, or in one of its own; `deflate` is what
        was agreed on.
        """
        return Connection(
            role,
            max_message_size=self.max_message_size,
            max_fragments=self.max_fragments,
            pieces=self.pieces,
            compression=self.compression,
            compression_threshold=self.compression_threshold,
            compression_pool=pool,
            deflate=deflate,
        )

    def new_throttle(self) -> Throttle | None:
        """What holds a peer to its rates, if it has any."""
        if self.message_rate is None and self.byte_rate is None:
            return None
        messages, size = rate_of("message_rate", self.message_rate), rate_of("byte_rate", self.byte_rate)
        return Throttle(messages, size, is_strict=self.fast_producer == "close")


def _check(name: str, value: Any) -> None:
    if name in _CHOICES:
        check_choice(name, value, _CHOICES[name])
    elif name in _SWITCHES:
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, not {value!r}")
    elif name in _RATES:
        rate_of(name, value)
    elif name in _TIMES:
        check_time(name, value, may_be_none=name in _MAY_BE_NONE)
    elif value is not None or name not in _MAY_BE_NONE:
        check_size(name, value, least=0 if name == "compression_threshold" else 1)
