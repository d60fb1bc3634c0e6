"""What the reactor alone has: turns, deadlines on a wheel, and an end of its own."""

import errno
import gc
import itertools
import math
import os
import select
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from functools import partial

import pytest
import trio
import trio.testing

from wscore.codec import CLIENT, SERVER
from wscore.protocol.connection import Connection
from wscore.session.options import Options
from wscore.transport.errors import ConnectionLost
from wscore.transport.records import Opening
from wscore.transport.reserve import Reserve
from wscore.transport.stream import new_connection

from .conftest import fill

pytestmark = pytest.mark.native


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def opened(sock: socket.socket, on_message=None, connection=None, **options):
    from wscore.transport.reactor.arrival import Arrival
    from wscore.transport.reactor.running import reactor_of_this_run
    from wscore.transport.reactor.websocket import open_websocket

    settings = Options(**options)
    arrival = Arrival(reactor_of_this_run().reactor, sock.detach())
    hooks = {} if on_message is None else {"on_message": on_message}
    return open_websocket(arrival, connection or new_connection(SERVER, settings), settings, Opening(), **hooks)


def frames(*messages: str | bytes) -> bytes:
    peer = Connection(CLIENT)
    for message in messages:
        peer.send(message)
    return peer.data_to_send()


async def test_a_turn_ends_after_256_events() -> None:
    from wscore.transport.reactor.running import reactor_of_this_run

    counts = []
    peers = []
    async with AsyncExitStack() as stack:
        for _ in range(300):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            peers.append(stack.enter_context(theirs))
            await stack.enter_async_context(opened(ours, lambda ws, message: counts.append(message)))
        await trio.testing.wait_all_tasks_blocked()
        for theirs in peers:
            theirs.send(frames("x"))
        await trio.lowlevel.checkpoint()
        assert reactor_of_this_run().reactor.turn()
        assert 0 < len(counts) <= 256
        await trio.testing.wait_all_tasks_blocked()
        assert len(counts) == 300
        for theirs in peers:
            theirs.close()


async def test_it_starts_with_the_first_connection_and_is_gone_with_the_last(pair) -> None:
    from wscore.transport.reactor.running import reactor_of_this_run

    async with opened(pair[0]) as ws:
        first = reactor_of_this_run()
        assert first.reactor.count == 1
        pair[1].close()
        await ws.wait_closed()
    assert first.reactor.is_over
    await trio.testing.wait_all_tasks_blocked()
    assert first.reactor.fileno() == -1
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    async with opened(ours) as ws:
        assert reactor_of_this_run() is not first
        theirs.close()


async def test_replies_of_a_tick_leave_in_one_write(pair) -> None:
    async with opened(pair[0]) as ws:
        for _ in range(3):
            await ws.send("x" * 10)
        await trio.testing.wait_all_tasks_blocked()
        assert pair[1].recv(1 << 16) == b"\x81\x0axxxxxxxxxx" * 3
        # The peer has gone before the end.
        pair[1].close()


async def test_answers_of_on_message_leave_before_others_have_their_turn() -> None:
    """They were all kept until the end of the tick, and the heap grew and shrank with them."""
    pairs = [socket.socketpair() for _ in range(20)]
    seen = []

    def answer(ws, message) -> None:
        seen.append([is_readable(theirs) for _, theirs in pairs].count(True))
        assert [ws.send_nowait(b"x" * 10), ws.send_nowait(b"y")] == [True, True]

    async with AsyncExitStack() as stack:
        for ours, theirs in pairs:
            ours.setblocking(False)
            stack.enter_context(theirs)
            await stack.enter_async_context(opened(ours, answer))
        for _, theirs in pairs:
            theirs.send(frames("?"))
        await trio.testing.wait_all_tasks_blocked()
        assert seen == list(range(20))
        assert {theirs.recv(1 << 10) for _, theirs in pairs} == {b"\x82\x0axxxxxxxxxx\x82\x01y"}
        for _, theirs in pairs:
            theirs.close()


