"""websockets: its layer without I/O, framing in Python, masking in C; and the same again with its masking in Python.

Text leaves that layer as bytes; the decoding that its `recv` does is part of what is measured.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import websockets.protocol
import websockets.server
from websockets.extensions.permessage_deflate import enable_server_permessage_deflate
from websockets.speedups import apply_mask  # the C one, or nothing

from wscore.codec import SERVER, Role

from ..wire import Message
from .base import Receive, Rival, Run, Send


class Websockets(Rival):
    name = "websockets"
    version = websockets.__version__
    package: Any = websockets

    def protocol(self, role: Role, *, deflate: bool) -> Any:
        side = self.package.protocol.Side.SERVER if role is SERVER else self.package.protocol.Side.CLIENT
        protocol = self.package.protocol.Protocol(side, max_size=1 << 22)
        if deflate:
            # What its servers and clients agree on by default.
            made = self.package.extensions.permessage_deflate.PerMessageDeflate(False, False, 12, 12, {"memLevel": 5})
            protocol.extensions = [made]
        return protocol

    def receiver(self, role: Role, *, deflate: bool = False) -> Receive:
        protocol = self.protocol(role, deflate=deflate)
        text = self.package.frames.Opcode.TEXT

        def receive(data: bytes) -> list[Message]:
            protocol.receive_data(data)
            return [frame.data.decode() if frame.opcode is text else frame.data for frame in protocol.events_received()]

        return receive

    def sender(self, role: Role, *, deflate: bool = False) -> Send:
        protocol = self.protocol(role, deflate=deflate)

        def send(messages: Sequence[Message]) -> list[bytes]:
            for message in messages:
                if isinstance(message, str):
                    protocol.send_text(message.encode())
                else:
                    protocol.send_binary(message)
            return protocol.data_to_send()

        return send

    def mask(self, pairs: Sequence[tuple[bytes, bytes]]) -> Run:
        def run() -> bytes:
            result = b""
            for data, key in pairs:
                result = apply_mask(data, key)
            return result

        return run

    def handshake(self, request: bytes) -> Run:
        extensions = enable_server_permessage_deflate(None)

        def run() -> list[bytes]:
            protocol = websockets.server.ServerProtocol(extensions=extensions)
            protocol.receive_data(request)
            [received] = protocol.events_received()
            protocol.send_response(protocol.accept(received))
            return protocol.data_to_send()

        return run


class WebsocketsInPython(Websockets):
    """A second copy of the package, which finds no compiled masking."""

    name = "websockets pure"

    def __init__(self) -> None:
        own = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "websockets"}
        sys.modules["websockets.speedups"] = None  # type: ignore[assignment]
        try:
            for module in ("protocol", "extensions.permessage_deflate"):
                importlib.import_module(f"websockets.{module}")
            self.package = sys.modules["websockets"]
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] == "websockets"]:
                del sys.modules[name]
            sys.modules.update(own)

    def mask(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        return None

    def handshake(self, request: bytes) -> None:
        return None


def rivals() -> list[Rival]:
    return [Websockets(), WebsocketsInPython()]
