"""Extensions: the interface that programs may implement, and permessage-deflate (RFC 7692).

Decides what permessage-deflate offers, accepts and agrees to. Where it is the only extension, the codec compresses; its
methods for single frames are for connections that have others, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from wscore.codec import Deflater, Inflater
from wscore.codec.errors import DefectError
from wscore.protocol.compression import LEVEL as _LEVEL
from wscore.protocol.compression import CompressionPolicy
from wscore.protocol.extensions import deflate_parameters

from .frames import CloseReason, Opcode, RsvBits

if TYPE_CHECKING:
    from collections.abc import Callable

    from .decoding import FrameDecoder
    from .frame_protocol import FrameProtocol

__all__ = ["SUPPORTED_EXTENSIONS", "Extension", "PerMessageDeflate"]

_UNLIMITED = (1 << 62) - 1
# A smaller window of our own costs a sixth of the memory, and a twelfth of the compression (protocol/compression.py).
_POLICY = CompressionPolicy.TAKEOVER


class Extension(ABC):
    """What an extension may do. Only an `enabled` one takes part in a connection.

    In the handshake, a client calls `offer` and then `finalize` with what the server accepted; a server calls `accept`
    with an offer. Each returns parameters as they stand in the header field, True for none, or False or None to go
    without. Of each frame that comes, `frame_inbound_header` returns the reserved bits that it gives a meaning,
    `frame_inbound_payload_data` what becomes of a part of the payload, `frame_inbound_complete` what follows at its
    end; a `CloseReason` in place of any breaks the connection. `frame_outbound` returns reserved bits and payload of a
    frame to send. `proto.client` says which end it is.
    """

    name: str

    def enabled(self) -> bool:
        """Whether it was agreed on."""
        return False

    @abstractmethod
    def offer(self) -> bool | str:
        """As a client, what to ask for."""

    def accept(self, offer: str) -> bool | str | None:
        """As a server, what to answer to an offer: the extension's name and the parameters."""
        return None

    def finalize(self, offer: str) -> None:  # noqa: B027
        """As a client, take what the server accepted. A ValueError fails the handshake."""

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """The reserved bits of this frame that mean something."""
        return RsvBits(False, False, False)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        """What becomes of a part of the payload."""
        return data

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        """What follows the payload at the end of a frame, which ends the message with `fin`."""
        return None

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        """The reserved bits and the payload of a frame to send."""
        return rsv, data


