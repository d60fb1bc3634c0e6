"""The examples of docs/embedding run, each against a peer that is not ours; the one in Cython is built."""

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

import wscore
from wscore import CLIENT, Connection

from ..listening import ends_by_ctrl_c, free_port
from ..wire import BINARY, CLOSE, PING, PONG, TEXT, Frame, decode, from_client
from .pages import DOCS, marked
from .test_programs import started as started_code

EXAMPLES = DOCS / "embedding" / "examples"
CYTHON_EXAMPLE = DOCS / "embedding" / "cython_example"
SERVERS = [
    *("blocking.py", "selectors_server.py", "asyncio_streams.py", "trio_streams.py", "websockets_after.py"),
    "own_loop.py",
]
HANGING = 60
HOME = Path(wscore.__file__).parent.parent
PATHS = {} if HOME.name == "site-packages" else {"PYTHONPATH": str(HOME)}


def needed(module: str) -> None:
    """Skip without a library that is not installed, or fail where all of them are to be there."""
    if importlib.util.find_spec(module) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{module} is not installed")
        pytest.skip(f"{module} is not installed")


@contextmanager
def started(example: str) -> Iterator[int]:
    """Run an example that serves; the port, once it listens."""
    port = free_port()
    command = [sys.executable, "-W", "error", str(EXAMPLES / example), str(port)]
    with subprocess.Popen(command, env={**os.environ, **PATHS}) as process:
        try:
            until = time.monotonic() + HANGING
            while True:
                assert process.poll() is None, "the example has ended"
                assert time.monotonic() < until
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                except OSError:
                    time.sleep(0.02)
                else:
                    break
            yield port
        finally:
            process.kill()


def output_of(example: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / example), *arguments]
    run = subprocess.run(
        command, env={**os.environ, **PATHS}, capture_output=True, text=True, timeout=HANGING, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_every_example_is_in_a_page() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "embedding").glob("*.md"))
    included = {line.split()[1] for line in pages.splitlines() if line.startswith("```{literalinclude}")}
    assert included == {
        *(f"examples/{path.name}" for path in EXAMPLES.glob("*.py")),
        *(f"cython_example/{name}" for name in ("tally.pyx", "setup.py")),
    }


@pytest.mark.parametrize("example", [*SERVERS, "websockets_before.py"])
def test_a_server_answers_a_client_of_websockets(example: str) -> None:
    needed("websockets")
    from websockets.sync.client import connect

    with started(example) as port:
        for _ in range(2):
            with connect(f"ws://127.0.0.1:{port}/", close_timeout=HANGING) as ws:
                for message in ("text", "żółw", b"", b"bytes" * 20_000):
                    ws.send(message)
                    assert ws.recv() == message
                assert ws.ping().wait(HANGING)
            assert ws.close_code == 1000


@pytest.mark.parametrize("example", SERVERS)
def test_a_server_answers_what_came_before_a_close(example: str) -> None:
    with started(example) as port, socket.create_connection(("127.0.0.1", port), timeout=HANGING) as sock:
        sock.sendall(request(port) + from_client(TEXT, b"last") + from_client(CLOSE, b"\x03\xe8"))
        head, _, frames = all_of(sock).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert frames == b"\x81\x04last\x88\x02\x03\xe8"


@pytest.mark.parametrize("example", SERVERS)
def test_a_server_refuses_what_is_no_websocket(example: str) -> None:
    with started(example) as port, socket.create_connection(("127.0.0.1", port), timeout=HANGING) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert all_of(sock).startswith(b"HTTP/1.1 426 ")


def test_a_loop_of_ones_own_answers_whom_it_had_to_wait_for() -> None:
    """A peer that reads only when nothing moves any more: what waited in the queue was forgotten then."""
    frame = from_client(BINARY, bytes(5000))
    with started("own_loop.py") as port, socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(request(port))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        count = 0
        with contextlib.suppress(TimeoutError):
            sock.settimeout(1)
            while True:
                sock.sendall(frame)
                count += 1
        sock.settimeout(HANGING / 6)  # a Ping, after 20 seconds, would get it going again
        left = (count - 1) * (4 + 5000)
        while left > 0:
            data = sock.recv(1 << 16)
            assert data
            left -= len(data)


def request(port: int) -> bytes:
    return wscore.Handshake(CLIENT, f"ws://127.0.0.1:{port}/").data_to_send()


def all_of(sock: socket.socket) -> bytes:
    """What comes until the peer ends."""
    received = b""
    while data := sock.recv(1 << 16):
        received += data
    return received


