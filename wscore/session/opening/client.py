"""A client's way in: from the request to a WebSocket, or to the one reason why there is none.

Decides what has become of an attempt, whatever has ended it, and in which words. The rules of the handshake are the
protocol layer's; how a server is reached, and how long that may take, is the driver's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...codec import CLIENT
from ...protocol.handshake import ClientHandshake, HandshakeError
from .facts import Opening

if TYPE_CHECKING:
    from ...codec import DeflatePool
    from ...protocol.connection import Connection
    from ...protocol.response import Response
    from ..options import Options

__all__ = ["ClientOpening"]


class ClientOpening:
    """One attempt, from the moment the server is reached; driven by whoever sends `request` and tells what came."""

    __slots__ = ("_handshake", "_response")

    def __init__(self, handshake: ClientHandshake) -> None:
        self._handshake = handshake
        self._response: Response | None = None

    def request(self) -> bytes:
        """What is to be sent. The server may refuse, and close, before it has read all: read what it says then, too."""
        return self._handshake.data_to_send()

    def received(self, data: bytes | bytearray) -> bool:
        """Take what came, b"" at the server's end, and return whether there is a WebSocket now.

        Raises `HandshakeError` where the server refused, or broke a rule (RFC 6455 section 4.1).
        """
        if not data:
            self._handshake.receive_eof()
        self._response = self._handshake.receive_data(data)
        return self._response is not None

    def failure(self, error: Exception | None = None) -> Exception:
        """What to raise where `error` has ended the attempt, or None, if the connection broke.

        A server that has refused by then has done so, even if its answer has not ended, or broke off.
        """
        try:
            self._handshake.receive_eof()
        except HandshakeError as refused:
            if refused.response is not None:
                return refused
        return error or ConnectionResetError("the server broke off during the opening handshake")

    def opened(self, local_address: object = None, remote_address: object = None) -> Opening:
        """What was settled, once `received` has returned True."""
        return Opening(
            response=self._response,
            subprotocol=self._handshake.subprotocol,
            local_address=local_address,
            remote_address=remote_address,
            rest=bytes(self._handshake.rest),
        )

    def new_connection(self, options: Options, pool: DeflatePool) -> Connection:
        """The WebSocket's, as agreed on."""
        return options.new_connection(CLIENT, pool, self._handshake.deflate)