class PerMessageDeflate(Extension):
    """Compression of each message (RFC 7692). Windows are 9 to 15 bits; raises ValueError for others.

    Negotiation is strict (section 7.1): what has an unknown parameter, one twice or one with a bad value is declined
    as a server, and fails the handshake as a client.
    """

    name = "permessage-deflate"

    DEFAULT_CLIENT_MAX_WINDOW_BITS = 15
    DEFAULT_SERVER_MAX_WINDOW_BITS = 15

    def __init__(
        self,
        client_no_context_takeover: bool = False,
        client_max_window_bits: int | None = None,
        server_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
    ) -> None:
        self.client_no_context_takeover = client_no_context_takeover
        self.server_no_context_takeover = server_no_context_takeover
        self.client_max_window_bits = client_max_window_bits or self.DEFAULT_CLIENT_MAX_WINDOW_BITS
        self.server_max_window_bits = server_max_window_bits or self.DEFAULT_SERVER_MAX_WINDOW_BITS
        self._enabled = False
        # For single frames: memory for one direction each, and what is known of the message that is coming.
        self._compressor: Deflater | None = None
        self._decompressor: Inflater | None = None
        self._inbound_compressed: bool | None = None  # None between messages
        self._inbound_control = False
        self._inbound_size = 0

    @property
    def client_max_window_bits(self) -> int:
        """The size of the client's window, as a power of two."""
        return self._client_max_window_bits

    @client_max_window_bits.setter
    def client_max_window_bits(self, value: int) -> None:
        self._client_max_window_bits = _checked_bits(value)

    @property
    def server_max_window_bits(self) -> int:
        """The size of the server's window, as a power of two."""
        return self._server_max_window_bits

    @server_max_window_bits.setter
    def server_max_window_bits(self, value: int) -> None:
        self._server_max_window_bits = _checked_bits(value)

    def enabled(self) -> bool:
        """Whether it was agreed on."""
        return self._enabled

    # The handshake (section 7.1)

    def offer(self) -> str:
        """As a client, ask for windows and whether contexts are kept."""
        windows = f"client_max_window_bits={self.client_max_window_bits}"
        windows += f"; server_max_window_bits={self.server_max_window_bits}"
        return "; ".join([windows, *self._takeovers()])

    def finalize(self, offer: str) -> None:
        """As a client, take the server's answer. Raises ValueError where it is none to this extension's offer."""
        answer = deflate_parameters(offer)
        if answer is None or answer.get("client_max_window_bits", "") is None:
            raise ValueError("permessage-deflate was accepted with parameters that are not defined")
        if "client_max_window_bits" in answer:
            self.client_max_window_bits = _bits(answer["client_max_window_bits"])
        # Whoever says 8 may mean 9, and what inflates with 9 bits inflates both.
        self.server_max_window_bits = max(9, _bits(answer.get("server_max_window_bits")))
        self._take_flags(answer)
        self._enabled = True

    def accept(self, offer: str) -> str | None:
        """As a server, agree to the first offer that can be honoured: the parameters to answer, or None."""
        asked = deflate_parameters(offer)
        if asked is None or self._enabled or _bits(asked.get("server_max_window_bits")) < 9:
            return None
        self._take_flags(asked)
        parameters = self._takeovers()
        if "client_max_window_bits" in asked:
            ours = min(self.client_max_window_bits, _bits(asked["client_max_window_bits"]))
            # A client that says 8 may do so all the same, but we do not rely on it.
            self.client_max_window_bits = ours if ours >= 9 else 15
            parameters += [f"client_max_window_bits={ours}"] if ours >= 9 else []
        else:
            # Nothing can be asked of a client that does not say it: its window may be any.
            self.client_max_window_bits = 15
        if "server_max_window_bits" in asked:
            self.server_max_window_bits = min(self.server_max_window_bits, _bits(asked["server_max_window_bits"]))
            parameters.append(f"server_max_window_bits={self.server_max_window_bits}")
        self._enabled = True
        return "; ".join(parameters)

    def _take_flags(self, parameters: dict[str, str | None]) -> None:
        self.client_no_context_takeover |= "client_no_context_takeover" in parameters
        self.server_no_context_takeover |= "server_no_context_takeover" in parameters

    def _takeovers(self) -> list[str]:
        flags = ("client_no_context_takeover", "server_no_context_takeover")
        return [flag for flag in flags if getattr(self, flag)]

    # What was agreed, for the codec

    def deflater(self, client: bool) -> Deflater:
        """What compresses on this end."""
        bits = self.client_max_window_bits if client else self.server_max_window_bits
        forgets = self.client_no_context_takeover if client else self.server_no_context_takeover
        window, memory = _POLICY.window_bits, _POLICY.mem_level
        return Deflater(min(bits, window), context_takeover=not forgets, level=_LEVEL, mem_level=memory)

    def inflater(self, client: bool) -> Inflater:
        """What inflates on this end."""
        bits = self.server_max_window_bits if client else self.client_max_window_bits
        forgets = self.server_no_context_takeover if client else self.client_no_context_takeover
        return Inflater(bits, context_takeover=not forgets)

    # Frame by frame, beside other extensions

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """RSV1, on the first frame of a compressed message (section 7.2)."""
        self._inbound_control = opcode.iscontrol()
        if rsv.rsv1 and (self._inbound_control or opcode is Opcode.CONTINUATION):
            return CloseReason.PROTOCOL_ERROR
        if not self._inbound_control and self._inbound_compressed is None:
            self._inbound_compressed = rsv.rsv1
            self._inbound_size = 0
            if rsv.rsv1 and self._decompressor is None:
                self._decompressor = self.inflater(proto.client)
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        """The payload inflated, at most as much as a message may have."""
        if self._inbound_control or not self._inbound_compressed:
            return data
        assert self._decompressor is not None
        return self._inflated(proto, lambda inflater, room: inflater.inflate(data, room))

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        """What the end of a message brings to light."""
        if self._inbound_control or not fin:
            return None
        compressed, self._inbound_compressed = self._inbound_compressed, None
        if not compressed:
            return None
        rest = self._inflated(proto, lambda inflater, room: inflater.finish(room))
        if self.server_no_context_takeover if proto.client else self.client_no_context_takeover:
            self._decompressor = None
        return rest

    def _inflated(
        self, proto: FrameDecoder | FrameProtocol, inflate: Callable[[Inflater, int], bytes]
    ) -> bytes | CloseReason:
        assert self._decompressor is not None
        limit = proto.limits.max_message_size
        # One byte more than is allowed: if it comes, the message is too big.
        room = (_UNLIMITED if limit is None else limit) - self._inbound_size + 1
        try:
            data = inflate(self._decompressor, room)
        except DefectError as error:
            return CloseReason(error.defect.code)
        self._inbound_size += len(data)
        return CloseReason.MESSAGE_TOO_BIG if len(data) >= room else data

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        """The payload compressed, RSV1 set on the first frame of a message."""
        if opcode.iscontrol():
            return rsv, data
        if opcode is not Opcode.CONTINUATION:
            rsv = RsvBits(True, rsv.rsv2, rsv.rsv3)
        if self._compressor is None:
            self._compressor = self.deflater(proto.client)
        data = self._compressor.deflate(data, fin)
        if fin and (self.client_no_context_takeover if proto.client else self.server_no_context_takeover):
            self._compressor = None
        return rsv, data

    def __repr__(self) -> str:
        parts = [f"client_max_window_bits={self.client_max_window_bits}"]
        parts += ["client_no_context_takeover"] * self.client_no_context_takeover
        parts += [f"server_max_window_bits={self.server_max_window_bits}"]
        parts += ["server_no_context_takeover"] * self.server_no_context_takeover
        return f"<{type(self).__name__} {'; '.join(parts)}>"


def _checked_bits(value: int) -> int:
    if not 9 <= value <= 15:
        raise ValueError("a window has 9 to 15 bits")
    return value


def _bits(value: str | None) -> int:
    """The size of a window that was checked already; 15 where none was named."""
    return 15 if value is None else int(value)


SUPPORTED_EXTENSIONS = {PerMessageDeflate.name: PerMessageDeflate}
