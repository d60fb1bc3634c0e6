"""Applications under hypercorn, which was written for wsproto, with the adapter in wsproto's place."""

import http.client
import importlib.util
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

import wscore

HERE = Path(__file__).parent / "applications"
# Seconds until a server is taken for hanging.
HANGING = 60
# No empty bytes: hypercorn takes them for no bytes at all, with wsproto, too.
MESSAGES = ["", "hello", "żółw 𝄞", "compress me " * 1000, b"\x00", bytes(range(256)) * 300]


def start(worker: str, application: str) -> tuple[subprocess.Popen, int]:
    """A server on a port of its own choice; it runs the application in a process that it spawns."""
    command = [sys.executable, "-m", "wscore.adapters.wsproto", "hypercorn", "--bind", "127.0.0.1:0"]
    command += ["--worker-class", worker, f"{application}:app"]
    process = subprocess.Popen(command, cwd=HERE, stderr=subprocess.PIPE, text=True)
    watch = threading.Timer(HANGING, process.kill)
    watch.start()
    said = ""
    for line in process.stderr:
        said += line
        if found := re.search(r"Running on http://127\.0\.0\.1:(\d+)", line):
            watch.cancel()
            # Nobody reads on, and what fits into the pipe is enough for a few lines.
            return process, int(found[1])
    raise AssertionError(f"the server ended: {said}")


@pytest.fixture(
    scope="module",
    params=[("asyncio", "echo_quart"), ("asyncio", "echo_asgi"), ("trio", "echo_asgi")],
    ids=lambda pair: "-".join(pair),
)
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    worker, application = request.param
    for package in ("hypercorn", "quart"):
        if importlib.util.find_spec(package) is None:
            absent = pytest.fail if os.environ.get("CI") else pytest.skip
            absent(f"{package} is not installed; see CONTRIBUTING.md")
    process, number = start(worker, application)
    with process:
        yield number
        process.terminate()
        try:
            process.wait(HANGING)
        finally:
            process.kill()


def test_the_worker_runs_on_the_adapter(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANGING)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"wscore.adapters.wsproto"
    connection.close()


@pytest.mark.parametrize("compression", [None, "takeover", "shared", "dedicated"])
async def test_messages_are_echoed_and_the_application_closes(port, compression):
    async with wscore.connect(f"ws://127.0.0.1:{port}/echo", compression=compression, subprotocols=["chat"]) as ws:
        assert ws.subprotocol == "chat"
        for message in MESSAGES:
            await ws.send(message)
            assert await ws.receive() == message
        await ws.send_pieces(["in ", "several ", "frames"])
        assert await ws.receive() == "in several frames"
        assert await ws.ping() >= 0
        await ws.send("enough")
        with pytest.raises(wscore.ConnectionClosed) as ended:
            await ws.receive()
        assert (ended.value.code, ended.value.reason) == (4001, "enough it is")


async def test_another_library_is_served_too(port):
    client = pytest.importorskip("websockets.sync.client")

    def talk() -> tuple[int, str]:
        # With its defaults: it asks for compression.
        with client.connect(f"ws://127.0.0.1:{port}/echo", open_timeout=HANGING) as ws:
            for message in MESSAGES:
                ws.send(message)
                assert ws.recv(HANGING) == message
            ws.send(["frag", "ments"])
            assert ws.recv(HANGING) == "fragments"
            ws.close(1000, "bye")
            return ws.close_code, ws.close_reason

    assert await trio.to_thread.run_sync(talk) == (1000, "bye")


async def test_the_application_may_refuse(port):
    with pytest.raises(wscore.HandshakeError) as refused:
        async with wscore.connect(f"ws://127.0.0.1:{port}/refuse"):
            pass
    assert refused.value.response.status == 403


async def test_what_breaks_the_rules_ends_one_connection_only(port):
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    handshake = wscore.Handshake(wscore.CLIENT, f"ws://127.0.0.1:{port}/echo")
    await stream.send_all(handshake.data_to_send())
    while handshake.receive_data(await stream.receive_some()) is None:
        pass
    await stream.send_all(b"\x81\x01x")  # a client's frame without a mask
    while await stream.receive_some():
        pass
    await stream.aclose()
    async with wscore.connect(f"ws://127.0.0.1:{port}/echo") as ws:
        await ws.send("still there")
        assert await ws.receive() == "still there"
