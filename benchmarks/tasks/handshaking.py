"""A server's opening handshake: a browser's request in, the answer out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..rivals import all_rivals
from ..wire import REQUEST, joined
from .base import Contender, Task

AREAS = ("handshake",)


def tasks(*, quick: bool) -> Iterator[Task]:
    contenders = [Contender(rival.name, partial(rival.handshake, REQUEST), _switches) for rival in all_rivals()]
    yield Task("handshake", "browser's request", len(REQUEST), 1, contenders, True, "handshake")


def _switches(response: bytes | list[bytes]) -> bool:
    head = joined(response)
    return (
        head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head and b"permessage-deflate" in head
    )
