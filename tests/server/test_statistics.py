"""What a server counts: refusals by reason, what waits, and how long Pings take."""

import socket
import ssl
import struct
from math import inf
from types import SimpleNamespace

import pytest
import trio
import trustme

import wscore
from wscore.server.statistics import LATENCY_BOUNDS, ServerStatistics, Tally

from ..raw import dial, serving, status_of, url_of


async def ask(server: wscore.Server, line: str = "GET / HTTP/1.1", **changes: str | None) -> int:
    async with dial(server) as raw:
        await raw.ask(line, **changes)
        return status_of(await raw.head())


def decide(request: wscore.Request) -> wscore.Accept | wscore.Refuse:
    if request.path == "/broken":
        raise RuntimeError
    return wscore.Refuse(403, "no") if request.path == "/no" else wscore.Accept()


@pytest.mark.parametrize(
    ("line", "changes", "status", "reason"),
    [
        ("GET /no HTTP/1.1", {}, 403, "application"),
        ("GET /broken HTTP/1.1", {}, 500, "error"),
        ("POST / HTTP/1.1", {}, 405, "malformed"),
        ("GET / HTTP/1.1", {"Sec_WebSocket_Version": "1"}, 426, "malformed"),
        ("GET / HTTP/1.1", {"Upgrade": None, "Connection": "close"}, 426, "no_upgrade"),
        ("GET / HTTP/1.1", {"Origin": "http://evil.example"}, 403, "origin"),
        ("GET / HTTP/1.1", {"Host": "evil.example"}, 403, "host"),
    ],
)
async def test_refusals_are_counted_by_reason(
    line: str, changes: dict[str, str | None], status: int, reason: str
) -> None:
    async with serving(on_request=decide) as server:
        assert await ask(server, line, **changes) == status
        statistics = server.statistics()
        assert (statistics.refusals, statistics.reasons) == ({status: 1}, {reason: 1})


async def test_refusals_of_a_full_server_have_a_reason_of_their_own() -> None:
    async with serving(max_connections=1) as server, dial(server) as first:
        await first.upgrade()
        assert await ask(server) == 503
        assert server.statistics().reasons == {"full": 1}


@pytest.mark.parametrize(("sent", "reason"), [(b"GET / HTTP/1.1\r\n", "slow_request"), (b"", "slow_request")])
async def test_slow_requests_have_a_reason_of_their_own(sent: bytes, reason: str) -> None:
    async with serving(handshake_timeout=0.05) as server, dial(server) as raw:
        await raw.send(sent)
        assert status_of(await raw.head()) == 408
        assert server.statistics().reasons == {reason: 1}


async def test_slow_answers_of_the_application_have_a_reason_of_their_own() -> None:
    async def think(request: wscore.Request) -> wscore.Accept:
        await trio.sleep_forever()

    async with serving(handshake_timeout=0.3, on_request=think) as server:
        assert await ask(server) == 503
        assert server.statistics().reasons == {"slow_answer": 1}


async def test_refusals_while_closing_have_a_reason_of_their_own() -> None:
    async with serving() as server, dial(server) as raw:
        await raw.send(b"GET / HTTP/1.1\r\n")
        while not server.statistics().handshakes:
            await trio.lowlevel.checkpoint()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.aclose)
            assert status_of(await raw.head()) == 503
            await raw.aclose()
    assert server.statistics().reasons == {"closing": 1}


async def test_what_waits_to_be_received_is_counted_while_it_waits() -> None:
    go_on = trio.Event()

    async def wait(ws: wscore.WebSocket) -> None:
        await go_on.wait()
        async for _ in ws:
            pass

    async with serving(wait) as server, wscore.connect(url_of(server)) as ws:
        await ws.send(b"x" * 100)
        await ws.send(b"")
        while server.statistics().messages_waiting < 2:
            await trio.lowlevel.checkpoint()
        assert server.statistics().receive_queue == 100 + 48 + 8
        go_on.set()
        while server.statistics().messages_waiting:
            await trio.lowlevel.checkpoint()
        assert server.statistics().receive_queue == 0


async def test_what_waits_to_be_sent_is_counted_while_it_waits() -> None:
    async def flood(ws: wscore.WebSocket) -> None:
        while True:
            await ws.send(bytes(1 << 16))

    async with serving(flood, max_send_buffer=1 << 17) as server, dial(server) as raw:
        await raw.upgrade()
        while not server.statistics().senders_waiting:
            await trio.lowlevel.checkpoint()
        assert server.statistics().send_buffer > 0


