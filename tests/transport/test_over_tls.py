"""Under TLS both transports do as they do without: the same tests, on real sockets, and what TLS alone brings.

One role is enough, since no byte of TLS knows of it.
"""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

import pytest
import trio
import trio.testing
import trustme

from wscore.codec import SERVER, Role
from wscore.transport import stream
from wscore.transport.errors import ConnectionLost
from wscore.transport.tls import start_tls
from wscore.transport.websocket import WebSocket

from .conftest import Filled, Link, fill, linked_by
from .test_cancelling import (  # noqa: F401 - run here, too
    test_aclose_cancelled_has_closed_the_stream,
    test_receive_cancelled_loses_nothing,
    test_send_cancelled_has_sent_nothing,
)
from .test_closing import (  # noqa: F401
    test_a_peer_that_answers_but_keeps_the_stream_open_has_some_seconds,
    test_a_peer_that_does_not_answer_our_close_is_reset_after_the_timeout,
    test_a_peer_that_does_not_take_our_last_words_is_reset_after_the_send_timeout,
    test_a_peer_that_takes_nothing_cannot_delay_closing,
    test_abort_closes_at_once_and_without_a_handshake,
    test_aclose_sends_what_waits_then_its_code_and_waits_for_the_answer,
    test_closes_that_cross_end_both_sides,
    test_the_peers_close_is_answered_though_nobody_receives,
    test_what_came_before_an_end_is_answered_before_it_takes_effect,
    test_what_fills_the_queue_before_a_close_frame_is_answered_before_it,
)
from .test_on_message import (  # noqa: F401
    test_an_echo_to_a_slow_reader_is_bounded_and_loses_nothing,
    test_it_is_called_for_each_message_and_may_send,
)
from .test_pings import (  # noqa: F401
    test_a_peer_that_answers_no_ping_is_closed_with_1011,
    test_a_slow_handler_never_makes_us_close_with_1011,
    test_an_idle_connection_is_pinged_every_interval,
    test_ping_sends_the_payload_it_is_given,
)
from .test_receiving import (  # noqa: F401
    test_a_message_above_the_limit_closes_with_1009,
    test_a_ping_behind_the_pause_is_answered_when_reading_goes_on,
    test_iteration_ends_when_the_peer_closes,
    test_reading_stops_inside_one_read_when_its_messages_fill_the_queue,
    test_text_is_str_and_binary_is_bytes_in_the_order_they_were_sent,
    test_what_came_before_the_loss_is_received_before_the_error,
)
from .test_sending import (  # noqa: F401
    test_a_message_above_the_mark_goes_when_the_buffer_is_empty,
    test_a_peer_that_takes_nothing_for_the_send_timeout_is_reset,
    test_send_waits_above_the_mark_and_goes_on_as_the_peer_reads,
    test_what_can_be_sent,
)


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's, which trust each other."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # What the peer has not read must be what the test has sent.
    server.num_tickets = 0
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.fixture
def role() -> Role:
    return SERVER


@pytest.fixture
def link(transport: str, role: Role, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Link:
    """As everywhere, under TLS."""
    move = on_a_stream if transport == "stream" else on_the_reactor

    @asynccontextmanager
    async def opened(lockstep: bool, *arguments: Any, **hooks: Any) -> AsyncIterator[tuple[WebSocket, Any]]:
        ours, theirs = socket.socketpair()
        with ours.dup() as spare:
            below = Filled(trio.socket.from_stdlib_socket(theirs), 0)
            peer = trio.SSLStream(below, contexts[1], server_hostname="localhost", https_compatible=True)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
            async with move(stream, peer, contexts[0], *arguments, **hooks) as ws:
                await trio.testing.wait_all_tasks_blocked()
                below.stopper = fill(spare) if lockstep else 0
                # Else it would hold the connection open.
                spare.close()
                yield ws, peer

    return linked_by(opened, role)


@asynccontextmanager
async def on_a_stream(ours: trio.SocketStream, peer: trio.SSLStream, context: ssl.SSLContext, *arguments, **hooks):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.do_handshake)
        encrypted = await start_tls(ours, context, server_side=True)
    async with stream.open_websocket(encrypted, *arguments, **hooks) as ws:
        yield ws


