"""What a server counts, of WebSockets that are open and of those that have ended."""

from dataclasses import dataclass
from types import SimpleNamespace

from wscore.session import Cause, End
from wscore.session.site.statistics import Survey, Tally

DEPTHS = {"messages_waiting": 1, "receive_queue": 2, "send_buffer": 3, "senders_waiting": 4}
TRAFFIC = {
    "messages_received": 5,
    "messages_sent": 6,
    "messages_dropped": 7,
    "bytes_received": 8,
    "bytes_sent": 9,
}


@dataclass
class Ended:
    """A WebSocket, as far as it is counted."""

    latency: float | None = None
    end: End | None = None
    reset: bool = False
    failed: bool = False

    def statistics(self) -> SimpleNamespace:
        return SimpleNamespace(latency=self.latency, reset=self.reset, failed=self.failed, **TRAFFIC, **DEPTHS)


def test_the_open_and_the_ended_count_together():
    tally = Tally()
    tally.ended(Ended(end=End(1000, "", True, Cause.CLOSE)))
    tally.ended(Ended(end=End(1006, "", False, Cause.RESET)))
    tally.ended(Ended(reset=True, failed=True))
    statistics = tally.snapshot([Ended(latency=0.003), Ended()], 3)
    assert {name: getattr(statistics, name) for name in TRAFFIC} == {name: 5 * value for name, value in TRAFFIC.items()}
    assert {name: getattr(statistics, name) for name in DEPTHS} == {name: 2 * value for name, value in DEPTHS.items()}
    assert (statistics.connections, statistics.handshakes) == (2, 3)
    assert (statistics.resets, statistics.errors) == (1, 1)
    assert (statistics.close_codes, statistics.causes) == ({1000: 1, 1006: 1}, {"close": 1, "reset": 1})
    assert statistics.latency == 0.003
    assert {bound: count for bound, count in statistics.latencies.items() if count} == {0.005: 1}


def test_a_websocket_that_ends_during_a_survey_counts_once():
    tally, ws = Tally(), Ended(end=End(1001, "", False, Cause.CLOSE))
    survey = Survey(tally, 0)
    tally.ended(ws)
    survey.add(ws)
    assert survey.result().messages_received == 5
    assert tally.snapshot([], 0).messages_received == 5
