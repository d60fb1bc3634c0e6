"""The program: `wscore serve`, `wscore connect` and `wscore --version`.

Here stands only what every command needs to give up politely.
"""

import os
import sys

from wscore.server.logs import escape


class Failure(Exception):
    """Ends the program: one sentence for standard error, and an exit status, 2 if what was asked for is wrong."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


def open_standard_streams() -> None:
    """Open those of the three standard streams that were closed before the program began, on the null device.

    Else the first sockets of the program would get their numbers, and be written to; and Python has None for them.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def complain(sentence: str) -> None:
    """Print one line about the program itself on standard error."""
    print(f"wscore: {escape(sentence, None)}", file=sys.stderr, flush=True)


def reason(error: Exception) -> str:
    """Return in a few words what went wrong, without error numbers; of several attempts, what the first one met."""
    if isinstance(error.__cause__, ExceptionGroup):
        return reason(error.__cause__.exceptions[0])
    if isinstance(error, OSError) and error.errno and type(error).__module__ == "builtins":
        return os.strerror(error.errno)  # others, such as those of TLS, have numbers of their own
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return words.strip().rstrip(".") or type(error).__name__
