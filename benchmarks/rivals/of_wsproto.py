"""wsproto: no I/O, no C; handshakes by h11."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import wsproto
from wsproto.connection import Connection, ConnectionType
from wsproto.events import AcceptConnection, BytesMessage, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

from wscore.codec import SERVER, Role

from ..wire import Message
from .base import Receive, Rival, Run, Send


class Wsproto(Rival):
    name = "wsproto"
    version = wsproto.__version__

    def connection(self, role: Role, *, deflate: bool) -> Connection:
        extensions = []
        if deflate:
            extensions = [PerMessageDeflate()]
            extensions[0].accept("permessage-deflate")
        return Connection(ConnectionType.SERVER if role is SERVER else ConnectionType.CLIENT, extensions)

    def receiver(self, role: Role, *, deflate: bool = False) -> Receive:
        connection = self.connection(role, deflate=deflate)

        def receive(data: bytes) -> list[Any]:
            connection.receive_data(data)
            return list(connection.events())

        return receive

    def sender(self, role: Role, *, deflate: bool = False) -> Send:
        connection = self.connection(role, deflate=deflate)

        def send(messages: Sequence[Message]) -> list[bytes]:
            return [
                connection.send(TextMessage(message) if isinstance(message, str) else BytesMessage(message))
                for message in messages
            ]

        return send

    def handshake(self, request: bytes) -> Run:
        def run() -> bytes:
            connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
            connection.receive_data(request)
            [received] = connection.events()
            assert isinstance(received, Request)
            return connection.send(AcceptConnection(extensions=[PerMessageDeflate()]))

        return run

    def messages(self, received: Any) -> list[Message]:
        """A message that came in parts is one event for each."""
        messages: list[Message] = []
        parts: list[Any] = []
        for event in received:
            parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
            if event.message_finished:
                messages.append(parts[0][:0].join(parts))
                parts = []
        return messages


def rivals() -> list[Rival]:
    return [Wsproto()]
