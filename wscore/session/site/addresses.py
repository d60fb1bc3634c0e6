"""How often, and how many at once, by the peer's address.

Decides what counts as one address: an IPv4 address, or the first 64 bits of an IPv6 one, since whoever has one address
of such a network usually has them all. Other peers (of Unix sockets and of streams in memory) have no address here, and
are bound by nothing that goes by it.

Decides, too, what is forgotten when there are more addresses than may be remembered. A bucket that is full again says
nothing, and goes first. Beyond that the bucket that is next to be full goes: its owner gets back no more than the few
tokens that were missing. Whoever wants an empty bucket of its own to be forgotten has to fill the table with others
that are emptier still.

Every call takes the same time, however many addresses there are. Knows neither sockets, clocks nor HTTP.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from ipaddress import IPv4Address, IPv6Address

from wscore.session.rates import Rate

__all__ = ["AddressBuckets", "AddressCounts", "key_of"]

MAX_ADDRESSES = 65_536

# Addresses that carry an IPv4 address in their last 32 bits: mapped ones (RFC 4291 section 2.5.5.2), which a socket for
# both families has, and translated ones (RFC 6052 section 2.1), all of which would otherwise count as one.
_IPV4_INSIDE = (bytes(10) + b"\xff\xff", bytes.fromhex("0064ff9b") + bytes(8))


def key_of(address: object) -> bytes | None:
    """What stands for `address`, which is one as `getpeername` has it; None for what is no IP address."""
    if not isinstance(address, tuple):
        return None
    host = str(address[0])
    try:
        if ":" not in host:
            return IPv4Address(host).packed
        packed = IPv6Address(host.partition("%")[0]).packed
    except ValueError:
        return None
    return packed[12:] if packed[:12] in _IPV4_INSIDE else packed[:8]


class AddressBuckets:
    """A token bucket for each address, at most `max_addresses` of them, about 250 bytes each.

    They lie in a ring of slots by the time at which they are full again. A slot's first was laid there first: what is
    left from a former round comes before all else.
    """

    # Filling takes so many slots' time. The two beyond keep the ring from meeting its own tail.
    _PARTS = 30
    _SLOTS = _PARTS + 2
    # In so many slots each call looks for a bucket that is full again: more than it can add.
    _SWEPT = 2

    def __init__(self, rate: Rate, max_addresses: int = MAX_ADDRESSES) -> None:
        self._rate = rate
        self._width = rate.span / self._PARTS
        self._max_addresses = max_addresses
        self._full_at: dict[Hashable, float] = {}
        # OrderedDict, because a dict whose first entries are gone looks for the first that is left.
        self._slots: list[OrderedDict[Hashable, None]] = [OrderedDict() for _ in range(self._SLOTS)]
        self._hand = 0

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._full_at)

    def take(self, key: Hashable, now: float) -> float:
        """Take a token of `key` and return 0.0; or, if there is none, return the seconds until there is."""
        self._sweep(now)
        full_at = self._rate.after(max(self._full_at.get(key, now), now))
        wait = self._rate.debt(full_at, now)
        if not wait:
            self._make_room(key)
            self._full_at[key] = full_at
            self._slot_of(full_at)[key] = None
        return wait

    def _slot_of(self, time: float) -> OrderedDict[Hashable, None]:
        return self._slots[int(time // self._width) % self._SLOTS]

    def _make_room(self, key: Hashable) -> None:
        if key in self._full_at:
            self._forget(key)
        elif len(self._full_at) >= self._max_addresses:
            firsts = [next(iter(slot)) for slot in self._slots if slot]
            self._forget(min(firsts, key=self._full_at.__getitem__))

    def _forget(self, key: Hashable) -> None:
        del self._slot_of(self._full_at.pop(key))[key]

    def _sweep(self, now: float) -> None:
        for _ in range(self._SWEPT):
            self._hand = (self._hand + 1) % self._SLOTS
            first = next(iter(self._slots[self._hand]), None)
            if first is not None and self._full_at[first] <= now:
                self._forget(first)


class AddressCounts:
    """How many of something each address has at once; what has none is not remembered."""

    def __init__(self) -> None:
        self._counts: dict[Hashable, int] = {}

    def __len__(self) -> int:
        """How many addresses have any."""
        return len(self._counts)

    def __getitem__(self, key: Hashable) -> int:
        return self._counts.get(key, 0)

    def add(self, key: Hashable) -> None:
        """One more."""
        self._counts[key] = self._counts.get(key, 0) + 1

    def remove(self, key: Hashable) -> None:
        """One less."""
        count = self._counts.pop(key) - 1
        if count:
            self._counts[key] = count
