"""The stream transport: a `WebSocket` over any `trio.abc.Stream`.

Each connection has two tasks of its own, which no caller's cancellation reaches: the reader feeds what comes to the
`Connection` and delivers its events, the writer sends what the `Connection` has to say and looks at the clock. Callers
touch queues only, so a cancelled call leaves no half-written frame behind.

Decides how bytes move, when reading pauses, when a peer is given up, and in which order a connection is taken down:
what is left is written, reading stops, the stream lingers (RFC 9112 section 9.6) and is closed. A peer that takes
nothing or does not finish closing is reset instead. It refuses to know what the bytes mean.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.lowlevel import RunVar, current_task, enable_ki_protection

from ..codec import CloseCode, DeflatePool, Role
from ..protocol.connection import Connection
from ..protocol.events import Event
from ..protocol.extensions import DeflateParameters
from ..session.logs import of_peer, repeats
from ..session.options import Options
from ..session.queue import weight_of as weight_of_item
from ..session.receiving import TURN_BUDGET
from .endpoint import STATE
from .linger import DISCARD_LIMIT, close_now, discard, linger, reset
from .pings import Pings
from .receiving import Inbox
from .records import Opening, Statistics
from .reserve import Reserve
from .sending import SendLine, weight_of
from .trio_glue import Signal, undecrypted, unwrapped
from .websocket import ErrorHook, MessageHook, WebSocket

__all__ = ["StreamWebSocket", "new_connection", "open_websocket", "run_websocket"]

RECEIVE_SIZE = 1 << 16

# One slice is written at a time, and only a whole one counts as progress: a peer that takes less than this in
# `send_timeout` takes nothing.
SLICE = 1 << 14

# The part of `close_timeout` that answers may take before a Close frame is answered: the peer waits for that, too.
PATIENCE = 0.5

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)

logger = logging.getLogger("wscore")
logger.addFilter(repeats)

_deflate_pool: RunVar[DeflatePool] = RunVar("wscore_deflate_pool")


def new_connection(role: Role, options: Options, deflate: DeflateParameters | None = None) -> Connection:
    """A `Connection` with these options; its compressors live in one pool for the whole Trio run.

    `deflate` is what the handshake has agreed on.
    """
    pool = _deflate_pool.get(None)  # type: ignore[arg-type]
    if pool is None:
        pool = DeflatePool()
        _deflate_pool.set(pool)
    return Connection(
        role,
        max_message_size=options.max_message_size,
        max_fragments=options.max_fragments,
        pieces=options.pieces,
        compression=options.compression,
        compression_threshold=options.compression_threshold,
        compression_pool=pool,
        deflate=deflate,
    )


def log_error(ws: WebSocket, error: Exception) -> None:
    """What becomes of a handler's exception if nobody says otherwise."""
    logger.error(
        "the handler of a connection failed; it is closed with 1011", exc_info=error, extra=of_peer("handler_failed")
    )


@asynccontextmanager
async def open_websocket(
    stream: trio.abc.Stream,
    connection: Connection,
    options: Options,
    opening: Opening,
    *,
    on_message: MessageHook | None = None,
    on_error: ErrorHook = log_error,
    reserve: Reserve | None = None,
) -> AsyncIterator[StreamWebSocket]:
    """Run `connection` over `stream`, after the opening handshake, for the time of the block.

    The stream is closed when the block has been left, in whatever way. A block that ends closes with 1000 and waits for
    the peer, one that raises an Exception closes with 1011 first; cancelled, or left by any other exception, it closes
    at once. What the block raises is raised as it is, never in a group. `on_message`, `on_error` and `reserve` are
    those of `run_websocket`.
    """
    if on_message is not None and options.pieces:
        raise ValueError("on_message wants whole messages: leave pieces off")
    ws = StreamWebSocket(stream, connection, options, opening, on_message, on_error, reserve)
    error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.run, nursery.cancel_scope)
            try:
                yield ws
                await ws.aclose()
            except BaseException as raised:
                error = raised
                if isinstance(raised, Exception):
                    ws._fail(CloseCode.INTERNAL_ERROR, "")
                    await ws.wait_closed()
                nursery.cancel_scope.cancel()
                raise
    except BaseException as raised:
        error = unwrapped(raised) if error is None else error
    # Raised out here, neither has the nursery's group as its context.
    if ws.crash is not None:
        raise ws.crash
    if error is not None:
        raise error


