"""Listening: where a server can be reached, and taking in one connection after the other.

Decides what an error of `accept` means. Running out of descriptors or memory is no reason to end: accepting pauses, the
operator is warned, and it goes on. Errors of the connection that was about to be accepted are Trio's listener's, which
skips it. Every other error ends the server. Knows nothing of what follows on a connection.
"""

import errno
from collections.abc import Callable, Sequence

import trio

from wscore.server.limits import Limits
from wscore.server.logs import fields, logger

__all__ = ["Listener", "accept_from", "addresses_of", "open_listeners"]

Listener = trio.abc.Listener[trio.abc.Stream]

# As in Trio's serve_listeners: the process, or the system, has none left.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
PAUSE = 0.1
# One warning for each time that it begins, and one so often while it lasts.
_WARN_EVERY = 10.0


async def open_listeners(host: str | None, port: int | None, given: Sequence[Listener] | None) -> list[Listener]:
    """Return the listeners that were given, or open TCP sockets on `port` of `host` (None: of every interface).

    Raises `ValueError` if both or neither were given, `OSError` if it cannot be listened there.
    """
    if given is not None:
        if host is not None or port is not None:
            raise ValueError("give either host and port or listeners, not both")
        if not given:
            raise ValueError("listeners is empty: there is nothing to accept connections from")
        return list(given)
    if port is None:
        raise ValueError("give a port to listen on (0 lets the system choose), or listeners")
    return [*await trio.open_tcp_listeners(port, host=host)]


def addresses_of(listeners: Sequence[Listener]) -> list[object]:
    """The addresses of those listeners that are sockets, as `getsockname` has them."""
    sockets = [_below_tls(listener) for listener in listeners]
    return [each.socket.getsockname() for each in sockets if isinstance(each, trio.SocketListener)]


def _below_tls(listener: object) -> object:
    return listener.transport_listener if isinstance(listener, trio.SSLListener) else listener


async def accept_from(listener: Listener, limits: Limits, take: Callable[[trio.abc.Stream], None]) -> None:
    """Pass each connection of `listener` to `take`, as long as there is room; close the listener when cancelled.

    Returns if somebody else closes the listener. Raises `OSError` for errors after which it makes no sense to go on.
    """
    warn_from = 0.0
    async with listener:
        while True:
            await limits.wait_for_room()
            try:
                take(await listener.accept())
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                warn_from = _warn(error, warn_from)
                await trio.sleep(PAUSE)


def _warn(error: OSError, warn_from: float) -> float:
    """Say what has run out, unless that was said just now; return when to say it again."""
    now = trio.current_time()
    if now < warn_from:
        return warn_from
    sentence = "accepting pauses: %s; raise the limit of open files, or lower max_connections"
    logger.warning(sentence, error.strerror, extra=fields(event="accepting_pauses"))
    return now + _WARN_EVERY
