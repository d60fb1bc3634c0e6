"""The opening handshake on either side: who may connect, how long it takes, and what is said to the others."""

import asyncio
import logging
import socket
import ssl

import pytest

from wscore import Accept, HandshakeError, Refuse

from ...clocks import pass_time
from ...listening import listens_on
from .peers import Raw, answer_upgrade, echo, echo_at_once, tls_contexts, until


async def test_what_was_agreed_is_known_on_both_sides(aio):
    known = []
    options = {"subprotocols": ["chat", "other"], "on_request": lambda request: Accept(user="ada")}
    async with (
        aio.serving(on_open=known.append, on_message=echo_at_once, **options) as server,
        aio.connect(server, "/room?x=1", subprotocols=["other"], headers={"X-Token": "t"}) as ws,
    ):
        await until(lambda: known)
        assert ws.subprotocol == known[0].subprotocol == "other"
        assert (known[0].user, known[0].request.target) == ("ada", "/room?x=1")
        assert known[0].request.headers.get("x-token") == "t"
        assert (ws.response.status, ws.request, known[0].response) == (101, None, None)
        assert known[0].remote_address == ws.local_address
        assert known[0].local_address == ws.remote_address


async def test_a_request_is_made_when_somebody_asks_for_it(aio, monkeypatch):
    made = []
    for module in ("wscore.protocol.handshake", "wscore.session.opening.facts"):
        monkeypatch.setattr(f"{module}.Request", lambda *_: made.append("a request"))
    async with aio.serving() as server, aio.dialled(server) as raw:
        await raw.upgrade()
        (ws,) = server.connections
        assert made == []
        monkeypatch.undo()
        assert ws.request.client == (ws.remote_address, "http", None)
        assert ws.request is ws.request


async def test_a_request_may_come_in_pieces(aio):
    async with aio.serving() as server, aio.dialled(server) as raw:
        raw.send(b"GET / HTTP/1.1\r\nHost: local")
        await asyncio.sleep(0.005)
        raw.send(b"host\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n")
        raw.send(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert await raw.status() == 101


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Upgrade": None}, 426),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"line": "POST / HTTP/1.1"}, 405),
        ({"line": "nonsense"}, 400),
        ({"X": "x" * 3000}, 431),
        ({"line": f"GET /{'x' * 3000} HTTP/1.1"}, 414),
    ],
)
async def test_what_is_no_good_request_gets_a_status_and_the_end(aio, changes, status):
    async with aio.serving(max_head_size=2000) as server, aio.dialled(server) as raw:
        raw.ask(**changes)
        assert await raw.status() == status
        await raw.rest()
        assert not server.connections


@pytest.mark.parametrize(("count", "status"), [(5, 101), (6, 431)])
async def test_the_number_of_headers_is_limited(aio, count, status):
    async with aio.serving(max_headers=count) as server, aio.dialled(server) as raw:
        extra = {f"X{number}": "x" for number in range(count - 5)}
        if status == 431:
            extra |= {"Y": "y"}
        raw.ask(**extra)
        assert await raw.status() == status


async def test_half_a_request_gets_408_in_time(aio):
    async with aio.serving(handshake_timeout=0.1) as server, aio.dialled(server) as raw:
        raw.send(b"GET / HTTP/1.1\r\n")
        assert await raw.status() == 408
        await raw.rest()


async def test_half_a_request_and_the_end_gets_400(aio):
    async with aio.serving() as server, aio.dialled(server) as raw:
        raw.send(b"GET / HTTP/1.1\r\n")
        raw.writer.write_eof()
        assert await raw.status() == 400


async def test_an_open_connection_is_not_bound_by_the_handshakes_deadline(clocked):
    async with clocked.serving(handshake_timeout=2) as server, clocked.connect(server) as ws:
        await pass_time(6)
        await ws.send("still there")
        assert await ws.receive() == "still there"


async def refuse_later(request):
    await asyncio.sleep(0.005)
    return Refuse(403, "not you")


def fail(request):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("on_request", "status"),
    [
        (lambda request: Refuse(418, "no"), 418),
        (refuse_later, 403),
        (fail, 500),
        (lambda request: Accept(subprotocol="not offered"), 500),
    ],
)
async def test_the_application_may_refuse(aio, on_request, status, caplog):
    with caplog.at_level(logging.CRITICAL, "wscore"):
        async with aio.serving(on_request=on_request) as server:
            with pytest.raises(HandshakeError) as refused:
                async with aio.connect(server):
                    pass
    assert refused.value.response.status == status


