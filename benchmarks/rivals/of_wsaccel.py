"""wsaccel: compiled masking and UTF-8 validation for other people's libraries, byte by byte."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from wsaccel.utf8validator import Utf8Validator
from wsaccel.xormask import createXorMasker

from .base import Rival, Run


class Wsaccel(Rival):
    name = "wsaccel"
    version = version("wsaccel")

    def mask(self, pairs: Sequence[tuple[bytes, bytes]]) -> Run:
        def run() -> bytes:
            result = b""
            for data, key in pairs:
                result = createXorMasker(key).process(data)
            return result

        return run

    def validate(self, payloads: Sequence[bytes]) -> Run:
        validator = Utf8Validator()

        def run() -> bool:
            valid = True
            for data in payloads:
                valid &= validator.validate(data)[0]
            return valid

        return run


def rivals() -> list[Rival]:
    return [Wsaccel()]
