"""One prepared, compressed message to many connections, beside the least that this can cost: one compression, and an
append to each connection's buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from wscore.codec import SERVER, Opcode

from .. import corpus
from ..rivals import Rival, all_rivals
from ..rivals.own import Wscore
from .base import Contender, Task

AREAS = ("broadcast",)

CONNECTIONS = 1000
FLOOR = "one compression and 1,000 appends"


def tasks(*, quick: bool) -> Iterator[Task]:
    for size in (120,) if quick else (120, 1200, 12000):
        yield _broadcast(size)


def _broadcast(size: int) -> Task:
    message = "".join(corpus.json_messages(size // 120))
    own = next(rival for rival in all_rivals() if isinstance(rival, Wscore))
    contenders = [*_prepared(own, message), _floor(own, message)]
    if size == 120:
        contenders += _one_by_one(message)
    return Task("broadcast", "json", size, 1, contenders, None, f"broadcast to {CONNECTIONS:,}")


def _prepared(own: Any, message: str) -> Iterator[Contender]:
    """All in one call, and one `send` after the other."""
    pool = own.codec.DeflatePool(256)
    connections = [own.connection(SERVER, deflate=True, compression_pool=pool) for _ in range(CONNECTIONS)]

    def send_each() -> None:
        prepared = own.prepare(message)
        for connection in connections:
            connection.send(prepared)

    def tidy() -> None:
        for connection in connections:
            connection.data_to_send()

    yield Contender(own.name, lambda: partial(own.broadcast, message, connections), tidy=tidy)
    yield Contender(f"{own.name}, send by send", lambda: send_each, tidy=tidy)


def _floor(own: Any, message: str) -> Contender:
    deflater = own.codec.Deflater(12, context_takeover=False, mem_level=5)
    writers = [own.codec.Writer(SERVER) for _ in range(CONNECTIONS)]

    def run() -> None:
        frame = own.codec.encode_frame(Opcode.TEXT, deflater.deflate(message.encode()), rsv1=True)
        for writer in writers:
            writer.write_raw(frame)

    return Contender(FLOOR, lambda: run, tidy=lambda: [writer.take() for writer in writers])


def _one_by_one(message: str) -> Iterator[Contender]:
    """Rivals have nothing prepared: they frame and compress for each connection."""
    for rival in all_rivals():
        if not isinstance(rival, Wscore):
            yield Contender(rival.name, partial(_senders, rival, message))


def _senders(rival: Rival, message: str) -> Any:
    senders = [rival.sender(SERVER, deflate=True) for _ in range(CONNECTIONS)]
    if senders[0] is None:
        return None

    def run() -> None:
        for send in senders:
            send([message])

    return run
