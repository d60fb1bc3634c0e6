"""Whole servers under load, as a smoke test; and whether the load generator notices what a server does wrong.

`pytest benchmarks/test_endtoend.py` takes a minute or two. No number decides anything.
"""

import base64
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .endtoend import charts, report
from .endtoend.build import BARE, LOAD, BuildError, build
from .endtoend.cases import Effort, all_cases
from .endtoend.claims import lines
from .endtoend.contenders import (
    ASGI_OURS,
    ASYNC,
    BARE_C,
    CONTENDERS,
    ON_MESSAGE,
    PICOWS,
    UVICORN,
    WEBSOCKETS,
    chosen,
)
from .endtoend.processes import Failure, Server, running, under_load
from .endtoend.results import Results
from .endtoend.session import measure, seconds_of

EFFORT = Effort(rounds=1, seconds=0.1, load=("--warmup", "0", "--settle", "0.1"))
SMALL = all_cases(quick=True)
HANGING = 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Talk = Callable[[socket.socket], None]


@pytest.fixture(scope="module")
def load() -> Path:
    try:
        return build(LOAD)
    except BuildError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))


@pytest.mark.parametrize("case", SMALL, ids=[case.key for case in SMALL])
@pytest.mark.parametrize("contender", CONTENDERS, ids=[one.name for one in CONTENDERS])
def test_every_server_does_what_its_case_asks(load: Path, case, contender) -> None:
    if contender.command("auto") is None:
        pytest.skip(f"{contender.name} is not installed")
    if not case.has(contender):
        pytest.skip(f"{contender.name} cannot do this")
    (outcome,) = measure([case], [contender], EFFORT, transport="auto", say=print)
    assert outcome.failures == {}
    (turn,) = outcome.turns[contender.name]
    # Nothing is measured before every connection has had its first right answer.
    assert turn["errors"] == 0
    assert turn["pings"] > 0 or case.area != "keepalive"


def book() -> Results:
    """Made of numbers that are easy to check: the second contender is always twice as fast as the first, and so on."""
    results = Results({"machine": {"processor": "none"}, "versions": {}, "commit": "none", "date": "today"})
    for case in all_cases():
        turns = {
            name: [
                {"rate": 100.0 * n, "cpu_us": 10.0 / n, "p50_us": 9.0 / n, "p99_us": 90.0 / n, "busy": busy,
                 "load_busy": 0.1, "rss_bytes": 1024.0 * n, "pings": 0, "opening_seconds": 0.1,
                 "void": case.is_throughput and busy < 0.9}
                for busy in (0.95, 0.5)
            ]
            for n, name in enumerate((PICOWS, WEBSOCKETS, BARE_C, ASYNC, ON_MESSAGE, UVICORN, ASGI_OURS), 1)
        }  # fmt: skip
        results.rows[case.key] = {
            "area": case.area, "name": case.name, "connections": case.connections, "mode": case.mode,
            "load": list(case.load), "throughput": case.is_throughput, "turns": turns, "failures": {},
        }  # fmt: skip
    return results


def test_every_promise_has_a_case_that_measures_it() -> None:
    judged = {line.what: line for line in lines(book())}
    # Rates but those against websockets on Trio, and under uvicorn against it and wsproto; latencies; three costs each.
    assert len(judged) == 23 + 4 + 6
    assert judged["echo: 100 x 20 B, wscore on_message, rate of picows"].measured == 5
    assert judged["latency: 1 x 20 B, wscore handler, median latency of picows"].measured == 0.25
    assert judged["memory per idle connection, wscore on_message"].measured == 5


def test_void_turns_do_not_count_where_others_do() -> None:
    results = book()
    key = "echo: 100 x 20 B"
    turns = results.rows[key]["turns"]
    turns[PICOWS][1]["rate"] = 1.0
    assert results.figure(key, PICOWS, "rate") == (100, False)
    assert results.ratio(key, ASYNC, PICOWS, "rate") == (4, False)
    turns[PICOWS][0]["void"] = True
    assert results.figure(key, PICOWS, "rate").is_void
    assert results.ratio(key, ASYNC, PICOWS, "rate").is_void
    assert f"{PICOWS} (2)" in "".join(results.warnings()).replace(" of 2", "")