async def run_websocket(
    stream: trio.abc.Stream,
    connection: Connection,
    options: Options,
    opening: Opening,
    handler: Callable[[WebSocket], Awaitable[object]],
    *,
    on_message: MessageHook | None = None,
    on_error: ErrorHook = log_error,
    reserve: Reserve | None = None,
) -> Statistics:
    """Run `connection` over `stream`, after the opening handshake, until `handler(ws)` has returned; close with 1000.

    `ConnectionClosed` or `ConnectionLost` out of the handler, once its own connection has ended, is a normal end. Any
    other Exception closes with 1011 and goes to `on_error(ws, error)`. What is no Exception, and what `on_error`
    raises, is raised here. Cancelled, the stream is closed at once.

    With `on_message`, messages go there, and `receive` gets none: `on_message(ws, message)` is called by the task that
    reads, in the context of this one, and must not wait; its Exceptions count as the handler's. Before each call
    reading waits until an answer as large as the message would fit into the send buffer.

    `reserve` counts what the connections of a server hold together. Returns the counts at the end.
    """
    hooks: dict[str, Any] = {"on_message": on_message, "on_error": on_error, "reserve": reserve}
    async with open_websocket(stream, connection, options, opening, **hooks) as ws:
        try:
            await handler(ws)
        except Exception as error:
            ws._handler_failed(error)
    return ws.statistics()


