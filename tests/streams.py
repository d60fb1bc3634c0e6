"""Hypothesis strategies for what a peer may send: streams of frames, good, odd and damaged, cut anywhere."""

import random
import zlib

from hypothesis import strategies as st

from wscore.codec import SERVER, Role

from .wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, encode, header

RSV1 = 0b100
EMPTY_FINAL_BLOCK = b"\x03\x00"
TAIL = b"\x00\x00\xff\xff"

# One that changes nothing, one that changes little, two like those in use.
KEYS = st.sampled_from([b"\x00" * 4, b"\x00\x00\x01\x00", b"\x37\xfa\x21\x3d", b"\xff\x80\xc3\xe2"])

# How often a stream ends in the beginning of a message; the limit for the whole of it is 64.
FINAL_BLOCKS = st.sampled_from([0, 0, 0, 0, 1, 2, 60, 63, 64, 65])

# Where something changes: headers, buffers that grow, steps of inflating.
SIZES = st.sampled_from([1, 2, 15, 64, 125, 126, 127, 255, 256, 257, 1000, 4096, 8192, 16384, 16385, 65535, 65536])
UNITS = st.sampled_from(["a", "\x00", "é", "a€", "𝄞", "a" * 17 + "é"]).map(str.encode)
HALF_RANDOM = random.Random(6).randbytes(50_000).hex().encode()  # deflates to half
LARGE = st.builds(lambda unit, size: unit * (size // len(unit)), UNITS, SIZES) | st.just(HALF_RANDOM)

TEXTS = st.text(max_size=30).map(str.encode) | LARGE
BROKEN_TEXTS = st.sampled_from([b"\xff", b"ab\xc0\x80", b"\xed\xa0\x80", "€".encode()[:2], b"a\xf4\x90\x80\x80"])
PAYLOADS = TEXTS | st.binary(max_size=30) | LARGE

CONTROLS = st.builds(
    lambda opcode, payload: Frame(opcode, payload),
    st.sampled_from([PING, PONG]),
    st.binary(max_size=10) | st.sampled_from([bytes(125)]),
)
CLOSES = st.sampled_from(
    [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0b\xb8" + "é".encode(), b"\x03", b"\x03\xed", b"\x03\xe8\xff", b"\x00\x00"]
).map(lambda payload: Frame(CLOSE, payload))


class Compressor:
    """The peer's end of one compressed direction."""

    def __init__(self, window_bits: int, context_takeover: bool) -> None:
        self.window_bits = window_bits
        self.context_takeover = context_takeover
        self.renew()

    def renew(self) -> None:
        self.zlib = zlib.compressobj(6, zlib.DEFLATED, -self.window_bits)

    def compress(self, parts: list[bytes], final_blocks: int) -> list[bytes]:
        """The payloads of the fragments of one message. With `final_blocks` the stream ends in each, and that often in
        the beginning (RFC 7692 section 7.2.3.4).
        """
        payloads = []
        for part in parts:
            payload = self.zlib.compress(part)
            if final_blocks:
                payloads.append(payload + self.zlib.flush(zlib.Z_FINISH))
                self.renew()
            else:
                payloads.append(payload + self.zlib.flush(zlib.Z_SYNC_FLUSH))
        payloads[-1] = payloads[-1] + b"\x00" if final_blocks else payloads[-1][: -len(TAIL)] or b"\x00"
        if not self.context_takeover:
            self.renew()
        payloads[0] = EMPTY_FINAL_BLOCK * final_blocks + payloads[0]
        return payloads


def cut(draw: st.DrawFn, data: bytes, most: int) -> list[bytes]:
    """`data` in one to `most` parts, empty ones among them."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=most - 1)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def message(draw: st.DrawFn, compressor: Compressor | None) -> list[Frame]:
    """The frames of a message, perhaps with control frames in between; text may be invalid, once in a while."""
    opcode = draw(st.sampled_from([TEXT, BINARY]))
    broken = opcode == TEXT and draw(st.integers(0, 7)) == 0
    payload = draw(PAYLOADS if opcode == BINARY else TEXTS)
    if broken:
        payload += draw(BROKEN_TEXTS) + draw(st.binary(max_size=2))
    parts = cut(draw, payload, 4)
    rsv = 0
    if compressor is not None and draw(st.booleans()):
        rsv = RSV1
        parts = compressor.compress(parts, draw(FINAL_BLOCKS))
    frames = [Frame(CONTINUATION, part, fin=False) for part in parts]
    frames[0].opcode, frames[0].rsv, frames[-1].fin = opcode, rsv, True
    if len(frames) > 1 and draw(st.booleans()):
        frames.insert(draw(st.integers(1, len(frames) - 1)), draw(CONTROLS))
    return frames


# What a header declares, and in how many more bytes.
LENGTHS = st.sampled_from(
    [(0, 0), (5, 0), (125, 0), (125, 2), (126, 2), (65535, 2), (65535, 8), (65536, 8), ((1 << 63) - 1, 8), (1 << 63, 8)]
)


def odd_frame(draw: st.DrawFn, masked: bool) -> bytes:
    """A header with anything in it, most of it right, and the beginning of a payload."""
    frame = Frame(draw(st.sampled_from([0, 1, 2, 8, 9, 10, 0, 1, 2, 8, 9, 10, 3, 11])))
    frame.fin, frame.rsv = draw(st.booleans()), draw(st.sampled_from([0] * 8 + [RSV1, 1]))
    frame.key = draw(KEYS) if masked is (draw(st.integers(0, 9)) > 0) else None
    length, field = draw(LENGTHS)
    return header(frame, length, field) + draw(st.binary(max_size=10))


def damage(draw: st.DrawFn, data: bytes) -> bytes:
    """A few bytes changed, lost or added."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        lost = draw(st.sampled_from([0, 1, 1, 2, 7]))
        data = data[:at] + draw(st.binary(max_size=2)) + data[at + lost :]
    return data


@st.composite
def streams(
    draw: st.DrawFn,
    role: Role,
    *,
    window_bits: int | None = None,
    context_takeover: bool = True,
    closes: bool = False,
    damaged: bool = True,
) -> bytes:
    """What comes from the peer of `role`, compressed at times if there are `window_bits`."""
    masked = role is SERVER
    compressor = None if window_bits is None else Compressor(window_bits, context_takeover)
    data = b""
    for kind in draw(st.lists(st.sampled_from(["message"] * 8 + ["control"] * 2 + ["odd"] * damaged), max_size=6)):
        if kind == "odd":
            data += odd_frame(draw, masked)
            continue
        for frame in message(draw, compressor) if kind == "message" else [draw(CONTROLS)]:
            frame.key = draw(KEYS) if masked else None
            data += encode(frame)
    if closes and draw(st.booleans()):
        close = draw(CLOSES)
        close.key = draw(KEYS) if masked else None
        data += encode(close)
    return damage(draw, data) if damaged and draw(st.booleans()) else data


@st.composite
def chunks(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` as a network would deliver it: whole, in a few parts, or in many of one size."""
    if draw(st.booleans()) and len(data) < 500:
        step = draw(st.integers(1, 20))
        return [data[i : i + step] for i in range(0, len(data), step)]
    return cut(draw, data, 6)
