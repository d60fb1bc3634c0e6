"""permessage-deflate with context takeover, JSON of 120 bytes, through whole connections (RFC 7692).

Each library has its default settings, since those are what people get: output and memory differ with them, and stand
beside the times in the tables. What is received was compressed once, by zlib, and is the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from wscore.codec import CLIENT, SERVER

from .. import corpus, wire
from ..rivals import Rival, all_rivals
from .base import Contender, Task, batches, contender

AREAS = ("deflate", "inflate", "deflate and inflate")

COUNT = 500
GROUPS = 8


def tasks(*, quick: bool) -> Iterator[Task]:
    groups = batches(corpus.json_messages(COUNT * (2 if quick else GROUPS)), COUNT)
    # A stream refers to what came before it, never to more: each can be received again at any time.
    inputs = [wire.compressed_frames(group) for group in groups]
    yield Task("deflate", "json", 120, COUNT, _senders(groups), groups[0])
    yield Task("inflate", "json", 120, COUNT, _receivers(inputs), groups[0])
    yield Task("deflate and inflate", "json", 120, COUNT, _both(groups, inputs), groups[0])


def output_ratio(rival: Rival) -> float | None:
    """Bytes of frames for each byte of JSON, over the whole corpus in one connection."""
    send = rival.sender(SERVER, deflate=True)
    if send is None:
        return None
    messages = corpus.json_messages(COUNT * GROUPS)
    return len(rival.wire(send(messages))) / sum(map(len, messages))


def _senders(groups: Sequence[Any]) -> list[Contender]:
    return [
        contender(rival, partial(rival.sender, SERVER, deflate=True), groups, _judge(rival)) for rival in all_rivals()
    ]


def _judge(rival: Rival) -> Any:
    return lambda sent: wire.messages_in(rival.wire(sent), CLIENT, deflate=True)


def _receivers(inputs: Sequence[bytes]) -> list[Contender]:
    return [
        contender(rival, partial(rival.receiver, SERVER, deflate=True), inputs, rival.messages)
        for rival in all_rivals()
    ]


def _both(groups: Sequence[Any], inputs: Sequence[bytes]) -> list[Contender]:
    """A server that receives as much as it sends."""
    pairs = list(zip(groups, inputs, strict=True))

    def make(rival: Rival) -> Any:
        send, receive = rival.sender(SERVER, deflate=True), rival.receiver(SERVER, deflate=True)
        if send is None or receive is None:
            return None

        def both(pair: tuple[Any, bytes]) -> Any:
            send(pair[0])
            return receive(pair[1])

        return both

    return [contender(rival, partial(make, rival), pairs, rival.messages) for rival in all_rivals()]
