"""All scenarios, area by area; each module says what it compares."""

from ..scenario import SCENARIOS
from . import cancelling, contexts, ends, interrupts

__all__ = ["SCENARIOS", "cancelling", "contexts", "ends", "interrupts"]
