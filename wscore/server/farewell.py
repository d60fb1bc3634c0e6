"""Who waits for whom while a server closes.

Decides that whoever closes a server in a task of one of its connections, in a handler or a hook, waits for the other
connections only: else it would wait for itself. Nor do several of these wait for each other. Refuses to know how
connections end, and how long they may take.
"""

from collections.abc import Callable

import trio
from trio.lowlevel import ParkingLot, Task, current_task

__all__ = ["Farewell"]


class Farewell:
    """How one server waits for its connections to end; `count` says how many are left.

    `nursery` is where their tasks are, once it is there.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self.nursery: trio.Nursery | None = None
        self._count = count
        self._closers: list[Task] = []  # one task may be in here twice, with tasks below it
        self._change = ParkingLot()

    def somebody_left(self) -> None:
        """A connection has ended, its handler and its hooks have, too."""
        if self._change:
            self._change.unpark_all()

    def task_of_connection(self) -> Task | None:
        """The task of the connection in which this runs, if it is in one of them, or in a task below."""
        task: Task | None = current_task()
        while task is not None:
            nursery = task.parent_nursery
            if nursery is not None and nursery is self.nursery:
                return task
            task = None if nursery is None else nursery.parent_task
        return None

    async def all_gone(self) -> None:
        """Wait until no connection is left. Cancelled, nothing has happened."""
        while self._count():
            await self._change.park()

    async def others_gone(self, closer: Task) -> None:
        """Wait, for what runs in `closer`, until no connections are left but those in whose tasks this is waited for.
        Cancelled, nothing has happened.
        """
        self._closers.append(closer)
        self.somebody_left()
        try:
            while self._count() > len(set(self._closers)):
                await self._change.park()
        finally:
            self._closers.remove(closer)
