"""How many may come in at once, and what the others get."""

import errno
import logging
import socket
import ssl
import struct
import subprocess
import sys

import pytest
import trio
import trio.lowlevel
import trio.testing
import trustme

import wscore
from wscore.server.limits import limits_of, wait_for_room
from wscore.session.site.limits import MAX_TURNED_AWAY, default_max_connections
from wscore.transport.linger import linger

from ..raw import Raw, dial, serving, status_of, url_of

resource = pytest.importorskip("resource")


def test_the_default_is_the_limit_of_open_files_less_64() -> None:
    assert default_max_connections() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 64


@pytest.mark.parametrize("name", ["max_connections", "max_handshakes"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError)])
async def test_senseless_limits_are_misuse(name: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        await wscore.serve(wscore.WebSocket.wait_closed, "127.0.0.1", 0, **{name: value})


async def test_there_is_room_again_when_a_handshake_ends_or_a_connection_does() -> None:
    limits = limits_of(1, 2)
    first, second = limits.enter(), limits.enter()
    assert (first.is_above, second.is_above) == (False, True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_room, limits)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        first.opened()
    for _ in range(MAX_TURNED_AWAY - 1):
        limits.enter().opened()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_room, limits)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        second.leave()
    assert limits.handshakes == 0


async def test_servers_of_one_run_share_the_default() -> None:
    one, two, own = limits_of(None, 1), limits_of(None, 1), limits_of(5, 1)
    one.enter()
    assert one._connections is two._connections
    assert own._connections is not one._connections
    assert (two._connections.count, own._connections.count) == (1, 0)


async def test_connections_above_the_limit_get_503_until_one_ends() -> None:
    async with serving(max_connections=2) as server, dial(server) as one, dial(server) as two, dial(server) as three:
        await one.upgrade()
        await two.upgrade()
        assert status_of(await three.rest()) == 503
        assert server.statistics().refusals == {503: 1}
        await two.aclose()
        while len(server.connections) == 2:
            await trio.lowlevel.checkpoint()
        async with dial(server) as four:
            await four.upgrade()


async def test_far_above_the_limit_accepting_pauses() -> None:
    async with serving(max_connections=1) as server, dial(server) as first:
        await first.upgrade()
        # These do not close, so that each refusal takes the time that it may take.
        refused = [Raw(await trio.open_tcp_stream(*server.addresses[0])) for _ in range(MAX_TURNED_AWAY)]
        for raw in refused:
            assert status_of(await raw.head()) == 503
        async with dial(server) as waiting:
            with trio.move_on_after(0.1) as patience:
                await waiting.head()
            assert patience.cancelled_caught
            for raw in refused:
                await raw.aclose()
            assert status_of(await waiting.head()) == 503


async def test_while_too_many_handshakes_are_under_way_accepting_pauses() -> None:
    async with serving(max_handshakes=1) as server, dial(server) as slow, dial(server) as waiting:
        await slow.send(b"GET / HTTP/1.1\r\n")
        await waiting.ask()
        while not server.statistics().handshakes:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert server.statistics().accepted == 0
        await slow.aclose()
        assert status_of(await waiting.head()) == 101
        while server.statistics().handshakes:
            await trio.lowlevel.checkpoint()


