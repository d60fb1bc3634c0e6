"""All scenarios, area by area; each module says what it compares."""

from ..scenario import SCENARIOS
from . import (
    calls,
    cancelling,
    contexts,
    deadlines,
    ends,
    ends_by_code,
    ends_told,
    flow,
    interrupts,
    messages,
    opening,
    servers,
    threads,
)

__all__ = [
    "SCENARIOS",
    "calls",
    "cancelling",
    "contexts",
    "deadlines",
    "ends",
    "ends_by_code",
    "ends_told",
    "flow",
    "interrupts",
    "messages",
    "opening",
    "servers",
    "threads",
]