async def test_the_application_may_accept_later_and_what_came_meanwhile_is_kept(aio):
    async def on_request(request):
        await asyncio.sleep(0.005)
        return Accept(headers={"X-Later": "yes"})

    async with aio.serving(on_request=on_request) as server, aio.dialled(server) as raw:
        raw.ask()
        raw.send(b"\x81\x85\0\0\0\0early")
        assert b"X-Later: yes" in await raw.head()
        assert (await raw.frame()).payload == b"early"


async def test_what_comes_meanwhile_is_kept_however_it_is_cut(aio):
    may_decide = asyncio.Event()

    async def on_request(request):
        await may_decide.wait()
        return Accept()

    async with aio.serving(on_request=on_request) as server, aio.dialled(server) as raw:
        raw.ask(rest=b"\x81")
        for byte in b"\x85\0\0\0\0early\x81\x84\0\0\0\0late":
            raw.send(bytes([byte]))
            await asyncio.sleep(0.001)
        may_decide.set()
        await raw.head()
        assert [(await raw.frame()).payload for _ in range(2)] == [b"early", b"late"]


async def until_let_in(aio, server, path):
    """Connect, again and again while there is no room."""
    while True:
        try:
            async with aio.connect(server, path):
                return
        except HandshakeError as refused:
            if refused.response.status != 503:
                raise


@pytest.mark.parametrize("leave", ["ends", "resets"])
async def test_a_peer_that_goes_while_the_application_thinks_gives_its_place_back(aio, leave):
    asked, interrupted = [], []

    async def on_request(request):
        if request.path == "/welcome":
            return Accept()
        asked.append(request.path)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            interrupted.append(request.path)
            raise

    async with aio.serving(on_request=on_request, max_connections=1) as server, aio.dialled(server) as raw:
        raw.ask("GET /gone HTTP/1.1")
        await until(lambda: asked)
        if leave == "ends":
            raw.writer.write_eof()
            assert await raw.rest() == b""
        else:
            raw.abort()
        await until(lambda: interrupted == ["/gone"])
        await until_let_in(aio, server, "/welcome")


async def test_an_application_that_takes_too_long_is_answered_for(aio):
    async def on_request(request):
        await asyncio.Event().wait()

    async with aio.serving(on_request=on_request, handshake_timeout=0.3) as server, aio.dialled(server) as raw:
        raw.ask()
        assert await raw.status() == 503


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Origin": "http://localhost"}, 101),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:81"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://app.example"}, 101),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "served.example"}, 101),
    ],
)
@pytest.mark.parametrize("by", ["serve", "create_server"])
async def test_other_pages_and_names_are_refused_by_default(aio, changes, status, by, caplog):
    options = {"allowed_origins": ["https://app.example"], "allowed_hosts": ["served.example"]}
    with caplog.at_level(logging.CRITICAL, "wscore"):
        if by == "serve":
            async with aio.serving(**options) as server, aio.dialled(server) as raw:
                raw.ask(**changes)
                assert await raw.status() == status
            return
        server = aio.Server(on_message=echo_at_once, **options)
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        raw = Raw(*await asyncio.open_connection(*listening.sockets[0].getsockname()))
        raw.ask(**changes)
        assert await raw.status() == status
        listening.close()
        raw.abort()
        await server.aclose()


@pytest.mark.parametrize("host", [None, ["127.0.0.1", "127.0.0.2"], "127.0.0.1"])
async def test_port_0_is_one_port_on_all_addresses(aio, host):
    if not (listens_on("::1") and listens_on("127.0.0.2")):
        pytest.skip("there is one loopback address alone")
    async with aio.serving(host=host) as server:
        assert len(server.addresses) == (1 if isinstance(host, str) else 2)
        (port,) = {port for _, port, *_ in server.addresses}
        assert port


async def test_another_port_is_chosen_where_one_is_taken(aio, monkeypatch):
    ports = []
    module = aio.names.serve.__globals__["listen"].__globals__
    find = module["_free_port"]
    if not listens_on("127.0.0.2"):
        pytest.skip("there is one loopback address alone")
    with socket.create_server(("127.0.0.2", 0)) as taken:

        async def free_port(host):
            ports.append(await find(host) if ports else taken.getsockname()[1])
            return ports[-1]

        monkeypatch.setitem(module, "_free_port", free_port)
        async with aio.serving(host=["127.0.0.1", "127.0.0.2"]) as server:
            assert {port for _, port, *_ in server.addresses} == set(ports[1:])
    assert len(ports) == 2


