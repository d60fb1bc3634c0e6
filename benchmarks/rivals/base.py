"""The interface of a rival."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wscore.codec import Role

from ..wire import Message, joined

Receive = Callable[[bytes], Any]
Send = Callable[[Sequence[Message]], Any]
Run = Callable[[], Any]


class Rival:
    """A library. Each method prepares something to be timed, or returns None: it cannot do that."""

    name: str
    version: str

    def receiver(self, role: Role, *, deflate: bool = False) -> Receive | None:
        """An open connection: takes bytes, returns the messages, in whatever objects the library delivers them."""
        return None

    def sender(self, role: Role, *, deflate: bool = False) -> Send | None:
        """An open connection: takes messages, returns their frames, joined or in parts."""
        return None

    def mask(self, pairs: Sequence[tuple[bytes, bytes]]) -> Run | None:
        """Mask each payload with its key into new memory; returns the last result."""
        return None

    def mask_inplace(self, pairs: Sequence[tuple[bytearray, bytes]]) -> Run | None:
        """Mask each payload where it is; returns the last."""
        return None

    def validate(self, payloads: Sequence[bytes]) -> Run | None:
        """Whether all payloads are valid UTF-8."""
        return None

    def handshake(self, request: bytes) -> Run | None:
        """Accept an opening handshake; returns the response."""
        return None

    def messages(self, received: Any) -> list[Message]:
        """What `receiver` returned, as plain messages, to compare. Not timed."""
        return list(received)

    def wire(self, sent: Any) -> bytes:
        """What `sender` returned, in one piece, to compare. Not timed."""
        return joined(sent)
