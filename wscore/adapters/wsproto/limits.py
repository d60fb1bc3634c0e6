"""What a peer may make a program hold that collects the parts of a message: limits that wsproto does not have.

Messages leave this interface in parts, as they come, so nothing grows in here; but most programs join the parts, and
not all of them count. Above a limit the peer's message ends with a `CloseConnection` event that has the right code.
"""

from dataclasses import dataclass

__all__ = ["Limits", "default_limits", "set_default_limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_message_size` is in bytes, over all parts, after inflating, text as UTF-8 (1009 above); `max_fragments` is
    the number of frames in a message, empty ones included (1008). None is no limit.

    The defaults are far above what hypercorn and trio-websocket allow by themselves, so that theirs decide.
    Raises ValueError for a limit below 1.
    """

    max_message_size: int | None = 64 << 20
    max_fragments: int | None = 1 << 16

    def __post_init__(self) -> None:
        for limit in (self.max_message_size, self.max_fragments):
            if limit is not None and limit < 1:
                raise ValueError("a limit must be at least 1, or None")


# What binds where nobody passes limits, as programs that were written for wsproto cannot.
_default = Limits()


def default_limits() -> Limits:
    """What binds connections that are made without limits of their own."""
    return _default


def set_default_limits(limits: Limits) -> None:
    """Bind connections that are made from now on without limits of their own."""
    global _default
    _default = limits
