"""What all connections of a server may hold together, and who has to wait."""

import trio
import trio.testing

from wscore.transport.reserve import Reserve


class Connection:
    """Notes when it may go on."""

    def __init__(self) -> None:
        self.calls = 0

    def _input_has_room(self) -> None:
        self.calls += 1


def reserve_of(limit: int, connections: int) -> Reserve:
    reserve = Reserve(limit)
    for _ in range(connections):
        reserve.join()
    return reserve


def test_at_the_limit_nobody_waits_and_above_it_who_holds_more_than_its_share() -> None:
    reserve, large, small = reserve_of(1000, 4), Connection(), Connection()
    reserve.change(1000)
    assert not reserve.is_over
    assert not reserve.must_wait(large, 1000)
    reserve.change(1)
    assert reserve.is_over
    assert reserve.share == 250
    assert reserve.must_wait(large, 251)
    assert not reserve.must_wait(small, 250)


def test_they_wait_until_seven_eighths_of_the_limit_are_left() -> None:
    reserve, one, other = reserve_of(1000, 4), Connection(), Connection()
    reserve.change(1200)
    assert reserve.must_wait(one, 600)
    assert reserve.must_wait(other, 600)
    reserve.change(-300)
    assert not reserve.is_over
    assert reserve.must_wait(one, 600)
    assert (one.calls, other.calls) == (0, 0)
    reserve.change(-25)
    assert (one.calls, other.calls) == (1, 1)
    assert not reserve.must_wait(one, 600)
    reserve.change(-100)
    assert (one.calls, other.calls) == (1, 1)


def test_whoever_holds_less_than_its_share_by_now_need_not_wait() -> None:
    reserve, connection = reserve_of(1000, 2), Connection()
    reserve.change(1200)
    assert reserve.must_wait(connection, 501)
    assert not reserve.must_wait(connection, 500)
    reserve.change(-1200)
    assert connection.calls == 0


def test_who_leaves_takes_what_it_held_along_and_is_told_nothing() -> None:
    reserve, one, other = reserve_of(1000, 2), Connection(), Connection()
    reserve.change(1200)
    assert reserve.must_wait(one, 600)
    assert reserve.must_wait(other, 600)
    reserve.leave(one, 600)
    assert (reserve.held, reserve.share) == (600, 1000)
    assert (one.calls, other.calls) == (0, 1)


async def test_one_can_wait_for_the_limit_to_be_crossed() -> None:
    reserve = reserve_of(1000, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reserve.wait_until_over)
        await trio.testing.wait_all_tasks_blocked()
        reserve.change(1000)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        reserve.change(1)
    with trio.move_on_after(0) as scope:
        await reserve.wait_until_over()
    assert not scope.cancelled_caught


async def test_whoever_no_longer_waits_for_it_is_forgotten() -> None:
    reserve = reserve_of(1000, 1)
    with trio.move_on_after(0):
        await reserve.wait_until_over()
    assert not reserve._crossing