def test_the_client_is_answered_by_a_server_of_websockets() -> None:
    needed("websockets")
    import threading

    from websockets.sync.server import serve

    with serve(lambda ws: ws.send(ws.recv()), "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever).start()
        port = server.socket.getsockname()[1]
        assert output_of("blocking_client.py", f"ws://127.0.0.1:{port}/", "hello") == "hello\n"
        server.shutdown()


@pytest.mark.parametrize("mark", ["server: asyncio", "server: asyncio callbacks"])
async def test_the_servers_on_asyncio_echo(mark: str) -> None:
    async with started_code(marked("embedding/asyncio.md", mark)) as url, wscore.connect(url) as ws:
        await ws.send("hello")
        assert await ws.receive() == "hello"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to another process")
@pytest.mark.parametrize("mark", ["server: asyncio", "server: asyncio callbacks"])
async def test_the_servers_on_asyncio_end_by_ctrl_c_without_a_traceback_and_say_so_to_their_peers(mark: str) -> None:
    await ends_by_ctrl_c(marked("embedding/asyncio.md", mark))


# HTTP/2

NODE = """
const [port, frames] = [process.argv[1], Buffer.from(process.argv[2], "hex")];
const session = require("http2").connect(`http://127.0.0.1:${port}`);
session.on("remoteSettings", (settings) => {
  if (!settings.enableConnectProtocol) throw new Error("no extended CONNECT");
  const stream = session.request({
    ":method": "CONNECT", ":protocol": "websocket", ":path": "/", ":scheme": "http", ":authority": "localhost",
    "sec-websocket-version": "13",
  });
  let status, received = [];
  stream.on("response", (headers) => { status = headers[":status"]; stream.write(frames); });
  stream.on("data", (data) => received.push(data));
  stream.on("end", () => {
    console.log(JSON.stringify({ status, received: Buffer.concat(received).toString("hex") }));
    stream.end();
    session.close();
  });
});
"""


def test_the_http2_server_answers_a_client_of_nodes() -> None:
    needed("h2")
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI"):
            pytest.fail("Node.js is not installed")
        pytest.skip("Node.js is not installed")
    large = bytes(20_000)  # more than one DATA frame takes
    frames = from_client(TEXT, b"hello") + from_client(PING, b"?") + from_client(BINARY, large)
    frames += from_client(CLOSE, b"\x03\xe8")
    with started("http2_server.py") as port:
        program = [node, "-e", NODE, str(port), frames.hex()]
        run = subprocess.run(program, capture_output=True, text=True, timeout=HANGING, check=False)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["status"] == 200
    answers = {frame.opcode: frame.payload for frame in decode(bytes.fromhex(said["received"]))}
    assert answers == {TEXT: b"hello", PONG: b"?", BINARY: large, CLOSE: b"\x03\xe8"}


def test_the_http2_client_is_answered_by_the_http2_server() -> None:
    needed("h2")
    with started("http2_server.py") as port:
        assert output_of("http2_client.py", "127.0.0.1", str(port), "x" * 100_000) == "x" * 100_000 + "\n"


# Cython


def build(folder: Path) -> ModuleType:
    """Build the example there, and load it."""
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    environment = {**os.environ, **PATHS, "CFLAGS": "-O0"}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    path = folder / ("tally" + sysconfig.get_config_var("EXT_SUFFIX"))
    spec = importlib.util.spec_from_file_location("tally", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tally(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = tmp_path_factory.mktemp("cython_example")
    shutil.copytree(CYTHON_EXAMPLE, folder, dirs_exist_ok=True)
    return build(folder)


@pytest.mark.native
@pytest.mark.compiler
@pytest.mark.slow
def test_the_example_in_cython_counts_words(tally: ModuleType) -> None:
    server, client = tally.Tally(), Connection(CLIENT)
    for message in ("two words", "", "żółw and ants", b"bytes", "x" * 70_000):
        client.send(message)
    client.ping(b"?")
    data = client.data_to_send()
    answers = client.receive_data(b"".join(server.receive(data[at : at + 1000]) for at in range(0, len(data), 1000)))
    assert answers == ["2", "0", "3", "5", "1", wscore.Pong(b"?")]
    assert server.messages == 5
    client.send("fragmented mess")
    client.close()
    assert client.receive_data(server.receive(client.data_to_send())) == ["2", wscore.Close(1000, "", "local")]
    assert (server.closed, server.defect) == (True, None)


@pytest.mark.native
@pytest.mark.compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\x81\x01a", 1002), (from_client(TEXT, b"\xff"), 1007), (from_client(BINARY, bytes(101)), 1009)],
)
def test_the_example_in_cython_keeps_the_rules(tally: ModuleType, data: bytes, code: int) -> None:
    server = tally.Tally(max_message_size=100)
    answer = server.receive(from_client(BINARY, bytes(100)) + data)
    assert decode(answer) == [Frame(TEXT, b"100"), Frame(CLOSE, code.to_bytes(2, "big"))]
    assert server.closed
    assert server.receive(from_client(TEXT, b"more")) == b""
