"""`WebSocket`: what a Trio program holds of one connection, whichever transport moves its bytes.

Decides what a caller sees: which error an end becomes, what waits and for how long it counts, when a call gives way to
other tasks, who may send. All rules of RFC 6455 are `Connection`'s. It refuses to know how bytes move: a transport
subclasses it, feeds events to `_deliver`, and implements the five hooks at its end.

Cancellation, for every call here: a cancelled `receive` has lost no message, a cancelled `send` has sent nothing, a
cancelled `aclose` has closed all the same, at once.

How an end becomes an error:

    ended by                           receive (after what came before)     send, ping
    our aclose                         ClosedResourceError, at once         ClosedResourceError
    the peer's Close frame             ConnectionClosed, by_peer            ConnectionLost
    our close_nowait (so a drain)      ConnectionClosed, not by_peer        ConnectionLost
    a broken rule, an overdue Pong     ConnectionLost, our code             ConnectionLost
    the bytes stopping                 ConnectionLost, 1006                 ConnectionLost
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from functools import partial
from typing import TYPE_CHECKING

import trio

from ..codec import CloseCode, LocalProtocolError, Piece
from ..codec.errors import MESSAGE_TOO_BIG
from ..protocol.connection import Connection, State
from ..protocol.events import Close, Event, Ping, Pong
from ..protocol.prepared import PreparedMessage
from .errors import ConnectionClosed, ConnectionLost
from .options import Options
from .pings import Pings
from .receiving import Inbox, Pieces
from .records import Opening, Statistics
from .sending import Sendable, SendLine, weight_of
from .trio_glue import Manners

if TYPE_CHECKING:
    from ..protocol.handshake import Request, Response

__all__ = ["WebSocket"]


class WebSocket(trio.abc.Channel[str | bytes]):
    """A connection that carries messages both ways: `str` is text, `bytes` is binary (RFC 6455).

    Made by `serve` and `connect`. One task at a time may receive; any number may send. `async for message in ws` ends
    when the peer closes.
    """

    __slots__ = (
        "_bytes_received",
        "_bytes_sent",
        "_closed_here",
        "_connection",
        "_end",
        "_failed",
        "_has_reset",
        "_in_flight",
        "_inbox",
        "_leaving",
        "_line",
        "_manners",
        "_messages_dropped",
        "_messages_received",
        "_messages_sent",
        "_opening",
        "_options",
        "_over",
        "_pings",
        "_progress",
        "_sending_broke",
    )

    def __init__(self, connection: Connection, options: Options, opening: Opening) -> None:
        self._connection = connection
        self._options = options
        self._opening = opening
        self._manners = Manners(options.strict_checkpoints)
        self._inbox = Inbox(
            options.max_receive_queue,
            options.max_message_size,
            self._manners,
            check=self._check_receiving,
            has_room=self._input_has_room,
            too_big=partial(self._fail, *MESSAGE_TOO_BIG),
        )
        # Sending: who waits for room, and how many bytes were taken from the connection but not written yet.
        self._line = SendLine(self._unsent, options.max_send_buffer)
        self._progress = trio.lowlevel.ParkingLot()
        self._in_flight = 0
        self._sending_broke = False
        self._pings = Pings()
        # The end: by our aclose, by our close_nowait, and as the protocol sees it; then the stream is closed, too.
        self._closed_here = False
        self._leaving: tuple[int, str] | None = None
        self._end: Close | None = None
        self._over = trio.Event()
        self._has_reset = False
        self._failed = False
        self._messages_received = self._messages_sent = self._messages_dropped = 0
        self._bytes_received = self._bytes_sent = 0

    # What is known

    @property
    def request(self) -> Request | None:
        """The peer's opening request, on a server; else None."""
        return self._opening.request

    @property
    def response(self) -> Response | None:
        """The server's answer to ours, on a client; else None."""
        return self._opening.response

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed on, if any (RFC 6455 section 1.9)."""
        return self._opening.subprotocol

    @property
    def user(self) -> object:
        """What `Accept(user=...)` said."""
        return self._opening.user

    @property
    def local_address(self) -> object:
        """Our end, as `socket.getsockname` has it; None if the stream is no socket."""
        return self._opening.local_address

    @property
    def remote_address(self) -> object:
        """The peer's end, as `socket.getpeername` has it; None if the stream is no socket."""
        return self._opening.remote_address

    @property
    def latency(self) -> float | None:
        """Seconds between the last answered Ping and its Pong; None before the first."""
        return self._pings.latency

    @property
    def close_code(self) -> int | None:
        """The code with which it ended (RFC 6455 section 7.1.5), 1006 for none; None before the end."""
        return None if self._end is None else self._end.code

    @property
    def close_reason(self) -> str | None:
        """The reason that went with it, "" if none was given; None before the end. The peer may have chosen it."""
        return None if self._end is None else self._end.reason

    def statistics(self) -> Statistics:
        """Counts and sizes as they are now."""
        return Statistics(
            messages_received=self._messages_received,
            messages_sent=self._messages_sent,
            messages_dropped=self._messages_dropped,
            bytes_received=self._bytes_received,
            bytes_sent=self._bytes_sent,
            messages_waiting=len(self._inbox.queue),
            receive_queue=self._inbox.queue.size,
            send_buffer=self._unsent(),
            senders_waiting=len(self._line),
            latency=self.latency,
            reset=self._has_reset,
            failed=self._failed,
        )

    # Receiving

    async def receive(self) -> str | bytes:
        """Return the next message: `str` for text, `bytes` for binary.

        On a connection with `pieces=True` the pieces are joined, up to `max_message_size`; more closes with 1009.

        Raises `ConnectionClosed` after the peer's Close frame and `ConnectionLost` after any other end, once all that
        came before was received; `trio.ClosedResourceError` after our own `aclose`; `trio.BusyResourceError` while
        another task receives; `LocalProtocolError` half-way through `receive_pieces`. Cancelled, it has taken nothing.
        """
        return await self._inbox.receive()

    def receive_pieces(self) -> AsyncIterator[str | bytes]:
        """Iterate over one message as it comes: `async for piece in ws.receive_pieces()`, then call again for the next.

        The pieces are all `str`, cut between characters, or all `bytes`; there is at least one, which may be empty. The
        sizes follow the network and mean nothing. Cancelled or left half-way, the next call goes on where it stopped.

        Raises `LocalProtocolError` unless the connection was made with `pieces=True`, and half-way through a cancelled
        `receive`; while iterating, as `receive`.
        """
        if not self._options.pieces:
            raise LocalProtocolError("receive_pieces needs pieces=True in serve or connect")
        return Pieces(self._inbox)

    def _check_receiving(self) -> None:
        if self._closed_here:
            raise trio.ClosedResourceError("this WebSocket was closed by aclose")
        if self._leaving is not None:
            raise ConnectionClosed(*self._leaving, by_peer=False)
        if self._end is None:
            return
        if self._end.origin == "peer":
            raise ConnectionClosed(self._end.code, self._end.reason, by_peer=True)
        raise ConnectionLost(self._end.code, self._end.reason)

    # Sending

    async def send(self, message: Sendable, *, compress: bool | None = None) -> None:
        """Send one message: `str` as text, any buffer of bytes as binary, or what `wscore.prepare` made of either.

        Returns when the message is in the send buffer, not when the peer has it; until there is room for it, it waits,
        in the order of calls (or drops it, or closes with 1013, as `slow_consumer` says). `compress` overrides, for
        this message, whether it is compressed.

        Raises `ConnectionLost` if the peer has closed or the connection has failed, `trio.ClosedResourceError` after
        our own `aclose`, TypeError or UnicodeEncodeError for what cannot be sent. Cancelled, nothing was sent.
        """
        await self._manners.enter()
        self._check_sending()
        if self._goes_at_once(message):
            self._add(message, compress)
        elif self._options.slow_consumer == "wait" or self._line.is_held:
            await self._line.wait(weight_of(message), partial(self._add, message, compress))
            return
        else:
            self._refuse_to_wait()
            self._check_sending()
        await self._manners.leave()

    def send_nowait(self, message: Sendable, *, compress: bool | None = None) -> bool:
        """As `send`, without waiting: whether there was room. If not, nothing was sent, and `slow_consumer` decides
        whether the connection goes on.

        Raises as `send`.
        """
        self._check_sending()
        if self._goes_at_once(message):
            self._add(message, compress)
            return True
        weight_of(message)
        if self._options.slow_consumer != "wait" and not self._line.is_held:
            self._refuse_to_wait()
        return False

    async def send_pieces(
        self, pieces: Iterable[Sendable] | AsyncIterable[Sendable], *, compress: bool | None = None
    ) -> None:
        """Send one message piece by piece, each as soon as `pieces` yields it (RFC 6455 section 5.4).

        The pieces are all `str` or all buffers. Each waits for room as a message does, and other senders wait until
        the last. Empty `pieces` are a ValueError. Raises as `send`, and whatever `pieces` raises. If that happens, or
        it is cancelled, before the first piece, nothing was sent; afterwards the peer has half a message, so the
        connection is closed with 1011.
        """
        if isinstance(pieces, str | bytes | bytearray | memoryview):
            raise TypeError("send_pieces wants an iterable of pieces: send a whole message with send")
        message = object()
        end: Sendable = b""
        try:
            if isinstance(pieces, AsyncIterable):
                async for piece in pieces:
                    await self._send_fragment(piece, False, compress, message)
                    end = "" if isinstance(piece, str) else b""
            else:
                for piece in pieces:
                    await self._send_fragment(piece, False, compress, message)
                    end = "" if isinstance(piece, str) else b""
            if not self._line.is_held_by(message):
                raise ValueError("send_pieces wants at least one piece: it says whether the message is text or binary")
            await self._send_fragment(end, True, compress, message)
        except BaseException:
            if self._line.is_held_by(message):
                self._fail(CloseCode.INTERNAL_ERROR, "the message broke off")
            raise
        finally:
            self._line.release(message)

    async def _send_fragment(self, data: Sendable, fin: bool, compress: bool | None, message: object) -> None:
        await self._manners.enter()
        self._check_sending()
        add = partial(self._add_fragment, data, fin, compress, message)
        weight = weight_of(data)
        if self._line.goes_at_once(weight, message):
            add()
            await self._manners.leave()
        else:
            await self._line.wait(weight, add, message)

    def _goes_at_once(self, message: Sendable) -> bool:
        # With nothing in the way, the message need not be weighed: text would be encoded for it.
        if not self._unsent() and not self._line and not self._line.is_held:
            return True
        return self._line.goes_at_once(weight_of(message))

    def _add(self, message: Sendable, compress: bool | None) -> None:
        self._connection.send(message, compress)
        self._messages_sent += 1
        self._output_waits()

    def _add_fragment(self, data: Sendable, fin: bool, compress: bool | None, message: object) -> None:
        if isinstance(data, PreparedMessage):
            raise TypeError("a prepared message is whole: send it with send")
        self._connection.send_fragment(data, fin=fin, compress=compress)
        self._line.hold(message)
        self._messages_sent += fin
        self._output_waits()

    def _refuse_to_wait(self) -> None:
        if self._options.slow_consumer == "drop":
            self._messages_dropped += 1
        else:
            self._fail(CloseCode.TRY_AGAIN_LATER, "the peer receives too slowly")

    def _check_sending(self) -> None:
        error = self._sending_error()
        if error is not None:
            raise error

    def _sending_error(self) -> Exception | None:
        if self._closed_here:
            return trio.ClosedResourceError("this WebSocket was closed by aclose")
        if self._leaving is not None:
            return ConnectionLost(*self._leaving)
        if self._end is not None:
            return ConnectionLost(self._end.code, self._end.reason)
        if self._sending_broke:
            return ConnectionLost(CloseCode.ABNORMAL, "")
        return None

    def _why_shut(self) -> Exception:
        error = self._sending_error()
        assert error is not None
        return error

    def _unsent(self) -> int:
        return self._in_flight + self._connection.bytes_to_send

    async def ping(self, payload: bytes | bytearray | memoryview | None = None) -> float:
        """Send a Ping and wait for its Pong (RFC 6455 section 5.5.2); return the seconds in between.

        `payload` has at most 125 bytes; None takes one that the peer cannot foresee. Raises `LocalProtocolError` for a
        longer one, and for one that is under way already; else as `send`. Cancelled, the Ping may have been sent; its
        Pong is ignored.
        """
        await self._manners.enter()
        key = self._pings.new_payload() if payload is None else memoryview(payload).tobytes()
        self._check_sending()
        while self._unsent() > self._options.max_send_buffer:
            await self._progress.park()
            self._check_sending()
        if key in self._pings:
            raise LocalProtocolError("a Ping with this payload is under way: take another, or none")
        self._connection.ping(key)
        ping = self._pings.add(key)
        self._output_waits()
        try:
            await ping.done.wait()
        finally:
            self._pings.forget(key)
        if ping.seconds is None:
            raise self._why_shut()
        return ping.seconds

    # Closing

    async def aclose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close with `code` and `reason`: send a Close frame, wait for the peer's, close the stream.

        Whatever was not received is thrown away; what is in the send buffer still goes out first. The peer has
        `close_timeout` seconds, then the connection is reset. Closing again only waits. Cancelled, the stream is closed
        at once all the same.

        `code` is 1000 to 1003, 1007 to 1014 or 3000 to 4999, `reason` has at most 123 bytes of UTF-8 (RFC 6455 sections
        5.5.1 and 7.4); `LocalProtocolError` otherwise, and nothing has happened.
        """
        if not self._closed_here:
            self._start_closing(code, reason)
            self._closed_here = True
            self._inbox.clear()
            self._shut()
        try:
            await self._over.wait()
        except BaseException:
            self._cut()
            with trio.CancelScope(shield=True):
                await self._over.wait()
            raise

    def close_nowait(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Begin to close with `code` and `reason`, and do not wait: for `on_message`, or for another connection's task.

        The task that receives gets what has come already, then `ConnectionClosed` with this code. No effect if the
        connection is closing or has ended. Raises as `aclose`.
        """
        if self._start_closing(code, reason):
            self._leaving = (int(code), reason)
            self._shut()

    def abort(self) -> None:
        """Close the stream at once, without a closing handshake; afterwards as after `aclose`."""
        if not self._over.is_set():
            self._closed_here = True
            self._inbox.clear()
            self._shut()
            self._cut()

    async def wait_closed(self) -> None:
        """Wait until the connection has ended, in whatever way, and its stream is closed."""
        await self._over.wait()

    def _start_closing(self, code: int, reason: str) -> bool:
        """Send our Close frame, if none has been sent or received."""
        if self._connection.state is not State.OPEN:
            return False
        self._connection.close(code, reason)
        return True

    def _fail(self, code: int, reason: str) -> None:
        """Give the connection up, for a reason that the protocol layer cannot see."""
        if self._connection.state is State.OPEN:
            for event in self._connection.fail(code, reason):
                self._deliver(event)

    def _shut(self) -> None:
        """Nothing can be sent any more: tell everybody who waits, and let the transport go on without them."""
        self._line.fail(self._why_shut)
        self._pings.fail()
        self._progress.unpark_all()
        self._inbox.wake()
        self._input_has_room()
        self._closing_begins()
        self._output_waits()

    # For transports: what has happened

    @property
    def _discards(self) -> bool:
        """Whether messages that still come are for nobody."""
        return self._closed_here or self._leaving is not None or self._end is not None

    def _deliver(self, event: Event) -> None:
        """Take one event of the connection."""
        if isinstance(event, str | bytes | Piece):
            if not self._discards:
                self._messages_received += not isinstance(event, Piece) or event.last
                self._inbox.put(event)
        elif isinstance(event, Ping):
            self._output_waits()
        elif isinstance(event, Pong):
            self._ponged(event.payload)
        else:
            self._end = event
            self._shut()

    def _ponged(self, payload: bytes) -> None:
        self._pings.answered(payload, trio.current_time())

    def _has_written(self, count: int) -> None:
        """So many bytes have left."""
        self._in_flight -= count
        self._bytes_sent += count
        self._line.advance()
        self._progress.unpark_all()

    # For transports to implement

    @abstractmethod
    def _output_waits(self) -> None:
        """The connection has bytes to send."""

    @abstractmethod
    def _input_has_room(self) -> None:
        """Reading may go on if it has paused."""

    @abstractmethod
    def _closing_begins(self) -> None:
        """A Close frame is out, in either direction, or the connection is lost: the end must not take for ever."""

    @abstractmethod
    def _cut(self) -> None:
        """Close the stream at once, and set `_over`."""
