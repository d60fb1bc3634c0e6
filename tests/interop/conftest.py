"""Other people's WebSocket libraries, each in a process of its own that obeys commands (see peers/wire.py)."""

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import trustme

HERE = Path(__file__).parent
# Seconds until a command is taken for hanging.
HANGING = 100
Message = str | bytes


class Kind(NamedTuple):
    """A library, and what it can do."""

    command: Callable[[], list[str] | None]
    """What starts it; None where it is not installed."""
    compressions: tuple[str, ...] = ()
    """The ways in which it compresses; empty: not at all."""
    sends_fragments: bool = True


def python_peer(script: str, library: str, *arguments: str) -> Callable[[], list[str] | None]:
    def command() -> list[str] | None:
        there = importlib.util.find_spec(library) is not None
        return [sys.executable, str(HERE / "peers" / script), *arguments] if there else None

    return command


def node_peer() -> list[str] | None:
    """Node's ws, which npm installs outside the repository at first use."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    wanted = (HERE / "node" / "package.json").read_text(encoding="utf-8")
    folder = Path.home() / ".cache" / "wscore" / "node"
    ready = folder / "ready.json"
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(wanted, encoding="utf-8")
        run = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(run, cwd=folder, check=True, timeout=300, capture_output=True)
        ready.write_text(wanted, encoding="utf-8")
    return [node, str(HERE / "node" / "peer_ws.js"), str(folder)]


BOTH_COMPRESSIONS = ("takeover", "no takeover")
# Written for wsproto, whose place our adapter takes in that process.
ON_OUR_ADAPTER = "trio-websocket on wscore"
KINDS = {
    "websockets": Kind(python_peer("peer_websockets.py", "websockets", "websockets"), BOTH_COMPRESSIONS),
    "picows.websockets": Kind(python_peer("peer_websockets.py", "picows", "picows.websockets"), ("takeover",)),
    "picows": Kind(python_peer("peer_picows.py", "picows")),
    "aiohttp": Kind(python_peer("peer_aiohttp.py", "aiohttp"), ("takeover",), sends_fragments=False),
    "trio-websocket": Kind(python_peer("peer_trio_websocket.py", "trio_websocket"), sends_fragments=False),
    ON_OUR_ADAPTER: Kind(
        python_peer("peer_trio_websocket.py", "trio_websocket", "wscore.adapters.wsproto"), sends_fragments=False
    ),
    "ws": Kind(node_peer, BOTH_COMPRESSIONS),
}


class Peer:
    """One process, with one connection at a time."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    async def call(self, do: str, **options: Any) -> Any:
        """Let the peer do something, and return what came of it. A peer that does not answer is ended."""
        line = json.dumps({"do": do, **options}, ensure_ascii=False).encode() + b"\n"
        answer: dict[str, Any] = {}
        with trio.move_on_after(HANGING):
            answer = json.loads(await trio.to_thread.run_sync(self._exchange, line, abandon_on_cancel=True) or "{}")
        if "result" not in answer:
            self.end()
            raise AssertionError(f"the peer could not {do}: {answer.get('error', 'no answer')}")
        return answer["result"]

    def _exchange(self, line: bytes) -> bytes:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return self.process.stdout.readline()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        with self.process:
            self.process.kill()

    # What the peer's side of a connection can do

    async def send(self, message: Message) -> None:
        await self.call("send", message=encoded(message))

    async def send_fragments(self, messages: list[Message]) -> None:
        await self.call("send_fragments", messages=[encoded(message) for message in messages])

    async def receive(self) -> Message | tuple[int, str]:
        """The next message, or code and reason once the connection has ended."""
        received = await self.call("receive")
        if "closed" in received:
            return received["closed"], received["reason"]
        return received["text"] if "text" in received else base64.b64decode(received["binary"])

    async def ping(self) -> None:
        await self.call("ping")

    async def close(self, code: int, reason: str) -> None:
        await self.call("close", code=code, reason=reason)


def encoded(message: Message) -> dict[str, str]:
    return {"text": message} if isinstance(message, str) else {"binary": base64.b64encode(message).decode()}


@pytest.fixture(scope="session")
def peer_named() -> Iterator[Callable[[str], Peer]]:
    """Starts a library, unless it runs; skips where it is not installed, unless this is CI."""
    running: dict[str, Peer] = {}

    def start(name: str) -> Peer:
        if name not in running or not running[name].is_alive:
            command = KINDS[name].command()
            if command is None:
                absent = pytest.fail if os.environ.get("CI") else pytest.skip
                absent(f"{name} is not installed; see CONTRIBUTING.md")
            running[name] = Peer(command)
        return running[name]

    yield start
    for peer in running.values():
        peer.end()


@pytest.fixture(params=KINDS)
def peer(request: pytest.FixtureRequest, peer_named: Callable[[str], Peer]) -> Peer:
    """Each library in turn."""
    return peer_named(request.param)


@pytest.fixture(params=[name for name, kind in KINDS.items() if kind.sends_fragments])
def fragmenting_peer(request: pytest.FixtureRequest, peer_named: Callable[[str], Peer]) -> Peer:
    """Each library that can send fragments."""
    return peer_named(request.param)


COMPRESSING = [(name, policy) for name, kind in KINDS.items() for policy in kind.compressions]


@pytest.fixture(params=COMPRESSING, ids=[f"{name}, {policy}" for name, policy in COMPRESSING])
def compressing_peer(request: pytest.FixtureRequest, peer_named: Callable[[str], Peer]) -> tuple[Peer, str]:
    """Each library that compresses, and one of its ways to."""
    name, policy = request.param
    return peer_named(name), policy


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with authority.pem, certificate.pem and key.pem, good for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(folder / "certificate.pem"), append=True)
    return folder
