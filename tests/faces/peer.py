"""A peer that sends exactly the bytes that a scenario wants: a plain socket that does not block.

The loop that the face runs on says when it can be read and written; so the same peer serves every face. It also says in
one line each what it has seen, frames and the end of the bytes.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wscore.protocol.request import accept_key

from ..raw import KEY, UPGRADE
from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, encode, xor
from ..wire import KEY as MASK

if TYPE_CHECKING:
    from .face import Face

NAMES = {CONTINUATION: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}


class Peer:
    """The other end of a connection, in either role."""

    def __init__(self, face: Face, sock: socket.socket, is_client: bool) -> None:
        sock.setblocking(False)
        self.face = face
        self.sock = sock
        self.is_client = is_client
        self.received = bytearray()
        self._ended: str | None = None

    # Bytes

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                await self.face.writable(self.sock)

    async def more(self, size: int = 1 << 16) -> bool:
        """Read once; whether there was something. What ended the bytes is kept."""
        while True:
            try:
                data = self.sock.recv(size)
            except BlockingIOError:
                await self.face.readable(self.sock)
                continue
            except ConnectionError:
                self._ended = "reset"
                return False
            if not data:
                self._ended = "eof"
            self.received += data
            return bool(data)

    def shut_down(self) -> None:
        """Send no more: the end of the bytes, without a Close frame."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Go away without a word."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    # Heads

    async def head(self) -> str:
        while b"\r\n\r\n" not in self.received:
            assert await self.more(), f"the bytes ended after {bytes(self.received)!r}"
        at = self.received.index(b"\r\n\r\n") + 4
        head = self.received[:at].decode("latin-1")
        del self.received[:at]
        return head

    async def status(self) -> int:
        return int((await self.head()).split(" ", 2)[1])

    async def ask(self, line: str = "GET / HTTP/1.1", rest: bytes = b"", **changes: str | None) -> None:
        """Send a request for a WebSocket; headers may be replaced, or left out with None."""
        headers = UPGRADE | {name.replace("_", "-"): value for name, value in changes.items()}
        lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
        await self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + rest)

    async def upgrade(self, path: str = "/", rest: bytes = b"", **changes: str | None) -> str:
        """As a client: open a WebSocket, and return the head of the answer."""
        await self.ask(f"GET {path} HTTP/1.1", rest, **changes)
        head = await self.head()
        assert head.startswith("HTTP/1.1 101 "), head
        assert f"Sec-WebSocket-Accept: {accept_key(KEY)}\r\n" in head
        return head

    async def answer_upgrade(self, rest: bytes = b"", headers: str = "") -> str:
        """As a server: open a WebSocket, and return the head of the request."""
        head = await self.head()
        key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key)}\r\n{headers}\r\n"
        )
        await self.send(answer.encode() + rest)
        return head

    # Frames

    def frame_of(self, opcode: int, payload: bytes = b"", **bits: Any) -> bytes:
        return encode(Frame(opcode, payload, key=MASK if self.is_client else None, **bits))

    async def say(self, opcode: int, payload: bytes = b"", **bits: Any) -> None:
        await self.send(self.frame_of(opcode, payload, **bits))

    async def say_close(self, code: int = 1000, reason: str = "") -> None:
        await self.say(CLOSE, code.to_bytes(2, "big") + reason.encode())

    async def frame(self) -> Frame | None:
        """The next frame; None if the bytes end before."""
        while (found := first_frame(self.received)) is None:
            if not await self.more():
                return None
        frame, size = found
        del self.received[:size]
        return frame

    async def sees(self) -> str:
        """The next frame, or the end of the bytes, in one line."""
        frame = await self.frame()
        return str(self._ended) if frame is None else described(frame)

    async def sees_until_end(self, answer_close: bool = True, seconds: float = 5.0) -> list[str]:
        """All that comes until the bytes end; a good peer answers a Close frame, and ends its own bytes, too, a server
        at once.
        """
        seen: list[str] = []

        async def look() -> None:
            while not seen or seen[-1] not in ("eof", "reset"):
                frame = await self.frame()
                seen.append(str(self._ended) if frame is None else described(frame))
                if frame is not None and frame.opcode == CLOSE and answer_close:
                    await self.say(CLOSE, frame.payload)
                    if not self.is_client:
                        self.shut_down()  # a server is the first to end (RFC 6455 section 7.1.1)
            with suppress(OSError):
                self.shut_down()

        if not await self.face.within(seconds, look):
            seen.append("nothing more")
        return seen

    async def sees_nothing(self, seconds: float = 0.1) -> bool:
        """Whether neither a frame nor the end comes for so long."""
        return first_frame(self.received) is None and not await self.face.within(seconds, self.more)


def first_frame(data: bytes | bytearray) -> tuple[Frame, int] | None:
    """The frame that `data` begins with, and its size; None if it is not whole."""
    if len(data) < 2:
        return None
    first, second = data[:2]
    length, at = second & 0x7F, 2
    if length >= 126:
        at = 4 if length == 126 else 10
        length = int.from_bytes(data[2:at], "big")
    key = bytes(data[at : at + 4]) if second & 0x80 else None
    at += 4 if key else 0
    if len(data) < at + length:
        return None
    payload = bytes(data[at : at + length])
    return Frame(first & 0x0F, xor(payload, key) if key else payload, first >> 7 == 1, first >> 4 & 7, key), at + length


def described(frame: Frame) -> str:
    """A frame in one line. The payloads of Pings are ours to choose, and those of long messages tell nothing."""
    words = [NAMES[frame.opcode]]
    if frame.opcode == CLOSE and frame.payload:
        words.append(f"{int.from_bytes(frame.payload[:2], 'big')} {frame.payload[2:].decode()}".rstrip())
    elif frame.opcode == PING:
        words.append(f"of {len(frame.payload)} bytes")
    elif frame.opcode != CLOSE:
        words.append(repr(frame.payload)[1:] if len(frame.payload) <= 64 else f"of {len(frame.payload)} bytes")
    if frame.rsv:
        words.append(f"rsv {frame.rsv:03b}")
    if not frame.fin:
        words.append("to be continued")
    return " ".join(words)
