"""From messages to bytes: `Connection` with the rivals beside it, and the Writer alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from wscore.codec import CLIENT, SERVER, Role

from .. import corpus, wire
from ..rivals import all_rivals
from ..rivals.own import Wscore
from .base import Contender, Task, batches, contender, kinds, messages, own_kinds, sizes

AREAS = ("send", "send masked", "send mixed", "Writer", "Writer masked")

ROTATION = 2
SENT = 1 << 20  # bytes that one run sends, at most


def tasks(*, quick: bool) -> Iterator[Task]:
    for kind in kinds(quick):
        for size in sizes(quick):
            yield _send("send", kind, size)
    for size in sizes(quick):
        yield _send("send masked", "binary", size)
        yield _send("send masked", "ascii", size)
    yield _send_mixed()
    for area in ("Writer", "Writer masked"):
        for kind in own_kinds(quick):
            for size in [125] if quick else sizes(quick):
                yield _send(area, kind, size)


def _send(area: str, kind: str, size: int) -> Task:
    role = CLIENT if area.endswith("masked") else SERVER
    count = max(1, min(1000, SENT // (size + 14)))
    groups = batches(messages(kind, size, count * ROTATION), count)
    return Task(area, kind, size, count, list(_senders(area, groups, role)), groups[0])


def _senders(area: str, groups: list[Any], role: Role) -> Iterator[Contender]:
    for rival in all_rivals():
        if isinstance(rival, Wscore) and area.startswith("Writer"):
            yield contender(rival, partial(rival.writer, role), groups, _judge(rival, role))
        elif area.startswith("send") or rival.name == "websockets":
            yield contender(rival, partial(rival.sender, role), groups, _judge(rival, role))


def _judge(rival: Any, role: Role) -> Any:
    return lambda sent: wire.messages_in(rival.wire(sent), CLIENT if role is SERVER else SERVER)


def _send_mixed() -> Task:
    count = 256
    groups = batches(corpus.mixed(count * ROTATION), count)
    contenders = list(_senders("send", groups, SERVER))
    return Task("send mixed", "all kinds", "0 to 4096", count, contenders, groups[0])
