"""`wscore connect` as a person has it at a terminal, and as a script has it in a pipe."""

import os
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
import trio.lowlevel
import trustme

import wscore

from .screen import terminal


async def echo(ws: wscore.WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


class Listener:
    """A handler that keeps what it was sent, and how the connection ended."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.request: wscore.Request | None = None
        self.code: int | None = None
        self.something_came = trio.Event()

    async def __call__(self, ws: wscore.WebSocket) -> None:
        self.request = ws.request
        async for message in ws:
            self.messages.append(message)
            self.something_came.set()
        self.code = ws.close_code


# Pipes and files.


@pytest.mark.parametrize("count", [1, 5000])
async def test_a_pipe_of_lines_to_an_echo_prints_as_many_replies(
    run: Callable[..., Any], serving: Callable[..., Any], count: int
) -> None:
    lines = "".join(f"line {number}\n" for number in range(count))
    async with serving(echo) as url:
        assert await run("connect", url, data=lines.encode()) == (0, lines, "")


async def test_every_line_is_a_message_and_the_end_of_the_input_closes_with_1000(
    run: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    listener = Listener()
    async with serving(listener) as url:
        assert (await run("connect", url, data="one\n\nzwölf\r\nlast".encode()))[0] == 0
    assert listener.messages == ["one", "", "zwölf", "last"]
    assert listener.code == 1000


async def test_replies_that_come_after_the_end_of_the_input_are_waited_for(
    run: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    async def slow(ws: wscore.WebSocket) -> None:
        message = await ws.receive()
        await trio.sleep(0.1)
        await ws.send(message)  # and then it closes

    async with serving(slow) as url:
        assert await run("connect", url, "--wait", 100, data=b"late\n") == (0, "late\n", "")


async def test_the_peer_may_close_while_the_input_is_open(
    running: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    async def greet(ws: wscore.WebSocket) -> None:
        await ws.send("hello")

    async with serving(greet) as url, running("connect", url) as program:
        assert await program.finish() == (0, "hello\n", "")


async def test_a_peer_that_closes_with_an_error_is_status_1_and_its_reason_is_harmless(
    running: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    async def refuse(ws: wscore.WebSocket) -> None:
        await ws.aclose(1008, "no \x1b[2J\n")

    async with serving(refuse) as url, running("connect", url) as program:
        assert await program.finish() == (1, "", "wscore: closed: 1008 no \\x1b[2J\\n\n")


async def test_a_connection_that_is_lost_is_one_sentence_and_status_1(
    running: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    async def vanish(ws: wscore.WebSocket) -> None:
        ws.abort()

    async with serving(vanish) as url, running("connect", url) as program:
        status, output, errors = await program.finish()
        assert (status, output) == (1, "")
        assert errors.startswith("wscore: the connection was lost: 1006")
        assert errors.count("\n") == 1


async def test_case_61_what_the_peer_sends_reaches_the_terminal_harmless(
    running: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    async def attack(ws: wscore.WebSocket) -> None:
        await ws.send("\x1b]0;owned\x07\x1b[31mred\nforged line\r\x9b2J\u202e")
        await ws.send(b"\x1b[2J")
        await ws.send(bytes(1000))

    async with serving(attack) as url, running("connect", url) as program:
        status, output, _ = await program.finish()
    assert status == 0
    text, short, long = output.splitlines()
    assert text == r"\x1b]0;owned\x07\x1b[31mred\nforged line\r\x9b2J\u202e"
    assert short == "binary, 4 bytes: 1b 5b 32 4a"
    assert long == "binary, 1000 bytes: " + "00 " * 64 + "…"


async def test_output_that_cannot_be_shown_in_the_terminals_encoding_is_written_out(
    run: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    async with serving(echo) as url:
        status, output, _ = await run("connect", url, data="ü\n".encode(), env={"PYTHONIOENCODING": "ascii"})
    assert (status, output) == (0, "\\xfc\n")


async def test_input_that_is_not_utf8_is_status_1_and_what_came_before_is_sent(
    run: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    listener = Listener()
    async with serving(listener) as url:
        status, _, errors = await run("connect", url, data=b"good\n\xff\nmore\n")
    assert status == 1
    assert errors == "wscore: standard input is not UTF-8 text; the line that is not was not sent\n"
    assert (listener.messages, listener.code) == (["good"], 1000)


async def test_when_nobody_reads_its_output_any_more_it_ends_quietly(
    running: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    read, write = os.pipe()
    async with serving(echo) as url, running("connect", url, stdout=write) as program:
        os.close(write)
        os.close(read)
        await program.write(b"one\n")
        status = await program.process.wait()
        assert program.process.stderr is not None
        assert (status, await program.process.stderr.receive_some()) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
async def test_output_that_cannot_be_written_is_one_sentence(
    running: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    async with serving(echo) as url, running("connect", url, stdout=full) as program:
        await program.write(b"one\n")
        assert await program.process.wait() == 1
        assert await program.read_line("stderr") == "wscore: cannot write to standard output: No space left on device"
    os.close(full)


# The opening handshake.


async def test_headers_subprotocols_and_compression_are_offered(
    run: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    listener = Listener()
    options = "--header", "X-One: 1", "--header", "X-Two: 2", "--subprotocol", "chat", "--compression", "takeover"
    async with serving(listener, subprotocols=["chat"], compression="takeover") as url:
        assert (await run("connect", url, *options, data=b"x" * 500))[0] == 0
    assert listener.messages == ["x" * 500]
    assert listener.request is not None
    headers = listener.request.headers
    assert (headers.get("X-One"), headers.get("X-Two")) == ("1", "2")
    assert headers.get("Sec-WebSocket-Protocol") == "chat"
    assert "permessage-deflate" in (headers.get("Sec-WebSocket-Extensions") or "")


async def test_a_refusal_shows_status_and_the_beginning_of_the_body_harmless(
    run: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    async def http(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        body = b"no \x1b[2J\n" + b"x" * 1000
        head = b"HTTP/1.1 403 Not \x9b today\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        await stream.send_all(head + body)
        await stream.aclose()

    async with raw_server(http) as url:
        status, output, errors = await run("connect", url)
    assert (status, output) == (1, "")
    assert errors.startswith(r"wscore: the server refused: 403 Not \x9b today: no \x1b[2J\nxxxx")
    assert errors.count("\n") == 1
    assert len(errors) < 700


async def test_an_answer_that_is_no_http_is_one_sentence(run: Callable[..., Any]) -> None:
    async def nonsense(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"SSH-2.0-\x1b[2J\r\n\r\n")
        await stream.aclose()

    async with raw_server(nonsense) as url:
        status, _, errors = await run("connect", url)
    assert status == 1
    assert errors.startswith("wscore: the opening handshake failed: ")
    assert errors.count("\n") == 1
    assert "\x1b" not in errors


@asynccontextmanager
async def raw_server(handler: Callable[[trio.SocketStream], Any]) -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handler, [listener])
        yield f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/"
        nursery.cancel_scope.cancel()


async def test_nobody_there_is_one_sentence_and_status_1(run: Callable[..., Any]) -> None:
    with socket.socket() as bound:  # but not listening
        bound.bind(("127.0.0.1", 0))
        result = await run("connect", f"ws://127.0.0.1:{bound.getsockname()[1]}/")
    assert result == (1, "", "wscore: cannot connect: Connection refused\n")


@pytest.mark.parametrize(
    "url", ["http://localhost/", "localhost", "ws://", "ws://a/#b", "ws://a:99999/", "ws://\x1b[2J/"]
)
async def test_an_address_that_is_none_is_one_sentence_and_status_2(run: Callable[..., Any], url: str) -> None:
    status, _, errors = await run("connect", url)
    assert status == 2
    assert errors.startswith("wscore: ")
    assert errors.count("\n") == 1
    assert "\x1b" not in errors


async def test_a_header_that_would_forge_others_is_refused(
    run: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    async with serving(echo) as url:
        status, _, errors = await run("connect", url, "--header", "A: b\r\nC: d")
    assert status == 2
    assert errors.count("\n") == 1


# TLS.


async def test_certificates_are_checked(
    run: Callable[..., Any], serving: Callable[..., Any], authority: trustme.CA, tmp_path: Path
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    async with serving(echo, ssl_context=context) as url:
        status, output, errors = await run("connect", url, data=b"secret\n")
        assert (status, output) == (1, "")
        assert re.fullmatch("wscore: the server's certificate is not to be trusted: .*\n", errors)
        assert (await run("connect", url, "--ca-file", trusted, data=b"secret\n")) == (0, "secret\n", "")
        assert (await run("connect", url, "--insecure", data=b"secret\n")) == (0, "secret\n", "")


async def test_a_file_of_certificates_that_cannot_be_read_is_one_sentence(run: Callable[..., Any]) -> None:
    status, _, errors = await run("connect", "wss://127.0.0.1:1/", "--ca-file", "/nowhere/ca.pem")
    assert (status, errors) == (
        2,
        "wscore: cannot read the certificates in /nowhere/ca.pem: No such file or directory\n",
    )


# Signals and --ping.


async def test_ping_prints_a_time_each_and_ctrl_c_ends_it_with_1000(
    running: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    listener = Listener()
    async with serving(listener) as url:
        async with running("connect", url, "--ping") as program:
            assert re.fullmatch(r"pong 1: \d+\.\d{3} ms", await program.read_line())
            assert re.fullmatch(r"pong 2: \d+\.\d{3} ms", await program.read_line())
            program.process.send_signal(signal.SIGINT)
            status, _, errors = await program.finish()
        assert status == 0
        time = r"\d+\.\d{3} ms"
        assert re.search(rf"^wscore: \d+ pings: fastest {time}, median {time}, slowest {time}$", errors, re.MULTILINE)
    assert listener.code == 1000


async def test_ping_prints_no_messages_and_ends_when_the_peer_closes(
    running: Callable[..., Any], serving: Callable[..., Any]
) -> None:
    async def chatter(ws: wscore.WebSocket) -> None:
        await ws.send("unasked")
        await ws.ping()
        await trio.sleep(0.1)

    async with serving(chatter) as url, running("connect", url, "--ping") as program:
        status, output, _ = await program.finish()
        assert status == 0
        assert "unasked" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_closes_with_1000_even_when_the_input_is_open(
    running: Callable[..., Any], serving: Callable[..., Any], number: signal.Signals
) -> None:
    listener = Listener()
    async with serving(listener) as url, running("connect", url) as program:
        await program.write(b"first\n")
        await listener.something_came.wait()
        program.process.send_signal(number)
        assert await program.finish() == (0, "", "")
    assert listener.code == 1000


async def test_a_signal_while_connecting_ends_it_at_once(running: Callable[..., Any]) -> None:
    reached = trio.Event()

    async def silent(stream: trio.SocketStream) -> None:
        reached.set()
        await trio.sleep_forever()

    async with raw_server(silent) as url, running("connect", url) as program:
        await reached.wait()
        program.process.send_signal(signal.SIGINT)
        assert (await program.finish())[0] == 130


async def test_a_second_signal_does_not_wait_for_the_peer(running: Callable[..., Any]) -> None:
    connected, closing = trio.Event(), trio.Event()

    async def deaf(stream: trio.SocketStream) -> None:
        handshake = wscore.Handshake(wscore.SERVER)
        while handshake.receive_data(await stream.receive_some()) is None:
            pass
        handshake.answer(wscore.Accept())
        await stream.send_all(handshake.data_to_send())
        await stream.receive_some()
        connected.set()
        await stream.receive_some()  # the Close frame, which it does not answer
        closing.set()
        await trio.sleep_forever()

    async with raw_server(deaf) as url, running("connect", url) as program:
        await program.write(b"hello\n")
        await connected.wait()
        program.process.send_signal(signal.SIGINT)
        await closing.wait()
        program.process.send_signal(signal.SIGINT)
        assert (await program.finish())[0] == 130


# At a terminal.


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
@pytest.mark.parametrize("key", ["\x04", "\x03"])
async def test_at_a_terminal_ctrl_d_and_ctrl_c_close_with_1000(serving: Callable[..., Any], key: str) -> None:
    codes = []

    async def greet(ws: wscore.WebSocket) -> None:
        async for message in ws:
            assert isinstance(message, str)
            await ws.send(f"you said {message} \x1b[2J")
        codes.append(ws.close_code)

    async with serving(greet) as url, terminal("connect", url) as screen:
        await screen.wait_for("connected")
        await screen.type("hello\n")
        await screen.wait_for("you said hello")
        await screen.type(key)
        status, seen = await screen.finish()
    assert status == 0
    assert r"you said hello \x1b[2J" in seen
    assert "closed: 1000" in seen
    assert "\x1b" not in seen
    assert codes == [1000]


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
async def test_at_a_terminal_it_ends_when_the_peer_closes(serving: Callable[..., Any]) -> None:
    async def bye(ws: wscore.WebSocket) -> None:
        await ws.aclose(1001, "going home")

    async with serving(bye) as url, terminal("connect", url) as screen:
        status, seen = await screen.finish()
    assert status == 0
    assert "closed: 1001 going home" in seen
