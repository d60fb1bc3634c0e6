"""How many connections there are at once, of all and of one address, how many come in a second, and how many of them
are still shaking hands.

Decides when accepting pauses, and who is told that the server is full: connections above `max_connections` are taken in
for as long as it takes to say so (503), a few at a time; above these, while `max_handshakes` are under way, and while
they come faster than `rate`, what comes next waits in the system's queue. But slow handshakes keep nobody out, from
however many addresses they come: where there is no room, the one that has waited longest for its peer gives way, if
that is half a second or more, in which an honest peer has sent its request from anywhere. Of an address that has too
many, or too many in a second, a few at a time are told (429), and the others get no answer at all, so that refusing
them costs little.

Knows neither sockets nor HTTP, nor whose the address is that a connection comes from.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import NamedTuple, TypeAlias

from wscore.protocol.checks import check_size
from wscore.session.rates import Bucket, Rate
from wscore.session.site.addresses import AddressBuckets, AddressCounts, key_of

__all__ = [
    "AddressLimits",
    "Excess",
    "Limits",
    "Meter",
    "Place",
    "Settled",
    "checked_limit",
    "default_max_connections",
    "meter_of_connections",
]

# Descriptors that are left for everything else: files, resolvers, connections of our own.
RESERVED_DESCRIPTORS = 64
# How many of those are used, at most, to tell peers that the server is full.
MAX_TURNED_AWAY = 32
# Where the system sets no limit.
WITHOUT_LIMIT = 65_536
# After how many seconds an address that has too many connections may try again: nobody knows when one of them ends.
RETRY_AFTER = 10.0
# How many seconds a handshake may keep its place whoever else wants it. Shorter would hurt those who are far away and
# speak TLS; longer, those who wait: `max_handshakes` of them in this time come in, however many are slow.
GRACE = 0.5


def default_max_connections() -> int:
    """The process's limit of open files (the soft one, as it is now) less 64, and at least 1."""
    try:
        import resource
    except ImportError:  # Windows
        return WITHOUT_LIMIT
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WITHOUT_LIMIT if soft == resource.RLIM_INFINITY else max(1, soft - RESERVED_DESCRIPTORS)


class Meter:
    """Counts up to `limit`, and up to `spare` more apart; `watchers` are called when there is one less."""

    def __init__(self, name: str, limit: int, spare: int = 0) -> None:
        self._limit = checked_limit(name, limit)
        self._spare = spare
        self.count = 0
        self.above = 0
        self.watchers: set[Callable[[], object]] = set()

    @property
    def is_full(self) -> bool:
        """Whether one more would be above the limit."""
        return self.count >= self._limit

    @property
    def has_room(self) -> bool:
        """Whether one more fits, if need be above the limit."""
        return not self.is_full or self.above < self._spare

    def add(self, is_above: bool = False) -> None:
        """Count one more."""
        self.above += is_above
        self.count += not is_above

    def remove(self, was_above: bool = False) -> None:
        """Count one less."""
        self.above -= was_above
        self.count -= not was_above
        for watcher in tuple(self.watchers):
            watcher()


def checked_limit(name: str, limit: int) -> int:
    """Return what is a limit; raises `TypeError` or `ValueError` that names the option."""
    check_size(name, limit)
    return limit


