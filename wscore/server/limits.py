"""How many connections there are at once, and how many of them are still shaking hands.

Decides when accepting pauses, and who is told that the server is full: connections above `max_connections` are taken in
for as long as it takes to say so (503), a few at a time; above these, and while `max_handshakes` are under way, what
comes next waits in the system's queue. Knows neither sockets nor HTTP.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trio.lowlevel import ParkingLot, RunVar

__all__ = ["Limits", "Place", "default_max_connections"]

# Descriptors that are left for everything else: files, resolvers, connections of our own.
RESERVED_DESCRIPTORS = 64
# How many of those are used, at most, to tell peers that the server is full.
MAX_TURNED_AWAY = 32
# Where the system sets no limit.
WITHOUT_LIMIT = 65_536


def default_max_connections() -> int:
    """The process's limit of open files (the soft one, as it is now) less 64, and at least 1."""
    try:
        import resource
    except ImportError:  # Windows
        return WITHOUT_LIMIT
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WITHOUT_LIMIT if soft == resource.RLIM_INFINITY else max(1, soft - RESERVED_DESCRIPTORS)


class _Meter:
    """Counts up to `limit`, and `spare` more apart; when both are used up, one can wait for a change."""

    def __init__(self, name: str, limit: int, spare: int = 0) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise TypeError(f"{name} must be a whole number, not {limit!r}")
        if limit < 1:
            raise ValueError(f"{name} must be at least 1, not {limit!r}")
        self._limit = limit
        self._spare = spare
        self.count = 0
        self.above = 0
        self._change = ParkingLot()
        self.watchers: set[Callable[[], object]] = set()

    @property
    def has_room(self) -> bool:
        """Whether one more fits."""
        return self.count < self._limit or self.above < self._spare

    async def wait_for_room(self) -> bool:
        """Wait until one more fits; whether that took any time."""
        waited = False
        while not self.has_room:
            await self._change.park()
            waited = True
        return waited

    def enter(self) -> bool:
        """Count one more; whether it is above the limit."""
        is_above = self.count >= self._limit
        self.above += is_above
        self.count += not is_above
        return is_above

    def leave(self, was_above: bool) -> None:
        """Count one less."""
        self.above -= was_above
        self.count -= not was_above
        self._change.unpark_all()
        for watcher in tuple(self.watchers):
            watcher()


def _connections(limit: int) -> _Meter:
    return _Meter("max_connections", limit, MAX_TURNED_AWAY)


_in_this_run: RunVar[_Meter] = RunVar("wscore_connections")


def _connections_of_this_run() -> _Meter:
    """Descriptors belong to the process, so all servers of a run that leave the limit to us share one count."""
    meter = _in_this_run.get(None)  # type: ignore[arg-type]
    if meter is None:
        meter = _connections(default_max_connections())
        _in_this_run.set(meter)
    return meter


class Limits:
    """The places of one server. Raises `ValueError` or `TypeError` for limits below 1 or that are no numbers."""

    def __init__(self, max_connections: int | None, max_handshakes: int) -> None:
        self._connections = _connections_of_this_run() if max_connections is None else _connections(max_connections)
        self._handshakes = _Meter("max_handshakes", max_handshakes)

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return self._handshakes.count + self._handshakes.above

    async def wait_for_room(self) -> None:
        """Wait until one more connection may be accepted."""
        while await self._connections.wait_for_room() or await self._handshakes.wait_for_room():
            pass

    @property
    def has_room(self) -> bool:
        """Whether one more connection may be accepted."""
        return self._connections.has_room and self._handshakes.has_room

    @contextmanager
    def watched(self, watcher: Callable[[], object]) -> Iterator[None]:
        """Have `watcher` called whenever there may be room again, for the time of the block."""
        meters = (self._connections, self._handshakes)
        for meter in meters:
            meter.watchers.add(watcher)
        try:
            yield
        finally:
            for meter in meters:
                meter.watchers.discard(watcher)

    def enter(self) -> "Place":
        """Count one connection, and its handshake."""
        return Place(self._connections, self._handshakes)


class Place:
    """What one connection occupies; `is_above` says that it is one too many, to be told so."""

    __slots__ = ("_connections", "_handshakes", "_shakes_above", "is_above")

    def __init__(self, connections: _Meter, handshakes: _Meter) -> None:
        self._connections = connections
        self._handshakes: _Meter | None = handshakes
        self.is_above = connections.enter()
        self._shakes_above = handshakes.enter()

    def opened(self) -> None:
        """Its handshake is over, whatever came of it."""
        if self._handshakes is not None:
            self._handshakes.leave(self._shakes_above)
            self._handshakes = None

    def leave(self) -> None:
        """It is closed."""
        self.opened()
        self._connections.leave(self.is_above)