async def test_a_port_that_is_taken_is_an_error(aio):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await aio.names.serve(echo, "127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("by", ["serve", "create_server"])
@pytest.mark.parametrize("host", ["127.0.0.2", "127.0.1.1", "::1"])
async def test_a_server_on_any_loopback_address_serves_that_name(aio, host, by):
    if not listens_on(host):
        pytest.skip(f"nobody can listen on {host} here")
    loop = asyncio.get_running_loop()
    server = aio.Server(on_message=echo_at_once)
    if by == "serve":
        server = await aio.names.serve(echo, host, 0)
        port = server.addresses[0][1]
    else:
        accepting = await loop.create_server(server, host, 0)
        port = accepting.sockets[0].getsockname()[1]
    for name, status in ((host, 101), ("localhost", 101), ("127.0.0.3", 403), ("evil.example", 403)):
        raw = Raw(*await asyncio.open_connection(host, port))
        raw.ask(Host=f"[{name}]:{port}" if ":" in name else f"{name}:{port}")
        assert await raw.status() == status
        raw.abort()
    if by == "create_server":
        accepting.close()
    await server.aclose()


@pytest.mark.parametrize(
    ("origin", "status"), [("https://localhost", 101), ("wss://localhost", 101), ("http://localhost", 403)]
)
async def test_a_page_that_came_without_tls_is_of_another_host(aio, origin, status):
    of_server, of_client = tls_contexts()
    options = {"ssl": of_client, "server_hostname": "localhost"}
    async with aio.serving(ssl=of_server) as server, aio.dialled(server, **options) as raw:
        port = server.addresses[0][1]
        raw.ask(Host=f"localhost:{port}", Origin=f"{origin}:{port}")
        assert await raw.status() == status


async def test_requests_know_who_has_sent_them(aio):
    asked = []

    def on_request(request):
        asked.append(request.client)
        return Accept()

    of_server, of_client = tls_contexts()
    async with aio.serving(ssl=of_server, on_request=on_request) as server, aio.connect(server, ssl=of_client) as ws:
        assert (asked[0].address, asked[0].scheme, asked[0].host) == (ws.local_address, "https", None)
    async with aio.serving(on_request=on_request) as server, aio.connect(server) as ws:
        assert (asked[1].address, asked[1].scheme, asked[1].host) == (ws.local_address, "http", None)


async def test_the_dot_of_the_root_is_for_looking_up_the_name_alone(aio):
    """RFC 6066 section 3: the server name has none, and so no certificate."""
    of_server, of_client = tls_contexts()
    names, hosts = [], []
    of_server.sni_callback = lambda _, name, __: names.append(name)

    def on_request(request):
        hosts.append(request.headers.get("host"))
        return Accept()

    async with aio.serving(ssl=of_server, on_request=on_request) as server:
        host, port = server.addresses[0]
        sock = socket.create_connection((host, port))
        sock.setblocking(False)
        async with aio.names.connect(f"wss://localhost.:{port}/", sock=sock, ssl=of_client):
            assert (names, hosts) == (["localhost"], [f"localhost:{port}"])


async def test_above_max_connections_peers_get_503(aio):
    async with aio.serving(max_connections=2) as server, aio.connect(server) as one, aio.connect(server):
        with pytest.raises(HandshakeError) as refused:
            async with aio.connect(server):
                pass
        assert refused.value.response.status == 503
        await one.aclose()
        await until(lambda: len(server.connections) < 2)
        async with aio.connect(server):
            pass


async def test_far_above_the_limits_peers_are_cut_off(aio):
    async with aio.serving(max_handshakes=1) as server, aio.dialled(server) as raw:
        others = [Raw(*await asyncio.open_connection(*server.addresses[0])) for _ in range(32)]
        await until(lambda: server.statistics().handshakes == 33)
        async with aio.dialled(server) as late:
            assert await late.rest() == b""
        others[0].ask()
        assert await others[0].status() == 503
        await raw.upgrade()
        for other in others:
            other.abort()


async def test_above_max_handshakes_peers_get_503(aio):
    async with aio.serving(max_handshakes=1) as server, aio.dialled(server) as slow:
        slow.send(b"GET / HTTP/1.1\r\n")
        await until(lambda: server.statistics().handshakes == 1)
        async with aio.dialled(server) as late:
            late.ask()
            assert await late.status() == 503
        slow.send(b"\r\n")
        assert await slow.status() == 400
        slow.abort()
        await until(lambda: server.statistics().handshakes == 0)
        async with aio.connect(server):
            pass


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_message_size": 0}, ValueError),
        ({"ping_interval": "20"}, TypeError),
        ({"max_connections": 0}, ValueError),
        ({"compression": "gzip"}, ValueError),
        ({"slow_consumer": "kick"}, ValueError),
        ({"compression_threshold": -1}, ValueError),
        ({"on_message": echo_at_once}, ValueError),
        ({"no_such_option": 1}, TypeError),
        ({"allowed_hosts": ["*.example"]}, ValueError),
    ],
)
async def test_senseless_options_are_refused_at_once(aio, options, error):
    async def handler(ws):
        pass

    with pytest.raises(error):
        aio.Server(handler, **options)
    if set(options) <= {"max_message_size", "ping_interval", "compression", "no_such_option"}:
        with pytest.raises(error):
            async with aio.names.connect("ws://localhost/", **options):
                pass


