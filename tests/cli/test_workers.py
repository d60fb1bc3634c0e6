"""`wscore serve --workers`: one address, several processes, and none whose death is the end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

import wscore
from wscore.server.workers import LONGEST_DELAY, delay_after

from .operating import ROOT, Operated, operated, pid_of, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")

# However a worker ends, an honest client that tries again is answered within so many seconds.
SOON = 5


async def pids_of_two(server: Operated) -> tuple[int, int]:
    """Both workers: the second one answers when the first one cannot."""
    first = await server.pid()
    os.kill(first, signal.SIGSTOP)
    try:
        return first, await server.pid()
    finally:
        os.kill(first, signal.SIGCONT)


async def test_workers_serve_on_one_address_and_their_counts_are_added_up(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    async with operated(running, tmp_path, "--workers", 2) as server:
        first, second = await pids_of_two(server)
        assert len({first, second, server.program.process.pid}) == 3
        samples = await server.scrape()
        assert samples["wscore_workers"] == 2
        assert samples["wscore_messages_received_total"] == samples["wscore_messages_sent_total"] == 2
        assert samples["wscore_connections_opened_total"] == 2
        assert samples["wscore_turn_seconds_count"] > 0
        assert await server.page("/healthz") == (200, "ok\n")


async def test_a_killed_worker_is_replaced_and_its_counts_stay(running: Callable[..., Any], tmp_path: Path) -> None:
    async with operated(running, tmp_path, "--workers", 2) as server:
        async with wscore.connect(server.url) as ws:
            victim = await pid_of(ws)
            before = await server.scrape()
            os.kill(victim, signal.SIGKILL)
            with pytest.raises(wscore.ConnectionLost):
                await ws.receive()
        with trio.fail_after(SOON):
            assert await server.pid() != victim
        ended = await server.event("worker_ended")
        assert ended["message"] == (
            f"worker {ended['worker']} (process {victim}) was killed by SIGKILL; it is started again at once"
        )
        assert (await server.event("worker_ready"))["worker"] == ended["worker"]
        after = await server.scrape()
        assert after["wscore_messages_received_total"] >= before["wscore_messages_received_total"] + 1
        assert (after["wscore_workers"], after["wscore_worker_starts_total"]) == (2, 3)
        assert all(after[name] >= value for name, value in before.items() if name.endswith("_total"))


async def test_whoever_comes_while_no_worker_lives_is_served_by_the_next(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    async with operated(running, tmp_path, "--workers", 1) as server:
        for _ in range(3):
            victim = await server.pid()
            os.kill(victim, signal.SIGKILL)
            with trio.fail_after(SOON):
                assert await server.pid() != victim


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
async def test_the_supervisor_keeps_nothing_of_workers_that_died(running: Callable[..., Any], tmp_path: Path) -> None:
    async with operated(running, tmp_path, "--workers", 1) as server:
        descriptors = Path(f"/proc/{server.program.process.pid}/fd")
        held = []
        for _ in range(3):
            held.append(len(os.listdir(descriptors)))
            os.kill(await server.pid(), signal.SIGKILL)
            await server.event("worker_ready")
        assert len(set(held)) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("to_all", [False, True], ids=["to the supervisor", "to every process"])
async def test_a_signal_closes_connections_with_1001_and_ends_with_status_0(
    running: Callable[..., Any], tmp_path: Path, number: signal.Signals, to_all: bool
) -> None:
    """A terminal sends Ctrl-C to every process, and systemd sends SIGTERM to every process, which is not twice."""
    async with operated(running, tmp_path, "--workers", 2, start_new_session=True) as server:
        async with wscore.connect(server.url) as ws:
            worker = await pid_of(ws)
            if to_all:
                os.killpg(server.program.process.pid, number)
            else:
                server.signal(number)
            with pytest.raises(wscore.ConnectionClosed) as caught:
                await ws.receive()
            assert caught.value.code == 1001
        status, _, _ = await server.program.finish()
        assert status == 0
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


async def silent_client(server: Operated) -> trio.SocketStream:
    """Shake hands, and then never answer anything, a Close frame neither."""
    port = int(server.url.rpartition(":")[2])
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some()
    assert head.startswith(b"HTTP/1.1 101 ")
    return stream


async def test_a_second_signal_does_not_wait_for_anybody(running: Callable[..., Any], tmp_path: Path) -> None:
    arguments = ("--workers", 2, "--drain-timeout", 1000, "--close-timeout", 1000)
    async with operated(running, tmp_path, *arguments) as server:
        stream = await silent_client(server)
        server.signal(signal.SIGTERM)
        assert (await stream.receive_some()).startswith(b"\x88")
        status, _ = await server.page("/healthz")
        assert status == 503
        server.signal(signal.SIGTERM)
        assert (await server.program.finish())[0] == 1
        await stream.aclose()


async def test_a_worker_that_hangs_is_killed_when_the_time_for_draining_is_over(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    async with (
        operated(running, tmp_path, "--workers", 2, "--drain-timeout", 0.1) as server,
        wscore.connect(server.url) as ws,
    ):
        await ws.send("block")
        await until(trio.Path(tmp_path / "blocked").exists)
        server.signal(signal.SIGTERM)
        killed = await server.event("worker_killed")
        assert "does not end, and is killed" in killed["message"]
        assert (await server.program.finish())[0] == 1


async def test_a_worker_that_does_not_answer_is_ill_and_its_last_counts_are_shown(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    async with operated(running, tmp_path, "--workers", 2) as server:
        worker = await server.pid()
        before = await server.scrape()
        os.kill(worker, signal.SIGSTOP)
        assert await server.page("/healthz") == (503, "1 of 2 workers answer\n")
        assert (await server.scrape())["wscore_messages_received_total"] == before["wscore_messages_received_total"]
        os.kill(worker, signal.SIGCONT)

        async def is_well() -> bool:
            return await server.page("/healthz") == (200, "ok\n")

        await until(is_well)


async def test_sigterm_to_a_worker_drains_it_and_the_supervisor_starts_another(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    async with operated(running, tmp_path, "--workers", 2) as server, wscore.connect(server.url) as ws:
        worker = await pid_of(ws)
        os.kill(worker, signal.SIGTERM)
        with pytest.raises(wscore.ConnectionClosed) as caught:
            await ws.receive()
        assert caught.value.code == 1001
        ended = await server.event("worker_ended")
        assert (ended["process"], "has ended with status 0" in ended["message"]) == (worker, True)
        await server.event("worker_ready")
        # What it counted between the last scrape and its end is known, too: it has said so before it ended.
        samples = await server.scrape()
        assert samples['wscore_closes_total{code="1001"}'] == samples["wscore_messages_received_total"] == 1


async def test_workers_end_when_their_supervisor_is_killed(running: Callable[..., Any], tmp_path: Path) -> None:
    async with operated(running, tmp_path, "--workers", 2) as server:
        async with wscore.connect(server.url) as ws:
            await pid_of(ws)
            server.signal(signal.SIGKILL)
            with pytest.raises(wscore.ConnectionClosed) as caught:
                await ws.receive()
            assert caught.value.code == 1001
        await until(partial(nobody_listens, int(server.url.rpartition(":")[2])))


async def nobody_listens(port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return True
    await stream.aclose()
    return False


async def test_an_app_that_cannot_be_imported_is_said_once_and_ends_it(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nowhere\n")
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    status, output, errors = await run("serve", "--port", 0, "--workers", 3, "--app", "broken:handler", env=env)
    assert (status, output) == (2, "")
    sentence, giving_up = errors.splitlines()
    assert sentence.startswith("wscore: cannot import broken: ModuleNotFoundError: No module named 'nowhere' (")
    assert giving_up.endswith("has ended with status 2 before it was ready; giving up")


async def test_a_worker_that_fails_again_and_again_is_started_later_each_time(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    async with operated(running, tmp_path, "--workers", 1) as server:
        victim = await server.pid()
        (tmp_path / "broken").touch()
        os.kill(victim, signal.SIGKILL)
        when = [(await server.event("worker_ended"))["message"].rpartition("; ")[2] for _ in range(4)]
        assert when == [f"it is started again {delay}" for delay in ("at once", *(f"in {s} seconds" for s in DELAYS))]
        assert await server.page("/healthz") == (503, "0 of 1 workers answer\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.pid)  # it waits, and is answered
            (tmp_path / "broken").unlink()
            await server.event("worker_ready")


DELAYS = ("0.25", "0.5", "1")


def test_the_delay_has_an_end() -> None:
    assert [delay_after(failures) for failures in (0, 1, 2, 3, 4, 5, 6, 10_000)] == [0, 0.25, 0.5, 1, 2, 4, 4, 4]
    assert delay_after(10_000) == LONGEST_DELAY < SOON


async def test_a_worker_that_is_killed_before_all_were_ready_ends_it(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    env = {"PYTHONPATH": str(ROOT)}
    arguments = ("--port", 0, "--workers", 2, "--app", "app:handler")
    async with running("serve", *arguments, cwd=tmp_path, env=env) as program:
        status, _, errors = await program.finish()
    assert status == 1
    assert errors.endswith("was killed by SIGKILL before it was ready; giving up\n")


def test_without_fork_workers_are_refused_in_a_sentence() -> None:
    code = "import os, sys; del os.fork; from wscore.cli.main import main; sys.exit(main(['serve', '--workers', '2']))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == "wscore: --workers needs a system that can fork, and this one cannot: leave it out\n"