async def test_what_a_hook_does_to_another_connection_has_its_turn_after_it(pair) -> None:
    """Else that connection's own hooks could be called inside of this one."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    seen = []
    with theirs:
        async with opened(ours) as other:

            def cut(ws, message) -> None:
                other.abort()
                seen.append((other.close_code, other._is_over))

            async with opened(pair[0], cut):
                pair[1].send(frames("?"))
                await other.wait_closed()
                assert seen == [(1006, False)]
                pair[1].close()


def is_readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


@pytest.mark.parametrize("seconds", [0.01, 1, 63, 65, 100_000])
async def test_a_deadline_is_kept_however_far_it_is(pair, seconds: float, autojump_clock) -> None:
    async with opened(pair[0], ping_interval=seconds, ping_timeout=None) as ws:
        start = trio.current_time()
        peer = trio.SocketStream(trio.socket.from_stdlib_socket(pair[1].dup()))
        assert (await peer.receive_some())[0] == 0x89
        assert seconds <= trio.current_time() - start <= seconds + 1 / 16
        await peer.aclose()
        pair[1].close()
        await ws.wait_closed()


@pytest.mark.parametrize("sizes", [[1 << 20], [1 << 10] * 1000], ids=["one message", "many"])
async def test_the_send_timeout_begins_when_the_system_takes_only_a_part(pair, sizes, autojump_clock) -> None:
    async with opened(pair[0], ping_interval=None) as ws:
        for size in sizes:
            ws.send_nowait(bytes(size))
        with trio.fail_after(31):
            await ws.wait_closed()
        assert ws.statistics().reset


async def test_deadlines_that_fall_together_are_kept_together(autojump_clock) -> None:
    """Of many in a slot none is early, and none later than the slot."""
    late = []
    async with AsyncExitStack() as stack:
        for number in range(50):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            interval = 10 + number / 100
            await stack.enter_async_context(opened(ours, ping_interval=interval, ping_timeout=None))
            stack.callback(theirs.close)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs.dup()))
            stack.push_async_callback(stream.aclose)
            late.append((interval, stream))
        start = trio.current_time()
        for interval, stream in late:
            await stream.receive_some()
            assert -1e-9 <= trio.current_time() - start - interval <= 1 / 16


@pytest.fixture
def unknown_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Trio that keeps its tasks where we do not find them."""
    from wscore.transport import trio_glue

    monkeypatch.setattr(trio_glue, "current_run_context", lambda: None)


async def test_a_reactor_that_fails_closes_its_connections(pair) -> None:
    from wscore.transport.errors import ConnectionLost
    from wscore.transport.reactor.running import reactor_of_this_run

    async def block() -> None:
        async with opened(pair[0]) as ws:
            await trio.testing.wait_all_tasks_blocked()
            # A descriptor that is no poller, so that the next look at it fails.
            os.dup2(pair[1].fileno(), reactor_of_this_run().reactor.fileno())
            with pytest.raises(ConnectionLost):
                await trio.sleep(0.01) or await ws.receive()

    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        await block()


@pytest.mark.usefixtures("unknown_trio")
async def test_a_reactor_whose_task_fails_closes_its_connections(pair) -> None:
    from wscore.transport.errors import ConnectionLost
    from wscore.transport.reactor.running import reactor_of_this_run

    class Broken:
        """Its next turn fails."""

        def __init__(self, reactor: object) -> None:
            self._reactor = reactor

        def turn(self) -> bool:
            raise ZeroDivisionError

        def __getattr__(self, name: str) -> object:
            return getattr(self._reactor, name)

    async def block() -> None:
        async with opened(pair[0]) as ws:
            await trio.testing.wait_all_tasks_blocked()
            running = reactor_of_this_run()
            running.reactor = Broken(running.reactor)
            pair[1].send(frames("never read"))
            with trio.CancelScope(shield=True), pytest.raises(ConnectionLost):
                await ws.receive()

    with pytest.raises(ZeroDivisionError):
        await block()


