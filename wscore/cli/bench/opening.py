"""Opening the connections of a load: TCP, TLS and the opening handshake, for a socket that a `Line` will move.

Decides that the name of the server is looked up until one of its addresses has answered; all other connections go to
that one. The sockets are the system's own, which never wait: Trio waits for them, and lets go of them in the end.

Refuses to know what is sent afterwards, and what is said about a server that refuses.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

import trio

from wscore.cli.options import Settings
from wscore.client.connect import context_for, reach
from wscore.codec import CLIENT
from wscore.protocol.connection import Connection
from wscore.protocol.handshake import ClientHandshake
from wscore.protocol.uri import Uri
from wscore.session.opening import ClientOpening

_RECEIVE_SIZE = 1 << 16

_T = TypeVar("_T")


class Opened(NamedTuple):
    """A connection that is open."""

    socket: socket.socket
    """It never waits."""
    connection: Connection
    rest: bytes
    """The first bytes of the WebSocket, if they came with the answer."""
    compresses: bool
    """Whether permessage-deflate was agreed on."""


class Opener:
    """Opens connections to one URL. Raises `ValueError` or `LocalProtocolError` for a senseless URL, or header."""

    def __init__(self, url: str, settings: Settings, tls: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._address: object = None
        self._family = socket.AF_UNSPEC
        self.uri = self._handshake(url).uri
        self._tls = context_for(self.uri, tls)

    async def open(self) -> Opened:
        """Open a connection.

        Raises `OSError`, `HandshakeError` and `trio.TooSlowError`; then, and when cancelled, nothing stays open.
        """
        handshake = self._handshake(self.uri)
        opening = ClientOpening(handshake)
        try:
            with trio.fail_after(self._settings["timeout"]):
                connected = await self._open(opening)
        except (OSError, trio.TooSlowError) as error:
            raise opening.failure(error) from None
        return Opened(connected, self._connection(handshake), handshake.rest, handshake.deflate is not None)

    async def _open(self, opening: ClientOpening) -> socket.socket:
        connected = await self._connect()
        try:
            if self._tls is not None:
                connected = await _start_tls(connected, self._tls, self.uri.server_name)
            await _shake_hands(connected, opening)
        except BaseException:
            connected.close()
            raise
        return connected

    def _handshake(self, url: str | Uri) -> ClientHandshake:
        settings = self._settings
        return ClientHandshake(
            CLIENT,
            url,
            subprotocols=settings["subprotocol"],
            headers=settings["header"],
            compression=settings["compression"],
        )

    def _connection(self, handshake: ClientHandshake) -> Connection:
        limit = max(1 << 20, 2 * self._settings["size"])
        compression = self._settings["compression"]
        return Connection(CLIENT, max_message_size=limit, compression=compression, deflate=handshake.deflate)

    async def _connect(self) -> socket.socket:
        if self._address is None:
            stream = await reach(self.uri, self._settings["timeout"])
            self._family, self._address = stream.socket.family, stream.socket.getpeername()
        else:
            stream = await _connect_to(self._family, self._address)
        return _released(stream)


async def _connect_to(family: int, address: object) -> trio.SocketStream:
    connecting = trio.socket.socket(family)
    try:
        await connecting.connect(address)
        return trio.SocketStream(connecting)
    except BaseException:
        connecting.close()
        raise


def _released(stream: trio.SocketStream) -> socket.socket:
    """The socket of a stream, which Trio knows nothing of any more."""
    released = socket.socket(fileno=stream.socket.detach())
    released.setblocking(False)
    return released


async def _start_tls(connected: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    encrypted = context.wrap_socket(connected, server_hostname=host, do_handshake_on_connect=False)
    try:
        await _retry(encrypted, encrypted.do_handshake)
    except BaseException:
        encrypted.close()
        raise
    return encrypted


async def _shake_hands(connected: socket.socket, opening: ClientOpening) -> None:
    with suppress(OSError):  # see `ClientOpening.request`
        await _send_all(connected, opening.request())
    while not opening.received(await _retry(connected, partial(connected.recv, _RECEIVE_SIZE))):
        pass


async def _send_all(connected: socket.socket, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[await _retry(connected, partial(connected.send, rest), trio.lowlevel.wait_writable) :]


async def _retry(
    connected: socket.socket,
    attempt: Callable[[], _T],
    wait: Callable[[socket.socket], Awaitable[None]] = trio.lowlevel.wait_readable,
) -> _T:
    """Call what would wait until it need not; `wait` says for what, where TLS does not say it."""
    while True:
        try:
            return attempt()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(connected)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(connected)
        except BlockingIOError:
            await wait(connected)
