"""When the loads of `wscore bench` send, and from when on they count a latency: with a clock that the tests move."""

from fractions import Fraction
from functools import partial

import pytest

from wscore.cli.bench.loads import Burst, Rate, Window
from wscore.cli.bench.tally import Tally

from .bench_peer import MILLISECOND, SECOND, Peer, peers

HUNDRED_A_SECOND = partial(Rate, rate=100, connections=1, size=20)


def latencies(tally: Tally) -> list[float]:
    """All of them, in milliseconds, the histogram's steps apart."""
    histogram, count = tally.latencies(), tally.latencies().count
    return [round(histogram.percentile((n + 0.5) / count * 100) / MILLISECOND) for n in range(count)]


# Window and burst


def test_a_window_replaces_each_reply_by_a_message() -> None:
    with peers(partial(Window, in_flight=4)) as ([peer], load, _, _):
        load.opened(peer.line)
        first = peer.received()
        assert len(first) == 4
        peer.send(first[0])
        fifth = peer.received()
        assert len(fifth) == 1
        peer.send(*first[1:], *fifth)
        assert len(peer.received()) == 4


def test_a_burst_waits_for_all_its_replies() -> None:
    with peers(partial(Burst, in_flight=4)) as ([peer], load, _, _):
        load.opened(peer.line)
        first = peer.received()
        peer.send(*first[:3])
        assert peer.received() == []
        peer.send(first[3])
        assert len(peer.received()) == 4


def test_a_latency_is_from_a_message_to_its_own_reply() -> None:
    with peers(partial(Window, in_flight=2)) as ([peer], load, tally, clock):
        load.opened(peer.line)
        one, two = peer.received()
        clock.now = 10 * MILLISECOND
        peer.send(one)  # 10; the third goes out now
        [three] = peer.received()
        clock.now = 50 * MILLISECOND
        peer.send(two, three)  # 50, 40
        assert latencies(tally) == [10, 40, 50]


def test_latencies_are_of_messages_that_were_sent_in_the_measurement() -> None:
    with peers(partial(Window, in_flight=1)) as ([peer], load, tally, clock):
        tally.since = 1 << 62
        load.opened(peer.line)
        clock.now = 5 * MILLISECOND
        tally.begin_measuring(0)
        clock.now = 30 * MILLISECOND
        peer.send(*peer.received())  # sent before it began
        clock.now = 40 * MILLISECOND
        tally.end_measuring(peer.line.answered)
        load.stop()
        clock.now = 50 * MILLISECOND
        peer.send(*peer.received())  # sent within, answered after
        assert latencies(tally) == [20]
        assert peer.received() == []
        assert tally.begin is not None
        assert tally.end is not None
        assert tally.end.answered - tally.begin.answered == 1


@pytest.mark.parametrize("kind", [Window, Burst])
def test_a_connection_that_ends_with_its_replies_is_sent_no_more(kind: type[Window]) -> None:
    with peers(partial(kind, in_flight=2)) as ([peer], load, _, _):
        load.opened(peer.line)
        for message in peer.received():
            peer.connection.send(message)
        peer.connection.close(1000)
        peer.push()
        assert (peer.line.sent, peer.line.answered, peer.line.is_open) == (2, 2, False)


# Rate


def test_with_a_rate_a_message_goes_out_at_its_moment_whatever_the_server_does() -> None:
    with peers(HUNDRED_A_SECOND) as ([peer], load, _, clock):
        load.opened(peer.line)
        sent = []
        for now in (0, 9, 10, 11, 19, 35):
            clock.now = now * MILLISECOND
            load.turn()
            sent.append(peer.line.sent)
        assert sent == [1, 1, 2, 2, 2, 4]
        assert peer.line.in_flight == 4


def test_it_says_when_the_next_message_is_due() -> None:
    with peers(HUNDRED_A_SECOND) as ([peer], load, _, clock):
        load.opened(peer.line)
        assert load.turn() == pytest.approx(0.01)
        clock.now = 14 * MILLISECOND
        assert load.turn() == pytest.approx(0.006)


def test_connections_take_turns() -> None:
    with peers(partial(Rate, rate=100, connections=3, size=20), 3) as (opened, load, _, clock):
        for peer in opened:
            load.opened(peer.line)
        for now, sent in [(0, [1, 0, 0]), (10, [1, 1, 0]), (20, [1, 1, 1]), (35, [2, 1, 1]), (95, [4, 3, 3])]:
            clock.now = now * MILLISECOND
            load.turn()
            assert [peer.line.sent for peer in opened] == sent