@pytest.mark.usefixtures("unknown_trio")
async def test_where_trio_is_not_known_its_task_takes_the_turns(pair) -> None:
    async with opened(pair[0]) as ws:
        for text in ("x", "y", "z"):
            pair[1].send(frames(text))
            assert await ws.receive() == text
            await ws.send(text)
            await trio.testing.wait_all_tasks_blocked()
            assert pair[1].recv(100) == b"\x81\x01" + text.encode()
        pair[1].close()


async def test_a_callback_is_called_in_the_place_of_the_reactor_s_task(pair) -> None:
    """It may use what Trio offers to tasks, though it is called while none runs."""
    lock, seen = trio.Lock(), []

    def take(ws, message: str) -> None:
        lock.acquire_nowait()
        seen.append(trio.lowlevel.current_task().name)
        lock.release()
        nursery.start_soon(echo, ws, message)

    async def echo(ws, message: str) -> None:
        await ws.send(message)

    async with trio.open_nursery() as nursery, opened(pair[0], take):
        pair[1].send(frames("x"))
        await trio.testing.wait_all_tasks_blocked()
        assert pair[1].recv(100) == b"\x81\x01x"
        assert seen == ["wscore reactor"]
        pair[1].close()


async def test_who_waits_for_a_message_runs_in_the_pass_of_trio_in_which_it_comes(pair) -> None:
    received: list[str] = []
    received_by: list[int] = []

    class Passes(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            received_by.append(len(received))

    async def receive() -> None:
        received.append(await ws.receive())

    passes = Passes()
    async with opened(pair[0]) as ws, trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(passes)
        pair[1].send(frames("x"))
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(passes)
        assert received_by[:2] == [0, 1]
        pair[1].close()


@pytest.mark.parametrize(("count", "at_once"), [(4, True), (5, False)])
async def test_where_few_have_asked_an_answer_leaves_before_all_tasks_had_their_turn(count: int, at_once: bool) -> None:
    async def answer(ws) -> None:
        await ws.send(await ws.receive())
        await ws.receive()

    class Steps(trio.abc.Instrument):
        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            if task.name in peers:
                has_left[task.name].append(bool(select.select([peers[task.name]], [], [], 0)[0]))

    peers: dict[str, socket.socket] = {}
    has_left: dict[str, list[bool]] = {}
    async with AsyncExitStack() as stack:
        connections = {}
        for name in map(str, range(count)):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            peers[name], has_left[name] = stack.enter_context(theirs), []
            connections[name] = await stack.enter_async_context(opened(ours))
        nursery = await stack.enter_async_context(trio.open_nursery())
        for name, ws in connections.items():
            nursery.start_soon(answer, ws, name=name)
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(steps := Steps())
        for theirs in peers.values():
            theirs.send(frames("x"))
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(steps)
        nursery.cancel_scope.cancel()
        for theirs in peers.values():
            theirs.close()
    assert has_left == {name: [at_once] for name in peers}


async def test_a_call_that_is_never_awaited_does_nothing(pair) -> None:
    async with opened(pair[0]) as ws:
        for call in (ws.receive, partial(ws.send, "never")):
            with pytest.warns(RuntimeWarning, match="never awaited"):
                call()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BlockingIOError):
            pair[1].recv(1, socket.MSG_DONTWAIT)
        pair[1].close()


async def test_a_call_is_awaited_once(pair) -> None:
    async with opened(pair[0]) as ws:
        call = ws.send("x")
        await call
        with pytest.raises(RuntimeError, match="awaited already"):
            await call
        pair[1].close()


