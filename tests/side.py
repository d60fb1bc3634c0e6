"""One end of a connection, and the test in the place of its peer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from wscore.codec import CLIENT, SERVER, Role

from .wire import KEY, Frame, decode, encode


class Side:
    """One role on one twin: makes connections of that role, and frames as their peer would send them."""

    def __init__(self, protocol: SimpleNamespace, role: Role) -> None:
        self.protocol = protocol
        self.role = role

    def open(self, **options: Any) -> Any:
        return self.protocol.Connection(self.role, **options)

    def peer(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
        """A frame as the peer sends it: masked if the peer is a client."""
        return encode(Frame(opcode, payload, fin, rsv, KEY if self.role is SERVER else None))

    def sent(self, connection: Any) -> list[Frame]:
        """Take the output and return its frames, without the keys, after a look at them: a client masks each frame
        with one of its own, a server masks none (RFC 6455 section 5.1).
        """
        frames = decode(connection.data_to_send())
        keys = [frame.key for frame in frames if frame.key is not None]
        assert len(keys) == (len(frames) if self.role is CLIENT else 0)
        assert len(set(keys)) == len(keys)
        for frame in frames:
            frame.key = None
        return frames