def test_a_server_that_stalls_is_charged_with_all_that_was_due_meanwhile() -> None:
    with peers(HUNDRED_A_SECOND) as ([peer], load, tally, clock):
        load.opened(peer.line)
        for now in range(0, 1001, 10):
            clock.now = now * MILLISECOND
            load.turn()
        peer.send(*peer.received())
        assert latencies(tally) == pytest.approx(list(range(0, 1001, 10)), abs=1)
        assert tally.delays.maximum == 0


def test_a_generator_that_stalls_is_charged_to_the_latency_too_and_said_so() -> None:
    with peers(HUNDRED_A_SECOND) as ([peer], load, tally, clock):
        load.opened(peer.line)
        clock.now = SECOND
        load.turn()
        peer.send(*peer.received())
        assert latencies(tally) == pytest.approx(list(range(0, 1001, 10)), abs=1)
        assert tally.delays.count == 101
        assert tally.delays.maximum == 990 * MILLISECOND  # the first went out in time


def test_a_connection_that_is_opened_later_begins_with_its_next_place() -> None:
    with peers(partial(Rate, rate=100, connections=2, size=20), 2) as ([one, other], load, tally, clock):
        load.opened(one.line)
        clock.now = 55 * MILLISECOND
        load.turn()
        load.opened(other.line)  # whose places are at 10, 30, 50, 70 ms
        load.turn()
        assert (one.line.sent, other.line.sent) == (3, 0)
        clock.now = 70 * MILLISECOND
        load.turn()
        assert (one.line.sent, other.line.sent) == (4, 1)
        clock.now = 75 * MILLISECOND
        other.send(*other.received())
        assert latencies(tally) == [5]


def drain(peer: Peer, load: Rate, count: int) -> list[bytes]:
    """Take what comes, as a server that reads again, until so many messages have come."""
    received: list[bytes] = []
    while len(received) < count:
        received += peer.received()
        peer.turn()
        load.writable(peer.line)
    return received


def test_a_socket_that_takes_no_more_puts_messages_off_but_their_moments_stay() -> None:
    size = 1 << 16
    make_load = partial(Rate, rate=100, connections=1, size=size)
    with peers(make_load, size=size, binary=True) as ([peer], load, tally, clock):
        assert isinstance(load, Rate)
        load.opened(peer.line)
        clock.now = SECOND
        load.turn()
        assert peer.line.is_blocked
        assert peer.line.sent < 101
        assert load.unsent(peer.line) == 101 - peer.line.sent
        received = drain(peer, load, 101)
        assert load.unsent(peer.line) == 0
        assert received == [peer.line._messages[n % 61] for n in range(101)]
        for message in received:
            peer.send(message)
        assert latencies(tally) == pytest.approx(list(range(0, 1001, 10)), abs=1)


def test_what_was_due_before_the_end_is_still_sent_and_nothing_after() -> None:
    with peers(HUNDRED_A_SECOND) as ([peer], load, _, clock):
        load.opened(peer.line)
        clock.now = 95 * MILLISECOND
        load.stop()
        assert load.unsent(peer.line) == 9
        clock.now = SECOND
        assert load.turn() > SECOND  # never
        assert (peer.line.sent, load.unsent(peer.line)) == (10, 0)


def test_the_places_of_a_connection_that_has_ended_stay_empty() -> None:
    with peers(partial(Rate, rate=100, connections=2, size=20), 2) as ([one, other], load, _, clock):
        load.opened(one.line)
        load.opened(other.line)
        one.line.drop()
        clock.now = 95 * MILLISECOND
        load.turn()
        assert (one.line.sent, other.line.sent) == (1, 5)
        load.stop()
        assert (load.unsent(one.line), load.unsent(other.line)) == (4, 0)


@pytest.mark.parametrize("rate", [0.5, 3, 7, 999, 12_345.678, 1_000_000])
def test_no_message_goes_out_before_its_moment_and_none_is_left_out(rate: float) -> None:
    with peers(partial(Rate, rate=rate, connections=3, size=1), 3, size=1) as (opened, load, tally, clock):
        for peer in opened:
            load.opened(peer.line)
        end = int(2000 / rate * SECOND)
        for step in range(101):
            clock.now = end * step // 100
            load.turn()
            total = sum(peer.line.sent for peer in opened)
            assert total == int(clock.now * Fraction(str(rate)) / SECOND) + 1
            for peer in opened:
                peer.send(*peer.received())
        # Each is as late as the step is long, at most: what was sent too early would have no latency at all.
        assert tally.latencies().maximum <= end // 100 + 1
        assert tally.wrong == 0