async def test_calls_are_coroutines_to_trio(pair) -> None:
    async with opened(pair[0]) as ws:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.send, "x")
        pair[1].send(frames("y"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.receive)
        assert pair[1].recv(100) == b"\x81\x01x"
        pair[1].close()


async def test_there_is_no_deadline_where_there_is_nothing() -> None:
    from wscore.transport.reactor.engine import Reactor

    reactor = Reactor(lambda: None, lambda: None, 0.0)
    assert reactor.next_deadline() == math.inf
    reactor.expire(1e6)
    assert reactor.turn() is False


async def test_a_queue_that_is_never_empty_keeps_no_places_of_messages_that_were_taken(pair) -> None:
    async with opened(pair[0]) as ws:
        for _ in range(2):
            pair[1].send(frames("x"))
        for _ in range(1000):
            pair[1].send(frames("x"))
            await trio.testing.wait_all_tasks_blocked()
            await ws.receive()
        assert ws.statistics().messages_waiting == 2
        assert len(ws._session._receiving._items) < 10
        pair[1].close()


@pytest.mark.parametrize("count", range(1, 17))
async def test_the_last_message_before_a_close_is_answered_though_its_receiver_gives_way(pair, count: int) -> None:
    from wscore.transport.trio_glue import pace_of_this_run

    peer = Connection(CLIENT)
    for _ in range(count):
        peer.send("x")
    peer.close()
    data = peer.data_to_send()
    ticks = itertools.count()
    pace_of_this_run().clock = lambda: float(next(ticks))
    for _ in range(4):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.send(data)
        async with opened(ours) as ws:
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(count):
                await ws.receive()
            await ws.send("answer")
            theirs.close()


async def test_what_fails_while_flushing_is_told_to_who_waits_at_once(pair) -> None:
    """Trio has made up how long it will wait when the tick is flushed: whoever is woken then would oversleep."""

    class Broken(Connection):
        is_broken = False

        def buffers_to_send(self) -> list[bytes]:
            if self.is_broken:
                raise ZeroDivisionError
            return super().buffers_to_send()

    async def block() -> None:
        connection = Broken(SERVER)
        async with opened(pair[0], connection=connection) as ws, trio.open_nursery() as nursery:
            nursery.start_soon(ws.ping)
            await trio.testing.wait_all_tasks_blocked()
            connection.is_broken = True
            nursery.start_soon(ws.ping)
            start = trio.current_time()
            with trio.CancelScope(shield=True, deadline=start + 10):
                await ws.wait_closed()
            assert trio.current_time() - start < 5

    with pytest.raises(ZeroDivisionError):
        await block()


async def test_what_is_held_after_flushing_is_told_to_who_waits_for_the_sum_at_once(pair) -> None:
    reserve = Reserve(3000)
    reserve.join()
    fill(pair[0])
    async with opened(pair[0]) as ws, trio.open_nursery() as nursery:
        ws._reserve = reserve
        over = trio.Event()

        async def wait() -> None:
            await reserve.wait_until_over()
            over.set()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await ws.send("x" * 5000)
        start = trio.current_time()
        with trio.move_on_after(10):
            await over.wait()
        assert over.is_set()
        assert trio.current_time() - start < 5
        pair[1].close()


async def test_the_failure_of_the_reactor_counts_more_than_what_it_looked_like(pair) -> None:
    from wscore.transport.reactor.running import reactor_of_this_run

    async def block() -> None:
        async with opened(pair[0]) as ws:
            await trio.testing.wait_all_tasks_blocked()
            reactor_of_this_run().reactor.fail(ZeroDivisionError())
            await ws.send("x")

    with pytest.raises(ZeroDivisionError):
        await block()
    await trio.testing.wait_all_tasks_blocked()


async def test_statistics_of_an_idle_connection_leave_nothing_behind(pair) -> None:
    async with opened(pair[0]) as ws:
        assert ws.statistics().senders_waiting == 0
        assert ws.latency is None
        assert (ws._senders, ws._pingers, ws._session._pings) == (None, None, None)
        pair[1].close()


@pytest.mark.parametrize("last", ["cancelled at once", "cancelled", "raises"])
async def test_a_connection_that_is_over_need_not_be_found_by_the_collector(pair, last: str) -> None:
    gc.collect()
    gc.disable()
    try:
        async with opened(pair[0]) as ws:
            pair[1].send(frames("x"))
            await ws.receive()
            await ws.send("y")
            if last == "raises":
                pair[1].close()
            with trio.move_on_after(0 if last == "cancelled at once" else 0.01 if last == "cancelled" else 10):
                with suppress(ConnectionLost):
                    await ws.receive()
            pair[1].close()
            await ws.wait_closed()
        gone = weakref.ref(ws)
        del ws
        await trio.testing.wait_all_tasks_blocked()
        assert gone() is None
    finally:
        gc.enable()


async def test_whoever_fails_to_fail_keeps_nobody_else_open(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of the reactor everybody is told, whatever the others make of it."""
    from wscore.transport.reactor.arrival import Arrival
    from wscore.transport.reactor.running import reactor_of_this_run

    class Guest:
        def failed(self, error: BaseException) -> None:
            raise ZeroDivisionError("of the guest's own")

        def closed(self) -> None:
            told.append("closed")

    told: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    arrival = Arrival(reactor_of_this_run().reactor, ours.detach(), None, Guest())
    with pytest.raises(OSError, match="the poller"):  # noqa: PT012
        async with opened(pair[0]) as ws:
            reactor_of_this_run().reactor.fail(OSError("the poller"))
            await ws.wait_closed()
    assert told == ["closed", ZeroDivisionError]
    assert arrival.fd == -1
    assert theirs.recv(1) == b""
    theirs.close()


async def test_slow_callbacks_leave_others_their_turn(pair) -> None:
    """What has come in one read is handed over in parts, if it takes longer than a turn may."""
    count = 400
    seen: list[str] = []
    turns = 0

    def take_time(ws, message: str) -> None:
        seen.append(message)
        until = time.perf_counter() + 200e-6
        while time.perf_counter() < until:
            pass

    async with opened(pair[0], take_time):
        pair[1].send(frames(*map(str, range(count))))
        while len(seen) < count:
            await trio.lowlevel.checkpoint()
            turns += bool(seen)
        pair[1].close()
    assert seen == [str(number) for number in range(count)]
    # A turn is a millisecond, and 16 calls are looked at together.
    assert turns >= count / 16 / 2


async def test_a_peer_that_answers_at_once_does_not_keep_others_waiting(pair) -> None:
    """The reactor waits a moment for such a peer before Trio's loop has its turn, but no longer than a turn lasts."""
    rounds, yields = 300, 0

    def converse() -> None:
        one = frames("x")
        for _ in range(rounds):
            pair[1].sendall(one)
            assert pair[1].recv(3, socket.MSG_WAITALL) == b"\x81\x01x"

    async def count() -> None:
        nonlocal yields
        while True:
            await trio.lowlevel.checkpoint()
            yields += 1

    # However long it takes, nothing but echoes comes.
    echo = opened(pair[0], lambda ws, message: ws.send_nowait(message), ping_interval=None)
    async with echo, trio.open_nursery() as nursery:
        nursery.start_soon(count)
        start = time.thread_time()
        await trio.to_thread.run_sync(converse)
        seconds = time.thread_time() - start
        nursery.cancel_scope.cancel()
        pair[1].close()
    # A turn has a millisecond of this thread's time, on a busy machine too; and it may take ten times as long.
    assert yields > seconds / 10e-3


async def test_a_quick_peer_that_fills_the_queue_again_and_again_is_read_to_the_end(pair) -> None:
    """Whoever takes a message lets reading go on by an alarm, which nobody may silence before Trio has heard it."""
    count, size = 3000, 50
    messages = frames("x" * size) * count

    async with opened(pair[0], max_receive_queue=300, ping_interval=None) as ws, trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, pair[1].sendall, messages)
        with trio.fail_after(60):
            for number in range(count):
                assert await ws.receive() == "x" * size
                if number % 7 == 0:
                    await ws.send("y")
                    assert await trio.to_thread.run_sync(pair[1].recv, 3, socket.MSG_WAITALL) == b"\x81\x01y"
        pair[1].close()
