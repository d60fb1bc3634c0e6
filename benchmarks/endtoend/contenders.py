"""Who is measured: for each server, what starts it, what it can do, and what its documentation calls it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .build import BARE, BuildError, build

__all__ = [
    "AIOHTTP", "ASGI_OURS", "ASGI_WEBSOCKETS", "ASGI_WSPROTO", "ASYNC", "ASYNCIO_CALLBACKS", "ASYNCIO_STREAM", "BARE_C",
    "CONTENDERS", "NODE", "ON_MESSAGE", "PICOWS", "TRIO_WEBSOCKET", "UVICORN", "WEBSOCKETS", "WEBSOCKETS_TRIO",
    "WITHOUT_CODEC", "Contender", "chosen",
]  # fmt: skip

ASYNC = "wscore handler"
ON_MESSAGE = "wscore on_message"
ASYNCIO_CALLBACKS = "wscore asyncio callbacks"
ASYNCIO_STREAM = "wscore asyncio stream"
BARE_C = "bare C"
PICOWS = "picows"
WEBSOCKETS = "websockets uvloop"
WEBSOCKETS_TRIO = "websockets Trio"
AIOHTTP = "aiohttp"
UVICORN = "uvicorn"
ASGI_OURS = "uvicorn adapter"
ASGI_WEBSOCKETS = "uvicorn websockets"
ASGI_WSPROTO = "uvicorn wsproto"
WITHOUT_CODEC = "ASGI without a codec"
TRIO_WEBSOCKET = "trio-websocket"
NODE = "ws (Node)"

HERE = Path(__file__).resolve().parent
NODE_PACKAGES = Path.home() / ".cache" / "wscore" / "node"
PINNED_NODE_PACKAGES = HERE.parents[1] / "tests" / "interop" / "node" / "package.json"

Command = Callable[[str], list[str] | None]


@dataclass(frozen=True)
class Contender:
    """`command` is given the transport that wscore shall use, and says None where something is not installed."""

    name: str
    command: Command
    cannot: frozenset[str] = frozenset()
    """Of "tls", "compress", "keepalive"."""
    areas: tuple[str, ...] = ()
    """Where it takes part; empty: everywhere."""
    is_asgi: bool = False
    """Whether it is one more way to serve an ASGI application."""


def _python(module: str, *packages: str, way: str = "") -> Command:
    def command(_: str) -> list[str] | None:
        if any(find_spec(package) is None for package in packages):
            return None
        return [sys.executable, "-m", f"{__package__}.servers.{module}", *(["--way", way] if way else [])]

    return command


def _uvicorn(way: str, *packages: str) -> Command:
    return _python("of_uvicorn", "uvicorn", "uvloop", "httptools", *packages, way=way)


def _wscore(way: str) -> Command:
    run = _python("of_wscore", "wscore", way=way)
    return lambda transport: [*(run("") or []), "--transport", transport]


def _node(_: str) -> list[str] | None:
    """npm installs Node's ws at first use, in the version and the folder that tests/interop also has."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    wanted = PINNED_NODE_PACKAGES.read_text(encoding="utf-8")
    ready = NODE_PACKAGES / "ready.json"
    if not ready.exists() or json.loads(ready.read_text(encoding="utf-8")) != json.loads(wanted):
        NODE_PACKAGES.mkdir(parents=True, exist_ok=True)
        (NODE_PACKAGES / "package.json").write_text(wanted, encoding="utf-8")
        run = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(run, cwd=NODE_PACKAGES, check=True, timeout=300, capture_output=True)
        ready.write_text(wanted, encoding="utf-8")
    return [node, str(HERE / "servers" / "of_ws.mjs"), str(NODE_PACKAGES)]


def _bare(_: str) -> list[str] | None:
    try:
        return [str(build(BARE))]
    except BuildError:
        return None


CONTENDERS = (
    Contender(ASYNC, _wscore("async")),
    Contender(ON_MESSAGE, _wscore("on_message")),
    Contender(ASYNCIO_CALLBACKS, _python("of_wscore_asyncio", "uvloop", way="callbacks")),
    Contender(ASYNCIO_STREAM, _python("of_wscore_asyncio", "uvloop", way="stream")),
    Contender(BARE_C, _bare, frozenset({"tls", "compress", "keepalive"}), ("echo", "pipelined", "latency", "fan-out")),
    Contender(PICOWS, _python("of_picows", "picows", "uvloop"), frozenset({"compress"})),
    Contender(WEBSOCKETS, _python("of_websockets", "websockets", "uvloop", way="uvloop")),
    Contender(AIOHTTP, _python("of_aiohttp", "aiohttp", "uvloop")),
    Contender(UVICORN, _uvicorn("websockets-sansio", "websockets"), is_asgi=True),
    Contender(ASGI_OURS, _uvicorn("wscore"), areas=("ASGI",), is_asgi=True),
    Contender(ASGI_WEBSOCKETS, _uvicorn("websockets", "websockets"), areas=("ASGI",), is_asgi=True),
    Contender(ASGI_WSPROTO, _uvicorn("wsproto", "wsproto"), areas=("ASGI",), is_asgi=True),
    Contender(WITHOUT_CODEC, _uvicorn("without a codec"), frozenset({"compress"}), ("ASGI",), is_asgi=True),
    Contender(NODE, _node),
    Contender(WEBSOCKETS_TRIO, _python("of_websockets", "websockets", way="trio")),
    Contender(TRIO_WEBSOCKET, _python("of_trio_websocket", "trio_websocket"), frozenset({"compress", "keepalive"})),
)


def chosen(names: str) -> Iterator[Contender]:
    """Those whose name contains one of `names`, which commas separate; all if that is empty."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return (one for one in CONTENDERS if not wanted or any(name in one.name for name in wanted))
