"""Too many connections: of one address, or too fast."""

import pytest
import trio
import trio.testing

import wscore
from wscore.session.rates import Rate
from wscore.session.site.limits import MAX_TURNED_AWAY

from ..raw import Raw, dial, echo, serving, status_of
from ..wire import CLOSE, TEXT

pytestmark = pytest.mark.usefixtures("each_transport")

SELDOM = wscore.Rate(0.001, 2)  # two at once, and another one in a quarter of an hour


async def from_address(server: wscore.Server, host: str) -> Raw:
    """A connection of another address of the loopback interface."""
    ours = trio.socket.socket()
    await ours.bind((host, 0))
    await ours.connect(server.addresses[0])
    return Raw(trio.SocketStream(ours))


def retry_after(response: bytes) -> int:
    return int(response.split(b"\r\nRetry-After: ")[1].split(b"\r\n")[0])


async def test_an_address_has_at_most_so_many_connections_until_one_ends() -> None:
    async with serving(max_connections_per_address=2) as server, dial(server) as one, dial(server) as two:
        await one.upgrade()
        await two.upgrade()
        async with dial(server) as three:
            response = await three.rest()
            assert (status_of(response), retry_after(response)) == (429, 10)
        other = await from_address(server, "127.0.0.2")
        await other.upgrade()
        await other.aclose()
        statistics = server.statistics()
        assert (statistics.refusals, statistics.reasons) == ({429: 1}, {"address_connections": 1})
        await two.aclose()
        while len(server.connections) != 1:
            await trio.lowlevel.checkpoint()
        async with dial(server) as four:
            await four.upgrade()


async def test_connections_that_are_no_websocket_yet_count_too() -> None:
    async with serving(max_connections_per_address=1) as server, dial(server) as slow:
        await slow.send(b"GET ")
        while not server.statistics().handshakes:
            await trio.lowlevel.checkpoint()
        async with dial(server) as refused:
            assert status_of(await refused.rest()) == 429


async def test_an_address_opens_no_more_in_a_second_than_its_rate() -> None:
    async with serving(connection_rate_per_address=SELDOM) as server:
        for _ in range(2):
            async with dial(server) as raw:
                await raw.upgrade()
        async with dial(server) as raw:
            response = await raw.rest()
        assert status_of(response) == 429
        assert 900 < retry_after(response) <= 1000
        assert server.statistics().reasons == {"address_rate": 1}
        other = await from_address(server, "127.0.0.2")
        await other.upgrade()
        await other.aclose()


async def test_when_the_time_has_come_it_may_again(mock_clock: trio.testing.MockClock) -> None:
    async with serving(connection_rate_per_address=SELDOM, ping_interval=None) as server:
        for expected in (101, 101, 429, 429):
            async with dial(server) as raw:
                await raw.ask()
                assert status_of(await raw.head()) == expected
        mock_clock.jump(1000)
        for expected in (101, 429):
            async with dial(server) as raw:
                await raw.ask()
                assert status_of(await raw.head()) == expected


async def test_behind_a_proxy_the_address_is_the_clients() -> None:
    options = {"trusted_proxies": ["127.0.0.0/8"], "max_connections_per_address": 1}
    async with serving(**options) as server, dial(server) as one, dial(server) as two, dial(server) as three:
        await one.upgrade(X_Forwarded_For="203.0.113.1")
        await two.ask(X_Forwarded_For="203.0.113.1")
        assert status_of(await two.rest()) == 429
        await three.upgrade(X_Forwarded_For="203.0.113.2")
        # The proxy itself, which looks whether we are there, has no limit.
        for _ in range(2):
            async with dial(server) as raw:
                await raw.upgrade()


async def test_behind_a_balancer_too_and_before_anything_is_read() -> None:
    options = {"trusted_proxies": ["127.0.0.0/8"], "proxy_protocol": True, "max_connections_per_address": 1}
    async with serving(**options) as server, dial(server) as one, dial(server) as two, dial(server) as three:
        await one.send(b"PROXY TCP4 203.0.113.1 198.51.100.1 5 443\r\n")
        await one.upgrade()
        await two.send(b"PROXY TCP4 203.0.113.1 198.51.100.1 6 443\r\n")
        assert status_of(await two.rest()) == 429
        await three.send(b"PROXY TCP4 203.0.113.2 198.51.100.1 5 443\r\n")
        await three.upgrade()


