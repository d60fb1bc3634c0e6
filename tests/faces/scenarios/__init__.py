"""All scenarios, area by area; each module says what it compares."""

from ..scenario import SCENARIOS
from . import calls, cancelling, contexts, ends, flow, interrupts, messages, opening

__all__ = ["SCENARIOS", "calls", "cancelling", "contexts", "ends", "flow", "interrupts", "messages", "opening"]
