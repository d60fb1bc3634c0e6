"""What Prometheus is told: names, labels that peers cannot choose, and sums in which nothing counts down."""

import json
import subprocess
import sys
import time
from math import inf

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import wscore
from wscore.server import metrics
from wscore.server.metrics import Collector, counters_of, snapshot_of, sum_of
from wscore.server.statistics import ServerStatistics, Tally
from wscore.server.turns import TURN_BOUNDS, TurnClock

from ..raw import serving, url_of


def statistics_of(tally: Tally | None = None) -> ServerStatistics:
    return (tally or Tally()).snapshot([], 0)


def samples_of(text: str) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(text)
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def samples(snapshot: metrics.Snapshot) -> dict[tuple[str, ...], float]:
    page = metrics.page(snapshot)
    assert page.content_type == "text/plain; version=0.0.4; charset=utf-8"
    return samples_of(page.body.decode())


def test_every_field_of_the_statistics_is_a_metric() -> None:
    fields = set(ServerStatistics.__slots__) - {"refusals", "latency"}  # by reason, and as a sum
    assert fields <= set(snapshot_of(statistics_of()))


def test_every_metric_has_a_help_and_a_name_of_its_own() -> None:
    text = metrics.page(snapshot_of(statistics_of(), TurnClock())).body.decode()
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation and family.name.startswith("wscore") for family in families)


def test_close_codes_of_applications_count_together() -> None:
    tally = Tally()
    tally.close_codes.update({1000: 2, 1006: 1, 2999: 1, 3000: 3, 3999: 4, 4000: 5, 4999: 6})
    found = samples(snapshot_of(statistics_of(tally)))
    codes = {key[1]: value for key, value in found.items() if key[0] == "wscore_closes_total"}
    assert codes == {"1000": 2, "1006": 1, "2999": 1, "3xxx": 7, "4xxx": 11}


def test_ends_are_shown_by_cause() -> None:
    tally = Tally()
    tally.causes.update({"eof": 2, "silent": 1})
    found = samples(snapshot_of(statistics_of(tally)))
    assert (found["wscore_ends_total", "eof"], found["wscore_ends_total", "silent"]) == (2, 1)


def test_refusals_are_shown_by_reason() -> None:
    tally = Tally()
    tally.reasons.update({"origin": 2, "full": 1})
    found = samples(snapshot_of(statistics_of(tally)))
    assert (found["wscore_refusals_total", "origin"], found["wscore_refusals_total", "full"]) == (2, 1)


def test_snapshots_survive_json_and_add_up() -> None:
    one, two = Tally(), Tally()
    one.accepted, two.accepted = 3, 4
    one.reasons["origin"], two.reasons["full"] = 1, 2
    snapshots = [json.loads(json.dumps(snapshot_of(statistics_of(tally), TurnClock()))) for tally in (one, two)]
    total = sum_of(*snapshots)
    assert total["accepted"] == {"": 7}
    assert total["reasons"] == {"origin": 1, "full": 2}
    assert samples(total)["wscore_connections_opened_total",] == 7
    assert sum_of() == {}


def test_adding_up_leaves_the_summands_alone() -> None:
    one = {"accepted": {"": 1.0}}
    assert sum_of(one, one) == {"accepted": {"": 2.0}}
    assert one == {"accepted": {"": 1.0}}


def test_of_a_process_that_has_ended_only_what_counts_up_stays() -> None:
    snapshot = snapshot_of(statistics_of(), TurnClock())
    left = counters_of(snapshot)
    assert {"accepted", "messages_received", "reasons", "close_codes", "turns", "cpu"} <= set(left)
    assert not {"connections", "handshakes", "send_buffer", "receive_queue", "latencies", "workers"} & set(left)


def test_buckets_hold_what_is_in_those_before() -> None:
    snapshot: metrics.Snapshot = {"turns": {"0.01": 2, "inf": 1, "0.0025": 4, "sum": 3.5}}
    found = samples(snapshot)
    assert found["wscore_turn_seconds_bucket", "0.0025"] == 4
    assert found["wscore_turn_seconds_bucket", "0.01"] == 6
    assert found["wscore_turn_seconds_bucket", "+Inf"] == found["wscore_turn_seconds_count",] == 7
    assert found["wscore_turn_seconds_sum",] == 3.5


async def test_a_registry_of_the_application_takes_a_collector() -> None:
    async with serving() as server, wscore.connect(url_of(server)) as ws:
        registry = CollectorRegistry(auto_describe=True)
        registry.register(Collector(lambda: snapshot_of(server.statistics())))
        await ws.send("hello")
        await ws.receive()
        found = samples_of(generate_latest(registry).decode())
        assert found["wscore_messages_received_total",] == found["wscore_connections",] == 1


def test_prometheus_client_is_loaded_only_when_it_is_needed() -> None:
    program = (
        "import sys; from wscore.server import metrics; from wscore.server.statistics import Tally;"
        "metrics.snapshot_of(Tally().snapshot([], 0)); print('prometheus_client' in sys.modules);"
        "metrics.require_prometheus(); print('prometheus_client' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]


# Turns


async def test_turns_of_the_loop_are_counted_by_their_length() -> None:
    clock = TurnClock()
    trio.lowlevel.add_instrument(clock)
    try:
        for _ in range(10):
            await trio.lowlevel.checkpoint()
    finally:
        trio.lowlevel.remove_instrument(clock)
    assert tuple(clock.turns) == TURN_BOUNDS
    assert sum(clock.turns.values()) >= 9
    assert clock.seconds > 0


@pytest.mark.usefixtures("each_transport")
async def test_what_is_called_for_a_message_counts_with_the_turn() -> None:
    def take_time(ws: wscore.WebSocket, message: str | bytes) -> None:
        time.sleep(0.06)
        ws.send_nowait(message)

    clock = TurnClock()
    trio.lowlevel.add_instrument(clock)
    try:
        async with serving(None, on_message=take_time) as server, wscore.connect(url_of(server)) as ws:
            await ws.send("x")
            assert await ws.receive() == "x"
    finally:
        trio.lowlevel.remove_instrument(clock)
    assert sum(count for bound, count in clock.turns.items() if bound > 0.05) >= 1


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, 0.0001), (0.0001, 0.0001), (0.00011, 0.00025), (2.5, 2.5), (2.6, inf)]
)
def test_a_turn_belongs_to_the_least_bound_that_it_does_not_exceed(
    monkeypatch: pytest.MonkeyPatch, seconds: float, bound: float
) -> None:
    times = iter([0.0, seconds])
    monkeypatch.setattr("wscore.server.turns.perf_counter", lambda: next(times))
    clock = TurnClock()
    clock.before_io_wait(0)  # the end of a turn that began before it was there
    clock.after_io_wait(0)
    clock.before_io_wait(0)
    assert [least for least, count in clock.turns.items() if count] == [bound]
