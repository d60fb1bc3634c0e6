"""Which transport: what may be asked for, and what there is in this installation.

Knows nothing of what either is good for: who asks says for which streams or sockets.
"""

from __future__ import annotations

from . import reactor

__all__ = ["check_transport"]


def check_transport(transport: str) -> bool:
    """Whether there is a reactor. Raises `ValueError` for a transport that there is not, at all or in this
    installation.
    """
    if transport not in ("auto", "reactor", "stream"):
        raise ValueError(f'transport must be "auto", "reactor" or "stream", not {transport!r}')
    if transport == "reactor" and not reactor.AVAILABLE:
        raise ValueError('the reactor needs the compiled codec, and epoll or kqueue: transport is "auto" or "stream"')
    return reactor.AVAILABLE
