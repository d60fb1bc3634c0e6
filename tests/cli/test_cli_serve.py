"""`wscore serve` as an operator has it: a process that listens, answers, and ends when it is told to."""

import base64
import hashlib
import http.client
import re
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

import wscore

from .operating import passing

LISTENING = re.compile(
    rf"wscore {re.escape(wscore.__version__)} \((native|pure)\) listening on (https?)://127\.0\.0\.1:(\d+)"
)


@asynccontextmanager
async def started(running: Callable[..., Any], *arguments: object, **keywords: Any) -> AsyncIterator[tuple[Any, int]]:
    async with running("serve", "--port", 0, *arguments, **keywords) as program:
        line = await program.read_line()
        match = LISTENING.fullmatch(line)
        assert match, line
        yield program, int(match[3])


async def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    def request() -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    return await trio.to_thread.run_sync(request)


async def test_it_echoes_on_echo(running: Callable[..., Any]) -> None:
    async with started(running) as (_, port), wscore.connect(f"ws://127.0.0.1:{port}/echo") as ws:
        for message in ("text", b"\x00binary\xff", "", b"", "ü€😀"):
            await ws.send(message)
            assert await ws.receive() == message


async def test_the_page_comes_with_a_policy_that_lets_its_own_script_run_and_no_other(
    running: Callable[..., Any],
) -> None:
    async with started(running) as (_, port):
        response, body = await ask(port, "/")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for element in (b"script", b"style"):
        [content] = re.findall(b"<%b>(.*?)</%b>" % (element, element), body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        assert f"{element.decode()}-src 'sha256-{digest}'" in policy


async def test_the_page_needs_nothing_from_elsewhere(running: Callable[..., Any]) -> None:
    async with started(running) as (_, port):
        _, body = await ask(port, "/")
    assert not re.search(rb"https?://|\bsrc=|@import|url\(", body)


async def test_the_health_check_and_what_is_not_there(running: Callable[..., Any]) -> None:
    async with started(running) as (_, port):
        response, body = await ask(port, "/healthz")
        assert (response.status, body) == (200, b"ok\n")
        assert (await ask(port, "/healthz", "HEAD"))[1] == b""
        assert (await ask(port, "/other"))[0].status == 404
        response, _ = await ask(port, "/", "POST")
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        response, _ = await ask(port, "/echo")
        assert (response.status, response.headers["Upgrade"]) == (426, "websocket")
        with pytest.raises(wscore.HandshakeError) as caught:
            await wscore.connect(f"ws://127.0.0.1:{port}/other").__aenter__()
        assert caught.value.response is not None
        assert caught.value.response.status == 404


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_closes_open_connections_with_1001_and_ends_with_status_0(
    running: Callable[..., Any], number: signal.Signals
) -> None:
    async with started(running) as (program, port), wscore.connect(f"ws://127.0.0.1:{port}/echo") as ws:
        await ws.send("before")
        assert await ws.receive() == "before"
        program.process.send_signal(number)
        with pytest.raises(wscore.ConnectionClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.by_peer) == (1001, True)
        status, _, _ = await program.finish()
        assert status == 0


async def test_without_connections_a_signal_ends_it_at_once(running: Callable[..., Any]) -> None:
    async with started(running, "--drain-timeout", 1000) as (program, _):
        program.process.send_signal(signal.SIGTERM)
        assert (await program.finish())[0] == 0


async def silent_client(port: int) -> trio.SocketStream:
    """Shake hands, and then never answer anything, a Close frame neither."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(
        b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some()
    assert head.startswith(b"HTTP/1.1 101 ")
    return stream


async def test_a_second_signal_does_not_wait_for_anybody(running: Callable[..., Any]) -> None:
    async with started(running, "--drain-timeout", 1000, "--close-timeout", 1000) as (program, port):
        stream = await silent_client(port)
        program.process.send_signal(signal.SIGTERM)
        assert (await stream.receive_some()).startswith(b"\x88")
        program.process.send_signal(signal.SIGTERM)
        assert (await program.finish())[0] == 1
        await stream.aclose()


async def test_draining_ends_when_its_time_is_over(running: Callable[..., Any]) -> None:
    async with started(running, "--drain-timeout", 0.2, "--close-timeout", 1000) as (program, port):
        stream = await silent_client(port)
        program.process.send_signal(signal.SIGTERM)
        assert (await program.finish())[0] == 0
        await stream.aclose()


async def test_options_reach_the_server(running: Callable[..., Any]) -> None:
    options = ["--max-message-size", "1k", "--compression", "takeover", "--subprotocol", "two", "--subprotocol", "one"]
    async with started(running, *options) as (_, port):
        url = f"ws://127.0.0.1:{port}/echo"
        async with wscore.connect(url, compression="takeover", subprotocols=["one", "two"]) as ws:
            assert ws.subprotocol in ("one", "two")
            assert ws.response is not None
            assert "permessage-deflate" in (ws.response.headers.get("Sec-WebSocket-Extensions") or "")
            await ws.send("x" * 1024)
            assert await ws.receive() == "x" * 1024
            await ws.send("x" * 1025)
            with pytest.raises(wscore.ConnectionClosed) as caught:
                await ws.receive()
            assert caught.value.code == 1009


async def test_options_come_from_the_environment(running: Callable[..., Any]) -> None:
    env = {"WSCORE_MAX_MESSAGE_SIZE": "10"}
    async with started(running, env=env) as (_, port), wscore.connect(f"ws://127.0.0.1:{port}/echo") as ws:
        await ws.send("x" * 11)
        with pytest.raises(wscore.ConnectionClosed) as caught:
            await ws.receive()
        assert caught.value.code == 1009


async def test_a_foreign_origin_is_refused_and_the_log_shows_it_harmless(running: Callable[..., Any]) -> None:
    async with started(running) as (program, port):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(
            b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Origin: http://evil\x9b31m.example\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" % port
        )
        answer = await stream.receive_some()
        assert re.match(rb"HTTP/1.1 40[03] ", answer)
        await stream.aclose()
        program.process.send_signal(signal.SIGTERM)
        _, _, errors = await program.finish()
        assert "\x9b" not in errors


async def test_an_allowed_origin_may_connect(running: Callable[..., Any]) -> None:
    async with started(running, "--allowed-origin", "http://app.example") as (_, port):
        url = f"ws://127.0.0.1:{port}/echo"
        async with wscore.connect(url, headers=[("Origin", "http://app.example")]) as ws:
            await ws.send("hello")
            assert await ws.receive() == "hello"


def write_certificate(authority: trustme.CA, folder: Path) -> tuple[Path, Path, Path]:
    """Return the files of a certificate chain for 127.0.0.1, of its key, and of both together."""
    certificate = authority.issue_cert("127.0.0.1")
    chain, key, both = folder / "chain.pem", folder / "key.pem", folder / "both.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(key))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(both))
    return chain, key, both


async def test_it_speaks_tls(running: Callable[..., Any], authority: trustme.CA, tmp_path: Path) -> None:
    chain, key, both = write_certificate(authority, tmp_path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    for files in (["--tls-cert", chain, "--tls-key", key], ["--tls-cert", both]):
        async with running("serve", "--port", 0, *files) as program:
            match = LISTENING.fullmatch(await program.read_line())
            assert match
            assert match[2] == "https"
            async with wscore.connect(f"wss://127.0.0.1:{match[3]}/echo", ssl_context=context) as ws:
                await ws.send("secret")
                assert await ws.receive() == "secret"


async def test_a_port_in_use_is_one_sentence_and_status_1(run: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, output, errors = await run("serve", "--port", port)
    assert (status, output) == (1, "")
    assert errors == f"wscore: cannot listen on 127.0.0.1 port {port}: Address already in use\n"


async def test_an_address_that_is_not_ours_is_one_sentence_and_status_1(run: Callable[..., Any]) -> None:
    status, _, errors = await run("serve", "--host", "192.0.2.1")
    assert status == 1
    assert re.fullmatch("wscore: cannot listen on 192.0.2.1 port 8000: .*\n", errors)


async def test_certificates_that_cannot_be_read_are_one_sentence_and_status_2(
    run: Callable[..., Any], authority: trustme.CA, tmp_path: Path
) -> None:
    chain, key, _ = write_certificate(authority, tmp_path)
    other = authority.issue_cert("other.example").private_key_pem
    other.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "nonsense.pem").write_text("nonsense")
    for files in (
        [tmp_path / "missing.pem"],
        [tmp_path / "nonsense.pem"],
        [chain],
        [chain, "--tls-key", tmp_path / "other.pem"],
        [tmp_path, "--tls-key", key],
    ):
        status, output, errors = await run("serve", "--tls-cert", *files)
        assert (status, output) == (2, "")
        assert re.fullmatch("wscore: cannot read the certificate or its key from .*: .*\n", errors)


@pytest.mark.parametrize(
    "option", [("--subprotocol", "a b"), ("--allowed-origin", "nonsense"), ("--allowed-host", "a:b:c")]
)
async def test_an_option_that_the_library_refuses_is_one_sentence_and_status_2(
    run: Callable[..., Any], option: tuple[str, str]
) -> None:
    status, output, errors = await run("serve", "--port", 0, *option)
    assert (status, output) == (2, "")
    assert re.fullmatch("wscore: an option makes no sense: .+\n", errors)


async def test_a_host_that_does_not_exist_is_one_sentence_and_status_1(run: Callable[..., Any]) -> None:
    status, _, errors = await run("serve", "--host", "")
    assert (status, errors.count("\n")) == (2, 1)
    status, _, errors = await run("serve", "--host", "256.256.256.256")
    assert status == 1
    assert re.fullmatch("wscore: cannot listen on 256.256.256.256 port 8000: .+\n", errors)


async def test_a_host_that_can_be_no_name_is_one_sentence_and_status_2(run: Callable[..., Any]) -> None:
    status, _, errors = await run("serve", "--host", f"{'a' * 64}.example")
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith(f"wscore: cannot listen on {'a' * 64}.example port 8000: ")


async def test_what_is_passed_and_does_not_listen_is_one_sentence_and_status_2(running: Callable[..., Any]) -> None:
    pair = dict(zip(("one", "other"), socket.socketpair(), strict=True))
    async with running("serve", **passing(pair)) as program:
        status, output, errors = await program.finish()
    for sock in pair.values():
        sock.close()
    sentence = "wscore: descriptor 3 was passed, but is no socket that listens for streams\n"
    assert (status, output, errors) == (2, "", sentence)


async def test_a_key_without_a_certificate_is_a_wrong_command_line(run: Callable[..., Any]) -> None:
    status, _, errors = await run("serve", "--tls-key", "key.pem")
    assert (status, errors) == (2, "wscore: --tls-key is of no use without --tls-cert\n")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
async def test_it_raises_the_limit_of_open_files() -> None:
    code = (
        "import resource as r; from wscore.cli.descriptors import raise_descriptor_limit as raise_limit;"
        "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (64, hard)); assert raise_limit();"
        "print(r.getrlimit(r.RLIMIT_NOFILE) == (hard, hard))"
    )
    result = await trio.run_process([sys.executable, "-c", code], capture_stdout=True)
    assert result.stdout == b"True\n"
