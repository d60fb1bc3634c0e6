"""Both twins take and refuse the same settings, opcodes and flags, however odd, with the same kind of error."""

import array
from collections.abc import Callable
from typing import Any

import pytest

from wscore.codec import CLIENT, SERVER

from .test_twins import load

pytestmark = pytest.mark.native


class Index:
    """A whole number of another class."""

    def __index__(self) -> int:
        return 9


class Undecided:
    """Neither true nor false."""

    def __bool__(self) -> bool:
        raise ArithmeticError


ODD = [
    None, True, False, 0, 1, -1, 2, 8, 9, 10, 15, 16, 125, 9.0, 1.5, float("nan"), 2**31, -(2**31), 2**63 - 1, 2**63,
    2**64, -(2**63), -(2**64), "", "text", "\ud800", b"", b"abcd", bytes(126), bytearray(b"abcd"),
    memoryview(b"view")[::2], array.array("i", [1, 2]),
    [], [1], (), {}, object(), Index(), Undecided(), SERVER, CLIENT, 1j,
]  # fmt: skip

SETTINGS: dict[str, Callable[[Any, Any], object]] = {
    "Reader, max_message_size": lambda codec, value: codec.Reader(SERVER, max_message_size=value),
    "Reader, max_fragments": lambda codec, value: codec.Reader(SERVER, max_fragments=value),
    "Reader, pieces": lambda codec, value: codec.Reader(SERVER, pieces=value),
    "Reader, frames": lambda codec, value: codec.Reader(SERVER, frames=value),
    "Writer, compression_threshold": lambda codec, value: codec.Writer(SERVER, compression_threshold=value),
    "DeflatePool, size": lambda codec, value: codec.DeflatePool(value),
    "Deflater, window_bits": lambda codec, value: codec.Deflater(value),
    "Deflater, context_takeover": lambda codec, value: codec.Deflater(context_takeover=value),
    "Deflater, level": lambda codec, value: codec.Deflater(level=value),
    "Deflater, mem_level": lambda codec, value: codec.Deflater(mem_level=value),
    "Inflater, window_bits": lambda codec, value: codec.Inflater(value),
    "Inflater, context_takeover": lambda codec, value: codec.Inflater(context_takeover=value),
}


def error(function: Callable[..., object], *arguments: object) -> type[Exception] | None:
    try:
        function(*arguments)
    except Exception as raised:
        return type(raised)
    return None


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings(setting: str) -> None:
    for value in ODD:
        pure, native = (error(SETTINGS[setting], load(twin), value) for twin in ("pure", "native"))
        assert pure == native, value
        assert native in (None, TypeError, ValueError, ArithmeticError)  # and no OverflowError


def written(codec: Any, method: str, *arguments: object) -> tuple[type[Exception] | None, bytes]:
    writer = codec.Writer(SERVER, deflater=codec.Deflater(level=0, context_takeover=False))
    return error(getattr(writer, method), *arguments), writer.take()


@pytest.mark.parametrize("method", ["write", "write_raw", "write_prepared", "write_fragment", "write_control"])
def test_what_is_written(method: str) -> None:
    codecs = load("pure"), load("native")
    for first in ODD:
        calls = [(first,)] if method in ("write_raw", "write_prepared") else [(first, second) for second in ODD]
        for arguments in calls:
            if method == "write" and isinstance(arguments[1], Undecided):
                continue  # where both arguments are wrong, either may be told
            pure, native = (written(codec, method, *arguments) for codec in codecs)
            assert pure == native, arguments
            assert native[0] is None or native[1] == b"", arguments


def test_frames() -> None:
    codecs = load("pure"), load("native")
    for first in ODD:
        for second in ODD:
            for options in ({}, {"key": b"abcd"}):
                pure, native = (outcome(codec, first, second, options) for codec in codecs)
                assert pure == native, (first, second)


def outcome(codec: Any, opcode: Any, payload: Any, options: Any) -> object:
    try:
        return codec.encode_frame(opcode, payload, **options)
    except Exception as raised:
        return type(raised)
