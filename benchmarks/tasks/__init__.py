"""Everything that is measured: each task is the same work for all contenders, and says what must come out of it.

The pytest-benchmark tests and the runner of alternating rounds both take it from here.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import broadcasting, deflating, handshaking, kernels, masking, receiving, sending
from .base import Contender, Task

__all__ = ["AREAS", "Contender", "Task", "all_tasks"]

_MODULES = (masking, kernels, receiving, sending, deflating, broadcasting, handshaking)

AREAS = tuple(area for module in _MODULES for area in module.AREAS)


def all_tasks(*, quick: bool = False) -> Iterator[Task]:
    """All tasks in the order of the tables; `quick` leaves out most sizes and texts."""
    for module in _MODULES:
        yield from module.tasks(quick=quick)