async def test_the_latency_of_an_answered_ping_is_counted_while_its_connection_is_open() -> None:
    async with serving(wscore.WebSocket.wait_closed, ping_interval=None) as server:
        async with wscore.connect(url_of(server)):
            while not server.connections:
                await trio.lowlevel.checkpoint()
            assert not any(server.statistics().latencies.values())
            (theirs,) = server.connections
            seconds = await theirs.ping()
            statistics = server.statistics()
            assert tuple(statistics.latencies) == LATENCY_BOUNDS
            assert (sum(statistics.latencies.values()), statistics.latency) == (1, seconds)
        while server.connections:
            await trio.lowlevel.checkpoint()
        assert not any(server.statistics().latencies.values())


@pytest.mark.parametrize(
    ("latency", "bound"), [(0.0, 0.001), (0.001, 0.001), (0.0011, 0.0025), (10.0, 10.0), (10.1, inf), (None, None)]
)
async def test_a_latency_belongs_to_the_least_bound_that_it_does_not_exceed(
    latency: float | None, bound: float | None
) -> None:
    async with serving(wscore.WebSocket.wait_closed) as server, wscore.connect(url_of(server)):
        while not server.connections:
            await trio.lowlevel.checkpoint()
        (theirs,) = server.connections
        pinged = SimpleNamespace(statistics=lambda: theirs.statistics()._replace(latency=latency))
        statistics = Tally().snapshot([pinged], 0)
        assert {least for least, count in statistics.latencies.items() if count} == ({bound} if bound else set())
        assert statistics.latency == (latency or 0)


async def test_a_survey_counts_once_what_ends_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wscore.server.serve._SURVEYED_AT_ONCE", 1)
    surveys: list[ServerStatistics] = []

    async def survey(server: wscore.Server) -> None:
        while not surveys or surveys[-1].connections:
            surveys.append(await server.survey())

    async with serving() as server, trio.open_nursery() as nursery:
        sockets = [await trio.open_tcp_stream(*server.addresses[0]) for _ in range(8)]
        for stream in sockets:
            ws = await nursery.start(hold, stream)
            await ws.send("hello")
            assert await ws.receive() == "hello"
        nursery.start_soon(survey, server)
        for stream in sockets:
            await stream.aclose()
    assert {(each.accepted, each.messages_received, each.messages_sent) for each in surveys} == {(8, 8, 8)}
    assert surveys[-1].close_codes == {1006: 8}


async def hold(stream: trio.SocketStream, task_status: trio.TaskStatus[wscore.WebSocket]) -> None:
    async with wscore.connect("ws://localhost/", stream=stream) as ws:
        task_status.started(ws)
        await ws.wait_closed()


async def test_a_cancelled_survey_is_an_end_of_the_survey_alone() -> None:
    async with serving() as server, wscore.connect(url_of(server)) as ws:
        with trio.CancelScope() as scope:
            scope.cancel()
            await server.survey()
        assert scope.cancelled_caught
        await ws.send("still there")
        assert await ws.receive() == "still there"
        assert (await server.survey()).messages_received == 1


async def counted_drops(server: wscore.Server) -> dict[str, int]:
    while not (dropped := server.statistics().dropped):  # noqa: ASYNC110
        await trio.sleep(0.01)
    return dict(dropped)


async def test_whoever_goes_without_a_word_is_counted(each_transport: str) -> None:
    async with serving() as server:
        async with dial(server):
            pass
        assert await counted_drops(server) == {"gone": 1}


async def test_whoever_goes_before_the_application_has_made_up_its_mind_is_counted(each_transport: str) -> None:
    asked, answer = trio.Event(), trio.Event()

    async def think(request: wscore.Request) -> wscore.Accept:
        asked.set()
        await answer.wait()
        return wscore.Accept()

    async with serving(on_request=think) as server:
        async with dial(server) as raw:
            raw.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await raw.ask()
            await asked.wait()
        answer.set()
        assert await counted_drops(server) == {"gone": 1}
        assert server.statistics().accepted == 0


async def test_whoever_is_still_about_tls_when_the_server_closes_is_counted(each_transport: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with serving(ssl_context=context) as server, dial(server) as raw:
        while not server.statistics().handshakes:
            await trio.lowlevel.checkpoint()
        await server.aclose()
        assert (server.statistics().dropped, server.statistics().tls_failures) == ({"closing": 1}, 0)
        assert await raw.rest() == b""
