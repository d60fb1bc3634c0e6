"""What an attack may cost: memory as Python's allocators see it, and time as a guard against hanging only."""

import gc
import signal
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

KIB = 1 << 10
MIB = 1 << 20


class Memory:
    """How much more than before there was at once at the most, in bytes; known when the block has ended."""

    peak = 0


@contextmanager
def memory() -> Iterator[Memory]:
    measured = Memory()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield measured
        _, peak = tracemalloc.get_traced_memory()
        measured.peak = peak - before
    finally:
        tracemalloc.stop()


@contextmanager
def guard_against_hanging(seconds: int = 30) -> Iterator[None]:
    """Interrupt a block that would take for ever: what it does takes milliseconds if its cost is linear, and hours or
    more if it is not.
    """
    if not hasattr(signal, "SIGALRM"):  # Windows
        yield
        return

    def interrupt(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"not done within {seconds} s: the cost is not linear")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
