"""Many threads at once, for tests that break the rule that an object belongs to one thread at a time."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["at_once", "switching_often"]


@contextmanager
def switching_often() -> Iterator[None]:
    """Where there is a GIL, let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def at_once(*actions: Callable[[], object], allowed: type[Exception] | tuple[type[Exception], ...] = ()) -> None:
    """Call each of `actions` in a thread of its own, all at the same time, and wait for them.

    An action that raises what is `allowed` has ended; anything else is raised here, the first of it.
    """
    start = threading.Barrier(len(actions))
    errors: list[BaseException] = []

    def run(action: Callable[[], object]) -> None:
        try:
            start.wait()
            action()
        except allowed:
            pass
        except BaseException as error:
            errors.append(error)

    with switching_often():
        threads = [threading.Thread(target=run, args=(action,)) for action in actions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
