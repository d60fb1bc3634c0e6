"""wsproto's interface, whoever is behind it: no I/O; one event for each message, or part of one."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from wscore.codec import SERVER, Role

from ..wire import Message
from .base import Receive, Rival, Run, Send


class WsprotoInterface(Rival):
    """`package` is wsproto, or what stands in for it."""

    def __init__(self, name: str, version: str, package: str) -> None:
        self.name = name
        self.version = version
        self.package = import_module(package)
        self.connections = import_module(f"{package}.connection")
        self.events = import_module(f"{package}.events")
        self.deflate = import_module(f"{package}.extensions").PerMessageDeflate

    def connection(self, role: Role, *, deflate: bool) -> Any:
        extensions = []
        if deflate:
            extensions = [self.deflate()]
            extensions[0].accept("permessage-deflate")
        types = self.connections.ConnectionType
        return self.connections.Connection(types.SERVER if role is SERVER else types.CLIENT, extensions)

    def receiver(self, role: Role, *, deflate: bool = False) -> Receive:
        connection = self.connection(role, deflate=deflate)

        def receive(data: bytes) -> list[Any]:
            connection.receive_data(data)
            return list(connection.events())

        return receive

    def sender(self, role: Role, *, deflate: bool = False) -> Send:
        connection = self.connection(role, deflate=deflate)
        text, binary = self.events.TextMessage, self.events.BytesMessage

        def send(messages: Sequence[Message]) -> list[bytes]:
            return [
                connection.send(text(message) if isinstance(message, str) else binary(message)) for message in messages
            ]

        return send

    def handshake(self, request: bytes) -> Run:
        connections, accept = self.package.WSConnection, self.events.AcceptConnection
        server, deflate = self.connections.SERVER, self.deflate

        def run() -> bytes:
            connection = connections(server)
            connection.receive_data(request)
            [_] = connection.events()
            return connection.send(accept(extensions=[deflate()]))

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
