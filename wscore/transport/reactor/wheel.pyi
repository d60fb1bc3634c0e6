from typing import Self, final

from typing_extensions import disjoint_base

__all__ = ["Timed", "Wheel"]

@disjoint_base
class Timed:
    @property
    def deadline(self) -> float: ...

@final
class Wheel:
    def __new__(cls, now: float) -> Self: ...
    def put(self, each: Timed, when: float) -> None: ...
    def next_deadline(self) -> float: ...
    def expire(self, now: float) -> list[Timed]: ...
