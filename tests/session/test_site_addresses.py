"""Rates and counts by address: what is one address, and what is forgotten first."""

import random

import pytest

from wscore.session.rates import Rate
from wscore.session.site.addresses import AddressBuckets, AddressCounts, key_of

NOW = 10_000.0


def key(number: int) -> bytes:
    return number.to_bytes(8)


def taken_at(buckets: AddressBuckets, who: bytes, now: float) -> int:
    count = 0
    while not buckets.take(who, now):
        count += 1
    return count


def test_each_address_has_a_bucket_of_its_own() -> None:
    buckets = AddressBuckets(Rate(2, 5))
    assert taken_at(buckets, key(1), NOW) == 5
    assert taken_at(buckets, key(2), NOW) == 5
    assert buckets.take(key(1), NOW) == pytest.approx(0.5)
    assert taken_at(buckets, key(1), NOW + 0.5) == 1
    assert taken_at(buckets, key(1), NOW + 100) == 5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("192.0.2.1", 1), ("192.0.2.1", 2)),
        (("192.0.2.1", 1), ("::ffff:192.0.2.1", 1, 0, 0)),
        (("192.0.2.1", 1), ("64:ff9b::192.0.2.1", 1, 0, 0)),
        (("2001:db8::1", 1, 0, 0), ("2001:db8::ffff:0:0:2", 1, 0, 0)),
        (("fe80::1%lo", 1, 0, 1), ("fe80::2", 1, 0, 0)),
    ],
)
def test_these_count_as_one_address(one: object, other: object) -> None:
    assert key_of(one) == key_of(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("192.0.2.1", 1), ("192.0.2.2", 1)),
        (("2001:db8::1", 1, 0, 0), ("2001:db8:0:1::1", 1, 0, 0)),
        (("::ffff:192.0.2.1", 1, 0, 0), ("::ffff:192.0.2.2", 1, 0, 0)),
        (("64:ff9b::192.0.2.1", 1, 0, 0), ("64:ff9b::192.0.2.2", 1, 0, 0)),
    ],
)
def test_these_do_not(one: object, other: object) -> None:
    assert key_of(one) != key_of(other)


@pytest.mark.parametrize("address", [None, "", "/run/socket", b"\0abstract", ("localhost", 1), ("", 1), (None, 1)])
def test_what_is_no_ip_address_has_no_key(address: object) -> None:
    assert key_of(address) is None


def test_there_are_never_more_than_the_limit() -> None:
    buckets = AddressBuckets(Rate(1, 10), max_addresses=100)
    for number in range(1000):
        assert buckets.take(key(number), NOW + number / 1000) == 0
        assert len(buckets) <= 100
    assert len(buckets) == 100


def test_an_attacker_cannot_have_its_own_bucket_forgotten_with_less_than_it_has_used() -> None:
    buckets = AddressBuckets(Rate(1, 10), max_addresses=100)
    assert taken_at(buckets, key(0), NOW) == 10
    # It has a thousand other addresses, and takes nine tokens of each: one less than of its own.
    for number in range(1, 1001):
        for _ in range(9):
            assert buckets.take(key(number), NOW) == 0
    assert buckets.take(key(0), NOW) > 0


def test_those_who_have_taken_least_are_forgotten_first() -> None:
    buckets = AddressBuckets(Rate(1, 10), max_addresses=3)
    for number, count in ((1, 9), (2, 2), (3, 5)):
        for _ in range(count):
            buckets.take(key(number), NOW)
    buckets.take(key(4), NOW)
    assert taken_at(buckets, key(1), NOW) == 1
    assert taken_at(buckets, key(3), NOW) == 5


def test_buckets_that_are_full_again_make_room_before_any_other() -> None:
    buckets = AddressBuckets(Rate(1, 10), max_addresses=100)
    for number in range(50):
        for _ in range(5):
            buckets.take(key(number), NOW)
    # The first fifty are full again, and lie in a slot that a new round has reached.
    later = NOW + 9.5
    for number in range(50, 100):
        buckets.take(key(number), later)
    for number in range(100, 150):
        buckets.take(key(number), later)
    assert all(taken_at(buckets, key(number), later) == 9 for number in range(50, 150))


def test_full_buckets_are_dropped_while_others_are_used() -> None:
    buckets = AddressBuckets(Rate(1, 10))
    for number in range(1000):
        buckets.take(key(number), NOW)
    later = NOW + 1000
    for _ in range(32_000):
        buckets.take(key(0), later)
    assert len(buckets) == 1


def test_a_table_that_forgets_nothing_agrees_with_buckets_that_are_kept_apart() -> None:
    choose = random.Random(4)
    rate = Rate(3, 7)
    table = AddressBuckets(rate)
    apart = [AddressBuckets(rate) for _ in range(20)]
    now = NOW
    for _ in range(20_000):
        now += choose.expovariate(50)
        who = choose.randrange(20)
        assert table.take(key(who), now) == apart[who].take(b"only", now)


def test_addresses_without_any_are_not_counted() -> None:
    counts = AddressCounts()
    counts.add(b"a")
    counts.add(b"a")
    counts.add(b"b")
    assert (counts[b"a"], counts[b"b"], counts[b"c"], len(counts)) == (2, 1, 0, 2)
    counts.remove(b"a")
    counts.remove(b"b")
    assert (counts[b"a"], counts[b"b"], len(counts)) == (1, 0, 1)
