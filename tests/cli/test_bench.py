"""`wscore bench` as a user has it: a process that puts a load on a server, prints what it found, and ends in time."""

import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

import wscore

from ..raw import echo
from .screen import terminal

SHORT = "--duration", 0.3, "--warm-up", 0.1, "--connections", 3


@pytest.fixture
def measure(run: Callable[..., Any]) -> Callable[..., Any]:
    """Runs the program for a short time; returns its exit status, its results and its complaints."""

    async def measure(url: str, *options: object) -> tuple[int, Any, list[str]]:
        status, output, errors = await run("bench", url, "--json", *SHORT, *options)
        assert output.count("\n") == 1
        return status, json.loads(output), errors.splitlines()

    return measure


# Good runs


@pytest.mark.parametrize(
    "load",
    [
        ("--in-flight", 1),
        ("--in-flight", 16),
        ("--in-flight", 16, "--pattern", "burst"),
        ("--rate", 500),
    ],
    ids=["one", "window", "burst", "rate"],
)
@pytest.mark.parametrize("kind", [(), ("--binary",)], ids=["text", "binary"])
async def test_every_message_comes_back(
    measure: Callable[..., Any], serving: Callable[..., Any], load: tuple[object, ...], kind: tuple[str, ...]
) -> None:
    seen: list[str | bytes] = []
    codes = []

    async def listen(ws: wscore.WebSocket) -> None:
        async for message in ws:
            seen.append(message)
            await ws.send(message)
        codes.append(ws.close_code)

    async with serving(listen) as url:
        status, results, complaints = await measure(url, *load, *kind, "--size", 300)
    assert (status, complaints) == (0, [])
    messages, measured = results["messages"], results["measured"]
    assert messages["sent"] == messages["answered"] == len(seen)
    assert [messages[name] for name in ("lost", "unsent", "wrong", "unasked")] == [0, 0, 0, 0]
    assert {(type(message), len(message)) for message in seen} == {(bytes if kind else str, 300)}
    assert 0 < measured["messages"] <= messages["answered"]
    assert measured["seconds"] >= 0.3
    assert measured["messages_per_second"] == pytest.approx(measured["messages"] / measured["seconds"])
    assert measured["bytes_per_second"] == pytest.approx(300 * measured["messages_per_second"])
    latency = measured["latency_ms"]
    order = [latency[name] for name in ("min", "p50", "p90", "p99", "p99.9", "max")]
    assert order == sorted(order)
    assert order[0] > 0
    assert latency["min"] <= latency["mean"] <= latency["max"]
    assert (measured["sending_delay_ms"] is not None) is (load[0] == "--rate")
    assert measured["generator"]["cpu_seconds"] > 0
    assert results["connections"]["opening_ms"]["count"] == 3
    assert codes == [1000, 1000, 1000]


async def test_a_rate_is_kept(measure: Callable[..., Any], serving: Callable[..., Any]) -> None:
    async with serving(echo) as url:
        status, results, _ = await measure(url, "--rate", 200, "--duration", 0.5)
    assert status == 0
    # By the schedule: how many latencies there are does not depend on when the replies came.
    measured = results["measured"]
    assert measured["latency_ms"]["count"] == pytest.approx(200 * measured["seconds"], abs=2)
    assert results["load"]["rate"] == 200


async def test_text_for_a_person(run: Callable[..., Any], serving: Callable[..., Any]) -> None:
    async with serving(echo) as url:
        secret = url.replace("ws://", "ws://me:password@") + "/path?token=secret"
        status, output, errors = await run("bench", secret, *SHORT, "--in-flight", 4)
    assert (status, errors) == (0, "")
    first, *rows = output.splitlines()
    assert first == f"{url}/path 3 connections, text of 20 bytes, window of 4"
    assert [row[:12].rstrip() for row in rows] == ["opening", "measured", "throughput", "latency", "generator"]


