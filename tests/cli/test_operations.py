"""What an operator does to a running `wscore serve`: new certificates, systemd, a terminal that goes away."""

import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

import wscore

from .conftest import running
from .operating import ROOT, Operated, operated, passing, pid_of, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


class Site:
    """A certificate on disk, replaced as an administrator would; `trust` is for clients."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"
        self.trust = ssl.create_default_context()
        self.authority.configure_trust(self.trust)

    def renew(self, kind: trustme.KeyType = trustme.KeyType.ECDSA) -> bytes:
        """Put a new certificate there; what clients will see of it."""
        issued = self.authority.issue_cert("127.0.0.1", key_type=kind)
        self.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    @property
    def arguments(self) -> tuple[object, ...]:
        return ("--tls-cert", self.chain, "--tls-key", self.key)

    async def shows(self, server: Operated, certificate: bytes) -> bool:
        """Whether it is what new connections get."""
        return await self.seen(server) == certificate

    async def seen(self, server: Operated) -> bytes | None:
        """The certificate that a new connection gets."""
        host, port = server.url.removeprefix("wss://").rsplit(":", 1)
        stream = await trio.open_ssl_over_tcp_stream(host, int(port), ssl_context=self.trust)
        await stream.do_handshake()
        certificate = stream.getpeercert(binary_form=True)
        await trio.aclose_forcefully(stream)
        assert certificate is None or isinstance(certificate, bytes)
        return certificate


@pytest.mark.parametrize("workers", [(), ("--workers", 2)])
async def test_sighup_replaces_the_certificate_and_connections_stay(
    running: Callable[..., Any], tmp_path: Path, workers: tuple[object, ...]
) -> None:
    site = Site(tmp_path)
    first = site.renew(trustme.KeyType.ECDSA)
    async with (
        operated(running, tmp_path, *site.arguments, *workers) as server,
        wscore.connect(server.url, ssl_context=site.trust) as ws,
    ):
        assert await site.seen(server) == first
        pid = await pid_of(ws)
        for kind in (trustme.KeyType.RSA, trustme.KeyType.ECDSA):  # one kind must not stay beside the other
            second = site.renew(kind)
            server.signal(signal.SIGHUP)
            await server.event("reloaded")
            with trio.fail_after(5):
                await until(partial(site.shows, server, second))  # each worker reads it by itself
        assert await pid_of(ws) == pid


@pytest.mark.parametrize("workers", [(), ("--workers", 1)])
async def test_a_broken_certificate_is_logged_and_the_old_one_stays(
    running: Callable[..., Any], tmp_path: Path, workers: tuple[object, ...]
) -> None:
    site = Site(tmp_path)
    first = site.renew()
    async with operated(running, tmp_path, *site.arguments, *workers) as server:
        good_key = site.key.read_bytes()
        for break_it in (
            lambda: site.chain.write_text("nonsense"),
            site.chain.unlink,
            lambda: (site.renew(), site.key.write_bytes(good_key)),  # a certificate whose key is another
        ):
            break_it()
            server.signal(signal.SIGHUP)
            failed = await server.event("reload_failed")
            assert failed["level"] == "error"
            assert failed["message"].endswith("; the old one stays")
            assert await site.seen(server) == first
        second = site.renew()
        server.signal(signal.SIGHUP)
        await server.event("reloaded")
        with trio.fail_after(5):
            await until(partial(site.shows, server, second))


async def test_a_worker_that_is_started_later_has_the_new_certificate(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    site = Site(tmp_path)
    site.renew()
    async with operated(running, tmp_path, *site.arguments, "--workers", 1) as server:
        second = site.renew()
        server.signal(signal.SIGHUP)
        await server.event("reloaded")
        async with wscore.connect(server.url, ssl_context=site.trust) as ws:
            os.kill(await pid_of(ws), signal.SIGKILL)
        await server.event("worker_ready")
        assert await site.seen(server) == second


async def test_sessions_are_resumed_after_a_reload_and_by_other_workers(
    running: Callable[..., Any], tmp_path: Path
) -> None:
    site = Site(tmp_path)
    site.renew()
    async with operated(running, tmp_path, *site.arguments, "--workers", 1) as server:
        port = int(server.url.rpartition(":")[2])

        def shake_hands(session: ssl.SSLSession | None) -> tuple[bool | None, ssl.SSLSession | None]:
            with (
                socket.create_connection(("127.0.0.1", port)) as sock,
                site.trust.wrap_socket(sock, server_hostname="127.0.0.1", session=session) as tls,
            ):
                tls.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                while tls.recv(4096):  # tickets come with the answer
                    pass
                return tls.session_reused, tls.session

        _, session = await trio.to_thread.run_sync(shake_hands, None)
        async with wscore.connect(server.url, ssl_context=site.trust) as ws:
            victim = await pid_of(ws)
            server.signal(signal.SIGHUP)
            await server.event("reloaded")
            os.kill(victim, signal.SIGKILL)
        await server.event("worker_ready")
        resumed, _ = await trio.to_thread.run_sync(shake_hands, session)
        assert resumed


async def test_a_key_with_a_password_is_refused_instead_of_asked_for(run: Callable[..., Any], tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s

    site = Site(tmp_path)
    site.renew()
    key = s.load_pem_private_key(site.key.read_bytes(), None)
    encrypted = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"password"))
    site.key.write_bytes(encrypted)
    status, _, errors = await run("serve", "--port", 0, *site.arguments)
    assert status == 2
    assert errors.endswith("the key is encrypted; store it without a password\n")


@pytest.mark.parametrize("workers", [(), ("--workers", 1)])
async def test_without_a_certificate_sighup_changes_nothing(
    running: Callable[..., Any], tmp_path: Path, workers: tuple[object, ...]
) -> None:
    async with operated(running, tmp_path, *workers) as server, wscore.connect(server.url) as ws:
        server.signal(signal.SIGHUP)
        assert "nothing to reload" in (await server.event("reload"))["message"]
        await ws.send("still there")
        assert await ws.receive() == "still there"


# systemd


@asynccontextmanager
async def service_manager(folder: Path) -> AsyncIterator[tuple[str, trio.socket.SocketType]]:
    """Where it listens for news, and the socket."""
    path = str(folder / "notify")
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        await sock.bind(path)
        yield path, sock


@pytest.mark.parametrize("workers", [(), ("--workers", 2)])
async def test_the_service_manager_hears_of_readiness_reload_and_end(
    running: Callable[..., Any], tmp_path: Path, workers: tuple[object, ...]
) -> None:
    async with service_manager(tmp_path) as (path, news):
        async with operated(running, tmp_path, *workers, env={"NOTIFY_SOCKET": path}) as server:
            assert (await news.recv(4096)).startswith(b"READY=1\nSTATUS=listening on http://127.0.0.1:")
            server.signal(signal.SIGHUP)
            assert (await news.recv(4096)).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert (await news.recv(4096)).startswith(b"READY=1\n")
            server.signal(signal.SIGTERM)
            assert (await news.recv(4096)).startswith(b"STOPPING=1\n")
            assert (await server.program.finish())[0] == 0
        with trio.move_on_after(0) as nothing_more:
            await news.recv(4096)
        assert nothing_more.cancelled_caught


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
async def test_the_service_manager_may_have_an_abstract_name(running: Callable[..., Any], tmp_path: Path) -> None:
    name = f"wscore-test-{os.getpid()}"
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as news:
        await news.bind(f"\0{name}")
        async with operated(running, tmp_path, env={"NOTIFY_SOCKET": f"@{name}"}):
            assert (await news.recv(4096)).startswith(b"READY=1\n")


@pytest.mark.parametrize("place", ["/nowhere/at/all", "vsock:2:1", ""])
async def test_a_service_manager_out_of_reach_is_no_error(
    running: Callable[..., Any], tmp_path: Path, place: str
) -> None:
    async with operated(running, tmp_path, env={"NOTIFY_SOCKET": place}) as server:
        await server.pid()


def activated(
    sockets: dict[str, socket.socket], folder: Path, *arguments: object
) -> AbstractAsyncContextManager[Operated]:
    """Serve on these sockets, by name."""
    return operated(running, folder, *arguments, **passing(sockets))


@pytest.mark.parametrize("workers", [(), ("--workers", 2)])
async def test_sockets_of_systemd_are_served_by_their_names(tmp_path: Path, workers: tuple[object, ...]) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
        socket.create_server(("127.0.0.1", 0)) as for_metrics,
    ):
        passed = {"one": first, "metrics": for_metrics, "two": second}
        async with activated(passed, tmp_path, *workers) as server:
            addresses = [f"ws://127.0.0.1:{sock.getsockname()[1]}" for sock in (first, second)]
            assert server.url == " ".join(addresses)
            assert server.metrics == f"http://127.0.0.1:{for_metrics.getsockname()[1]}/metrics"
            for address in addresses:
                async with wscore.connect(address) as ws:
                    await ws.send("hello")
                    assert await ws.receive() == "hello"
            assert (await server.scrape())["wscore_messages_sent_total"] == 2
            server.signal(signal.SIGTERM)
            assert (await server.program.finish())[0] == 0
        # They are systemd's: what comes from now on waits for the next start.
        async with activated({"one": first}, tmp_path) as server, wscore.connect(addresses[0]) as ws:
            await ws.send("again")
            assert await ws.receive() == "again"


async def test_a_unix_socket_of_systemd_is_served(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        async with activated({"one": listening}, tmp_path):
            stream = await trio.open_unix_socket(path)
            async with wscore.connect("ws://localhost/", stream=stream) as ws:
                await ws.send("hello")
                assert await ws.receive() == "hello"


# The terminal

TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
async def test_when_its_terminal_is_closed_it_ends_properly(tmp_path: Path, workers: tuple[str, ...]) -> None:
    from .conftest import COMMAND, Program, environment

    (tmp_path / "app.py").write_text("async def handler(ws):\n    await ws.wait_closed()\n")
    ours, theirs = os.openpty()
    options = ("serve", "--port", "0", "--app", "app:handler", "--log-format", "json", *workers)
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", TERMINAL, *COMMAND, *options],
        env=environment({"PYTHONPATH": str(ROOT)}),
        cwd=tmp_path,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    try:
        server = Operated(Program(process))
        url = (await server.event("listening"))["addresses"].replace("http", "ws")
        async with wscore.connect(url) as ws:
            server.signal(signal.SIGHUP)  # the terminal is still there: this is a reload
            await server.event("reload")
            os.close(ours)
            with pytest.raises(wscore.ConnectionClosed) as caught:
                await ws.receive()
            assert caught.value.code == 1001
        assert (await server.program.finish())[0] == 0
    finally:
        process.kill()
        await process.wait()
