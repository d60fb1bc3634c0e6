"""Listening sockets, before Trio runs, too: bound here, or passed by systemd.

Decides how the addresses of a host become sockets on one port, and which descriptors of a service manager are ours
(sd_listen_fds(3)): a supervisor needs its sockets before it forks, and it forks before any Trio run. Refuses to know
what is spoken on them.
"""

import errno
import os
import socket
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any

import trio

__all__ = ["Found", "close_all", "inherited_sockets", "listener_on", "open_all", "open_sockets"]

# What `getaddrinfo` returns for stream sockets.
Found = Iterable[tuple[int, int, int, str, Any]]

# As long a queue as the system allows: a worker that starts again must not cost anybody a connection.
_BACKLOG = 0xFFFF
_FIRST_PASSED = 3  # SD_LISTEN_FDS_START
# A port that is free on one address may be taken on another.
_ATTEMPTS = 10


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Return listening TCP sockets on `port` of every address of `host`. Raises `OSError` if there is none."""
    return open_all(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))


def open_all(found: Found) -> list[socket.socket]:
    """Return listening TCP sockets on all these addresses; for port 0 the system chooses one, the same for all of them.

    Raises `OSError` if there is none, and if one cannot be had.
    """
    addresses = list(dict.fromkeys((family, address) for family, *_, address in found))
    for _ in range(_ATTEMPTS - 1):
        try:
            return _open_once(addresses)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or any(address[1] for _, address in addresses):
                raise
    return _open_once(addresses)


def _open_once(addresses: Iterable[tuple[int, Any]]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    skipped: OSError | None = None
    try:
        for family, (host, port, *rest) in addresses:
            if not port and sockets:
                port = sockets[0].getsockname()[1]
            try:
                sockets.append(_bound(family, (host, port, *rest)))
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
                skipped = error  # a name may have an IPv6 address where there is no IPv6
    except OSError:
        close_all(sockets)
        raise
    if skipped is not None and not sockets:
        raise skipped
    return sockets


def _bound(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there, it would let others take the port from us
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Close them; what they were for goes on in other processes that have them."""
    for sock in sockets:
        sock.close()


def inherited_sockets(environ: MutableMapping[str, str]) -> list[tuple[str, socket.socket]]:
    """Return the listening sockets that a service manager has passed to this process, each with its name.

    The variables that say so are removed, so that no child takes them for its own. Raises `ValueError` with a sentence
    if what was passed is no listening stream socket.
    """
    process, count, names = (environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    if process != str(os.getpid()) or not count.isdecimal():
        return []
    passed = range(_FIRST_PASSED, _FIRST_PASSED + int(count))
    given = names.split(":") if names else []
    return [(given[i] if i < len(given) else "unknown", _adopted(number)) for i, number in enumerate(passed)]


def _adopted(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
        listens = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ValueError(f"descriptor {descriptor} was passed as a socket, but is none: {error.strerror}") from None
    if not listens:
        sock.close()
        raise ValueError(f"descriptor {descriptor} was passed, but is no socket that listens for streams")
    return sock


def listener_on(sock: socket.socket) -> trio.SocketListener:
    """Return what accepts from `sock` in a Trio run; closing it closes this process's descriptor alone."""
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))