def test_results_survive_being_written_and_give_tables_and_charts(tmp_path: Path) -> None:
    book().write(tmp_path / "results.json")
    results = Results.read(tmp_path / "results.json")
    assert results.rows == book().rows
    text = "\n".join([*report.promises(results), *report.areas(results), *report.warnings(results)])
    assert "picows" in text
    drawn = list(charts.draw(results, tmp_path))
    assert {path.name for path in drawn} == {
        f"endtoend-{name}.svg"
        for name in (
            "echo", "pipelined", "latency", "tls", "asgi", "fan-out", "handshakes", "memory", "keepalive", "connections"
        )
    }  # fmt: skip
    assert all("</svg>" in path.read_text() for path in drawn)


def test_contenders_are_chosen_by_parts_of_their_names() -> None:
    assert [one.name for one in chosen("picows, wscore handler, on_mess")] == [ASYNC, ON_MESSAGE, PICOWS]
    assert [one.name for one in chosen("")] == [one.name for one in CONTENDERS]


def test_a_quick_run_takes_less_than_a_minute_by_its_own_estimate() -> None:
    contenders = list(chosen(f"{ASYNC},{ON_MESSAGE},{PICOWS},{WEBSOCKETS}"))
    assert 0 < seconds_of(SMALL, contenders, Effort(1, 0.2)) < 65
    assert seconds_of(all_cases(), CONTENDERS, Effort(5, 3.0)) > 3600


# What a server can do wrong


