from collections.abc import Callable

from typing_extensions import disjoint_base

__all__ = ["Pace"]

@disjoint_base
class Pace:
    clock: Callable[[], float] | None
    def __init__(self, is_cancelled: Callable[[], bool], clock: Callable[[], float] | None = None) -> None: ...
    @property
    def is_cancelled(self) -> Callable[[], bool]: ...
    def after_io_wait(self, timeout: float) -> None: ...
    def is_due(self) -> bool: ...
