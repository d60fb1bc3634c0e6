"""`WebSocket`: what a Trio program holds of one connection, whichever transport moves its bytes.

Decides what a caller sees, and what that costs who is cancelled; it says so, and does what is the same everywhere:
`session_face` does the rest over a `Session`.

A WebSocket belongs to the thread of its Trio run: a call from another raises `RuntimeError`, and does nothing.

Cancellation, for every call here: a cancelled `receive` has lost no message, a cancelled `send` has sent nothing, a
cancelled `aclose` has closed all the same, at once. Ctrl-C comes before or after a call, or as a cancellation of it.

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
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

import trio
from trio.lowlevel import enable_ki_protection

from ..codec import CloseCode, LocalProtocolError
from ..session.options import Options
from .receiving import Pieces, Receiver
from .records import Incoming, Opening, Statistics
from .sending import Sendable, SendLine
from .trio_glue import Manners

if TYPE_CHECKING:
    from ..protocol.handshake import Request, Response
    from ..session.ends import End

__all__ = ["ErrorHook", "MessageHook", "WebSocket"]


class WebSocket(trio.abc.Channel[str | bytes]):
    """A connection that carries messages both ways: `str` is text, `bytes` is binary (RFC 6455).

    Made by `serve` and `connect`. One task at a time may receive; any number may send. `async for message in ws` ends
    when the peer closes.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        # Where they are stored is the transports' to say.
        _opening: Opening
        _options: Options
        _manners: Manners
        _on_message: MessageHook | None

        @property
        def _inbox(self) -> Receiver: ...
        @property
        def _line(self) -> SendLine: ...
        @property
        def _over(self) -> trio.Event: ...

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
        """The peer's end, as `socket.getpeername` has it, or the client's as a trusted proxy tells it (port 0 if
        it tells none); None if the stream is no socket.
        """
        return self._opening.remote_address

    @property
    @abstractmethod
    def latency(self) -> float | None:
        """Seconds between the last answered Ping and its Pong; None before the first."""

    @property
    @abstractmethod
    def end(self) -> End | None:
        """How it ended, and why, with numbers; None before the end."""

    @property
    def close_code(self) -> int | None:
        """The code with which it ended (RFC 6455 section 7.1.5), 1006 for none; None before the end."""
        return None if self.end is None else self.end.code

    @property
    def close_reason(self) -> str | None:
        """The reason that went with it, "" if none was given; None before the end. The peer may have chosen it."""
        return None if self.end is None else self.end.reason

    @abstractmethod
    def statistics(self) -> Statistics:
        """Counts and sizes as they are now."""

    # Receiving

    @enable_ki_protection
    async def receive(self) -> str | bytes:
        """Return the next message: `str` for text, `bytes` for binary.

        On a connection with `pieces=True` the pieces are joined, up to `max_message_size`; more closes with 1009.

        Raises `ConnectionClosed` after the peer's Close frame and `ConnectionLost` after any other end, once all that
        came before was received; `trio.ClosedResourceError` after our own `aclose`; `trio.BusyResourceError` while
        another task receives, and with `on_message`; `LocalProtocolError` half-way through `receive_pieces`. Cancelled,
        it has taken nothing.
        """
        if self._on_message is not None:
            await self._manners.enter()
            raise trio.BusyResourceError("the messages of this WebSocket go to on_message")
        return await self._inbox.receive()

    @enable_ki_protection
    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

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

    # Sending

    @abstractmethod
    async def send(self, message: Sendable, *, compress: bool | None = None) -> None:
        """Send one message: `str` as text, any buffer of bytes as binary, or what `wscore.prepare` made of either.

        Returns when the message is in the send buffer, not when the peer has it; until there is room for it, it waits,
        in the order of calls (or drops it, or closes with 1013, as `slow_consumer` says). `compress` overrides, for
        this message, whether it is compressed.

        Raises `ConnectionLost` if the peer has closed or the connection has failed, `trio.ClosedResourceError` after
        our own `aclose`, TypeError or UnicodeEncodeError for what cannot be sent. Cancelled, nothing was sent.
        """

    @abstractmethod
    def send_nowait(self, message: Sendable, *, compress: bool | None = None) -> bool:
        """As `send`, without waiting: whether there was room. If not, nothing was sent, and `slow_consumer` decides
        whether the connection goes on.

        Raises as `send`.
        """

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

    @abstractmethod
    async def _send_fragment(self, data: Sendable, fin: bool, compress: bool | None, message: object) -> None:
        """Send a part of `message`, as `send`; it has the line from the first until `SendLine.release`."""

    @abstractmethod
    async def ping(self, payload: bytes | bytearray | memoryview | None = None) -> float:
        """Send a Ping and wait for its Pong (RFC 6455 section 5.5.2); return the seconds in between.

        `payload` has at most 125 bytes; None takes one that the peer cannot foresee. Raises `LocalProtocolError` for a
        longer one, and for one that is under way already; else as `send`. Cancelled, the Ping may have been sent; its
        Pong is ignored.
        """

    # Closing

    @abstractmethod
    async def aclose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close with `code` and `reason`: send a Close frame, wait for the peer's, close the stream.

        Whatever was not received is thrown away; what is in the send buffer still goes out first. The peer has
        `close_timeout` seconds, then the connection is reset. Closing again only waits. Cancelled, the stream is closed
        at once all the same.

        `code` is 1000 to 1003, 1007 to 1014 or 3000 to 4999, `reason` has at most 123 bytes of UTF-8 (RFC 6455 sections
        5.5.1 and 7.4); `LocalProtocolError` otherwise, and nothing has happened.
        """

    @abstractmethod
    def close_nowait(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Begin to close with `code` and `reason`, and do not wait: for `on_message`, or for another connection's task.

        The task that receives gets what has come already, then `ConnectionClosed` with this code. No effect if the
        connection is closing or has ended. Raises as `aclose`.
        """

    @abstractmethod
    def abort(self) -> None:
        """Close the stream at once, without a closing handshake; afterwards as after `aclose`."""

    async def wait_closed(self) -> None:
        """Wait until the connection has ended, in whatever way, and its stream is closed."""
        await self._over.wait()

    # For servers

    @property
    @abstractmethod
    def _is_shut(self) -> bool:
        """Whether nothing can be sent any more."""

    @abstractmethod
    def _fail(self, code: int, reason: str) -> None:
        """Give the connection up, for a reason that the protocol layer cannot see."""

    @abstractmethod
    def _handler_failed(self, error: Exception) -> None:
        """The handler or `on_message` raised: close with 1011, unless that only says that the connection has ended."""

    @property
    @abstractmethod
    def _held(self) -> int:
        """How many bytes it has told its `Reserve` that it holds."""

    @abstractmethod
    def _run_short(self) -> None:
        """The server has no memory to spare, and this connection is to give back what it holds: close with 1013."""

    @abstractmethod
    def _give_up(self) -> None:
        """The peer had its time: end with a reset, unless all has been said."""

    @abstractmethod
    def _message_under_way(self) -> Incoming | None:
        """A message that has come in part; None if there is none, or it is for nobody."""


MessageHook: TypeAlias = Callable[[WebSocket, str | bytes], object]
ErrorHook: TypeAlias = Callable[[WebSocket, Exception], object]
