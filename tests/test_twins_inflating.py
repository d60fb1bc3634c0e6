"""Both twins judge compressed messages alike that were cut off, damaged or written oddly: 20,000 of them."""

import random
import zlib
from types import SimpleNamespace

import pytest

from wscore.codec import DefectError
from wscore.codec.errors import Defect

from .test_twins import load

FLUSHES = (None, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH, zlib.Z_BLOCK, zlib.Z_FINISH)
STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED)
ALPHABETS = (range(256), b"ab", b"abcdefghijklmnop\0\xff", b"\0")


class Sender(random.Random):
    """A peer that compresses as zlib can and as no sensible peer would, and whose messages suffer on their way."""

    def message(self) -> bytes:
        message = self._damaged(self._stream()) if self.random() < 0.8 else self._stream()
        return message[: self.randrange(len(message) + 1)] if self.random() < 0.5 else message

    def parts(self, message: bytes) -> list[bytes]:
        at = self.randrange(len(message) + 1)
        return self.choice([[message], [message[:at], message[at:]]])

    def _stream(self) -> bytes:
        data = b""
        compressor = self._compressor()
        for _ in range(self.randint(1, 3)):
            size = self.choice([0, 1, 2, 5, 20, 100, 1000, 5000])
            data += compressor.compress(bytes(self.choices(self.choice(ALPHABETS), k=size)))
            if (flush := self.choice(FLUSHES)) is not None:
                data += compressor.flush(flush)
            if flush == zlib.Z_FINISH:
                compressor = self._compressor()
        if self.random() < 0.5:
            data += compressor.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(b"\0\0\xff\xff") if self.random() < 0.7 else data

    def _compressor(self):
        settings = self.randrange(10), zlib.DEFLATED, -self.randrange(9, 16), self.randint(1, 9)
        return zlib.compressobj(*settings, self.choice(STRATEGIES))

    def _damaged(self, data: bytes) -> bytes:
        damaged = bytearray(data)
        for _ in range(self.randint(0, 3) if data else 0):
            damaged[self.randrange(len(damaged))] ^= 1 << self.randrange(8)
        return bytes(damaged)


def outcome(inflater, part: bytes | None, most: int) -> bytes | Defect:
    try:
        return inflater.finish(most) if part is None else inflater.inflate(part, most)
    except DefectError as error:
        return error.defect


def inflate_side_by_side(twins: tuple[SimpleNamespace, ...], sender: Sender) -> int:
    """Some messages on one connection, up to a defect or a limit, where what follows is lost; how many were whole."""
    options = {"window_bits": sender.choice([8, 9, 12, 15]), "context_takeover": sender.random() < 0.5}
    inflaters = [twin.Inflater(**options) for twin in twins]
    whole = 0
    for _ in range(sender.randint(1, 3)):
        most = sender.choice([1 << 20] * 6 + [1, 100, 1000])
        message = sender.message()
        for part in [*sender.parts(message), None]:
            pure, native = (outcome(inflater, part, most) for inflater in inflaters)
            assert pure == native, (options, most, message.hex())
            if isinstance(pure, Defect) or len(pure) >= most:
                return whole
        whole += 1
    return whole


@pytest.mark.native
def test_cut_and_damaged_streams_are_judged_alike() -> None:
    twins = load("pure"), load("native")
    sender = Sender(7692)
    whole = sum(inflate_side_by_side(twins, sender) for _ in range(20_000))
    assert whole > 2000  # the others were refused, or cut short
