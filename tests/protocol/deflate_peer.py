"""Python's zlib in the place of a peer that has agreed on permessage-deflate (RFC 7692 section 7)."""

import itertools
import random
import zlib

from wscore.codec import SERVER
from wscore.protocol.extensions import DeflateParameters

POLICIES = ["takeover", "shared", "dedicated"]
TAIL = b"\x00\x00\xff\xff"
RSV1 = 4
ALL_PARAMETERS = [
    DeflateParameters(*values) for values in itertools.product((False, True), (False, True), (9, 12, 15), (9, 15))
]
HELLO = bytes.fromhex("f248cdc9c90700")
# What compresses well, and needs a context that reaches back further than a small window.
NOISE = random.Random(7692).randbytes(3000)
TEXTS = ["", "fish and chips, " * 200, '{"id": 1, "state": "open"}', '{"id": 2, "state": "open"}', "ü世🎈" * 500]
MIB = 1 << 20


class DeflatePeer:
    """The other end's compressor and inflater, as the RFC wants them and no better."""

    def __init__(self, side, parameters=None):
        agreed = parameters or DeflateParameters()
        ends = [
            (agreed.server_max_window_bits, not agreed.server_no_context_takeover),
            (agreed.client_max_window_bits, not agreed.client_no_context_takeover),
        ]
        (self.in_bits, self.in_takeover), (self.out_bits, self.out_takeover) = (
            ends if side.role is SERVER else reversed(ends)
        )
        self._reset_inflater()
        self._reset_compressor()

    def _reset_inflater(self):
        self.inflater = zlib.decompressobj(-self.in_bits)

    def _reset_compressor(self):
        self.compressor = zlib.compressobj(9, zlib.DEFLATED, -self.out_bits)

    def compress(self, data):
        output = self.compressor.compress(data) + self.compressor.flush(zlib.Z_SYNC_FLUSH)
        if not self.out_takeover:
            self._reset_compressor()
        return output.removesuffix(TAIL) or b"\x00"

    def inflate(self, payload):
        output = self.inflater.decompress(payload + TAIL)
        assert not self.inflater.unused_data
        if not self.in_takeover:
            self._reset_inflater()
        return output


def agree(side, compression="takeover", parameters=None, **options):
    """A connection for which permessage-deflate was agreed on, and its peer."""
    parameters = parameters or DeflateParameters()
    return side.open(compression=compression, deflate=parameters, **options), DeflatePeer(side, parameters)
