"""The log of `wscore serve`: for people or for machines, and never a secret in it."""

import json
import re
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

import wscore

from .operating import ROOT, operated

SECRET = "s3cr3t-t0k3n"

APP = """
import wscore

def decide(request):
    if request.path == "/broken":
        raise RuntimeError("on purpose")
    return wscore.Refuse(403, "no") if request.path == "/no" else wscore.Accept()

async def handler(ws):
    async for message in ws:
        if message == "fail":
            raise LookupError("on purpose")
"""


@asynccontextmanager
async def started(running: Callable[..., Any], folder: Path, *arguments: object) -> AsyncIterator[tuple[Any, str]]:
    (folder / "app.py").write_text(APP)
    options = ("--port", 0, "--app", "app:handler", *arguments)
    async with running("serve", *options, cwd=folder, env={"PYTHONPATH": str(ROOT)}) as program:
        stream = "stderr" if "json" in arguments else "stdout"
        found = re.search(r"listening on https?(://127\.0\.0\.1:\d+)", await program.read_line(stream))
        assert found
        yield program, f"ws{found[1]}"


@pytest.mark.parametrize("form", ["json", "text"])
async def test_no_secret_of_a_peer_reaches_the_log(running: Callable[..., Any], tmp_path: Path, form: str) -> None:
    arguments = ("--on-request", "app:decide", "--log-level", "debug", "--log-format", form)
    async with started(running, tmp_path, *arguments) as (program, url):
        secrets = [("Authorization", f"Bearer {SECRET}"), ("Cookie", f"session={SECRET}")]
        for path in ("/no", "/broken"):
            with pytest.raises(wscore.HandshakeError):
                async with wscore.connect(f"{url}{path}?token={SECRET}", headers=secrets):
                    pass
        with pytest.raises(wscore.HandshakeError):
            async with wscore.connect(f"{url}/?token={SECRET}", headers=[*secrets, ("Origin", "http://evil.example")]):
                pass
        async with wscore.connect(f"{url}/chat?token={SECRET}", headers=secrets) as ws:
            await ws.send(f"{SECRET}")
            await ws.send("fail")
            with pytest.raises(wscore.ConnectionClosed):
                await ws.receive()
        bad_header, bad_method = f"GET /?{SECRET} HTTP/1.1\r\nbad {SECRET}", f"BREW /?{SECRET} HTTP/1.1"
        for head in (f"{bad_header}\r\n\r\n", f"{bad_method}\r\n\r\n"):
            stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
            await stream.send_all(head.encode())
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 4")
            await stream.aclose()
        program.process.send_signal(signal.SIGTERM)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program._read_rest, "stdout")
            nursery.start_soon(program._read_rest, "stderr")
        log = b"".join(program.read_so_far.values()).decode()
    assert all(path in log for path in ("/no", "/broken", "/chat"))
    assert SECRET not in log


async def test_a_line_is_an_object_and_says_in_fields_what_happened(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    async with operated(running, tmp_path, "--on-request", "app:decide", app=APP) as server:
        with pytest.raises(wscore.HandshakeError):
            async with wscore.connect(f"{server.url}/no?token=x"):
                pass
        refused = await server.event("refused")
        assert {name: refused[name] for name in ("level", "status", "reason", "path", "pid")} == {
            "level": "info",
            "status": 403,
            "reason": "application",
            "path": "/no",
            "pid": server.program.process.pid,
        }
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", refused["time"])
        async with wscore.connect(f"{server.url}/chat") as ws:
            await ws.send("fail")
            failed = await server.event("handler_failed")
        assert (failed["level"], failed["path"]) == ("error", "/chat")
        assert failed["error"] == "LookupError: on purpose"
        assert failed["traceback"].startswith("Traceback (most recent call last):\n")


async def test_every_line_is_an_object_until_the_end(running: Callable[..., Any], tmp_path: Path) -> None:
    async with operated(running, tmp_path, "--workers", 1, "--log-level", "debug") as server:
        await server.pid()
        server.signal(signal.SIGTERM)
        status, output, errors = await server.program.finish()
    assert (status, output) == (0, "")
    assert all(isinstance(json.loads(line), dict) for line in errors.splitlines())


async def test_a_failure_is_an_object_too(run: Callable[..., Any]) -> None:
    status, output, errors = await run("serve", "--host", "256.256.256.256", "--log-format", "json")
    entry = json.loads(errors)
    assert (status, output) == (1, "")
    assert (entry["level"], entry["event"]) == ("critical", "failed")
    assert entry["message"].startswith("cannot listen on 256.256.256.256 port 8000: ")


async def test_less_serious_lines_are_left_out(running: Callable[..., Any], tmp_path: Path) -> None:
    async with started(running, tmp_path, "--on-request", "app:decide", "--log-level", "error") as (program, url):
        with pytest.raises(wscore.HandshakeError):
            async with wscore.connect(f"{url}/no"):
                pass
        async with wscore.connect(url) as ws:
            await ws.send("fail")
            assert " ERROR the handler " in await program.read_line("stderr")


def hello_for(name: bytes) -> bytes:
    """The first bytes of a TLS client that asks for this server."""
    outgoing = ssl.MemoryBIO()
    stand_in = "a" * len(name)
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=stand_in)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read().replace(stand_in.encode(), name)


async def test_a_server_name_that_is_no_ascii_reaches_nothing_but_the_log(
    running: Callable[..., Any], tmp_path: Path, authority: trustme.CA
) -> None:
    chain = tmp_path / "chain.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(chain))
    async with started(running, tmp_path, "--tls-cert", chain, "--log-format", "json") as (program, url):
        for _ in range(3):
            stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
            await stream.send_all(hello_for(b"\xff\x1b[2J\nforged.example"))
            async for _ in stream:
                pass
            await stream.aclose()
        program.process.send_signal(signal.SIGTERM)
        await program._read_rest("stderr")
        events = [json.loads(line)["event"] for line in program.read_so_far["stderr"].splitlines()]
    assert events == ["unraisable", "tls_failed", "draining"]
