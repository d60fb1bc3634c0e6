"""Bytes as they come from a peer: frames around messages, made once and before anything is measured."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

from wscore.codec import SERVER, Opcode
from wscore.codec.pure.deflate import Inflater
from wscore.codec.pure.frames import encode_frame
from wscore.codec.pure.reader import Reader

from . import corpus

Message = str | bytes

# One receive buffer's worth: what a reading loop hands to a codec in one go.
FEED = 1 << 16

REQUEST = (
    b"GET /chat?room=1 HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: */*\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Origin: https://example.com\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef\r\n"
    b"Sec-Fetch-Dest: empty\r\n"
    b"Sec-Fetch-Mode: websocket\r\n"
    b"Sec-Fetch-Site: same-origin\r\n"
    b"Pragma: no-cache\r\n"
    b"Cache-Control: no-cache\r\n"
    b"Upgrade: websocket\r\n"
    b"\r\n"
)


def frames(messages: Sequence[Message], *, masked: bool = True, rsv1: bool = False) -> bytes:
    """One frame for each message, with a random key for each if `masked`."""
    keys = corpus.keys(len(messages)) if masked else [None] * len(messages)
    return b"".join(
        encode_frame(Opcode.TEXT if isinstance(message, str) else Opcode.BINARY, encoded(message), rsv1=rsv1, key=key)
        for message, key in zip(messages, keys, strict=True)
    )


def compressed_frames(messages: Sequence[str]) -> bytes:
    """As a client with zlib's usual settings and context takeover sends them."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -12, 5)
    payloads = [
        (compressor.compress(message.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4] for message in messages
    ]
    keys = corpus.keys(len(messages))
    return b"".join(
        encode_frame(Opcode.TEXT, payload, rsv1=True, key=key) for payload, key in zip(payloads, keys, strict=True)
    )


def encoded(message: Message) -> bytes:
    return message.encode() if isinstance(message, str) else message


def messages_in(data: bytes, role: object = SERVER, *, deflate: bool = False) -> list[Message]:
    """What `data`, received by `role`, means: the judge of what the measured senders have sent."""
    reader = Reader(role, max_message_size=1 << 30, inflater=Inflater(15) if deflate else None)
    messages: list[Message] = []
    reader.read(data, messages)
    assert reader.defect is None, reader.defect
    assert not reader.in_message
    return messages


def joined(chunks: bytes | Iterable[bytes]) -> bytes:
    return chunks if isinstance(chunks, bytes) else b"".join(chunks)
