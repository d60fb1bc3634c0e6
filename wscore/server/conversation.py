"""One connection of a server from its first byte to its last, and what keeps its misfortunes from the others.

Decides what happens to exceptions: a connection's own errors end that connection, are logged and counted; what is no
`Exception` (`trio.Cancelled`, `KeyboardInterrupt` and the like) goes on to the caller. Refuses to know where
connections come from.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import TypeAlias

import trio

from wscore.codec import SERVER, CloseCode
from wscore.protocol.connection import Connection
from wscore.server.entrance import Entrance
from wscore.server.logs import escape, fields, logger
from wscore.session.opening import Opening, Stage
from wscore.session.options import Options
from wscore.session.site.limits import Place
from wscore.session.site.logs import log_loss
from wscore.session.site.statistics import Tally
from wscore.transport.calling import interruptible
from wscore.transport.linger import close_now, linger, reset
from wscore.transport.reserve import Reserve
from wscore.transport.stream import new_connection, run_websocket
from wscore.transport.websocket import ErrorHook, MessageHook, WebSocket

__all__ = ["Connections", "Conversations", "Handler"]

Handler: TypeAlias = Callable[[WebSocket], Awaitable[object]]


class Conversations:
    """The connections of one server: `websockets` are those whose opening handshake has succeeded.

    Raises `ValueError` unless either `handler` or `on_message` is given; the latter wants whole messages.
    """

    def __init__(
        self,
        options: Options,
        entrance: Entrance,
        tally: Tally,
        *,
        handler: Handler | None,
        on_message: MessageHook | None,
        on_error: ErrorHook | None,
        reserve: Reserve | None = None,
    ) -> None:
        if (handler is None) == (on_message is None):
            raise ValueError("give either a handler or on_message: it says what to do with messages")
        if on_message is not None and options.pieces:
            raise ValueError("on_message wants whole messages: leave pieces off")
        self._options = options
        self._entrance = entrance
        self._tally = tally
        self._handler = handler
        self.on_message = None if on_message is None else interruptible(on_message)
        self._on_error = interruptible(log_error if on_error is None else on_error)
        self.reserve = reserve
        self._streams: set[trio.abc.Stream] = set()
        self._is_closing = False
        # A dictionary, in order of arrival, takes half of what a set does.
        self.websockets: dict[WebSocket, None] = {}

    async def hold(self, stream: trio.abc.Stream, place: Place | None = None, remote: object = None) -> None:
        """Serve one connection, and close its stream; `place` is what it occupies, `remote` whom `accept` has named."""
        self._streams.add(stream)
        try:
            top, opening = await self._entrance.admit(stream, place, remote)
            stage, settled = opening.stage, opening.opened
            connection = new_connection(SERVER, self._options, opening.deflate) if stage is Stage.OPEN else None
            del opening  # it would be kept as long as the connection
            if connection is not None and settled is not None:
                await self._run(top, connection, settled)
            elif stage is Stage.LINGER:
                await linger(top)
            elif stage is Stage.RESET:
                reset(stream)
        except BaseException as error:
            self.contain(error)
        finally:
            self._streams.discard(stream)
            await close_now(stream)

    def report(self, ws: WebSocket, error: Exception) -> None:
        """Tell `on_error`; should that fail, too, the connection still gets its 1011."""
        try:
            self._on_error(ws, error)
        except Exception:
            self._tally.errors += 1
            logger.exception("on_error failed", extra=fields(kind="on_error_failed", event="on_error_failed"))

    def contain(self, error: BaseException) -> None:
        """Log and count what concerns this connection alone; raise the rest, without those `Cancelled` that are in it.

        A handler that was cancelled inside of a nursery raises groups, of `Cancelled` and perhaps of errors.
        """
        rest: BaseException | None = error
        if isinstance(error, BaseExceptionGroup):
            _, rest = error.split(trio.Cancelled)
        if rest is None or not isinstance(rest, Exception):
            raise rest or error
        self._tally.errors += 1
        logger.error(
            "a connection failed, and is closed",
            exc_info=rest,
            extra=fields(kind="connection_failed", event="connection_failed"),
        )

    def close(self) -> None:
        """Close every connection with 1001, and refuse those that are about to open."""
        self._is_closing = True
        self._entrance.close()
        for ws in self.websockets:
            ws.close_nowait(CloseCode.GOING_AWAY)

    def reset(self) -> None:
        """Let what is closed from now on be reset: the peers had their time."""
        for stream in self._streams:
            self._tally.resets += 1
            reset(stream)

    @property
    def streams(self) -> int:
        """How many streams are held."""
        return len(self._streams)

    @property
    def has_handler(self) -> bool:
        """Whether there is a handler to be run in a task of its own; else messages go to `on_message`."""
        return self._handler is not None

    async def handle(self, ws: WebSocket) -> None:
        """Run the handler, then close with 1000; with 1011 if it raised an `Exception`, which is reported."""
        assert self._handler is not None
        try:
            await self._handler(ws)
        except Exception as error:
            ws._handler_failed(error)
        await ws.aclose()

    def enter(self, ws: WebSocket) -> None:
        """An opening handshake has succeeded."""
        self._tally.accepted += 1
        self.websockets[ws] = None
        if self._is_closing:
            ws.close_nowait(CloseCode.GOING_AWAY)

    def leave(self, ws: WebSocket) -> None:
        """Its handler is done, and it is closed."""
        self.websockets.pop(ws, None)
        self._tally.ended(ws)
        log_loss(ws)

    async def _run(self, stream: trio.abc.Stream, connection: Connection, settled: Opening) -> None:
        ws: WebSocket | None = None

        async def handle(opened: WebSocket) -> None:
            nonlocal ws
            ws = opened
            self.enter(ws)
            await (WebSocket.wait_closed if self._handler is None else self._handler)(ws)

        try:
            await run_websocket(
                stream,
                connection,
                self._options,
                settled,
                handle,
                on_message=self.on_message,
                on_error=self.report,
                reserve=self.reserve,
            )
        finally:
            if ws is not None:
                self.leave(ws)


class Connections(Collection[WebSocket]):
    """The WebSockets that are open now. Going through them may take its time: it is a copy that is gone through."""

    __slots__ = ("_websockets",)

    def __init__(self, websockets: Mapping[WebSocket, None]) -> None:
        self._websockets = websockets

    def __contains__(self, ws: object) -> bool:
        return ws in self._websockets

    def __iter__(self) -> Iterator[WebSocket]:
        return iter(tuple(self._websockets))

    def __len__(self) -> int:
        return len(self._websockets)


def log_error(ws: WebSocket, error: Exception) -> None:
    """What becomes of an exception out of a handler or `on_message`, unless `on_error` says otherwise."""
    path = escape(ws.request.path) if ws.request else "a stream"
    facts = fields(kind="handler_failed", event="handler_failed", path=path)
    logger.error("the handler of a connection to %s failed; it is closed with 1011", path, exc_info=error, extra=facts)