@asynccontextmanager
async def on_the_reactor(ours: trio.SocketStream, peer: trio.SSLStream, context: ssl.SSLContext, *arguments, **hooks):
    from wscore.transport.reactor.arrival import Arrival
    from wscore.transport.reactor.running import reactor_of_this_run
    from wscore.transport.reactor.websocket import open_websocket
    from wscore.transport.reactor.wire import Tls

    tls = Tls(context, True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.do_handshake)
        while not tls.is_done:
            await ours.send_all(tls.shake_hands(await ours.receive_some()))
    trio.lowlevel.notify_closing(ours.socket)
    arrival = Arrival(reactor_of_this_run().reactor, ours.socket.detach(), tls)
    async with open_websocket(arrival, *arguments, **hooks) as ws:
        ws_tls[ws] = tls
        yield ws


# What there is of TLS below a connection on the reactor.
ws_tls: WeakKeyDictionary[WebSocket, Any] = WeakKeyDictionary()


# What TLS alone brings


async def test_much_data_goes_both_ways_at_once(link) -> None:
    options = {"max_receive_queue": 100_000, "max_send_buffer": 100_000}
    async with link(**options) as (ws, peer), trio.open_nursery() as nursery:

        async def echo() -> None:
            async for message in ws:
                await ws.send(message)

        nursery.start_soon(echo)
        messages = [bytes([number]) * 300_000 for number in range(20)]
        nursery.start_soon(peer.send, *messages)
        assert [await peer.next() for _ in messages] == messages
        nursery.start_soon(peer.close)
        await peer.until_close()
        await peer.stream.aclose()


@pytest.mark.parametrize("politely", [False, True])
async def test_a_peer_that_ends_with_close_notify_or_without_is_a_loss(link, politely: bool) -> None:
    async with link() as (ws, peer):
        await peer.send("before")
        if politely:
            with suppress(trio.BrokenResourceError):
                await peer.stream.unwrap()
        else:
            await peer.stream.transport_stream.send_eof()
        assert await ws.receive() == "before"
        with pytest.raises(ConnectionLost) as caught:
            await ws.receive()
        assert caught.value.code == 1006


async def test_bytes_that_are_no_tls_are_a_loss(link) -> None:
    async with link() as (ws, peer):
        await peer.send("before")
        await peer.stream.transport_stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        assert await ws.receive() == "before"
        with pytest.raises(ConnectionLost):
            await ws.receive()


async def test_our_end_is_told_to_the_peer_with_close_notify(link) -> None:
    async with link() as (ws, peer), trio.open_nursery() as nursery:
        peer.stream._https_compatible = False
        nursery.start_soon(ws.aclose)
        await peer.until_close()
        await peer.until_eof()
        await peer.stream.transport_stream.aclose()


@pytest.mark.parametrize("transport", [pytest.param("reactor", marks=pytest.mark.native)], indirect=True)
async def test_if_nothing_can_be_encrypted_any_more_sending_is_broken(link) -> None:
    async with link(close_timeout=0.05) as (ws, _):
        with suppress(ssl.SSLWantReadError):
            ws_tls[ws].ssl_object.unwrap()
        await ws.send("in vain")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ConnectionLost):
            await ws.send("x")
        await ws.wait_closed()


@pytest.mark.parametrize("transport", [pytest.param("reactor", marks=pytest.mark.native)], indirect=True)
async def test_what_tls_says_by_itself_can_be_stuck_too(link) -> None:
    """New keys that the peer has asked for, say: Python's ssl cannot ask for them, so this writes in their place."""
    async with link(lockstep=True, send_timeout=0.1, ping_interval=None) as (ws, peer):
        ws_tls[ws].ssl_object.write(b"by itself")
        await peer.send("it leaves with the next turn")
        await ws.receive()
        with pytest.raises(ConnectionLost):
            await ws.receive()
        assert ws.statistics().reset


async def test_a_peer_that_ends_first_gets_close_notify_behind_what_it_has_not_read(link) -> None:
    async with link(lockstep=True) as (ws, peer):
        peer.stream._https_compatible = False
        await ws.send("not read yet")
        peer.connection.close()
        await peer.flush()
        with suppress(ssl.SSLWantReadError):
            peer.stream._ssl_object.unwrap()
        await peer.stream.transport_stream.send_all(peer.stream._outgoing.read())
        await trio.testing.wait_all_tasks_blocked()
        await peer.until_close()
        end = None
        try:
            await peer.until_eof()
        except trio.BrokenResourceError as error:
            end = error.__cause__
        assert not isinstance(end, ssl.SSLEOFError)
