"""The stream transport: a `WebSocket` over any `trio.abc.Stream`, which is a pump around a `Session`.

Each connection has two tasks of its own, which no caller's cancellation reaches: the reader tells the session what
comes, and hands messages to `on_message`; the writer sends what the session has to say. `timers` wakes it when
something is due. Callers touch the session only, so a cancelled call leaves no half-written frame behind.

Decides how bytes move, when others have their turn in between, and how a stream is closed: with a reset, or so that the
peer can still read what was sent last (RFC 9112 section 9.6). When that is, and all else about a connection's life, is
the session's to say; what callers see stands in `session_face`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import Any

import trio
from trio.lowlevel import RunVar, checkpoint, current_task, enable_ki_protection

from ..codec import CloseCode, DeflatePool, Piece, Role
from ..protocol.connection import Connection
from ..protocol.extensions import DeflateParameters
from ..session import EMPTY, LINGER_TIME, Cause, Options, Phase, Session, Wakeup
from ..session.logs import of_peer, repeats
from .linger import close_now, end_sending, reset
from .records import Opening, Statistics
from .reserve import Reserve
from .session_face import SessionWebSocket
from .sockets import transport_of, unacknowledged
from .timers import Timer, timers_of_this_run
from .trio_glue import Signal, manners_of_this_run, undecrypted, unwrapped
from .websocket import ErrorHook, MessageHook, WebSocket

__all__ = ["StreamWebSocket", "new_connection", "open_websocket", "run_websocket"]

RECEIVE_SIZE = 1 << 16

# One slice is written at a time, and only a whole one counts as progress: a peer that takes less than this in
# `send_timeout` takes nothing.
SLICE = 1 << 14

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)
_CLOSING, _CLOSED = Phase.CLOSING, Phase.CLOSED
_NOBODY = Wakeup.NOBODY

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
    return options.new_connection(role, pool, deflate)


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


class StreamWebSocket(SessionWebSocket):
    """A `WebSocket` whose bytes two tasks move over a stream."""

    __slots__ = (
        *SessionWebSocket.STATE,
        "__weakref__",
        "_below",
        "_context",
        "_is_over",
        "_manners",
        "_on_error",
        "_on_message",
        "_options",
        "_output",
        "_peer_has_ended",
        "_reading",
        "_room",
        "_scope",
        "_stream",
        "_timer",
        "crash",
    )

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
        answers_at_once = on_message is not None
        self._session = Session(connection, options, trio.current_time(), answers_at_once=answers_at_once)
        self._opening = opening
        self._options = options
        self._manners = manners_of_this_run(options.strict_checkpoints)
        self._on_message = on_message
        self._on_error = on_error
        self._reserve = reserve
        if reserve is not None:
            reserve.join()
        self._receiver = self._senders = self._pingers = self._room_to_ping = self._ended = None
        self._handed_over = self._held = 0
        self._failed = self._is_over = self._is_held_back = self._peer_has_ended = False
        self.crash: BaseException | None = None
        self._stream = stream
        self._below = transport_of(stream)
        self._context = current_task().context
        self._timer = Timer(timers_of_this_run(), self)
        self._output = Signal()  # wakes the writer
        self._room = Signal()  # wakes the reader
        self._scope = trio.CancelScope()
        self._reading = trio.CancelScope()

    @enable_ki_protection
    async def run(self, around: trio.CancelScope) -> None:
        """Move bytes until the connection is over, then close the stream. An error of ours cancels `around`."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read()
            await self._end_in_turn()
        except BaseException as error:
            cause = unwrapped(error)
            if isinstance(cause, trio.Cancelled):
                raise cause from None
            self.crash = cause
        finally:
            if self.crash is not None:
                around.cancel()
            if self._session.resets:
                reset(self._below)
            await close_now(self._below)
            self._session.broken(trio.current_time(), Cause.ABORT)  # unless it has ended: we were cancelled
            self._look()
            self._timer.stop()
            self._leave_reserve()
            self._is_over = True
            self._over.set()

    # Reading

    async def _read(self) -> None:
        try:
            with self._reading:
                await self._read_until_end()
            if self._session.phase is not _CLOSED:
                await self._linger()
        except _GONE:
            self._session.broken(trio.current_time())
        self._look()

    async def _read_until_end(self) -> None:
        session = self._session
        data = self._take_rest()
        while session.phase is not _CLOSED:
            if data:
                session.received(data, trio.current_time())
                data = b""  # while this task waits, nothing is kept but what is accounted for
            await self._hand_over()
            self._account()
            self._look()
            if self._may_read():
                data = await self._stream.receive_some(RECEIVE_SIZE)
                if not data:
                    self._peer_has_ended = True
                    session.received_eof(trio.current_time())
            elif session.deadline == -inf:
                # There is more of what was read before. Others have their turn first.
                await checkpoint()
                session.time_is(trio.current_time())
            else:
                await self._room.wait()

    def _take_rest(self) -> bytes | bytearray:
        rest = self._opening.rest
        self._opening = self._opening.without_rest()
        return rest

    def _may_read(self) -> bool:
        self._mind_the_reserve()
        return self._session.wants_read

    async def _end_in_turn(self) -> None:
        """The peer is to know that it has all, even if it has ended first: under TLS nothing else tells."""
        if self._peer_has_ended and self.close_code != CloseCode.ABNORMAL and not self._session.resets:
            with trio.move_on_after(LINGER_TIME), suppress(*_GONE):
                await end_sending(self._stream)

    async def _linger(self) -> None:
        """Say that we send no more, and pass over what still comes, for as long as the session waits for the end."""
        session = self._session
        await end_sending(self._stream)
        while session.wants_read:
            data = await self._below.receive_some(RECEIVE_SIZE)
            if data:
                session.received(data, trio.current_time())
            else:
                session.received_eof(trio.current_time())
            self._look()

    async def _hand_over(self) -> None:
        """Give `on_message` what there is, as far as there is room for answers."""
        session, on_message = self._session, self._on_message
        while on_message is not None and session.phase < _CLOSING and session.has_room_for_answer():
            message = session.receive()
            if message is EMPTY or isinstance(message, Piece):  # there are none with `on_message`
                return
            self._handed_over += 1
            self._context.run(self._call, on_message, message)
            await self._manners.leave()

    def _call(self, on_message: MessageHook, message: str | bytes) -> None:
        try:
            on_message(self, message)
        except Exception as error:
            self._handler_failed(error)

    # Writing

    @enable_ki_protection
    async def _write(self) -> None:
        session = self._session
        try:
            while session.phase is not _CLOSED:
                data = session.output()
                if data:
                    await self._send(data)
                else:
                    await self._output.wait()
        except _GONE:
            session.cannot_send(trio.current_time())
            self._look()
            await self._send_nothing()

    async def _send(self, data: bytes) -> None:
        """Write it; nothing else is written meanwhile, so a tick's frames leave together."""
        session = self._session
        left = len(data)
        session.sent(left, trio.current_time())
        self._account()
        self._look()
        with memoryview(data) as view:
            for start in range(0, len(data), SLICE):
                part = view[start : start + SLICE]
                await self._stream.send_all(part)
                left -= len(part)
                session.sent(left, trio.current_time())
                self._account()
                self._look()

    async def _send_nothing(self) -> None:
        """Let the session throw away what it still says."""
        while self._session.phase is not _CLOSED:
            self._session.output()
            self._look()
            await self._output.wait()

    # What the session wants

    def _look(self) -> None:
        session = self._session
        while True:
            if session.wants_acknowledged:
                session.acknowledged(unacknowledged(self._below), trio.current_time())
            wakeups = session.wakeups()
            if wakeups is not _NOBODY:
                self._wake(int(wakeups))
            if session.phase is _CLOSED:
                self._scope.cancel()
                return
            if session.shuts_sending:
                self._reading.cancel()
            deadline = session.deadline
            if deadline != -inf:
                if session.wants_read:
                    self._wake_reader()
                self._timer.set(deadline)
                return
            if self._pass_on():
                return
            session.time_is(trio.current_time())

    def _pass_on(self) -> bool:
        """Let a task do what is to be done at once; False if that is neither task's business."""
        if not self._session.wants_read:
            self._wake_reader()  # there may be more of what was read before, and others have their turn first
        if self._session.wants_write:
            self._output.give()
        return self._session.wants_write or not self._session.wants_read

    def _wake(self, wakeups: int) -> None:
        super()._wake(wakeups)
        if self._on_message is not None:
            self._wake_reader()

    def _wake_reader(self) -> None:
        """Let it look what it has to do, which it does by itself before it waits."""
        if self._room.is_awaited:
            self._room.give()

    def _time_is(self, now: float) -> None:
        """Do what is due; the only call from the task that waits for deadlines, in which nothing may fail."""
        try:
            self._session.time_is(now)
            self._look()
        except Exception as error:
            self.crash = error
            self._scope.cancel()

    def _output_waits(self) -> None:
        self._output.give()

    def _undecrypted(self) -> int:
        return undecrypted(self._stream)

    def _input_has_room(self) -> None:
        self._wake_reader()
