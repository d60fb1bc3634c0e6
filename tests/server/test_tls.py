"""What an operator's `ssl_context` says is done, on every transport: versions, names, protocols, clients, sessions."""

import socket
import ssl
from typing import NamedTuple

import pytest
import trio
import trustme

import wscore

from ..raw import UPGRADE, Raw, serving, status_of, url_of

pytestmark = pytest.mark.usefixtures("each_transport")

REQUEST = "\r\n".join(["GET / HTTP/1.1", *map(": ".join, UPGRADE.items()), "", ""]).encode()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def of_server(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority, "localhost", "127.0.0.1")


@pytest.fixture
def of_client(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class Visit(NamedTuple):
    """What a client saw that asked for a WebSocket and left."""

    status: int
    session: ssl.SSLSession | None
    was_resumed: bool | None
    protocol: str | None
    names: set[str]


@pytest.mark.parametrize(
    ("origin", "status"), [("https://localhost", 101), ("wss://localhost", 101), ("http://localhost", 403)]
)
async def test_a_page_that_came_without_tls_is_of_another_host(
    of_server: ssl.SSLContext, of_client: ssl.SSLContext, origin: str, status: int
) -> None:
    """Whoever is on the way could have written it."""
    async with serving(ssl_context=of_server) as server:
        host, port = server.addresses[0][:2]
        stream = await trio.open_tcp_stream(host, port)
        async with trio.SSLStream(stream, of_client, server_hostname="localhost") as encrypted:
            raw = Raw(encrypted)
            await raw.ask(Host=f"localhost:{port}", Origin=f"{origin}:{port}")
            assert status_of(await raw.head()) == status


def visit(
    address: tuple[str, int], context: ssl.SSLContext, name: str = "localhost", session: ssl.SSLSession | None = None
) -> Visit:
    with (
        socket.create_connection(address, timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=name, session=session) as encrypted,
    ):
        encrypted.sendall(REQUEST)
        response = encrypted.recv(1 << 16)
        if not response:
            raise ConnectionAbortedError
        status = status_of(response)
        names = {value for _, value in (encrypted.getpeercert() or {}).get("subjectAltName", ())}
        return Visit(status, encrypted.session, encrypted.session_reused, encrypted.selected_alpn_protocol(), names)


async def visited(server: wscore.Server, *arguments: object) -> Visit:
    return await trio.to_thread.run_sync(visit, server.addresses[0][:2], *arguments)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
async def test_messages_large_and_small_go_both_ways_on_each_version(of_server, of_client, version) -> None:
    of_client.minimum_version = of_client.maximum_version = version
    async with (
        serving(ssl_context=of_server) as server,
        wscore.connect(url_of(server, scheme="wss"), ssl_context=of_client) as ws,
    ):
        for message in ("", "x", "é" * 300_000, b"x" * (1 << 20)):
            await ws.send(message)
            assert await ws.receive() == message


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
async def test_a_session_is_resumed(of_server, of_client, version) -> None:
    of_client.minimum_version = of_client.maximum_version = version
    async with serving(ssl_context=of_server) as server:
        first = await visited(server, of_client)
        assert (first.status, first.was_resumed) == (101, False)
        second = await visited(server, of_client, "localhost", first.session)
        assert (second.status, second.was_resumed) == (101, True)


async def test_http_1_1_is_agreed_on_by_alpn(of_server, of_client) -> None:
    of_server.set_alpn_protocols(["http/1.1"])
    of_client.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(ssl_context=of_server) as server:
        assert (await visited(server, of_client)).protocol == "http/1.1"


async def test_the_name_that_the_client_wants_chooses_the_certificate(authority, of_server, of_client) -> None:
    other = server_context(authority, "other.example")

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name == "other.example":
            connection.context = other

    of_server.sni_callback = choose
    async with serving(ssl_context=of_server) as server:
        assert (await visited(server, of_client, "other.example")).names == {"other.example"}
        assert "localhost" in (await visited(server, of_client, "localhost")).names


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
async def test_clients_may_have_to_show_a_certificate(authority, of_server, of_client, version) -> None:
    of_client.maximum_version = version
    of_server.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(of_server)
    async with serving(ssl_context=of_server) as server:
        with pytest.raises(OSError):  # TLS 1.3 tells a client only after its handshake
            await visited(server, of_client)
        authority.issue_cert("ada@example.org").configure_cert(of_client)
        assert (await visited(server, of_client)).status == 101
        statistics = server.statistics()
        assert (statistics.accepted, statistics.tls_failures) == (1, 1)


async def test_a_context_that_cannot_serve_ends_connections_and_not_the_server(of_client) -> None:
    """It is for clients. The operator reads why in the log."""
    async with serving(ssl_context=of_client) as server:
        for _ in range(2):
            with pytest.raises(OSError):
                await visited(server, of_client)
        statistics = server.statistics()
        assert (statistics.accepted, statistics.handshakes) == (0, 0)
        assert statistics.errors + statistics.tls_failures == 2
