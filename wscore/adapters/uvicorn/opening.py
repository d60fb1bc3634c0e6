"""The opening handshake, answered by an application: it accepts, refuses, or gives a response of its own.

Decides what may still be answered. Moves no bytes: `data_to_send` has what is to be written after each call.
"""

from __future__ import annotations

from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ...codec import DeflatePool
from ...protocol.handshake import Accept, Refuse, Request, ServerHandshake
from ...protocol.refusal import StreamedRefusal

if TYPE_CHECKING:
    from uvicorn.server import ServerState

    from ...protocol.extensions import DeflateParameters

__all__ = ["Opening", "pool_of"]

# More than uvicorn's HTTP protocols let through: they hold the limits of a head.
MAX_HEAD_SIZE = 1 << 20
MAX_HEADERS = 1 << 16

Pairs = list[tuple[str, str]]

_pools: WeakKeyDictionary[ServerState, DeflatePool] = WeakKeyDictionary()


def pool_of(server: ServerState) -> DeflatePool:
    """The compressors that all connections of a server share."""
    pool = _pools.get(server)
    if pool is None:
        pool = _pools[server] = DeflatePool()
    return pool


_DATE = partial(formatdate, usegmt=True)


class Opening:
    """One request, whose answer is `compression`'s policy on permessage-deflate and else the application's."""

    def __init__(self, compression: str | None) -> None:
        self._handshake = ServerHandshake(
            compression=compression,
            max_head_size=MAX_HEAD_SIZE,
            max_headers=MAX_HEADERS,
            date=_DATE,
        )
        self._refusal: StreamedRefusal | None = None
        self._early: list[bytes] = []
        self._output = b""

    def receive_data(self, data: bytes) -> Request | Refuse | None:
        """As `ServerHandshake.receive_data`; None also for what comes between the request and its answer."""
        if self._handshake.request is not None:
            self._early.append(data)
            return None
        return self._handshake.receive_data(data)

    @property
    def early(self) -> bytes:
        """What came behind the request: the first frames."""
        return self._handshake.rest + b"".join(self._early)

    def accept(self, subprotocol: str | None, headers: Pairs) -> DeflateParameters | None:
        """Open the WebSocket; what was agreed on compression. Raises LocalProtocolError, as `Accept` does."""
        self._handshake.answer(Accept(subprotocol, headers))
        return self._handshake.deflate

    def refuse(self, status: int, sentence: str, headers: Pairs) -> None:
        """Answer, unless an answer has begun already: then there is nothing more to say."""
        begun = self._refusal is not None and self._refusal.begun
        if self._handshake.status is None and not begun:
            self._handshake.answer(Refuse(status, sentence, headers))

    def begin_response(self, status: int, headers: Pairs) -> None:
        """A response of the application's. Raises LocalProtocolError, as `StreamedRefusal` does."""
        self._refusal = StreamedRefusal(status, headers)
        self._output = self._refusal.start()

    def continue_response(self, data: bytes, more: bool) -> bool:
        """Its next piece; whether it was the last. Raises LocalProtocolError, as `StreamedRefusal.body` does."""
        assert self._refusal is not None
        self._output += self._refusal.body(data, more=more)
        return self._refusal.complete

    def data_to_send(self) -> bytes:
        """What is to be written now."""
        output, self._output = self._output, b""
        return output + self._handshake.data_to_send()
