"""One trace of a connection's life, on a session without I/O and through the pump on streams: both must end alike."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from wscore.codec import CLIENT, SERVER
from wscore.protocol.connection import Connection, State
from wscore.protocol.events import Ping, Pong
from wscore.session import EMPTY, ConnectionClosed, ConnectionEnded, ConnectionLost, Phase
from wscore.transport import errors
from wscore.transport.records import Opening
from wscore.transport.stream import StreamWebSocket, open_websocket

from ..session.peer import Wire

OPTIONS = {
    "ping_interval": 20.0,
    "ping_timeout": 7.0,
    "close_timeout": 10.0,
    "send_timeout": 30.0,
    "max_receive_queue": 500,
}

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("peer sends"), st.lists(st.text(max_size=80), min_size=1, max_size=6)),
        st.tuples(st.just("peer pings"), st.binary(max_size=3)),
        st.tuples(st.just("peer says what it owes"), st.none()),
        st.tuples(st.just("peer closes"), st.sampled_from([1000, 1001, 4000])),
        st.tuples(st.just("peer breaks a rule"), st.none()),
        st.tuples(st.just("peer ends"), st.none()),
        st.tuples(st.just("receive"), st.none()),
        st.tuples(st.just("send"), st.text(max_size=80)),
        st.tuples(st.just("close"), st.sampled_from([1000, 3001])),
        st.tuples(st.just("fail"), st.sampled_from([1011, 1013])),
        st.tuples(st.just("abort"), st.none()),
        *[st.tuples(st.just("time passes"), st.sampled_from([0.3, 3.0, 6.0, 8.0, 19.0, 21.0]))] * 3,
    ),
    max_size=12,
)

NAMES = {
    ConnectionClosed: "closed",
    ConnectionLost: "lost",
    ConnectionEnded: "ended",
    errors.ConnectionClosed: "closed",
    errors.ConnectionLost: "lost",
    errors.ClosedHere: "ended",
}


def words(peer: Connection, name: str, argument: Any) -> bytes:
    """What the peer says in this step; it says nothing once it has ended."""
    if name == "peer sends":
        for message in argument:
            peer.send(message)
    elif name == "peer pings":
        peer.ping(argument)
    elif name == "peer closes":
        peer.close(argument)
    return peer.data_to_send() + (b"\xff" * 8 if name == "peer breaks a rule" else b"")


def seen_by_peer(events: list[Any]) -> list[Any]:
    """Payloads of our own Pings are made up."""
    return ["ping" if isinstance(event, Ping) else event for event in events if not isinstance(event, Pong)]


class Outcome:
    """What a life came to."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    def note(self, error: Exception) -> None:
        name = NAMES[type(error)]
        self.received.append((name, None if name == "ended" else getattr(error, "code", None)))


def without_io(steps: list[Any], role: Any) -> list[Any]:
    life, outcome = Wire(role=role, now=0.0, **OPTIONS), Outcome()
    life.look()
    is_over = False  # the peer says no more
    for name, argument in steps:
        if name == "time passes":
            life.wait(argument)
        elif name == "receive":
            try:
                message = life.session.receive()
                if message is EMPTY:  # who waits is told what comes of that
                    life.look()
                    message = life.session.receive()
                outcome.received.append(None if message is EMPTY else message)
            except ConnectionEnded as error:
                outcome.note(error)
        elif name == "send":
            try:
                life.session.send(argument)
            except ConnectionEnded as error:
                outcome.note(error)
        elif name == "close":
            life.session.close(argument)
        elif name == "fail":
            life.session.fail(argument)
        elif name == "abort":
            life.session.abort()
        elif not is_over:
            is_over = name in ("peer ends", "peer breaks a rule")
            if life.peer.state is State.OPEN or name in ("peer ends", "peer says what it owes"):
                data = words(life.peer, name, argument)
                if data:
                    life.bytes_come(data)
            if name == "peer ends":
                life.eof_comes()
        life.look()
    end, is_over = life.session.end, life.session.phase is Phase.CLOSED
    return [outcome.received, seen_by_peer(life.seen), end and (end.code, end.by_peer, end.cause), is_over]


async def on_a_stream(steps: list[Any], role: Any) -> list[Any]:
    ours, theirs = trio.testing.memory_stream_pair()
    life, outcome = Wire(role=role, now=0.0, **OPTIONS), Outcome()
    peer, connection, events = life.peer, life.session.connection, []
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            while data := await theirs.receive_some():
                events.extend(peer.receive_data(data))

        nursery.start_soon(read)
        is_over, over = False, trio.Event()
        async with trio.open_nursery() as block:
            ws: StreamWebSocket = await block.start(hold_open, ours, connection, life.options)
            block.start_soon(tell, ws.wait_closed, over)
            await trio.testing.wait_all_tasks_blocked()
            for name, argument in steps:
                if name == "time passes":
                    await trio.sleep(argument)
                elif name == "receive":
                    await receive(ws, outcome)
                elif name == "send":
                    try:
                        await ws.send(argument)
                    except Exception as error:
                        outcome.note(error)
                elif name == "close":
                    ws.close_nowait(argument)
                elif name == "fail":
                    ws._fail(argument, "")
                elif name == "abort":
                    ws.abort()
                elif not is_over:
                    is_over = name in ("peer ends", "peer breaks a rule")
                    if peer.state is State.OPEN or name in ("peer ends", "peer says what it owes"):
                        data = words(peer, name, argument)
                        if data:
                            await say(theirs, data)
                    if name == "peer ends":
                        await theirs.send_eof()
                await trio.testing.wait_all_tasks_blocked()
            end, is_over = ws.end, over.is_set()
            block.cancel_scope.cancel()
        nursery.cancel_scope.cancel()
    return [outcome.received, seen_by_peer(events), end and (end.code, end.by_peer, end.cause), is_over]


async def receive(ws: StreamWebSocket, outcome: Outcome) -> None:
    """Take what there is, or what comes of waiting."""

    async def wait() -> None:
        try:
            outcome.received[-1] = await ws.receive()
        except Exception as error:
            outcome.received.pop()
            outcome.note(error)

    outcome.received.append(None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def tell(wait: Any, event: trio.Event) -> None:
    await wait()
    event.set()


async def hold_open(stream: Any, connection: Any, options: Any, *, task_status: Any) -> None:
    async with open_websocket(stream, connection, options, Opening()) as ws:
        task_status.started(ws)
        await trio.sleep_forever()


async def say(stream: Any, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # we may have closed
        await stream.send_all(data)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, role=st.sampled_from([SERVER, CLIENT]))
def test_a_trace_ends_alike_without_io_and_on_a_stream(steps: list[Any], role: Any) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(on_a_stream, steps, role, clock=clock) == without_io(steps, role)
