"""The peer of a reader, which sends it frames well formed or not."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from wscore.codec import CLIENT, SERVER, Role, Stop

from ..wire import KEY, Frame, header, xor


class Wire:
    """What a reader in one role gets, and what it makes of that."""

    def __init__(self, codec: SimpleNamespace, role: Role) -> None:
        self.codec = codec
        self.role = role
        self.masked = role is SERVER  # RFC 6455 section 5.1: frames from a client are, others are not

    def reader(self, *, compressed: bool = False, context_takeover: bool = True, **options):
        inflater = self.codec.Inflater(context_takeover=context_takeover) if compressed else None
        return self.codec.Reader(self.role, inflater=inflater, **options)

    def frame(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        masked: bool | None = None,
        length: int | None = None,
        field: int | None = None,
    ) -> bytes:
        """A frame (RFC 6455 section 5.2). `rsv` is RSV1 to RSV3 as three bits; `length` is what the header declares,
        in a field of `field` more bytes: 0, 2 or 8.
        """
        masked = self.masked if masked is None else masked
        frame = Frame(opcode, payload, fin, rsv, KEY if masked else None)
        start = header(frame, len(payload) if length is None else length, field)
        return start + (xor(payload, KEY) if masked else payload)

    def read(self, reader, *chunks: bytes) -> list:
        """What `reader` makes of `chunks`: messages and pieces, control frames as (opcode, payload), a defect last."""
        events: list = []
        for chunk in chunks:
            offset = 0
            while True:
                offset = reader.read(chunk, events, None, offset)
                if reader.stop is not Stop.CONTROL:
                    break
                events.append(reader.control)
            if reader.stop is Stop.DEFECT:
                return [*events, reader.defect]
            assert reader.stop is Stop.NEED_DATA
            assert offset == len(chunk)
        return events

    def read_bytewise(self, reader, data: bytes) -> list:
        return self.read(reader, *in_steps(data, 1))


def in_steps(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


@pytest.fixture(scope="session", params=[SERVER, CLIENT], ids=lambda role: role.value)
def wire(codec: SimpleNamespace, request: pytest.FixtureRequest) -> Wire:
    """A `Wire` for a reader in either role."""
    return Wire(codec, request.param)
