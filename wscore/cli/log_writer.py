"""Where the program's log goes: to a descriptor, from a thread of its own.

Decides that nobody waits for whoever reads the log. Lines wait in a queue of bounded size; a thread writes them, and
waits in our place if the reader has stopped. What finds no room is dropped, and how many lines were is told as soon as
there is room again. At the end of the process the thread has a second for what is left.

A supervisor forks while its thread runs. That thread holds no lock while it waits or writes, and knows nothing but
bytes; a forked child begins anew, with a queue and a thread of its own. Refuses to know what a line looks like.
"""

import atexit
import logging
import os
import queue
import select
import threading
from contextlib import suppress

__all__ = ["LogWriter"]

# So many bytes of lines may wait.
ROOM = 1 << 20
# How long the end of the process waits for the reader, in seconds.
PATIENCE = 1.0


class LogWriter(logging.Handler):
    """Writes each record as a line to `descriptor`; at most `room` bytes wait. `emit` neither blocks nor raises."""

    def __init__(self, descriptor: int, room: int = ROOM) -> None:
        super().__init__()
        self._room = room
        self._queue = _Queue(descriptor)
        self._dropped = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_anew)
        atexit.register(self.close)

    def _begin_anew(self) -> None:
        self._queue = _Queue(self._queue.descriptor)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Put a line into the queue, or count it if there is no room."""
        try:
            line = self.format(record)
        except Exception as error:  # an argument that does not fit its sentence costs a line, and not the server
            line = self.format(_told("a record could not be formatted: %s", type(error).__name__))
        if self._dropped:
            lost = self.format(_told("%d lines are lost: nobody read the log", self._dropped))
            line = f"{lost}\n{line}"
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        if self._queue.waiting + len(data) > self._room:
            self._dropped += 1
        else:
            self._queue.put(data)
            self._dropped = 0

    def close(self) -> None:
        """Write what is left, for a second at most."""
        self._queue.close()
        super().close()


def _told(sentence: str, argument: object) -> logging.LogRecord:
    """A record of our own, to be formatted as all others are."""
    return logging.LogRecord("wscore", logging.WARNING, __file__, 0, sentence, (argument,), None)


class _Queue:
    """Lines on their way to a descriptor, and the thread that writes them, which starts with the first."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Each is written by one thread alone: no lock is needed.
        self._taken_in = self._done = 0
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        return self._taken_in - self._done

    def put(self, line: bytes) -> None:
        self._taken_in += len(line)
        self._lines.put(line)
        if self._thread is None:
            with suppress(RuntimeError):  # the system has no more threads: the next line tries again
                self._thread = self._started()

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="wscore log", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        # What is logged behind this, at the end of the process, has a thread of its own; and nobody waits twice.
        thread, self._thread = self._thread, None
        if thread is not None:
            self._lines.put(None)
            thread.join(PATIENCE)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            with suppress(OSError):  # whoever read it has gone
                self._write(line)
            self._done += len(line)

    def _write(self, line: bytes) -> None:
        while line:
            try:
                line = line[os.write(self.descriptor, line) :]
            except BlockingIOError:  # somebody else has made it so
                select.select([], [self.descriptor], [])
