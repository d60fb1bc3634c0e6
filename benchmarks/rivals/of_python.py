"""What Python itself has: a decoder that can be used to validate."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from .base import Rival, Run


class Python(Rival):
    name = "Python"
    version = platform.python_version()

    def validate(self, payloads: Sequence[bytes]) -> Run:
        def run() -> bool:
            for data in payloads:
                data.decode()
            return True

        return run


def rivals() -> list[Rival]:
    return [Python()]