@contextmanager
def liar(talk: Talk) -> Iterator[Server]:
    """A server that upgrades one connection, and then says what `talk` says."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            talk(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Server(os.getpid(), listener.getsockname()[1], {})
    thread.join(HANGING)
    assert not thread.is_alive()


def upgrade(connection: socket.socket, accept: bytes | None = None) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    right = base64.b64encode(hashlib.sha1(key + GUID).digest())
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    connection.sendall(answer + (accept or right) + b"\r\n\r\n")


def message(connection: socket.socket) -> bytes:
    """The payload of one masked frame of 20 bytes."""
    frame = b""
    while len(frame) < 26:
        frame += connection.recv(26 - len(frame))
    return bytes(byte ^ frame[2 + i % 4] for i, byte in enumerate(frame[6:]))


def until_the_end(connection: socket.socket) -> None:
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass


def says(reply: Callable[[bytes], bytes]) -> Talk:
    def talk(connection: socket.socket) -> None:
        upgrade(connection)
        connection.sendall(reply(message(connection)))
        until_the_end(connection)

    return talk


def refuses(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    until_the_end(connection)


def mistakes_the_key(connection: socket.socket) -> None:
    upgrade(connection, b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    until_the_end(connection)


def leaves(connection: socket.socket) -> None:
    upgrade(connection)
    message(connection)


LIES: dict[str, tuple[Talk, str]] = {
    "the last byte": (says(lambda payload: b"\x82\x14" + payload[:-1] + bytes([payload[-1] ^ 1])), "wrong bytes"),
    "length": (says(lambda payload: b"\x82\x13" + payload[:-1]), "the wrong length"),
    "kind": (says(lambda payload: b"\x81\x14" + payload), "the wrong kind"),
    "mask": (says(lambda payload: b"\x82\x94\0\0\0\0" + payload), "a masked frame"),
    "compressed, not agreed on": (says(lambda payload: b"\xc2\x14" + payload), "not agreed on"),
    "twice": (says(lambda payload: 2 * (b"\x82\x14" + payload)), "wrong bytes"),
    "Close": (says(lambda _: b"\x88\x02\x03\xe8"), "a Close frame"),
    "refused": (refuses, "403 Forbidden"),
    "wrong key": (mistakes_the_key, "101 Switching"),
    "gone": (leaves, "the connection was lost"),
}


@pytest.mark.parametrize(("talk", "complaint"), LIES.values(), ids=LIES)
def test_the_load_generator_notices(load: Path, talk: Talk, complaint: str) -> None:
    with liar(talk) as server, pytest.raises(Failure, match=complaint):
        under_load(load, server, ["echo", "--connections", "1", "--seconds", "0.3", "--warmup", "0"], limit=HANGING)


def test_the_load_generator_answers_pings_and_ends_well(load: Path) -> None:
    pongs: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        upgrade(connection)
        payload = message(connection)
        connection.sendall(b"\x89\x02hi" + b"\x82\x14" + payload)
        frame = b""
        while len(frame) < 26 + 8:
            frame += connection.recv(34 - len(frame))
        pongs.append(bytes(byte ^ frame[28 + i % 4] for i, byte in enumerate(frame[32:])))
        until_the_end(connection)

    with liar(talk) as server:
        said = under_load(
            load, server, ["echo", "--connections", "1", "--seconds", "0.3", "--warmup", "0"], limit=HANGING
        )
    assert pongs == [b"hi"]
    assert (said["pings"], said["errors"]) == (1, 0)


def test_the_load_generator_ends_itself_beside_a_server_that_says_nothing(load: Path) -> None:
    with liar(until_the_end) as server, pytest.raises(Failure, match="the time limit has passed"):
        under_load(load, server, ["echo", "--connections", "1"], limit=1)


@pytest.mark.parametrize(
    "arguments", [[], ["sing"], ["echo"], ["echo", "--port", "0"], ["echo", "--port", "80", "--size", "x"]]
)
def test_the_load_generator_refuses_a_bad_command_line(load: Path, arguments: list[str]) -> None:
    done = subprocess.run([load, *arguments], capture_output=True, text=True, timeout=HANGING, check=False)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(load: Path) -> None:
    assert first_frame(load, 7) == first_frame(load, 7)
    assert first_frame(load, 7) != first_frame(load, 8)


def first_frame(load: Path, seed: int) -> bytes:
    seen: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        upgrade(connection)
        seen.append(message(connection))

    arguments = ["echo", "--connections", "1", "--seconds", "0.1", "--seed", str(seed)]
    with liar(talk) as server, pytest.raises(Failure):
        under_load(load, server, arguments, limit=HANGING)
    return seen[0]


def test_a_server_is_gone_when_its_block_is_left(load: Path) -> None:
    with running([str(build(BARE))]) as server:
        socket.create_connection(("127.0.0.1", server.port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_a_server_that_does_not_start_is_a_failure_that_says_why() -> None:
    command = [sys.executable, "-c", "raise SystemExit('nonsense')"]
    with pytest.raises(Failure, match="did not start; its last words: nonsense"), running(command):
        raise AssertionError


def test_a_server_that_dies_under_load_is_a_failure_that_says_why(load: Path) -> None:
    dies = (
        "import os, socket; listener = socket.create_server(('127.0.0.1', 0));"
        'print(\'{"port": %d, "versions": {}}\' % listener.getsockname()[1], flush=True);'
        "connection = listener.accept(); raise SystemExit('out of order')"
    )
    broken = r"broke in the handshake.*out of order"
    with pytest.raises(Failure, match=broken), running([sys.executable, "-c", dies]) as server:
        under_load(load, server, ["echo", "--connections", "1"], limit=HANGING)


def test_the_processor_time_of_children_counts_and_they_end_with_their_parent(load: Path) -> None:
    """The process that is measured is a shell, which itself does nothing but wait."""
    with running(["sh", "-c", f"{build(BARE)} & wait"]) as server:
        said = under_load(load, server, ["echo", "--connections", "10", "--seconds", "0.3"], limit=HANGING)
    assert said["busy"] > 0.01
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_frames_of_every_length_come_back_from_the_bare_server(load: Path) -> None:
    with running([str(build(BARE))]) as server:
        for size in (0, 1, 125, 126, 65535, 65536):
            said = under_load(
                load, server, ["echo", "--connections", "2", "--size", str(size), "--seconds", "0.05"], limit=HANGING
            )
            assert said["count"] > 0