def meter_of_connections(limit: int | None = None) -> Meter:
    """Counts connections; None for as many as `default_max_connections` has."""
    return Meter("max_connections", default_max_connections() if limit is None else limit, MAX_TURNED_AWAY)


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

    @property
    def are_there(self) -> bool:
        """Whether there is any limit."""
        return self._max is not None or self._buckets is not None

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

    `connections` is how many there may be, or what counts them together with those of other servers. `rate` is that of
    new connections in total; `clock` has the time in seconds.
    """

    def __init__(
        self,
        connections: int | Meter,
        max_handshakes: int,
        *,
        clock: Callable[[], float],
        rate: Rate | None = None,
        addresses: AddressLimits | None = None,
    ) -> None:
        self._connections = connections if isinstance(connections, Meter) else meter_of_connections(connections)
        self._handshakes = Meter("max_handshakes", max_handshakes)
        self._bucket = None if rate is None else Bucket(rate)
        self._clock = clock
        self.addresses = addresses or AddressLimits()
        self.common = _Common(self._connections)
        # Those that wait for their peers, the longest first: since when, and what to tell them.
        self._waiting: dict[Place, tuple[float, Callable[[], object] | None]] = {}

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return self._handshakes.count

    def until_room(self) -> float:
        """In how many seconds one more connection may be accepted: 0.0 for now, `inf` for when another has ended."""
        wait = 0.0 if self._bucket is None else self._bucket.wait(self._clock())
        if not self._is_full:
            return wait
        since = self._since_of_the_oldest()
        if since is not None:
            return max(wait, since + GRACE - self._clock())
        return wait if self._connections.has_room and self._handshakes.has_room else inf

    @property
    def _is_full(self) -> bool:
        return self._connections.is_full or self._handshakes.is_full

    def _since_of_the_oldest(self) -> float | None:
        return next((since for since, _ in self._waiting.values()), None)

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
        """Count one connection, and its handshake; if there is no room, the oldest that waits for its peer goes."""
        if self._bucket is not None:
            self._bucket.charge(self._clock())
        since = self._since_of_the_oldest() if self._is_full else None
        if since is not None and self._clock() >= since + GRACE:
            self._let_the_oldest_go()
        is_above = self._connections.is_full
        self._connections.add(is_above)
        self._handshakes.add()
        place = Place(self, is_above)
        if not is_above:  # who is told that the server is full goes soon, and makes no room
            self._waiting[place] = (self._clock(), None)
        return place

    def make_way(self, count: int) -> None:
        """Let so many of those that wait for their peers go, the oldest first, as far as they have had their grace."""
        for _ in range(count):
            since = self._since_of_the_oldest()
            if since is None or self._clock() < since + GRACE:
                return
            self._let_the_oldest_go()

    def _let_the_oldest_go(self) -> None:
        place, (_, give_way) = next(iter(self._waiting.items()))
        place.has_given_way = True
        place.leave()
        if give_way is not None:
            give_way()


class Place:
    """What one connection occupies; `is_above` says that it is one too many, to be told so; `has_given_way`, that
    another has got its place.
    """

    __slots__ = ("_excess", "_has_left", "_is_opened", "_key", "_limits", "has_given_way", "is_above")

    def __init__(self, limits: Limits, is_above: bool) -> None:
        self._limits = limits
        self._key: bytes | None = None
        self._excess: Excess | None = None
        self._is_opened = self._has_left = False
        self.is_above = is_above
        self.has_given_way = False

    def claim(self, address: object) -> Excess | None:
        """It is known now whose it is: hold it to the limits of that address, as `getpeername` has it.

        Returns why it is one too many, or None. To be called once, with what is no IP address without effect.
        """
        key = key_of(address) if self._limits.addresses.are_there else None
        if key is not None and not self._has_left:
            self._key = key
            self._excess = self._limits.addresses.enter(key, self._limits._clock())
        return self._excess

    def waits(self, give_way: Callable[[], object]) -> None:
        """It waits for its peer: `give_way` is called if others need the place, which is theirs by then."""
        if self.has_given_way:
            give_way()
        elif self in self._limits._waiting:
            self._limits._waiting[self] = (self._limits._waiting[self][0], give_way)

    def stays(self) -> None:
        """It has said what it wants: others have to wait until it has its answer."""
        self._limits._waiting.pop(self, None)

    def opened(self) -> None:
        """Its handshake is over, whatever came of it."""
        if not self._is_opened:
            self._is_opened = True
            self.stays()
            self._limits._handshakes.remove()

    def leave(self) -> None:
        """It is closed. Nothing happens if that was said before."""
        self.opened()
        if self._has_left:
            return
        self._has_left = True
        self._limits._connections.remove(self.is_above)
        if self._key is not None:
            self._limits.addresses.leave(self._key, self._excess)

    def settled(self) -> "Settled":
        """Its handshake has succeeded: what to `leave` from now on. For all that have nothing of their own to give
        back that is one object.
        """
        self.opened()
        return self._limits.common if self._key is None and not self.is_above else self


class _Common:
    """The place of any connection that has no more than a place."""

    def __init__(self, connections: Meter) -> None:
        self._connections = connections

    def leave(self) -> None:
        """One of them is closed; to be said once for each."""
        self._connections.remove()


Settled: TypeAlias = Place | _Common
