"""Listening: where a server can be reached, and taking in one connection after the other.

Decides what an error of `accept` means. Running out of descriptors or memory is no reason to end: accepting pauses, the
operator is warned, and it goes on. Errors of the connection that was about to be accepted skip it, as in Trio's own
listener. Every other error ends the server. Knows nothing of what follows on a connection.
"""

import errno
from collections.abc import Callable, Sequence

import trio

from wscore.protocol.checks import check_size
from wscore.server.limits import wait_for_room
from wscore.server.logs import fields, logger
from wscore.server.sockets import listener_on, open_all
from wscore.session.site.limits import Limits
from wscore.transport import reactor
from wscore.transport.addresses import limit_unsent

__all__ = [
    "Exhaustion",
    "Listener",
    "accept_from",
    "addresses_of",
    "on_the_reactor",
    "open_listeners",
]

Listener = trio.abc.Listener[trio.abc.Stream]

# As in Trio's serve_listeners: the process, or the system, has none left.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
# As in Trio's SocketListener: errors of the connection that was about to be accepted (accept(2)), and of a socket that
# somebody has closed.
_IGNORABLE_NAMES = (
    *("EPERM", "ECONNABORTED", "EPROTO", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH"),
    *("EOPNOTSUPP", "ENETUNREACH", "ENOSR", "ESOCKTNOSUPPORT", "EPROTONOSUPPORT", "ETIMEDOUT", "ECONNRESET"),
)
_IGNORABLE = {getattr(errno, name) for name in _IGNORABLE_NAMES if hasattr(errno, name)}
_CLOSED = {errno.EBADF, errno.ENOTSOCK}
PAUSE = 0.1
_MAX_PORT = 0xFFFF
# One warning for each time that it begins, and one so often while it lasts.
_WARN_EVERY = 10.0


async def open_listeners(host: str | None, port: int | None, given: Sequence[Listener] | None) -> list[Listener]:
    """Return the listeners that were given, or open TCP sockets on `port` of `host` (None: of every interface).

    Raises `ValueError` if both or neither were given, or for a port that is none, `OSError` if it cannot be listened
    there.
    """
    if given is not None:
        if host is not None or port is not None:
            raise ValueError("give either host and port or listeners, not both")
        if not given:
            raise ValueError("listeners is empty: there is nothing to accept connections from")
        return list(given)
    if port is None:
        raise ValueError("give a port to listen on (0 lets the system choose), or listeners")
    check_size("port", port, least=0)
    if port > _MAX_PORT:
        raise ValueError(f"port must be at most {_MAX_PORT}, not {port!r}")
    kind, flags = trio.socket.SOCK_STREAM, trio.socket.AI_PASSIVE
    return [*map(listener_on, open_all(await trio.socket.getaddrinfo(host, port, type=kind, flags=flags)))]


def addresses_of(listeners: Sequence[Listener]) -> list[object]:
    """The addresses of those listeners that are sockets, as `getsockname` has them."""
    sockets = [_below_tls(listener) for listener in listeners]
    return [each.socket.getsockname() for each in sockets if isinstance(each, trio.SocketListener)]


def _below_tls(listener: object) -> object:
    return listener.transport_listener if isinstance(listener, trio.SSLListener) else listener


def on_the_reactor(transport: str, listeners: Sequence[Listener]) -> bool:
    """Whether the reactor is wanted and there, and all listeners are sockets; "auto" means "if it can be".

    Raises `ValueError` if it is wanted for other listeners.
    """
    are_sockets = all(isinstance(listener, trio.SocketListener) for listener in listeners)
    if transport == "reactor" and not are_sockets:
        raise ValueError("the reactor accepts from sockets only: give trio.SocketListener, and ssl_context for TLS")
    return transport != "stream" and reactor.AVAILABLE and are_sockets


async def accept_from(listener: Listener, limits: Limits, take: Callable[[trio.abc.Stream, object], None]) -> None:
    """Pass each connection of `listener` to `take`, with the peer's address, as long as there is room; close the
    listener when cancelled.

    Returns if somebody else closes the listener. Raises `OSError` for errors after which it makes no sense to go on.
    """
    exhaustion = Exhaustion()
    async with listener:
        while True:
            await wait_for_room(limits)
            try:
                take(*await _accept(listener))
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                await trio.sleep(exhaustion.pause(error))


async def _accept(listener: Listener) -> tuple[trio.abc.Stream, object]:
    """The next connection and whom it is from: a socket whose peer has reset it already says so only here. None for
    what is no socket, or has TLS of its own.
    """
    if not isinstance(listener, trio.SocketListener):
        return await listener.accept(), None
    while True:
        try:
            sock, remote = await listener.socket.accept()
        except OSError as error:
            if error.errno in _CLOSED:
                raise trio.ClosedResourceError from None
            if error.errno not in _IGNORABLE:
                raise
        else:
            stream = trio.SocketStream(sock)
            limit_unsent(sock)
            return stream, remote


class Exhaustion:
    """What is done when the system has run out of something."""

    def __init__(self) -> None:
        self._warn_from = 0.0

    def pause(self, error: OSError) -> float:
        """Say what has run out, unless that was said just now; return for how many seconds to accept nothing."""
        now = trio.current_time()
        if now >= self._warn_from:
            self._warn_from = now + _WARN_EVERY
            sentence = "accepting pauses: %s; raise the limit of open files, or lower max_connections"
            logger.warning(sentence, error.strerror, extra=fields(event="accepting_pauses"))
        return PAUSE