async def test_a_server_without_anybody_to_read_is_refused(aio):
    with pytest.raises(ValueError, match="nobody would read"):
        aio.Server()


# Clients


async def test_a_refusal_is_an_error_with_the_response(aio):
    async def talk(raw):
        await raw.head()
        raw.send(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 4\r\n\r\nbody")
        await raw.rest()

    async with aio.raw_server(talk) as url:
        with pytest.raises(HandshakeError) as refused:
            async with aio.names.connect(url):
                pass
    assert (refused.value.response.status, refused.value.response.body) == (302, b"body")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 500 Oops\r\n\r\nuntil the end", HandshakeError),
        (b"", HandshakeError),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", HandshakeError),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", HandshakeError),
    ],
)
async def test_an_answer_that_opens_nothing_is_an_error(aio, answer, error):
    async def talk(raw):
        await raw.head()
        raw.send(answer)

    async with aio.raw_server(talk) as url:
        with pytest.raises(error):
            async with aio.names.connect(url):
                pass


async def test_a_server_that_breaks_off_is_an_os_error(aio):
    async def talk(raw):
        await raw.head()
        sock = raw.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raw.writer.transport.abort()

    async with aio.raw_server(talk) as url:
        with pytest.raises((OSError, HandshakeError)):
            async with aio.names.connect(url):
                pass


async def test_a_server_that_does_not_answer_is_a_timeout(aio):
    async def talk(raw):
        await raw.rest()

    async with aio.raw_server(talk) as url:
        with pytest.raises(TimeoutError):
            async with aio.names.connect(url, handshake_timeout=0.1):
                pass


async def test_a_server_that_refuses_and_never_ends_is_known_to_have_refused(aio):
    async def talk(raw):
        await raw.head()
        raw.send(b"HTTP/1.1 503 Later\r\nContent-Length: 100\r\n\r\nhalf")
        await raw.rest()

    async with aio.raw_server(talk) as url:
        with pytest.raises(HandshakeError) as refused:
            async with aio.names.connect(url, handshake_timeout=0.1):
                pass
    assert refused.value.response.status == 503


async def test_nobody_listening_is_an_os_error(aio):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(OSError):
        async with aio.names.connect(f"ws://127.0.0.1:{port}/"):
            pass


async def test_a_tls_context_for_ws_is_misuse(aio):
    with pytest.raises(ValueError, match="wss"):
        async with aio.names.connect("ws://localhost/", ssl=ssl.create_default_context()):
            pass


async def test_an_untrusted_certificate_is_an_ssl_error(aio):
    of_server, _ = tls_contexts()
    async with aio.serving(ssl=of_server) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            async with aio.connect(server, ssl=ssl.create_default_context()):
                pass


async def test_a_connected_socket_may_be_brought_along(aio):
    async def talk(raw):
        await answer_upgrade(raw, rest=b"\x81\x02hi")
        await raw.rest()

    async with aio.raw_server(talk) as url:
        port = int(url.rsplit(":", 1)[1].strip("/"))
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(False)
        async with aio.names.connect("ws://elsewhere.example/", sock=sock) as ws:
            assert await ws.receive() == "hi"
            ws.abort()
