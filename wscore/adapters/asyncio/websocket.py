"""`WebSocket`: what a program holds of one connection.

Decides what a caller sees: what waits and for how long, who may send, what a cancelled call has done. How a connection
ends, and the deadlines, are the `Session`'s.

Cancellation, for every call here: a cancelled `receive` has lost no message, a cancelled `send` has sent nothing, a
cancelled `ping` has been sent, a cancelled `aclose` has closed all the same, at once. A call that need not wait lets no
other task run, as with asyncio's own streams, and so does not notice that it was cancelled; `send` gives way once
64 KiB have gathered in one turn of the loop.

How an end becomes an error:

    ended by                           receive (after what came before)     send, ping
    our aclose                         ConnectionClosed, at once            ConnectionClosed
    our abort                          ConnectionClosed, at once, 1006      ConnectionClosed
    the peer's Close frame             ConnectionClosed, by_peer            ConnectionLost
    our close_nowait (so a server's)   ConnectionClosed, not by_peer        ConnectionLost
    a broken rule, an overdue Pong     ConnectionLost, our code             ConnectionLost
    the bytes stopping                 ConnectionLost, 1006                 ConnectionLost
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from wscore.codec import CloseCode, LocalProtocolError
from wscore.session import EMPTY, Cause, ConnectionEnded
from wscore.session.counts import statistics_of
from wscore.session.queue import size_of

from .endpoint import Endpoint
from .errors import ConnectionClosed, of_session

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from wscore.protocol.prepared import PreparedMessage
    from wscore.session import End, PassingSession
    from wscore.session.counts import Statistics

__all__ = ["WebSocket"]


class WebSocket(Endpoint):
    """A connection that carries messages both ways: `str` is text, `bytes` is binary (RFC 6455).

    Made by `Server` and `connect`; asyncio calls it as the protocol of a transport. With `on_message` the messages go
    there, as they come; without, to `receive` and `async for`, which end when the peer closes. One task at a time may
    receive; any number may send. Not for use from other threads.
    """

    __slots__ = ()

    # What is known

    @property
    def is_websocket(self) -> bool:
        """Whether the opening handshake has succeeded; so it stays, after the end, too."""
        return self._life is not None

    @property
    def local_address(self) -> Any:
        """Our end, as `socket.getsockname` has it; None if the transport has none, or is gone."""
        return None if self._transport is None else self._transport.get_extra_info("sockname")

    @property
    def remote_address(self) -> Any:
        """The peer's end, as `socket.getpeername` has it; None if the transport has none, or is gone."""
        return None if self._transport is None else self._transport.get_extra_info("peername")

    @property
    def transport(self) -> asyncio.Transport | None:
        """What moves the bytes, for its `get_extra_info`; None once it is gone."""
        transport: asyncio.Transport | None = self._transport
        return transport

    @property
    def latency(self) -> float | None:
        """Seconds between the last answered Ping and its Pong; None before the first."""
        return None if self._life is None else self._life.latency

    @property
    def end(self) -> End | None:
        """How it ended, and why, with numbers; None before the end."""
        return None if self._life is None else self._life.end

    @property
    def close_code(self) -> int | None:
        """The code with which it ended (RFC 6455 section 7.1.5), 1006 for none; None before the end."""
        return None if self.end is None else self.end.code

    @property
    def close_reason(self) -> str | None:
        """The reason that went with it, "" if none was given; None before the end. The peer may have chosen it."""
        return None if self.end is None else self.end.reason

    def statistics(self) -> Statistics:
        """Counts and sizes as they are now. Raises `LocalProtocolError` before it is open."""
        session = self._session
        if session is None:
            raise LocalProtocolError("the opening handshake is not over: nothing was counted")
        failed = session.end is not None and session.end.cause is Cause.FAILED
        return statistics_of(session, failed=failed, senders_waiting=len(self._line or ()))

    # Receiving

    async def receive(self) -> str | bytes:
        """Return the next message: `str` for text, `bytes` for binary.

        Raises `ConnectionClosed` after the peer's Close frame and after our own `aclose`, `ConnectionLost` after any
        other end, once all that came before was received; RuntimeError while another task receives, and with
        `on_message`. Cancelled, it has taken nothing.
        """
        if self._receiver is not None or self._on_message is not None:
            raise RuntimeError("somebody else receives the messages of this WebSocket")
        while (message := self._next_message()) is EMPTY:
            self._receiver = arrival = self._loop.create_future()
            try:
                await arrival
            finally:
                # Not before: until this task runs, what woke it is its own, and a second one is refused.
                self._receiver = None
        return message  # type: ignore[no-any-return]

    def __aiter__(self) -> WebSocket:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except ConnectionClosed:
            raise StopAsyncIteration from None

    def pause_reading(self) -> None:
        """Let `on_message` have a rest: messages stay with us, at most `max_receive_queue` bytes, and with the peer."""
        self._is_held = True

    def resume_reading(self) -> None:
        """Go on after `pause_reading`: `on_message` is called again from the next turn of the loop on."""
        self._is_held = False
        self._look_soon()

    # Sending

    async def send(self, message: str | Buffer | PreparedMessage, compress: bool | None = None) -> None:
        """Send one message: `str` as text, any buffer of bytes as binary, or what `wscore.prepare` made of either.

        Returns when the message is in the send buffer, not when the peer has it; while there is no room for it among
        the `max_send_buffer` bytes, it waits, in the order of calls (or drops it, or closes with 1013, as
        `slow_consumer` says). `compress` overrides, for this message, whether it is compressed.

        Raises `ConnectionLost` if the peer has closed or the connection has failed, `ConnectionClosed` after our own
        `aclose`, TypeError or UnicodeEncodeError for what cannot be sent. Cancelled, nothing was sent.
        """
        if self._line or not self._send_at_once(message, compress):
            await self._send_in_turn(message, compress)

    async def _send_in_turn(self, message: str | Buffer | PreparedMessage, compress: bool | None) -> None:
        """Stand in line until there is room, and then send. The head of the line leaves it when it has sent."""
        size, waits = size_of(message), self._options.slow_consumer == "wait"
        if not (waits or self._opened_session().fits(size)):
            self._put(message, compress)
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._line = line = self._line or []
        line.append(turn)
        session = self._stand_in_line()
        self._flush()
        if session.fits(size):
            self._loop.call_soon(self._next_turn)
        try:
            await turn
            while not self._put(message, compress) and waits:
                line[0] = turn = self._loop.create_future()
                await turn
        finally:
            line.remove(turn)
            self._stand_in_line()
            self._next_turn()

    def _stand_in_line(self) -> PassingSession:
        session = self._session
        assert session is not None
        session.senders_waiting = len(self._line or ())
        self._look_soon()
        return session

    def _put(self, message: str | Buffer | PreparedMessage, compress: bool | None) -> bool:
        session = self._session
        assert session is not None
        try:
            return session.send(message, compress)
        except ConnectionEnded as error:
            raise of_session(error) from None
        finally:
            self._has_said()

    async def ping(self, payload: Buffer | None = None) -> float:
        """Send a Ping and wait for its Pong (RFC 6455 section 5.5.2); return the seconds between. Sets no deadline.

        `payload` has at most 125 bytes; None takes one that the peer cannot foresee. Raises `LocalProtocolError` for a
        longer one, and for one that is under way already; TypeError for what is no buffer; else as `send`. Cancelled,
        the Ping has been sent, and its Pong is nobody's.
        """
        session = self._opened_session()
        chosen = None if payload is None else memoryview(payload).tobytes()
        if self._answers is None:
            self._answers = {}
        if chosen is not None and chosen not in self._answers:
            session.pings.forget(chosen)
        key = session.ping(chosen)
        self._answers[key] = answer = self._loop.create_future()
        self._has_said()
        try:
            seconds: float = await answer
            return seconds
        finally:
            del self._answers[key]

    # Ends

    async def aclose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close with the closing handshake, and wait until the transport is closed (RFC 6455 section 7.1.2).

        What was sent before still leaves, as long as the peer takes it; what still comes is thrown away. From when all
        has left it takes at most `close_timeout` and 2 seconds. Calling it again, or after the end, only waits. Raises
        `LocalProtocolError` for a code or reason that cannot be sent. Cancelled, the connection is closed at once, and
        what was not sent yet is lost.
        """
        session = self._session
        if session is not None and session.end is None:
            session.close(code, reason)
            session.forget()
            self._act()
        try:
            await self.wait_closed()
        except asyncio.CancelledError:
            self.abort()
            raise

    def close_nowait(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Begin to close, and do not wait: nothing more can be sent, and what still comes is thrown away.

        Does nothing once the connection is closing. Raises as `aclose`.
        """
        if self._session is not None and self._session.close(code, reason):
            self._act()

    def abort(self) -> None:
        """Close the transport at once: without a Close frame, and without what was not sent yet.

        Of what has come, nothing is delivered any more. Does nothing once the transport is gone.
        """
        if self._session is not None:
            self._session.abort()
            self._act()
        elif self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the transport is closed. Cancelled, nothing has changed."""
        if self._transport is None and (self._life is None or self._life.end is not None):
            return
        if self._over is None:
            self._over = self._loop.create_future()
        await asyncio.shield(self._over)
