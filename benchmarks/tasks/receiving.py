"""From bytes to messages: `Connection` with the rivals beside it, and the Reader alone.

Frames come 64 KiB at a time, masked, as a server's reading loop sees them; a message that is larger comes whole, and
once more in parts of 64 KiB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

from wscore.codec import CLIENT, SERVER, Role

from .. import corpus, wire
from ..rivals import Rival, all_rivals
from ..rivals.own import Wscore
from .base import Contender, Task, batches, contender, kinds, messages, own_kinds, sizes

AREAS = ("receive", "receive one by one", "receive unmasked", "receive in parts", "receive mixed", "Reader")

ROTATION = 4  # as many different inputs in turn
SINGLES = 64  # messages in a run that receives them one by one


def tasks(*, quick: bool) -> Iterator[Task]:
    for kind in kinds(quick):
        for size in sizes(quick):
            yield _receive("receive", kind, size)
            if kind in own_kinds(quick):
                yield _receive("Reader", kind, size)
    for kind in ("binary", "ascii"):
        for size in (16, 125, 4096):
            yield _receive_one_by_one(kind, size)
    yield _receive("receive unmasked", "binary", 16, CLIENT)
    yield _receive("receive unmasked", "ascii", 125, CLIENT)
    yield _receive_parts()
    yield _receive_mixed()


def _receive(area: str, kind: str, size: int, role: Role = SERVER) -> Task:
    groups, inputs, count = rotation(kind, size, role)
    contenders = _readers(inputs, role) if area == "Reader" else connections(inputs, role)
    return Task(area, kind, size, count, contenders, groups[0])


@lru_cache(maxsize=2)
def rotation(kind: str, size: int, role: Role = SERVER) -> tuple[list[Any], list[bytes], int]:
    """Groups of messages, their frames, and how many messages are in each."""
    count = max(1, wire.FEED // (size + 6))
    groups = batches(messages(kind, size, count * ROTATION), count)
    return groups, [wire.frames(group, masked=role is SERVER) for group in groups], count


def connections(inputs: Sequence[bytes], role: Role = SERVER) -> list[Contender]:
    """Everybody's, ours first."""
    return [contender(rival, partial(rival.receiver, role), inputs, rival.messages) for rival in all_rivals()]


def _readers(inputs: Sequence[bytes], role: Role) -> list[Contender]:
    own = [rival for rival in all_rivals() if isinstance(rival, Wscore)]
    return [contender(rival, partial(rival.reader, role), inputs, rival.messages) for rival in own]


def _receive_parts() -> Task:
    expected = corpus.payloads(1 << 20, 1)
    data = wire.frames(expected)
    parts = [data[start : start + wire.FEED] for start in range(0, len(data), wire.FEED)]
    return Task("receive in parts", "binary", 1 << 20, 1, _all_in_parts(parts), expected)


def _receive_one_by_one(kind: str, size: int) -> Task:
    """Each message in a call of its own, as they come where peers wait for answers."""
    expected = messages(kind, size, SINGLES)
    parts = [wire.frames([message]) for message in expected]
    return Task("receive one by one", kind, size, SINGLES, _all_in_parts(parts), expected)


def _all_in_parts(parts: Sequence[bytes]) -> list[Contender]:
    return [Contender(rival.name, partial(_in_parts, rival, parts), rival.messages) for rival in all_rivals()]


def _in_parts(rival: Rival, parts: Sequence[bytes]) -> Any:
    receive = rival.receiver(SERVER)
    if receive is None:
        return None

    def run() -> list[Any]:
        received: list[Any] = []
        for part in parts:
            received += receive(part)
        return received

    return run


def _receive_mixed() -> Task:
    count = 256
    groups = batches(corpus.mixed(count * ROTATION), count)
    inputs = [wire.frames(group) for group in groups]
    return Task("receive mixed", "all kinds", "0 to 4096", count, connections(inputs), groups[0])
