"""How many may come in at once, of all and of one address, and who makes way: by a clock that the test moves."""

import sys
from math import inf

import pytest

from wscore.session.rates import Rate
from wscore.session.site.limits import (
    GRACE,
    MAX_TURNED_AWAY,
    WITHOUT_LIMIT,
    AddressLimits,
    Limits,
    default_max_connections,
    meter_of_connections,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_oldest_that_waits_gives_way_after_its_grace() -> None:
    clock, gone = Clock(), []
    limits = Limits(10, 3, clock=clock)
    for name in ("thinks", "first", "second"):
        place = limits.enter()
        place.waits(lambda name=name: gone.append(name))
        if name == "thinks":
            place.stays()
        clock.now += 0.1
    assert limits.until_room() == pytest.approx(GRACE - 0.2)
    clock.now += GRACE - 0.2 - 0.001
    assert (limits.until_room() > 0, gone) == (True, [])
    clock.now += 0.002
    assert (limits.until_room(), gone) == (0.0, [])
    assert (limits.enter().is_above, gone, limits.handshakes) == (False, ["first"], 3)


def test_whoever_waits_anew_keeps_its_age() -> None:
    clock, gone = Clock(), []
    limits = Limits(10, 1, clock=clock)
    place = limits.enter()
    place.waits(lambda: gone.append("header"))
    clock.now += GRACE
    place.waits(lambda: gone.append("request"))
    limits.enter()
    assert gone == ["request"]
    assert place.has_given_way


def test_nobody_gives_way_while_there_is_room_or_after_it_has_opened_or_gone() -> None:
    clock, gone = Clock(), []
    limits = Limits(10, 3, clock=clock)
    places = [limits.enter() for _ in range(3)]
    for place in places:
        place.waits(lambda: gone.append("?"))
    places[0].opened()
    places[1].leave()
    clock.now += 2 * GRACE
    limits.enter()
    limits.enter()
    assert gone == []
    places[2].opened()
    places[0].waits(lambda: gone.append("again"))
    limits.enter()
    assert (limits.until_room(), gone, limits.handshakes) == (GRACE, [], 3)


def test_who_has_not_said_yet_how_to_be_told_is_told_then() -> None:
    clock, gone = Clock(), []
    limits = Limits(10, 1, clock=clock)
    place = limits.enter()
    clock.now += GRACE
    limits.enter()
    place.waits(lambda: gone.append("late"))
    assert gone == ["late"]


def test_a_place_is_given_back_once() -> None:
    limits = Limits(2, 1, clock=Clock())
    place = limits.enter()
    place.claim(("192.0.2.1", 7))
    place.leave()
    place.leave()
    place.opened()
    assert (limits.handshakes, limits._connections.count, len(limits.addresses._counts)) == (0, 0, 0)


def test_slow_handshakes_give_way_before_a_server_is_full() -> None:
    clock, gone = Clock(), []
    limits = Limits(2, 10, clock=clock)
    limits.enter().opened()
    limits.enter().waits(lambda: gone.append("slow"))
    assert limits.until_room() == GRACE
    assert limits.enter().is_above
    clock.now += GRACE
    assert (limits.enter().is_above, gone) == (False, ["slow"])


def test_a_place_is_held_to_the_limits_of_the_address_that_it_claims() -> None:
    limits = Limits(10, 10, addresses=AddressLimits(1, Rate(1, 5)), clock=lambda: 100.0)
    first, second, third = limits.enter(), limits.enter(), limits.enter()
    assert first.claim(("192.0.2.1", 5)) is None
    assert second.claim(("192.0.2.1", 6)) == ("address_connections", 10.0, True)
    assert third.claim("/run/socket") is None
    first.leave()
    assert limits.enter().claim(("192.0.2.1", 7)) is None
    second.leave()
    third.leave()


def test_of_an_address_with_too_many_a_few_are_told() -> None:
    limits = Limits(100, 100, addresses=AddressLimits(1), clock=Clock())
    assert limits.enter().claim(("192.0.2.1", 5)) is None
    excess = [limits.enter().claim(("192.0.2.1", 6)) for _ in range(MAX_TURNED_AWAY + 1)]
    assert [each.is_told for each in excess if each] == [True] * MAX_TURNED_AWAY + [False]


def test_of_an_address_from_which_too_many_come_in_a_second_it_is_said_when_there_may_be_one() -> None:
    limits = Limits(100, 100, addresses=AddressLimits(rate=Rate(2, 1)), clock=Clock())
    assert limits.enter().claim(("192.0.2.1", 5)) is None
    assert limits.enter().claim(("192.0.2.1", 6)) == ("address_rate", pytest.approx(0.5), True)


def test_who_has_left_claims_nothing() -> None:
    limits = Limits(2, 1, addresses=AddressLimits(1), clock=Clock())
    place = limits.enter()
    place.leave()
    assert place.claim(("192.0.2.1", 7)) is None
    assert limits.enter().claim(("192.0.2.1", 7)) is None


def test_a_place_that_has_nothing_of_its_own_to_give_back_is_one_for_all() -> None:
    limits = Limits(1, 3, addresses=AddressLimits(5), clock=Clock())
    local, above, named = limits.enter(), limits.enter(), limits.enter()
    assert local.settled() is limits.common
    assert above.settled() is above
    named.claim(("192.0.2.1", 7))
    assert named.settled() is named
    assert (limits._connections.count, limits._connections.above, limits.handshakes) == (1, 2, 0)
    limits.common.leave()
    assert limits._connections.count == 0


def test_accepting_pauses_until_another_has_ended_or_the_rate_allows() -> None:
    clock = Clock()
    limits = Limits(10, 1, rate=Rate(1, 1), clock=clock)
    assert limits.until_room() == 0.0
    place = limits.enter()
    assert limits.until_room() == pytest.approx(1.0)
    place.stays()
    clock.now += 1
    assert limits.until_room() == inf
    place.opened()
    assert limits.until_room() == 0.0


def test_those_who_watch_are_told_that_there_is_room() -> None:
    told = []
    limits = Limits(2, 2, clock=Clock())
    with limits.watched(lambda: told.append("room")):
        limits.enter().leave()
    assert told == ["room"] * 2
    limits.enter().leave()
    assert told == ["room"] * 2


def test_those_who_have_had_their_grace_make_way_for_others() -> None:
    clock, gone = Clock(), []
    limits = Limits(10, 10, clock=clock)
    for number in range(3):
        limits.enter().waits(lambda number=number: gone.append(number))
    limits.make_way(1)
    assert gone == []
    clock.now += GRACE
    limits.make_way(2)
    limits.make_way(2)
    assert gone == [0, 1, 2]


def test_servers_may_share_one_count() -> None:
    shared = meter_of_connections(1)
    one, two = Limits(shared, 5, clock=Clock()), Limits(shared, 5, clock=Clock())
    assert not one.enter().is_above
    assert two.enter().is_above


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (True, TypeError)])
def test_senseless_limits_are_misuse(value: int, error: type[Exception]) -> None:
    for make in (meter_of_connections, AddressLimits, lambda limit: Limits(5, limit, clock=Clock())):
        with pytest.raises(error):
            make(value)


def test_by_default_there_may_be_as_many_as_the_system_has_files_less_64(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for soft, expected in ((1000, 936), (10, 1), (resource.RLIM_INFINITY, WITHOUT_LIMIT)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert default_max_connections() == expected
    monkeypatch.setitem(sys.modules, "resource", None)
    assert default_max_connections() == WITHOUT_LIMIT