class StreamWebSocket(WebSocket):
    """A `WebSocket` whose bytes two tasks move over a stream."""

    __slots__ = (
        *STATE,
        "_context",
        "_discarded",
        "_idling",
        "_in_flight",
        "_output",
        "_patience",
        "_reading",
        "_room",
        "_scope",
        "_stream",
        "_to_hand_over",
        "_writing",
        "__weakref__",
        "crash",
    )
    _inbox: Inbox
    _line: SendLine
    _progress: trio.lowlevel.ParkingLot
    _pings: Pings
    _over: trio.Event

    def __init__(
        self,
        stream: trio.abc.Stream,
        connection: Connection,
        options: Options,
        opening: Opening,
        on_message: MessageHook | None,
        on_error: ErrorHook,
        reserve: Reserve | None = None,
    ) -> None:
        self._set_up(connection, options, opening, on_message, on_error, reserve)
        self._inbox = self._new_inbox()
        self._line = self._new_line()
        self._progress = trio.lowlevel.ParkingLot()
        self._pings = self._new_pings()
        self._over = trio.Event()
        self._in_flight = 0  # bytes that were taken from the connection but not written yet
        self.crash: BaseException | None = None
        self._stream = stream
        self._context = current_task().context
        self._output = Signal()  # wakes the writer
        self._room = Signal()  # wakes the reader
        self._scope = trio.CancelScope()
        self._reading = trio.CancelScope()
        self._writing = trio.CancelScope()
        self._patience = trio.CancelScope()
        self._idling = trio.CancelScope()
        self._discarded = 0
        self._to_hand_over = (0, 0)  # messages that wait for `on_message`, and what they weigh

    @enable_ki_protection
    async def run(self, around: trio.CancelScope) -> None:
        """Move bytes until the connection is over, then close the stream. An error of ours cancels `around`."""
        try:
            with self._scope:
                await self._pump()
        except BaseException as error:
            cause = unwrapped(error)
            if isinstance(cause, trio.Cancelled):
                raise cause from None
            self.crash = cause
            around.cancel()
        finally:
            await close_now(self._stream)
            self._lose()
            self._leave_reserve()
            self._over.set()

    async def _pump(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            await self._read()
        if self._has_reset:
            reset(self._stream)
        elif self._end is not None and self._end.origin != "lost":
            peer_first_by = self._timers.close_by if self._connection.role is Role.CLIENT else None
            await linger(self._stream, limit=DISCARD_LIMIT - self._discarded, peer_first_by=peer_first_by)

    # Reading

    async def _read(self) -> None:
        with self._reading:
            try:
                await self._take_in(self._take_rest())
                await self._read_until_end()
            except _GONE:
                pass
        self._lose()

    def _take_rest(self) -> bytes:
        rest = self._opening.rest
        self._opening = self._opening.without_rest()
        return rest

    async def _read_until_end(self) -> None:
        while self._end is None:
            await self._wait_for_room()
            if not await self._take_in(await self._stream.receive_some(RECEIVE_SIZE)):
                return
        # The peer may have to get rid of an upload before it reads why we end.
        self._discarded = await discard(self._stream)

    async def _take_in(self, data: bytes | bytearray) -> bool:
        """False for no bytes, which is the end. Nothing is kept while it waits but what is accounted for."""
        size = len(data)
        self._bytes_received += size
        events = self._connection.receive_data(data, self._budget())
        is_end = not data
        del data
        while True:
            if self._connection.has_pongs:
                self._output_waits()
            messages = 0 if self._throttle is None else self._count(self._throttle, events)
            await self._hand_out(events)
            self._account()
            if self._throttle is not None:
                await self._slow_down(self._charge(self._throttle, messages, size))
                size = 0
            if not self._connection.has_rest:
                return not is_end
            # Others have their turn, too, before there is more of this.
            await trio.lowlevel.checkpoint()
            if self._connection.is_ending:
                await self._wait_for_answers()
            else:
                await self._wait_for_room()
            events = self._connection.receive_data(b"", self._budget())

    def _budget(self) -> int:
        if self._discards:
            return TURN_BUDGET
        if self._on_message is None:
            budget = self._inbox.queue.budget
        else:
            # What an answer would find no room for may wait where it is.
            budget = max(self._options.max_send_buffer - self._unsent(), 1)
        by_rate = None if self._throttle is None else self._budget_by_rate(self._throttle)
        return min(budget, TURN_BUDGET if by_rate is None else by_rate)

    async def _slow_down(self, seconds: float) -> None:
        """The peer sends too fast: take nothing more for a while, as when too much waits to be received."""
        if not seconds:
            return
        self._pause()
        with trio.move_on_after(seconds):
            while not self._discards:
                await self._room.wait()
        self._resume()

    async def _wait_for_room(self) -> None:
        """While too much waits to be received, do not read; our own deadline for a Pong stands still."""
        if self._discards or not self._has_no_room():
            return
        self._pause()
        while not self._discards and self._has_no_room():
            await self._room.wait()
        self._resume()

    def _has_no_room(self) -> bool:
        return self._inbox.queue.is_full or self._is_short()

    async def _wait_for_answers(self) -> None:
        """Before the peer's Close frame, or what it did wrong, takes effect, let what came before be answered."""
        self._pause()
        with trio.move_on_after(self._options.close_timeout * PATIENCE):
            while not self._discards:
                while self._has_answers_to_come():
                    await self._room.wait()
                # Whoever has received the last message sends the answer in this turn, or not at once.
                await trio.lowlevel.checkpoint()
                if not self._has_answers_to_come():
                    break
        self._resume()

    def _has_answers_to_come(self) -> bool:
        """Whether messages wait to be received, or a sender for room."""
        return not self._discards and bool(self._inbox.queue or self._line)

    async def _hand_out(self, events: list[Event]) -> None:
        """Deliver these, messages to `on_message` where there is one; the list is empty afterwards."""
        events.reverse()
        if self._on_message is None:
            while events:
                self._deliver(events.pop())
            return
        weights = [weight_of_item(event) for event in events if isinstance(event, str | bytes)]
        count, weight = len(weights), sum(weights)
        while events:
            self._to_hand_over = count, weight
            event = events.pop()
            if isinstance(event, str | bytes):
                await self._call(self._on_message, event)
                count -= 1
                weight -= weights.pop()
            else:
                self._deliver(event)
        self._to_hand_over = 0, 0

    async def _call(self, on_message: MessageHook, message: str | bytes) -> None:
        """Hand a message to `on_message`, once an answer of its size would fit into the send buffer."""
        weight = weight_of(message)
        if not self._line.fits(weight):
            self._account()
            self._pause()
            while not self._line.fits(weight) and not self._discards:
                await self._progress.park()
            self._resume()
        if self._discards:
            return
        self._messages_received += 1
        self._context.run(self._hand_over, on_message, message)
        await self._manners.leave()

    def _hand_over(self, on_message: MessageHook, message: str | bytes) -> None:
        try:
            on_message(self, message)
        except Exception as error:
            self._handler_failed(error)

    def _pause(self) -> None:
        self._timers.pause()
        if self._throttle is not None:
            self._throttle.pause(trio.current_time())

    def _resume(self) -> None:
        now = trio.current_time()
        self._timers.resume(now)
        if self._throttle is not None:
            self._throttle.excuse(now)
        self._deadline_changed()

    # Writing

    @enable_ki_protection
    async def _write(self) -> None:
        try:
            with self._writing:
                while not self._has_said_all():
                    if self._connection.bytes_to_send:
                        await self._flush()
                    else:
                        await self._idle()
                    self._look_at_the_clock()
        except _GONE:
            self._cannot_send()
        else:
            self._reading.cancel()

    async def _flush(self) -> None:
        """Write what there is; nothing else is written meanwhile, so a tick's frames leave together."""
        data = self._connection.data_to_send()
        self._in_flight = len(data)
        self._account()
        with trio.CancelScope() as self._patience, memoryview(data) as view:
            for start in range(0, len(data), SLICE):
                deadline = trio.current_time() + self._options.send_timeout
                self._patience.deadline = min(deadline, self._timers.close_by)
                part = view[start : start + SLICE]
                await self._stream.send_all(part)
                self._in_flight -= len(part)
                self._bytes_sent += len(part)
                self._account()
                self._has_written()
                if self._connection.is_ending:
                    self._room.give()
        if self._in_flight:
            self._give_up()
        else:
            self._has_flushed()

    async def _idle(self) -> None:
        with trio.CancelScope(deadline=self._timers.next()) as self._idling:
            await self._output.wait()
        if self._idling.cancelled_caught:
            # If this process was stopped, the answer may have come meanwhile: in the next turn Trio finds that out, and
            # in the one after it has been read.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()

    def _cannot_send(self) -> None:
        """The stream broke. The peer may have said why before it went: what has come is still read."""
        self._sending_broke = True
        self._end_unanswered()
        self._connection.data_to_send()
        self._in_flight = 0
        self._reading.deadline = trio.current_time() + self._options.close_timeout
        self._shut()

    # What Endpoint asks for

    @property
    def _face(self) -> WebSocket:
        return self

    def _unsent(self) -> int:
        return self._in_flight + self._connection.bytes_to_send

    def _receive_queue(self) -> tuple[int, int]:
        count, size = self._to_hand_over
        return len(self._inbox.queue) + count, self._inbox.queue.size + size

    def _holds(self) -> int:
        """As everywhere, and what came encrypted, and waits to be decrypted."""
        return super()._holds() + undecrypted(self._stream)

    def _forget_received(self) -> None:
        self._inbox.clear()

    def _send_away(self) -> None:
        self._line.fail(self._why_shut)
        self._pings.fail()
        self._progress.unpark_all()
        self._inbox.wake()

    def _output_waits(self) -> None:
        self._output.give()

    def _input_has_room(self) -> None:
        if self._held > self._inbox.queue.size * 2:
            self._account()
        self._room.give()

    def _deadline_changed(self) -> None:
        self._idling.deadline = self._timers.next()

    def _closing_begins(self) -> None:
        self._timers.closing(trio.current_time(), self._options.close_timeout)
        self._patience.deadline = min(self._patience.deadline, self._timers.close_by)
        if self._end is not None and self._end.origin == "lost":
            self._writing.cancel()

    def _give_up(self) -> None:
        if not self._has_said_all():
            self._has_reset = True
            self._reading.cancel()
            self._writing.cancel()

    def _cut(self) -> None:
        self._scope.cancel()