async def test_headers_and_subprotocols_are_sent(measure: Callable[..., Any], serving: Callable[..., Any]) -> None:
    requests = []

    async def listen(ws: wscore.WebSocket) -> None:
        requests.append((ws.subprotocol, ws.request.headers.get("X-One")))
        await echo(ws)

    async with serving(listen, subprotocols=["chat"]) as url:
        status, _, _ = await measure(url, "--header", "X-One: 1", "--subprotocol", "chat")
    assert status == 0
    assert requests == [("chat", "1")] * 3


@pytest.mark.parametrize(("servers", "compressed"), [("takeover", 3), (None, 0)])
async def test_compression_is_agreed_on_or_not(
    measure: Callable[..., Any], serving: Callable[..., Any], servers: str | None, compressed: int
) -> None:
    offers = []

    async def listen(ws: wscore.WebSocket) -> None:
        offers.append(ws.request.headers.get("Sec-WebSocket-Extensions"))
        await echo(ws)

    async with serving(listen, compression=servers) as url:
        status, results, _ = await measure(url, "--compression", "takeover", "--size", 500, "--in-flight", 4)
    assert status == 0
    assert all("permessage-deflate" in offer for offer in offers)
    assert results["connections"]["compressed"] == compressed


@pytest.mark.parametrize("load", [("--in-flight", 4), ("--pattern", "burst", "--in-flight", 4), ("--rate", 200)])
async def test_it_speaks_tls(
    measure: Callable[..., Any],
    serving: Callable[..., Any],
    authority: trustme.CA,
    tmp_path: Path,
    load: tuple[object, ...],
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    async with serving(echo, ssl_context=context) as url:
        status, results, complaints = await measure(url, "--ca-file", trusted, "--size", 40000, "--binary", *load)
        assert (status, complaints) == (0, [])
        assert results["measured"]["messages"] > 0
        assert (await measure(url, "--insecure", *load))[0] == 0
        status, results, [complaint] = await measure(url, *load)
    assert (status, results["measured"]) == (1, None)
    assert complaint.startswith("wscore: 3 of 3 connections failed: the server's certificate is not to be trusted: ")


# Runs that fail


async def test_nobody_there(measure: Callable[..., Any]) -> None:
    with socket.socket() as bound:  # but not listening
        bound.bind(("127.0.0.1", 0))
        status, results, complaints = await measure(f"ws://127.0.0.1:{bound.getsockname()[1]}/")
    assert status == 1
    assert complaints == ["wscore: 3 of 3 connections failed: cannot connect: Connection refused"]
    assert results["measured"] is None
    assert results["connections"]["failures"] == [{"reason": "cannot connect: Connection refused", "count": 3}]


async def test_a_run_that_fails_prints_no_results_for_a_person(run: Callable[..., Any]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        status, output, errors = await run("bench", f"ws://127.0.0.1:{bound.getsockname()[1]}/", *SHORT)
    assert (status, output, errors.count("\n")) == (1, "", 1)


async def test_a_server_that_refuses(measure: Callable[..., Any], serving: Callable[..., Any]) -> None:
    async with serving(echo, on_request=lambda _: wscore.Refuse(403, "Not \x1b[2J today.")) as url:
        status, results, [complaint] = await measure(url)
    assert (status, results["connections"]["opened"]) == (1, 0)
    assert complaint == r"wscore: 3 of 3 connections failed: the server refused: 403 Forbidden: Not \x1b[2J today."


async def test_with_some_connections_refused_the_others_are_measured(
    measure: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    seen = []

    def some(request: wscore.Request) -> wscore.Accept | wscore.Refuse:
        seen.append(request)
        return wscore.Refuse(503, "Full.") if len(seen) > 2 else wscore.Accept()

    async with serving(echo, on_request=some) as url:
        status, results, complaints = await measure(url)
    assert (status, results["connections"]["opened"], results["messages"]["lost"]) == (1, 2, 0)
    assert results["measured"]["messages"] > 0
    assert complaints == ["wscore: 1 of 3 connections failed: the server refused: 503 Service Unavailable: Full."]


async def test_a_server_that_says_nothing(measure: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status, _, complaints = await measure(f"ws://127.0.0.1:{silent.getsockname()[1]}/", "--timeout", 0.1)
    assert status == 1
    assert complaints == ["wscore: 3 of 3 connections failed: cannot connect: the server did not answer in time"]


async def test_a_server_that_closes_early(measure: Callable[..., Any], serving: Callable[..., Any]) -> None:
    async def tire(ws: wscore.WebSocket) -> None:
        for _ in range(5):
            await ws.send(await ws.receive())
        await ws.aclose(4000, "tired \x1b[2J")

    async with serving(tire) as url:
        status, results, complaints = await measure(url, "--duration", 1000)
    assert status == 1
    assert results["early_closes"] == [{"code": 4000, "reason": "tired \x1b[2J", "origin": "peer", "count": 3}]
    assert complaints[0] == r"wscore: 3 of 3 connections were closed early by the server: 4000 tired \x1b[2J"
    assert results["messages"]["answered"] == 15


async def test_a_server_that_vanishes(measure: Callable[..., Any], serving: Callable[..., Any]) -> None:
    async def vanish(ws: wscore.WebSocket) -> None:
        await ws.send(await ws.receive())
        ws.abort()

    async with serving(vanish) as url:
        status, results, complaints = await measure(url, "--duration", 1000, "--in-flight", 4)
    assert status == 1
    assert results["early_closes"] == [{"code": 1006, "reason": "", "origin": "lost", "count": 3}]
    assert complaints[0] == "wscore: 3 of 3 connections were lost: 1006"
    assert results["messages"]["lost"] > 0


async def test_an_echo_that_lies(measure: Callable[..., Any], serving: Callable[..., Any]) -> None:
    async def lie(ws: wscore.WebSocket) -> None:
        async for message in ws:
            assert isinstance(message, str)
            await ws.send(message[:10] + "~" + message[11:])

    async with serving(lie) as url:
        status, results, [complaint] = await measure(url)
        assert status == 1
        messages = results["messages"]
        assert messages["wrong"] == messages["answered"] > 0
        assert complaint == (
            f"wscore: wrong replies: {messages['wrong']}; in the first, of 20 bytes, byte 11 is the first that differs"
        )
        status, results, complaints = await measure(url, "--no-check")
    assert (status, complaints, results["messages"]["wrong"], results["load"]["checked"]) == (0, [], 0, False)


async def test_a_server_that_swallows_a_message(measure: Callable[..., Any], serving: Callable[..., Any]) -> None:
    async def swallow(ws: wscore.WebSocket) -> None:
        await ws.receive()
        await echo(ws)

    async with serving(swallow) as url:
        status, results, complaints = await measure(url, "--no-check", "--in-flight", 4, "--timeout", 2)
    assert (status, results["messages"]["lost"]) == (1, 3)
    assert complaints == [f"wscore: 3 of {results['messages']['sent']} messages were lost: no reply came"]


async def test_a_server_that_talks_unasked(measure: Callable[..., Any], serving: Callable[..., Any]) -> None:
    async def chatter(ws: wscore.WebSocket) -> None:
        await ws.send("one")
        await ws.send("two")
        await echo(ws)

    async with serving(chatter) as url:
        status, results, complaints = await measure(url, "--rate", 0.001, "--connections", 1)
    assert results["messages"]["sent"] == 0
    assert (status, results["messages"]["unasked"]) == (1, 2)
    assert complaints == ["wscore: messages that were no replies: 2"]


async def test_a_server_that_takes_nothing_leaves_messages_unsent(
    measure: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    async def deaf(ws: wscore.WebSocket) -> None:
        await trio.sleep_forever()

    options = "--rate", 1000, "--size", "1MiB", "--connections", 1, "--timeout", 1
    async with serving(deaf) as url:
        status, results, complaints = await measure(url, *options)
    assert status == 1
    assert results["messages"]["unsent"] > 0
    assert results["messages"]["lost"] > 0
    assert len(complaints) == 2
    assert "never sent" in complaints[1]


# The command line


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--rate", 5, "--in-flight", 2), "--in-flight is of no use with --rate, which waits for no reply"),
        (("--rate", 5, "--pattern", "burst"), "--pattern is of no use with --rate, which waits for no reply"),
        (("--in-flight", 257, "--size", "1MiB"), "--in-flight times --size must be at most 256 MiB"),
        (("--insecure",), "an ssl_context is of no use for ws://: write wss://"),
        (("--header", "Host: x"), None),
    ],
)
async def test_options_that_make_no_sense_together(
    run: Callable[..., Any], options: tuple[object, ...], complaint: str | None
) -> None:
    status, output, errors = await run("bench", "ws://127.0.0.1:1/", *options)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert complaint is None or errors == f"wscore: {complaint}\n"


@pytest.mark.parametrize("url", ["http://localhost/", "ws://", "ws://a/#b"])
async def test_an_address_that_is_none(run: Callable[..., Any], url: str) -> None:
    status, _, errors = await run("bench", url)
    assert (status, errors.count("\n")) == (2, 1)


async def test_as_much_in_flight_as_may_be(measure: Callable[..., Any], serving: Callable[..., Any]) -> None:
    async with serving(echo) as url:
        options = "--in-flight", 65536, "--size", "4KiB", "--connections", 1, "--timeout", 60
        status, results, _ = await measure(url, *options)
    assert (status, results["messages"]["lost"], results["messages"]["wrong"]) == (0, 0, 0)
    assert results["messages"]["sent"] >= 65536


async def test_when_nobody_reads_its_results_it_ends_quietly(
    running: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    read, write = os.pipe()
    async with serving(echo) as url, running("bench", url, *SHORT, stdout=write) as program:
        os.close(write)
        os.close(read)
        status = await program.process.wait()
        assert (status, await program.process.stderr.receive_some()) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
async def test_results_that_cannot_be_written_are_one_sentence(
    running: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    async with serving(echo) as url, running("bench", url, *SHORT, stdout=full) as program:
        line = await program.read_line("stderr")
        assert await program.process.wait() == 1
    os.close(full)
    assert line == "wscore: cannot write to standard output: No space left on device"


# Signals, and the terminal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_before_the_measurement_ends_it_without_results(
    running: Callable[..., Any], serving: Callable[..., Any], number: signal.Signals
) -> None:
    """And with a ramp-up connections are opened one after the other, the first of which sends at once."""
    something_came = trio.Event()
    codes: list[int | None] = []

    async def listen(ws: wscore.WebSocket) -> None:
        async for message in ws:
            await ws.send(message)
            something_came.set()
        codes.append(ws.close_code)

    async with serving(listen) as url:
        async with running("bench", url, "--connections", 2, "--ramp-up", 1000) as program:
            await something_came.wait()
            program.process.send_signal(number)
            assert await program.finish() == (130, "", "wscore: interrupted before anything was measured\n")
        assert codes == [1000]


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
async def test_at_a_terminal_progress_is_shown_and_ctrl_c_ends_the_measurement_with_its_results(
    serving: Callable[..., Any],
) -> None:
    async with serving(echo) as url, terminal("bench", url, "--duration", 1000, "--warm-up", 0) as screen:
        await screen.wait_for("s, measuring, 100 connections, ")
        await screen.wait_for("p99 ")
        await screen.type("\x03")
        status, seen = await screen.finish()
    assert status == 0
    assert "throughput" in seen
    assert seen.count("\n") == 6
    progress, _, results = seen.rpartition("\r\x1b[K")
    assert "messages/s" in progress
    assert results.startswith("ws://")


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
async def test_a_second_ctrl_c_does_not_wait_for_replies(serving: Callable[..., Any]) -> None:
    async def hoard(ws: wscore.WebSocket) -> None:
        async for _ in ws:
            pass

    options = "--duration", 1000, "--warm-up", 0, "--timeout", 1000, "--connections", 2
    async with serving(hoard) as url, terminal("bench", url, *options) as screen:
        await screen.wait_for("measuring")
        await screen.type("\x03")
        await screen.wait_for("waiting for replies")
        await screen.type("\x03")
        status, seen = await screen.finish()
    assert status == 1
    assert "wscore: 2 of 2 messages were lost: no reply came" in seen