@pytest.fixture
def endless_lingering(each_transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was refused, and does not end, is waited for longer than any test takes."""
    monkeypatch.setitem(linger.__kwdefaults__, "timeout", 1000)
    if each_transport == "auto":
        monkeypatch.setattr("wscore.transport.reactor.arrival.LINGER_TIME", 1000)


@pytest.mark.usefixtures("endless_lingering")
async def test_refusals_that_linger_are_no_handshakes_any_more() -> None:
    async with serving(max_handshakes=1) as server, dial(server) as refused, dial(server) as next_one:
        await refused.ask(Sec_WebSocket_Version="1")
        assert status_of(await refused.head()) == 426
        await next_one.upgrade()


@pytest.mark.usefixtures("endless_lingering")
async def test_failures_of_tls_that_linger_are_no_handshakes_any_more() -> None:
    authority = trustme.CA()
    ours, theirs = (ssl.SSLContext(protocol) for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    authority.configure_trust(theirs)
    async with serving(max_handshakes=1, ssl_context=ours) as server, dial(server) as plain:
        await plain.ask()
        async with wscore.connect(url_of(server, scheme="wss"), ssl_context=theirs) as ws:
            await ws.send("x")
            assert await ws.receive() == "x"


OUT_OF_DESCRIPTORS = """
import logging, os, resource, trio, wscore

logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def main():
    async with trio.open_nursery() as nursery:
        server = await nursery.start(wscore.serve, echo, "127.0.0.1", 0)
        host, port = server.addresses[0]
        async with wscore.connect(f"ws://{host}:{port}") as before:
            client = trio.socket.socket()
            taken = []
            try:
                while True:
                    taken.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                pass
            await client.connect((host, port))  # the system accepts it, and the server cannot
            await trio.sleep(0.35)
            await before.send("still here")
            assert await before.receive() == "still here"
            for descriptor in taken:
                os.close(descriptor)
            async with wscore.connect(f"ws://{host}:{port}", stream=trio.SocketStream(client)) as ws:
                await ws.send("and on")
                print(await ws.receive())
        nursery.cancel_scope.cancel()

resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
trio.run(main)
"""


def test_without_descriptors_accepting_pauses_warns_once_and_goes_on() -> None:
    run = subprocess.run([sys.executable, "-c", OUT_OF_DESCRIPTORS], capture_output=True, text=True, timeout=60)
    assert run.stdout == "and on\n", run.stderr
    assert run.stderr.count("WARNING accepting pauses") == 1
    assert "limit of open files" in run.stderr


class Scarce(trio.abc.Listener[trio.abc.Stream]):
    """Has no descriptor for anybody."""

    attempts = 0

    async def accept(self) -> trio.abc.Stream:
        self.attempts += 1
        raise OSError(errno.EMFILE, "Too many open files")

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_shortage_that_lasts_is_told_every_ten_seconds(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Scarce()
    with trio.move_on_after(25):
        await wscore.serve(wscore.WebSocket.wait_closed, listeners=[listener])
    assert listener.attempts == pytest.approx(250, abs=2)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert "Too many open files" in caplog.text


async def test_an_error_after_which_nothing_can_be_accepted_is_raised_as_it_is() -> None:
    class Broken(trio.abc.Listener[trio.abc.Stream]):
        closed = False

        async def accept(self) -> trio.abc.Stream:
            raise OSError("no more")

        async def aclose(self) -> None:
            self.closed = True
            await trio.lowlevel.checkpoint()

    broken, sound = Broken(), (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    with pytest.raises(OSError, match="no more"):
        await wscore.serve(wscore.WebSocket.wait_closed, listeners=[sound, broken])
    assert broken.closed
    assert sound.socket.fileno() == -1


async def test_a_listener_that_somebody_else_closes_ends_its_part(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: wscore.serve(wscore.WebSocket.wait_closed, listeners=listeners))
        await trio.testing.wait_all_tasks_blocked()
        await listeners[0].aclose()
    assert caplog.records == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_who_resets_at_once_is_counted_by_its_address(
    address: str, each_transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []
    (listener,) = await trio.open_tcp_listeners(0, host=address)
    where = listener.socket.getsockname()[:2]
    for _ in range(3):  # before anybody accepts
        with socket.create_connection(where) as sock:
            seen.append(sock.getsockname())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    async with serving(listeners=[listener], connection_rate_per_address=wscore.Rate(0.001, 2)) as server:
        while sum(server.statistics().dropped.values()) + sum(server.statistics().refusals.values()) < 3:
            await trio.lowlevel.checkpoint()
        assert len(server._limits.addresses._buckets) == 1
        async with dial(server) as raw:
            await raw.ask()
            assert status_of(await raw.head()) == 429
