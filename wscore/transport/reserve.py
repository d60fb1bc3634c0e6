"""How much memory the buffers of all connections of a server take together, and who has to wait when it is too much.

Decides that above the limit those stop reading that hold more than their share, the limit divided by the number of
connections. All that hold less cannot exceed the limit together, so whoever holds little is served on as if nothing had
happened. Reading goes on at seven eighths of the limit. Who is closed for it, and who is not let in, is decided
elsewhere.

A connection tells what it holds when that has changed by `QUANTUM`, so as to pay nothing for small messages: the sum is
off by less than that for each connection.
"""

from __future__ import annotations

from typing import Protocol

from trio.lowlevel import ParkingLot

__all__ = ["QUANTUM", "Holder", "Reserve"]

QUANTUM = 1024


class Holder(Protocol):
    """A connection."""

    def _input_has_room(self) -> None:
        """Reading may go on if it has paused."""


class Reserve:
    """What the connections of one server hold; `limit` is in bytes."""

    __slots__ = ("_connections", "_crossing", "_scarcity", "_waiting", "held", "held_by_handshakes", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._connections = 0
        self._waiting: set[Holder] = set()
        self._crossing = ParkingLot()
        self._scarcity = ParkingLot()
        self.held = 0
        self.held_by_handshakes = 0  # a part of that

    @property
    def is_over(self) -> bool:
        """Whether it is too much."""
        return self.held > self.limit

    @property
    def is_scarce(self) -> bool:
        """Whether it is more than half of that."""
        return self.held > self.limit >> 1

    @property
    def share(self) -> int:
        """What each connection may hold even then."""
        return self.limit // max(self._connections, 1)

    def join(self) -> None:
        """There is one more connection, which holds nothing yet."""
        self._connections += 1

    def leave(self, holder: Holder, held: int) -> None:
        """A connection has ended; `held` is what it has told."""
        self._connections -= 1
        self._waiting.discard(holder)
        self.change(-held)

    def change_by_handshake(self, by: int) -> None:
        """One that is no WebSocket yet holds so many bytes more, or less."""
        self.held_by_handshakes += by
        self.change(by)

    def change(self, by: int) -> None:
        """A connection holds so many bytes more, or less."""
        self.held += by
        if by > 0:
            if self.is_over:
                self._crossing.unpark_all()
            if self._scarcity and self.is_scarce:
                self._scarcity.unpark_all()
        elif self._waiting and self.held <= self.limit - (self.limit >> 3):
            waiting, self._waiting = self._waiting, set()
            for holder in waiting:
                holder._input_has_room()

    def must_wait(self, holder: Holder, held: int) -> bool:
        """Whether a connection that holds so much may not read; it is told when it may."""
        if held > self.share and (self.is_over or holder in self._waiting):
            self._waiting.add(holder)
            return True
        self._waiting.discard(holder)
        return False

    async def wait_until_over(self) -> None:
        """Wait until it is too much. Cancelled, nothing has happened."""
        while not self.is_over:
            await self._crossing.park()

    async def wait_until_scarce(self) -> None:
        """Wait until it is more than half. Cancelled, nothing has happened."""
        while not self.is_scarce:
            await self._scarcity.park()
