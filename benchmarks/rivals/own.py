"""wscore, on either twin of its codec."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import wscore
from wscore.codec import IMPLEMENTATION, SERVER, Role
from wscore.protocol import connection as connection_module
from wscore.protocol import prepared as prepared_module
from wscore.protocol.extensions import DeflateParameters

from ..wire import Message
from . import NATIVE, PURE
from .base import Receive, Rival, Run, Send

_CODEC_MODULES = ("masking", "utf8", "frames", "reader", "writer", "deflate")

# Above the largest message of the corpus, which fills the default limit to the byte.
MAX_MESSAGE_SIZE = 1 << 22


class Wscore(Rival):
    """`codec` has all names of one twin, `Connection` and `prepare` stand on it."""

    version = wscore.__version__

    def __init__(self, twin: str) -> None:
        self.name = NATIVE if twin == "native" else PURE
        self.codec = _codec(twin)
        prepared, connection = prepared_module, connection_module
        if twin != IMPLEMENTATION:
            prepared = _load_on(self.codec, prepared_module)
            names = SimpleNamespace(
                **vars(self.codec), PreparedMessage=prepared.PreparedMessage, prepare=prepared.prepare
            )
            connection = _load_on(names, connection_module)
        self.Connection = connection.Connection
        self.prepare = prepared.prepare
        self.broadcast = connection.broadcast

    def connection(self, role: Role, *, deflate: bool = False, **options: Any) -> Any:
        """A `Connection`; with `deflate`, both directions keep their context, compressors are pooled."""
        if deflate:
            options = {"compression": "takeover", "deflate": DeflateParameters(), **options}
        return self.Connection(role, max_message_size=MAX_MESSAGE_SIZE, **options)

    def receiver(self, role: Role, *, deflate: bool = False) -> Receive:
        return self.connection(role, deflate=deflate).receive_data

    def sender(self, role: Role, *, deflate: bool = False) -> Send:
        connection = self.connection(role, deflate=deflate)

        def send(messages: Sequence[Message]) -> list[bytes]:
            one = connection.send
            for message in messages:
                one(message)
            return connection.buffers_to_send()

        return send

    def reader(self, role: Role) -> Receive:
        """The Reader alone."""
        reader = self.codec.Reader(role, max_message_size=MAX_MESSAGE_SIZE)

        def receive(data: bytes) -> list[Message]:
            messages: list[Message] = []
            reader.read(data, messages)
            return messages

        return receive

    def writer(self, role: Role) -> Send:
        """The Writer alone."""
        writer = self.codec.Writer(role)

        def send(messages: Sequence[Message]) -> bytes:
            write = writer.write
            for message in messages:
                write(message)
            return writer.take()

        return send

    def mask(self, pairs: Sequence[tuple[bytes, bytes]]) -> Run:
        one = self.codec.mask

        def run() -> bytes:
            result = b""
            for data, key in pairs:
                result = one(data, key)
            return result

        return run

    def mask_inplace(self, pairs: Sequence[tuple[bytearray, bytes]]) -> Run:
        one = self.codec.mask_inplace

        def run() -> bytearray:
            for data, key in pairs:
                one(data, key)
            return data

        return run

    def validate(self, payloads: Sequence[bytes]) -> Run:
        one = self.codec.is_valid_utf8

        def run() -> bool:
            valid = True
            for data in payloads:
                valid &= one(data)
            return valid

        return run

    def handshake(self, request: bytes) -> Run | None:
        if self.name == PURE:
            return None  # there is only one
        accept = wscore.Accept()

        def run() -> bytes:
            handshake = wscore.Handshake(SERVER, compression="takeover")
            handshake.receive_data(request)
            handshake.answer(accept)
            return handshake.data_to_send()

        return run


def _codec(twin: str) -> SimpleNamespace:
    modules = [importlib.import_module(f"wscore.codec.{twin}.{name}") for name in _CODEC_MODULES]
    return SimpleNamespace(**{name: getattr(module, name) for module in modules for name in module.__all__})


def _load_on(names: SimpleNamespace, original: ModuleType) -> ModuleType:
    """A second copy of a module, on the other twin: `wscore.codec` itself can be only one in a process."""
    spec = importlib.util.find_spec(original.__name__)
    assert spec is not None
    assert spec.origin is not None
    second = importlib.util.spec_from_file_location(f"{original.__name__}_on_the_other_twin", spec.origin)
    assert second is not None
    assert second.loader is not None
    module = importlib.util.module_from_spec(second)
    second.loader.exec_module(module)
    vars(module).update({key: value for key, value in vars(names).items() if hasattr(module, key)})
    return module


def rivals() -> list[Rival]:
    twins = ["native", "pure"] if IMPLEMENTATION == "native" else ["pure"]
    return [Wscore(twin) for twin in twins]
