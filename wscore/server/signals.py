"""Signals for a process whose loop is a selector, and which forks.

Decides how a signal becomes something that can be waited for, and that a child never takes one for its parent's. Knows
nothing of what signals mean.
"""

import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["SignalReader", "ignore"]


def _wake(number: int, frame: FrameType | None) -> None:
    """The number is on the socket by now."""


class SignalReader:
    """Turns these signals into bytes on `sock`, for the process's main thread."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = tuple(numbers)
        self.sock, self._waker = socket.socketpair()
        self.sock.setblocking(False)
        self._waker.setblocking(False)
        self._before = {number: signal.signal(number, _wake) for number in self._numbers}
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def read(self) -> list[int]:
        """Return the signals that have come since the last call, in their order."""
        with suppress(BlockingIOError):
            return [number for number in self.sock.recv(4096) if number in self._numbers]
        return []

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let signals wait while this process becomes two; in the child, call `forget` before the block ends."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)

    def forget(self) -> None:
        """Make signals do what they did before."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.sock.close()
        self._waker.close()


def ignore(number: signal.Signals) -> None:
    """Make a signal do nothing here, and what it usually does in programs that this one starts."""
    signal.signal(number, _wake)
