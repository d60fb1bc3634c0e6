"""What things cost in memory: growth of the resident set over many of them, divided by their number.

Each figure comes from a process of its own, so that nothing freed earlier is used again. Linux only: other systems do
not say what is resident now.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wscore.codec import SERVER

from . import corpus, wire
from .rivals import all_rivals

STATM = Path("/proc/self/statm")
PAGE = 4096

CONNECTIONS = 100_000
STREAMS = 200
WINDOW_BITS = (9, 10, 11, 12, 13, 14, 15)
MEM_LEVELS = (1, 5, 8, 9)


def available() -> bool:
    return STATM.exists()


def connection_bytes(*, count: int = CONNECTIONS) -> float:
    """A `Connection` without compression, after one message each way."""
    return _in_process("connection", count)


def deflate_bytes(rival: str, *, count: int = STREAMS) -> float:
    """A connection of `rival` with permessage-deflate and context takeover, after traffic that fills both windows."""
    return _in_process("deflate", count, rival)


def stream_costs(*, quick: bool = False) -> Iterator[tuple[str, dict[str, int], float, float]]:
    """Our compressors and inflaters: settings, bytes after one message, bytes once the window is full."""
    count = STREAMS // 4 if quick else STREAMS
    for bits in (12, 15) if quick else WINDOW_BITS:
        for level in (5, 8) if quick else MEM_LEVELS:
            yield _stream_cost("compressor", count, {"window_bits": bits, "mem_level": level})
        yield _stream_cost("inflater", count, {"window_bits": bits})


def _stream_cost(kind: str, count: int, settings: dict[str, int]) -> tuple[str, dict[str, int], float, float]:
    first, full = (_in_process(kind, count, *settings.values(), how) for how in ("first", "full"))
    return kind, settings, first, full


def _in_process(kind: str, count: int, *arguments: object) -> float:
    command = [sys.executable, "-m", __name__, kind, str(count), *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    return float(done.stdout)


# In the process

Make = Callable[[], Any]


def _resident() -> int:
    return int(STATM.read_text().split()[1]) * PAGE


def _growth(make: Make, count: int) -> float:
    for _ in range(8):
        make()
    kept: list[Any] = [None] * count
    begin = _resident()
    for i in range(count):
        kept[i] = make()
    return (_resident() - begin) / count


def _connection() -> Make:
    import wscore

    frame = wire.frames(corpus.texts("ascii", 125, 1))
    answer = "x" * 125

    def make() -> Any:
        connection = wscore.Connection(SERVER)
        connection.receive_data(frame)
        connection.send(answer)
        connection.data_to_send()
        return connection

    return make


def _deflate(name: str) -> Make:
    rival = next(rival for rival in all_rivals() if rival.name == name)
    messages = corpus.json_messages(1000)
    received = wire.compressed_frames(messages)

    def make() -> Any:
        send, receive = rival.sender(SERVER, deflate=True), rival.receiver(SERVER, deflate=True)
        assert send is not None
        assert receive is not None
        send(messages)
        receive(received)
        return send, receive

    return make


def _compressor(window_bits: str, mem_level: str, how: str) -> Make:
    from wscore.codec import Deflater

    messages = [message.encode() for message in corpus.json_messages(1 if how == "first" else 1000)]

    def make() -> Any:
        deflater = Deflater(int(window_bits), mem_level=int(mem_level))
        for message in messages:
            deflater.deflate(message)
        return deflater

    return make


def _inflater(window_bits: str, how: str) -> Make:
    from wscore.codec import Deflater, Inflater

    deflater = Deflater(int(window_bits))
    messages = corpus.json_messages(1 if how == "first" else 1000)
    compressed = [deflater.deflate(message.encode()) for message in messages]

    def make() -> Any:
        inflater = Inflater(int(window_bits))
        for message in compressed:
            inflater.inflate(message, 1 << 20)
            inflater.finish(1 << 20)
        return inflater

    return make


_KINDS: dict[str, Callable[..., Make]] = {
    "connection": _connection,
    "deflate": _deflate,
    "compressor": _compressor,
    "inflater": _inflater,
}

if __name__ == "__main__":
    _kind, _count, *_arguments = sys.argv[1:]
    print(_growth(_KINDS[_kind](*_arguments), int(_count)))
