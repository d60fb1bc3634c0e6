"""How many connections there are at once, and how many of them are still shaking hands.

Decides when accepting pauses, and who is told that the server is full: connections above `max_connections` are taken in
for as long as it takes to say so (503), a few at a time; above these, and while `max_handshakes` are under way, what
comes next waits in the system's queue. Knows neither sockets nor HTTP.
"""

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
    """A count that can be waited for."""

    def __init__(self, name: str, limit: int) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise TypeError(f"{name} must be a whole number, not {limit!r}")
        if limit < 1:
            raise ValueError(f"{name} must be at least 1, not {limit!r}")
        self.limit = limit
        self.count = 0
        self._change = ParkingLot()

    async def wait_below(self, limit: int) -> bool:
        """Wait until there are less; whether that took any time."""
        waited = False
        while self.count >= limit:
            await self._change.park()
            waited = True
        return waited

    def down(self) -> None:
        self.count -= 1
        self._change.unpark_all()


_in_this_run: RunVar[_Meter] = RunVar("wscore_connections")


def _shared_meter() -> _Meter:
    """Descriptors belong to the process, so all servers of a run that leave the limit to us share one count."""
    meter = _in_this_run.get(None)  # type: ignore[arg-type]
    if meter is None:
        meter = _Meter("max_connections", default_max_connections())
        _in_this_run.set(meter)
    return meter


class Limits:
    """The places of one server. Raises `ValueError` or `TypeError` for limits below 1 or that are no numbers."""

    def __init__(self, max_connections: int | None, max_handshakes: int) -> None:
        limit = max_connections
        self._connections = _shared_meter() if limit is None else _Meter("max_connections", limit)
        self._handshakes = _Meter("max_handshakes", max_handshakes)

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return self._handshakes.count

    async def wait_for_room(self) -> None:
        """Wait until one more connection may be accepted."""
        waited = True
        while waited:
            waited = await self._connections.wait_below(self._connections.limit + MAX_TURNED_AWAY)
            waited |= await self._handshakes.wait_below(self._handshakes.limit)

    def enter(self) -> "Place":
        """Count one connection, and its handshake."""
        self._connections.count += 1
        self._handshakes.count += 1
        return Place(self._connections, self._handshakes)


class Place:
    """What one connection occupies; `is_above` says that it is one too many, to be told so."""

    __slots__ = ("_connections", "_handshakes", "is_above")

    def __init__(self, connections: _Meter, handshakes: _Meter) -> None:
        self._connections = connections
        self._handshakes: _Meter | None = handshakes
        self.is_above = connections.count > connections.limit

    def opened(self) -> None:
        """Its handshake is over, whatever came of it."""
        if self._handshakes is not None:
            self._handshakes.down()
            self._handshakes = None

    def leave(self) -> None:
        """It is closed."""
        self.opened()
        self._connections.down()
