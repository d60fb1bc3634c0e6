"""The configurations of nginx and HAProxy in the documentation do what it says of them."""

import csv
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

import wscore

from ..cli.operating import passing
from ..listening import HANGING, free_port, listening
from .proxying import CLIENT, SITE, Certificate, installed, serving, snippet, visiting

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs more than one loopback address")

FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
    "Forwarded": "for=203.0.113.9;host=evil.example",
}
AROUND_NGINX = """
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/chat.conf;
}}
"""


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path)


@asynccontextmanager
async def nginx(folder: Path, certificate: Certificate, upstream: str) -> AsyncIterator[int]:
    program, port = installed("nginx"), free_port()
    replacements = {
        "server 127.0.0.1:8765": f"server {upstream}",
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/letsencrypt/live/chat.example.org/fullchain.pem": certificate.chain,
        "/etc/letsencrypt/live/chat.example.org/privkey.pem": certificate.key,
    }
    (folder / "chat.conf").write_text(snippet("nginx.conf", replacements), encoding="utf-8")
    around = AROUND_NGINX.format(folder=folder, user="user root;" if os.geteuid() == 0 else "")
    (folder / "nginx.conf").write_text(around, encoding="utf-8")
    command = (program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr", "-g", "daemon off;")
    async with listening(port, *command):
        yield port


@asynccontextmanager
async def haproxy(folder: Path, certificate: Certificate, name: str, upstream: int) -> AsyncIterator[int]:
    program, port = installed("haproxy"), free_port()
    replacements = {
        "one 127.0.0.1:8765": f"one 127.0.0.1:{upstream}",
        "bind :443": f"bind 127.0.0.1:{port}",
        "/etc/haproxy/chat.pem": certificate.both,
        "maxconn 100000": "maxconn 1000",
    }
    (folder / "haproxy.cfg").write_text(snippet(name, replacements), encoding="utf-8")
    (folder / "admin.cfg").write_text(f"global\n    stats socket {folder}/admin\n", encoding="utf-8")
    async with listening(port, program, "-db", "-f", str(folder / "haproxy.cfg"), "-f", str(folder / "admin.cfg")):
        yield port


async def check_echo(ws: wscore.WebSocket) -> None:
    for message in ("hello", "", "é" * 20_000, bytes(range(256)) * 100):
        await ws.send(message)
        assert await ws.receive() == message
    await ws.ping()


async def test_nginx_passes_on_messages_and_says_who_the_client_is(tmp_path: Path, certificate: Certificate) -> None:
    async with (
        serving(tmp_path) as upstream,
        nginx(tmp_path, certificate, f"127.0.0.1:{upstream}") as port,
        visiting(port, certificate, **FORGED) as ws,
    ):
        assert json.loads(await ws.receive()) == [CLIENT, "https", f"{SITE}:{port}"]
        await check_echo(ws)
        await ws.aclose(3000)
        assert ws.close_code == 3000


async def test_nginx_reaches_a_socket_of_systemd(tmp_path: Path, certificate: Certificate) -> None:
    path = str(tmp_path / "chat.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        async with (
            serving(tmp_path, "--trusted-proxy", "unix", **passing({"chat": sock})),
            nginx(tmp_path, certificate, f"unix:{path}") as port,
            visiting(port, certificate, **FORGED) as ws,
        ):
            assert json.loads(await ws.receive()) == [CLIENT, "https", f"{SITE}:{port}"]
            await check_echo(ws)


async def test_haproxy_passes_on_messages_and_says_who_the_client_is(tmp_path: Path, certificate: Certificate) -> None:
    async with (
        serving(tmp_path) as upstream,
        haproxy(tmp_path, certificate, "haproxy.cfg", upstream) as port,
        visiting(port, certificate, **FORGED) as ws,
    ):
        assert json.loads(await ws.receive()) == [CLIENT, "https", f"{SITE}:{port}"]
        await check_echo(ws)
        await ws.aclose(3000)
        assert ws.close_code == 3000


async def test_haproxy_says_in_the_proxy_protocol_who_the_client_is(tmp_path: Path, certificate: Certificate) -> None:
    async with (
        serving(tmp_path, "--proxy-protocol") as upstream,
        haproxy(tmp_path, certificate, "haproxy-tcp.cfg", upstream) as port,
        visiting(port, certificate) as ws,
    ):
        address, scheme, host = json.loads(await ws.receive())
        assert (address, scheme, host) == (CLIENT, "https", f"{SITE}:{port}")
        await check_echo(ws)


async def test_a_page_of_another_site_gets_through_no_proxy(tmp_path: Path, certificate: Certificate) -> None:
    async with serving(tmp_path) as upstream, nginx(tmp_path, certificate, f"127.0.0.1:{upstream}") as port:
        with pytest.raises(wscore.HandshakeError, match="403"):
            async with visiting(port, certificate, Origin="https://evil.example"):
                pass


@pytest.mark.parametrize("name", ["haproxy.cfg", "haproxy-tcp.cfg"])
async def test_haproxy_finds_the_server_healthy(tmp_path: Path, certificate: Certificate, name: str) -> None:
    options = ("--proxy-protocol",) if "tcp" in name else ()
    async with serving(tmp_path, *options) as upstream, haproxy(tmp_path, certificate, name, upstream):
        with trio.fail_after(HANGING):
            while (check := await last_check(tmp_path)) in ("", "INI"):  # noqa: ASYNC110
                await trio.sleep(0.1)
        assert check == ("L4OK" if "tcp" in name else "L7OK")


async def last_check(folder: Path) -> str:
    """What came of HAProxy's last health check, by its own statistics; "" as long as it does not give any."""
    try:
        admin = await trio.open_unix_socket(str(folder / "admin"))
    except (FileNotFoundError, ConnectionRefusedError):
        return ""
    async with admin:
        await admin.send_all(b"show stat\n")
        text = "".join([chunk.decode() async for chunk in admin])
    rows = csv.DictReader(text.removeprefix("# ").splitlines())
    return next(row["check_status"].lstrip("* ") for row in rows if row["svname"] == "one")
