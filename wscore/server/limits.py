"""How many connections there are at once, of all and of one address, how many come in a second, and how many of them
are still shaking hands.

Decides when accepting pauses, and who is told that the server is full: connections above `max_connections` are taken in
for as long as it takes to say so (503), a few at a time; above these, while `max_handshakes` are under way, and while
they come faster than `rate`, what comes next waits in the system's queue. Of an address that has too many, or too many
in a second, a few at a time are told (429), and the others get no answer at all, so that refusing them costs little.

Knows neither sockets nor HTTP, nor whose the address is that a connection comes from.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import trio
from trio.lowlevel import ParkingLot, RunVar

from wscore.server.rates import AddressBuckets, AddressCounts, key_of
from wscore.transport.rates import Bucket, Rate

__all__ = ["AddressLimits", "Excess", "Limits", "Place", "checked_limit", "default_max_connections"]

# Descriptors that are left for everything else: files, resolvers, connections of our own.
RESERVED_DESCRIPTORS = 64
# How many of those are used, at most, to tell peers that the server is full.
MAX_TURNED_AWAY = 32
# Where the system sets no limit.
WITHOUT_LIMIT = 65_536
# After how many seconds an address that has too many connections may try again: nobody knows when one of them ends.
RETRY_AFTER = 10.0


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
        self._limit = checked_limit(name, limit)
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


def checked_limit(name: str, limit: object) -> int:
    """Return what is a limit; raises `TypeError` or `ValueError` that names the option."""
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"{name} must be a whole number, not {limit!r}")
    if limit < 1:
        raise ValueError(f"{name} must be at least 1, not {limit!r}")
    return limit


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


class Excess(NamedTuple):
    """Why an address gets no further connection: "address_connections" or "address_rate", a word to count it under."""

    reason: str
    retry_after: float
    """In how many seconds there may be one."""
    is_told: bool
    """Whether the peer gets to know this; else nothing is to be said."""


class AddressLimits:
    """What each address may have: `max_connections` at once, `rate` of new ones in a second; None for any number.

    Raises `ValueError` or `TypeError` for a limit below 1 or that is no number.
    """

    def __init__(self, max_connections: int | None = None, rate: Rate | None = None) -> None:
        self._max = None if max_connections is None else checked_limit("max_connections_per_address", max_connections)
        self._buckets = None if rate is None else AddressBuckets(rate)
        self._counts = AddressCounts()
        self._turned_away = 0

    def enter(self, key: bytes, now: float) -> Excess | None:
        """Count one more connection of an address, or say why not. Each is to `leave`, either way."""
        if self._max is not None and self._counts[key] >= self._max:
            return self._turn_away("address_connections", RETRY_AFTER)
        wait = 0.0 if self._buckets is None else self._buckets.take(key, now)
        if wait:
            return self._turn_away("address_rate", wait)
        self._counts.add(key)
        return None

    def leave(self, key: bytes, excess: Excess | None) -> None:
        """It is closed; `excess` is what `enter` returned."""
        if excess is None:
            self._counts.remove(key)
        else:
            self._turned_away -= excess.is_told

    def _turn_away(self, reason: str, retry_after: float) -> Excess:
        is_told = self._turned_away < MAX_TURNED_AWAY
        self._turned_away += is_told
        return Excess(reason, retry_after, is_told)


class Limits:
    """The places of one server. Raises `ValueError` or `TypeError` for limits below 1 or that are no numbers.

    `rate` is that of new connections in total; `clock` has the time in seconds.
    """

    def __init__(
        self,
        max_connections: int | None,
        max_handshakes: int,
        *,
        rate: Rate | None = None,
        addresses: AddressLimits | None = None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._connections = _connections_of_this_run() if max_connections is None else _connections(max_connections)
        self._handshakes = _Meter("max_handshakes", max_handshakes)
        self._bucket = None if rate is None else Bucket(rate)
        self._clock = clock
        self.addresses = addresses or AddressLimits()

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return self._handshakes.count + self._handshakes.above

    def wait(self) -> float:
        """How many seconds none may be accepted because of the rate; 0.0 for none."""
        return 0.0 if self._bucket is None else self._bucket.wait(self._clock())

    async def wait_for_room(self) -> None:
        """Wait until one more connection may be accepted. Cancelled, nothing has happened."""
        while (
            await self._connections.wait_for_room()
            or await self._handshakes.wait_for_room()
            or await self._wait_for_rate()
        ):
            pass

    async def _wait_for_rate(self) -> bool:
        wait = self.wait()
        if wait:
            await trio.sleep(wait)
        return wait > 0

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
        if self._bucket is not None:
            self._bucket.charge(self._clock())
        return Place(self._connections, self._handshakes, self.addresses, self._clock)


class Place:
    """What one connection occupies; `is_above` says that it is one too many, to be told so."""

    __slots__ = ("_addresses", "_clock", "_connections", "_excess", "_handshakes", "_key", "_shakes_above", "is_above")

    def __init__(
        self, connections: _Meter, handshakes: _Meter, addresses: AddressLimits, clock: Callable[[], float]
    ) -> None:
        self._connections = connections
        self._handshakes: _Meter | None = handshakes
        self._addresses = addresses
        self._clock = clock
        self._key: bytes | None = None
        self._excess: Excess | None = None
        self.is_above = connections.enter()
        self._shakes_above = handshakes.enter()

    def claim(self, address: object) -> Excess | None:
        """It is known now whose it is: hold it to the limits of that address, as `getpeername` has it.

        Returns why it is one too many, or None. To be called once, with what is no IP address without effect.
        """
        self._key = key_of(address)
        if self._key is not None:
            self._excess = self._addresses.enter(self._key, self._clock())
        return self._excess

    def opened(self) -> None:
        """Its handshake is over, whatever came of it."""
        if self._handshakes is not None:
            self._handshakes.leave(self._shakes_above)
            self._handshakes = None

    def leave(self) -> None:
        """It is closed."""
        self.opened()
        self._connections.leave(self.is_above)
        if self._key is not None:
            self._addresses.leave(self._key, self._excess)