async def test_only_a_few_are_told_and_the_others_get_no_answer() -> None:
    async with serving(max_connections_per_address=1) as server, dial(server) as first:
        await first.upgrade()
        # These do not close, so that each refusal takes the time that it may take.
        told = [Raw(await trio.open_tcp_stream(*server.addresses[0])) for _ in range(MAX_TURNED_AWAY)]
        for raw in told:
            assert status_of(await raw.head()) == 429
        # The reset may be there before the connection is.
        with pytest.raises((OSError, trio.BrokenResourceError, AssertionError)):
            async with dial(server) as dropped:
                await dropped.head()
        assert server.statistics().dropped == {"address_connections": 1}
        for raw in told:
            await raw.aclose()
        while server._limits.addresses._turned_away:
            await trio.lowlevel.checkpoint()
        async with dial(server) as raw:
            assert status_of(await raw.head()) == 429


async def test_a_full_server_says_so_rather_than_that_an_address_has_too_many() -> None:
    async with serving(max_connections=1, max_connections_per_address=1) as server, dial(server) as first:
        await first.upgrade()
        async with dial(server) as raw:
            assert status_of(await raw.rest()) == 503


async def test_nothing_is_left_of_an_address_when_its_connections_have_ended() -> None:
    async with serving(max_connections_per_address=1) as server:
        for status in (101, 101):
            async with dial(server) as raw, dial(server) as refused:
                await raw.ask()
                assert status_of(await raw.head()) == status
                assert status_of(await refused.rest()) == 429
            while len(server._limits.addresses._counts) or server.connections:
                await trio.lowlevel.checkpoint()


async def test_faster_than_the_rate_accepting_pauses(mock_clock: trio.testing.MockClock) -> None:
    async with serving(connection_rate=SELDOM, ping_interval=None) as server, dial(server) as one, dial(server) as two:
        await one.upgrade()
        await two.upgrade()
        async with dial(server) as three:
            await three.ask()
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert (server.statistics().handshakes, len(server.connections)) == (0, 2)
            mock_clock.jump(1000)
            assert status_of(await three.head()) == 101


class Inexhaustible(trio.abc.Listener[trio.abc.Stream]):
    """Has another connection whenever somebody asks, and notes when."""

    def __init__(self) -> None:
        self.times: list[float] = []

    async def accept(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.times.append(trio.current_time())
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.aclose()
        return ours

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_in_the_long_run_the_rate_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    listener = Inexhaustible()
    start = trio.current_time()
    with trio.move_on_after(9.95):
        await wscore.serve(echo, listeners=[listener], connection_rate=Rate(10, 5))
    assert len(listener.times) == 5 + 99
    assert listener.times[4] == start
    assert listener.times[5] == pytest.approx(start + 0.1)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("max_connections_per_address", 0, ValueError),
        ("max_connections_per_address", True, TypeError),
        ("connection_rate", 0, ValueError),
        ("connection_rate", "fast", TypeError),
        ("connection_rate_per_address", -1, ValueError),
        ("message_rate", 0, ValueError),
        ("byte_rate", "much", TypeError),
        ("fast_producer", "panic", ValueError),
    ],
)
async def test_senseless_limits_are_misuse(name: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        await wscore.serve(echo, "127.0.0.1", 0, **{name: value})


async def test_a_connection_that_sends_too_fast_is_closed_where_that_is_wanted() -> None:
    async with serving(message_rate=SELDOM, fast_producer="close") as server, dial(server) as raw:
        await raw.upgrade()
        for number in range(2):
            await raw.say(TEXT, str(number).encode())
        assert [frame.opcode for frame in await raw.frames(2)] == [TEXT, TEXT]
        await raw.say(TEXT, b"too many")
        (close,) = await raw.frames(1)
        assert (close.opcode, close.payload[:2]) == (CLOSE, (1008).to_bytes(2))


async def test_and_slowed_down_where_not(mock_clock: trio.testing.MockClock) -> None:
    async with serving(message_rate=SELDOM, ping_interval=None) as server, dial(server) as raw:
        await raw.upgrade()
        for number in range(4):
            await raw.say(TEXT, str(number).encode())
        assert [frame.payload for frame in await raw.frames(2)] == [b"0", b"1"]
        for expected in (b"2", b"3"):
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert server.statistics().messages_received == int(expected)
            mock_clock.jump(1000)
            assert [frame.payload for frame in await raw.frames(1)] == [expected]
