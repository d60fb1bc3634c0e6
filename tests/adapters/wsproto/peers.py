"""One end of an open connection, and frames from the other, built by hand."""

from wscore.adapters.wsproto.connection import CLIENT, SERVER, Connection
from wscore.adapters.wsproto.events import Event
from wscore.adapters.wsproto.extensions import Extension, PerMessageDeflate

from ...wire import KEY, Frame, encode


class Shout(Extension):
    """An extension of somebody else: on frames with RSV3 payloads are in capitals and end with an exclamation mark."""

    name = "shout"

    def __init__(self) -> None:
        self.is_loud = False

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return True

    def frame_inbound_header(self, proto, opcode, rsv, payload_length):
        self.is_loud = rsv.rsv3
        return rsv._replace(rsv1=False, rsv2=False, rsv3=True)

    def frame_inbound_payload_data(self, proto, data):
        return data.upper() if self.is_loud else data

    def frame_inbound_complete(self, proto, fin):
        return b"!" if self.is_loud and fin else None

    def frame_outbound(self, proto, opcode, rsv, data, fin):
        return rsv._replace(rsv3=not opcode.iscontrol()), data


def deflate() -> PerMessageDeflate:
    extension = PerMessageDeflate()
    assert extension.accept("permessage-deflate") is not None
    return extension


class Peers:
    """`connection` makes the end that is tested; `frame` is one from its peer."""

    def __init__(self, client: bool) -> None:
        self.client = client

    def connection(self, *extensions: Extension, **options) -> Connection:
        return Connection(CLIENT if self.client else SERVER, list(extensions), **options)

    def frame(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
        return encode(Frame(opcode, payload, fin, rsv, None if self.client else KEY))

    def other(self, *extensions: Extension, **options) -> Connection:
        return Connection(SERVER if self.client else CLIENT, list(extensions), **options)


def receive(connection: Connection, data: bytes) -> list[Event]:
    connection.receive_data(data)
    return list(connection.events())
