"""The opening handshake, answered by an application: it accepts, refuses, or gives a response of its own.

Decides what may still be answered, and which headers an answer has. Knows no events, nor when a transport is closed.
"""

from __future__ import annotations

from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ...codec import DeflatePool
from ...protocol.handshake import Accept, Refuse, Request, ServerHandshake
from ...protocol.refusal import StreamedRefusal
from .asgi import headers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from uvicorn.server import ServerState

    from ...protocol.extensions import DeflateParameters

    Pairs = Iterable[tuple[bytes, bytes]]

__all__ = ["Opening", "pool_of"]

# More than uvicorn's HTTP protocols let through: they hold the limits of a head.
MAX_HEAD_SIZE = 1 << 20
MAX_HEADERS = 1 << 16

_pools: WeakKeyDictionary[ServerState, DeflatePool] = WeakKeyDictionary()


def pool_of(server: ServerState) -> DeflatePool:
    """The compressors that all connections of a server share."""
    pool = _pools.get(server)
    if pool is None:
        pool = _pools[server] = DeflatePool()
    return pool


_DATE = partial(formatdate, usegmt=True)


class Opening:
    """One request, whose answer is `compression`'s policy on permessage-deflate and else the application's. What is to
    be said goes to `write`, with the headers that every answer of `server` has before those of the application.
    """

    def __init__(self, compression: str | None, server: ServerState, write: Callable[[bytes], None]) -> None:
        self._handshake = ServerHandshake(
            compression=compression,
            max_head_size=MAX_HEAD_SIZE,
            max_headers=MAX_HEADERS,
            date=_DATE,
        )
        self._server = server
        self._write = write
        self._refusal: StreamedRefusal | None = None
        self._early: list[bytes] = []

    def receive_data(self, data: bytes) -> Request | Refuse | None:
        """As `ServerHandshake.receive_data`; None also for what comes between the request and its answer."""
        if self._handshake.request is not None:
            self._early.append(data)
            return None
        came = self._handshake.receive_data(data)
        if isinstance(came, Refuse):
            self._write(self._handshake.data_to_send())
        return came

    @property
    def early(self) -> bytes:
        """What came behind the request: the first frames."""
        return self._handshake.rest + b"".join(self._early)

    def accept(self, subprotocol: str | None, headers: Pairs) -> DeflateParameters | None:
        """Open the WebSocket; what was agreed on compression. Raises LocalProtocolError, as `Accept` does."""
        self._answer(Accept(subprotocol, self._headers(headers)))
        return self._handshake.deflate

    def refuse(self, status: int, sentence: str) -> None:
        """Answer, unless an answer has begun already: then there is nothing more to say."""
        begun = self._refusal is not None and self._refusal.begun
        if self._handshake.status is None and not begun:
            self._answer(Refuse(status, sentence, self._headers()))

    def begin_response(self, status: int, headers: Pairs) -> None:
        """A response of the application's. Raises LocalProtocolError, as `StreamedRefusal` does."""
        self._refusal = StreamedRefusal(status, self._headers(headers))
        self._write(self._refusal.start())

    def continue_response(self, data: bytes, more: bool) -> bool:
        """Its next piece; whether it was the last. Raises LocalProtocolError, as `StreamedRefusal.body` does."""
        assert self._refusal is not None
        self._write(self._refusal.body(data, more=more))
        return self._refusal.complete

    def _answer(self, answer: Accept | Refuse) -> None:
        self._handshake.answer(answer)
        self._write(self._handshake.data_to_send())

    def _headers(self, own: Pairs = ()) -> list[tuple[str, str]]:
        return headers_of(self._server.default_headers, own)
