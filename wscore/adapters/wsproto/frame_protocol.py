"""Frames of one connection, both ways, by wsproto's names: what `Connection` is built on, without its states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wscore.codec import Piece

from .decoding import Buffer, FrameDecoder, MessageDecoder, XorMaskerNull, XorMaskerSimple
from .engines import Item, new_engine
from .frames import (
    FIN_MASK,
    LOCAL_ONLY_CLOSE_REASONS,
    MASK_MASK,
    MAX_CLOSE_REASON,
    MAX_FRAME_PAYLOAD,
    MAX_LIBRARY_CLOSE_REASON,
    MAX_PAYLOAD_EIGHT_BYTE,
    MAX_PAYLOAD_NORMAL,
    MAX_PAYLOAD_TWO_BYTE,
    MAX_PRIVATE_CLOSE_REASON,
    MAX_PROTOCOL_CLOSE_REASON,
    MIN_CLOSE_REASON,
    MIN_LIBRARY_CLOSE_REASON,
    MIN_PRIVATE_CLOSE_REASON,
    MIN_PROTOCOL_CLOSE_REASON,
    NULL_MASK,
    OPCODE_MASK,
    PAYLOAD_LEN_MASK,
    PAYLOAD_LENGTH_EIGHT_BYTE,
    PAYLOAD_LENGTH_TWO_BYTE,
    RSV1_MASK,
    RSV2_MASK,
    RSV3_MASK,
    CloseReason,
    Frame,
    Header,
    Opcode,
    ParseFailed,
    RsvBits,
    own_close_payload,
)
from .limits import Limits, default_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .extensions import Extension

__all__ = [
    "FIN_MASK",
    "LOCAL_ONLY_CLOSE_REASONS",
    "MASK_MASK",
    "MAX_CLOSE_REASON",
    "MAX_FRAME_PAYLOAD",
    "MAX_LIBRARY_CLOSE_REASON",
    "MAX_PAYLOAD_EIGHT_BYTE",
    "MAX_PAYLOAD_NORMAL",
    "MAX_PAYLOAD_TWO_BYTE",
    "MAX_PRIVATE_CLOSE_REASON",
    "MAX_PROTOCOL_CLOSE_REASON",
    "MIN_CLOSE_REASON",
    "MIN_LIBRARY_CLOSE_REASON",
    "MIN_PRIVATE_CLOSE_REASON",
    "MIN_PROTOCOL_CLOSE_REASON",
    "NULL_MASK",
    "OPCODE_MASK",
    "PAYLOAD_LENGTH_EIGHT_BYTE",
    "PAYLOAD_LENGTH_TWO_BYTE",
    "PAYLOAD_LEN_MASK",
    "RSV1_MASK",
    "RSV2_MASK",
    "RSV3_MASK",
    "Buffer",
    "CloseReason",
    "Frame",
    "FrameDecoder",
    "FrameProtocol",
    "Header",
    "MessageDecoder",
    "Opcode",
    "ParseFailed",
    "RsvBits",
    "XorMaskerNull",
    "XorMaskerSimple",
]


class FrameProtocol:
    """Frames and parts of frames out of bytes, and frames to send; extensions that are not enabled take no part.

    `limits` are the process's default without.
    """

    def __init__(self, client: bool, extensions: list[Extension], *, limits: Limits | None = None) -> None:
        self.client = client
        self.extensions = [extension for extension in extensions if extension.enabled()]
        self.limits = limits or default_limits()
        self.engine = new_engine(self, self.limits)

    def receive_bytes(self, data: bytes) -> None:
        """Add what came; `received_frames` has what it means."""
        self.engine.feed(data)

    def received_frames(self) -> Iterator[Frame]:
        """What has come, as far as the caller goes on. Raises ParseFailed, after which there is nothing more."""
        items = self.engine.items
        while items or self.engine.read_on():
            item = items.pop()
            if isinstance(item, ParseFailed):
                raise item
            yield self._frame(item)

    @staticmethod
    def _frame(item: Item) -> Frame:
        if isinstance(item, Frame):
            return item
        if isinstance(item, Piece):
            opcode = Opcode.TEXT if isinstance(item.data, str) else Opcode.BINARY
            return Frame(opcode, item.data, item.ends_frame, item.last)
        assert isinstance(item, str | bytes)
        return Frame(Opcode.TEXT if isinstance(item, str) else Opcode.BINARY, item, True, True)

    def close(self, code: int | None = None, reason: str | None = None) -> bytes:
        """A Close frame; a longer reason than fits is cut. Raises TypeError for a reason without a code, ValueError for
        a code that RFC 6455 section 7.4 lets nobody send.
        """
        return self.engine.control(Opcode.CLOSE, own_close_payload(code, reason))

    def ping(self, payload: bytes = b"") -> bytes:
        """A Ping. Raises ValueError for more than 125 bytes."""
        return self.engine.control(Opcode.PING, payload)

    def pong(self, payload: bytes = b"") -> bytes:
        """A Pong. Raises as `ping`."""
        return self.engine.control(Opcode.PONG, payload)

    def send_data(self, payload: bytes | bytearray | memoryview | str = b"", fin: bool = True) -> bytes:
        """The next fragment of a message, the last with `fin`. Raises TypeError for what is neither text nor a buffer,
        and for the other type than the message began with.
        """
        return self.engine.data(payload, fin)
