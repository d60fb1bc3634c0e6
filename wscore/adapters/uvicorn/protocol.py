"""One connection, between uvicorn's transport and server, an ASGI application, and a `Connection`.

Decides how ASGI's events and those of a `Connection` become each other, how many messages wait for the application, and
when the transport is closed. Knows no frame and no head: these are the codec's and the protocol layer's. uvicorn's HTTP
protocols hand over here, with the head of the request, which they have held to their limits.

What arrives goes through one queue. If it is full, or if a `Connection` has more to read than fits, reading pauses, and
`_go_on` follows once the application has taken what there is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, cast

from uvicorn.protocols.utils import ClientDisconnected

from ...codec import SERVER, CloseCode, weight
from ...protocol.connection import Connection
from ...protocol.events import Close, Event, Ping, Pong
from ...protocol.handshake import Request
from .asgi import Phase, complaint_about, disconnect, expect, line_of, no_message, scope_of, trace
from .keepalive import Keepalive
from .leaving import Leaving
from .opening import Opening, pool_of
from .sockets import limit_unsent

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, WebSocketScope
    from uvicorn.config import Config
    from uvicorn.server import ServerState

__all__ = ["WebSocketProtocol"]

# What a message counts of a budget: at least, and so much that the next should wait to be inflated.
_LEAST_WEIGHT, _USUAL_WEIGHT = weight(0), weight(16)
# Output that is not passed on to the transport before the loop turns.
MAX_OUTPUT = 1 << 16
# So much is read and thrown away in one turn of the loop, after inflating, and one message.
TURN_BUDGET = 1 << 19


class WebSocketProtocol(asyncio.Protocol):
    """One connection of uvicorn's.

    Subclass it to set what uvicorn has no options for: `compression`, the policy where permessage-deflate is on (all
    connections of a server share one pool of compressors), `max_fragments` of a message, above which it is closed with
    1008, and `close_timeout`, the seconds that a closing handshake may take.
    """

    compression: ClassVar[str] = "takeover"
    max_fragments: ClassVar[int] = 4096
    close_timeout: float = 10.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.config = config
        self.loop = _loop or asyncio.get_running_loop()
        self.logger = logging.getLogger("uvicorn.error")
        self.server_state = server_state
        self.app_state = app_state
        self.transport: asyncio.Transport
        self.scope: WebSocketScope
        self._opening: Opening
        self._phase = Phase.CONNECTING
        self._connection: Connection | None = None
        self._is_open = False  # the application may send messages
        self._is_lost = False
        # What waits for the application, and those of its tasks that wait for it.
        self._queue: deque[str | bytes | ASGIReceiveEvent] = deque()
        self._waiters: list[asyncio.Future[None]] = []
        self._disconnect: ASGIReceiveEvent | None = None
        self._is_full = False
        self._most_waiting = max(config.ws_max_queue, 1)
        # What waits for the transport.
        self._flush_is_due = False
        self._has_written = False  # since the application waited for the peer
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_writable = True
        self._sending = asyncio.Lock()  # of those that have to wait, the one whose turn it is
        # Deadlines.
        self.close_timer: asyncio.TimerHandle | None = None  # while the peer's Close frame is awaited
        self._leaving: Leaving
        self._has_come = False  # any byte of the peer's, since the Ping that waits for its Pong
        self._keepalive = Keepalive(
            self.loop, config.ws_ping_interval, config.ws_ping_timeout, self._ping, self._miss_pong
        )

    # What the transport and the server call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        limit_unsent(self.transport)
        self._leaving = Leaving(self.loop, self.transport)
        compression = self.compression if self.config.ws_per_message_deflate else None
        self._opening = Opening(compression, self.server_state, self.transport.write)
        self.server_state.connections.add(self)  # type: ignore[arg-type,unused-ignore]
        trace(self.logger, self.transport, "WebSocket connection made")

    def data_received(self, data: bytes) -> None:
        self._has_come = True
        conn = self._connection
        if conn is None:
            self._receive_early(data)
        elif self._is_open:
            self._take(conn.receive_data(data, self._room()))
            if conn.has_rest or len(self._queue) >= self._most_waiting:
                self._settle(conn)
        elif conn.close_event is None:
            self._discard(conn, data)

    def pause_writing(self) -> None:
        self._is_writable = False
        self._writable.clear()

    def resume_writing(self) -> None:
        self._is_writable = True
        self._writable.set()
        self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._is_open = False
        self.server_state.connections.discard(self)  # type: ignore[arg-type,unused-ignore]
        trace(self.logger, self.transport, "WebSocket connection lost")
        self._stop_timers()
        self._leaving.stop()
        # asyncio does not resume a transport that is lost.
        self.resume_writing()
        if self._connection is None:
            self._tell_end(disconnect(CloseCode.ABNORMAL.value))
        elif not self._is_full:
            self._take(self._connection.receive_eof())

    def shutdown(self) -> None:
        """The server stops: close with 1012, or refuse with 503 what is not open yet."""
        conn = self._connection
        if conn is not None and self._is_open:
            self._close(conn, CloseCode.SERVICE_RESTART.value)
            return
        if conn is None:
            self._refuse(503, "Service Unavailable")
        self._close_transport()

    # The opening handshake

    def _receive_early(self, data: bytes) -> None:
        """The head of the request, and what comes before it is answered."""
        came = self._opening.receive_data(data)
        if came is None:
            self._read_on(False)
        elif isinstance(came, Request):
            self._start(came)
        else:
            self._phase = Phase.ENDED
            self._close_transport()

    def _start(self, request: Request) -> None:
        self.scope = scope_of(request, self.transport, self.config, self.app_state)
        self._queue.append({"type": "websocket.connect"})
        task = self.loop.create_task(self._run())
        self.server_state.tasks.add(task)
        task.add_done_callback(self.server_state.tasks.discard)

    def _accept(self, event: Any) -> None:
        deflate = self._opening.accept(event.get("subprotocol") or None, event.get("headers", ()))
        self._log("[accepted]")
        self._phase = Phase.OPEN
        self._is_open = True
        self._connection = Connection(
            SERVER,
            max_message_size=self.config.ws_max_size,
            max_fragments=self.max_fragments,
            compression=self.compression,
            compression_pool=None if deflate is None else pool_of(self.server_state),
            deflate=deflate,
        )
        self._keepalive.start()
        early = self._opening.early
        if early:
            self._read_on(True)
            self.data_received(early)

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer with a response of our own, unless the application has begun one; the application may go."""
        if not self._is_lost:
            self._opening.refuse(status, sentence)
        self._phase = Phase.ENDED

    def _begin_response(self, event: Any) -> None:
        self._opening.begin_response(event["status"], event.get("headers", ()))
        self._log(str(event["status"]))
        self._phase = Phase.REFUSING

    def _continue_response(self, event: Any) -> None:
        if self._opening.continue_response(event.get("body", b""), event.get("more_body", False)):
            self._phase = Phase.ENDED
            self._tell_end(disconnect(CloseCode.ABNORMAL.value))
            self._close_transport()

    # The application

    async def _run(self) -> None:
        try:
            result = await self.config.loaded_app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            failed = False
        except asyncio.CancelledError:
            self._end_of_application(failed=True)
            raise
        except BaseException:
            failed = True
            self.logger.exception("Exception in ASGI application\n")
        else:
            complaint = None if self._is_lost and self._connection is None else complaint_about(result, self._phase)
            failed = complaint is not None
            if complaint is not None:
                self.logger.error(complaint)
        self._end_of_application(failed)

    def _end_of_application(self, failed: bool) -> None:
        """Close what the application has left open: it has failed, or just gone."""
        conn = self._connection
        if conn is None:
            self._refuse(500, "Internal Server Error")
            self._close_transport()
        elif self._is_open:
            code = CloseCode.INTERNAL_ERROR if failed else CloseCode.NORMAL
            self._close(conn, code.value)

    async def receive(self) -> ASGIReceiveEvent:
        """ASGI's `receive`. A cancelled call loses no event; after the end it returns the same event each time."""
        queue = self._queue
        while not queue:
            if self._disconnect is not None:
                # An application that asks on and on must not stop all others.
                await asyncio.sleep(0)
                return self._disconnect.copy()
            if self._flush_is_due:
                self._flush()
            self._has_written = False
            waiter = self.loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                self._waiters.remove(waiter)
        event = queue.popleft()
        if self._is_full and not queue:
            self.loop.call_soon(self._go_on)
        if type(event) is str:
            return {"type": "websocket.receive", "text": event}
        if type(event) is bytes:
            return {"type": "websocket.receive", "bytes": event}
        return cast("ASGIReceiveEvent", event)

    async def send(self, event: ASGISendEvent) -> None:
        """ASGI's `send`: waits while the transport is full, in the order of calls. A cancelled call has sent nothing.

        Raises `ClientDisconnected`, an `OSError`, after the end, `RuntimeError` for an event that is not expected,
        and `LocalProtocolError`, `UnicodeEncodeError` or `TypeError` for what cannot be sent.
        """
        if self._is_writable and not self._sending.locked():
            self._send(event)
            return
        async with self._sending:
            await self._writable.wait()
            self._send(event)
            # Whether there is room for the next one shows when the transport has it.
            self._flush()

    def _send(self, event: ASGISendEvent) -> None:
        if not self._is_open or event["type"] != "websocket.send":
            self._send_other(event)
            return
        conn = cast("Connection", self._connection)
        message: bytes | str | None = event.get("bytes")
        if message is None:
            message = event.get("text")
            if not isinstance(message, str):
                raise no_message("text", message)
        elif isinstance(message, str):
            raise no_message("bytes", message)
        conn.send(message)
        if not self._has_written and not self._queue:
            # An answer, and nothing else to answer. Whatever follows is written together.
            self._has_written = True
            self._flush()
        elif not self._flush_is_due:
            self._flush_soon()
        elif conn.writer.pending > MAX_OUTPUT:
            self._flush()

    def _send_other(self, event: Any) -> None:
        kind = event["type"]
        if self._is_lost or (self._phase is Phase.CONNECTING and self.transport.is_closing()):
            raise ClientDisconnected
        if self._phase is Phase.CONNECTING:
            self._answer(kind, event)
        elif self._phase is Phase.REFUSING:
            expect(kind, "websocket.http.response.body")
            self._continue_response(event)
        elif self._phase is Phase.OPEN:
            expect(kind, "websocket.send", "websocket.close")
            self._close_or_not(kind, event)
        else:
            raise RuntimeError(f"Unexpected ASGI message '{kind}', after 'websocket.close' or a complete response.")

    def _answer(self, kind: str, event: Any) -> None:
        expect(kind, "websocket.accept", "websocket.close", "websocket.http.response.start")
        if kind == "websocket.accept":
            self._accept(event)
        elif kind == "websocket.http.response.start":
            self._begin_response(event)
        else:
            self._log("403")
            self._refuse(403, "")
            self._tell_end(disconnect(CloseCode.ABNORMAL.value))
            self._close_transport()

    def _close_or_not(self, kind: str, event: Any) -> None:
        """The application closes; or the peer has closed before, which is no news for a `websocket.close`."""
        conn = cast("Connection", self._connection)
        if self._is_open:
            code = event.get("code")
            self._close(conn, CloseCode.NORMAL.value if code is None else code, event.get("reason") or "")
        elif kind == "websocket.send":
            raise ClientDisconnected

    # What a Connection has read

    def _take(self, events: list[Event]) -> None:
        queue = self._queue
        for event in events:
            kind = type(event)
            if kind is str or kind is bytes:
                queue.append(cast("str | bytes", event))
            else:
                self._take_control(event)
        if queue:
            self._wake()

    def _take_control(self, event: Event) -> None:
        if isinstance(event, Ping):
            # What a peer asks for without reading it waits in the Connection, which keeps only the last few.
            if self._is_writable:
                self._flush_soon()
        elif isinstance(event, Pong):
            self._keepalive.receive_pong(event.payload)
        elif isinstance(event, Close):
            self._receive_close(event)

    def _settle(self, conn: Connection) -> None:
        """After reading: pause if the application has to take something first, else go on."""
        spent = conn.reader.spent
        while conn.has_rest and (not self._queue or (self._room(spent) and not conn.is_ending)):
            self._take(conn.receive_data(b"", self._room()))
            spent += conn.reader.spent
        full = conn.has_rest or len(self._queue) >= self._most_waiting
        if full is not self._is_full:
            self._is_full = full
            self._read_on(not full)

    def _room(self, spent: int = 0) -> int:
        """A budget with which no more messages are read than may wait; 0 once they are large on the average."""
        count = self._most_waiting - len(self._queue)
        return count * _LEAST_WEIGHT if count > 0 and spent < self._most_waiting * _USUAL_WEIGHT else 0

    def _read_on(self, go_on: bool) -> None:
        if not self._is_lost and not self.transport.is_closing():
            (self.transport.resume_reading if go_on else self.transport.pause_reading)()

    def _go_on(self) -> None:
        """The application has taken all there was: read what was left."""
        conn = self._connection
        if conn is None or not self._is_full or self._queue or self._phase is Phase.ENDED:
            return
        self._settle(conn)
        if self._is_lost and not self._is_full:
            self._take(conn.receive_eof())

    def _discard(self, conn: Connection, data: bytes = b"") -> None:
        """What comes after our Close frame, up to that of the peer: so much in a turn, then reading waits."""
        if self._is_lost:
            return
        for event in conn.receive_data(data, TURN_BUDGET):
            if not isinstance(event, str | bytes):
                self._take_control(event)
        if conn.has_rest is not self._is_full:
            self._is_full = conn.has_rest
            self._read_on(not self._is_full)
        if self._is_full:
            self.loop.call_soon(self._discard, conn)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _tell_end(self, event: ASGIReceiveEvent) -> None:
        if self._disconnect is None:
            self._disconnect = event
            self._queue.append(event)
            self._wake()

    # Closing

    def _close(self, conn: Connection, code: int, reason: str | None = None) -> None:
        """Start the closing handshake; what the peer says before it answers is discarded."""
        conn.close(code, reason or "")
        conn.discard_messages()
        self._phase = Phase.ENDED
        self._is_open = False
        self._tell_end(disconnect(code, reason))
        self._stop_timers()
        self.close_timer = self.loop.call_later(self.close_timeout, self._close_transport)
        self._flush()
        self._discard(conn)

    def _receive_close(self, close: Close) -> None:
        """The connection has ended, whoever began."""
        has_closed = self._phase is Phase.ENDED
        self._is_open = False
        if close.origin == "lost":
            self._tell_end(disconnect(close.code))
            return
        self._tell_end(disconnect(close.code, close.reason))
        self._flush()
        if close.origin == "local" and not has_closed:
            # The peer may be sending, and is to read why.
            self._stop_timers()
            self._leaving.linger()
        else:
            self._close_transport()

    def _close_transport(self) -> None:
        self._stop_timers()
        if not self._is_lost:
            self._leaving.close()

    def _stop_timers(self) -> None:
        self._keepalive.stop()
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = None

    # Keepalive

    def _ping(self, payload: bytes) -> None:
        self._has_come = False
        cast("Connection", self._connection).ping(payload)
        self._flush()

    def _miss_pong(self) -> bool:
        """The Pong is late; unless it waits behind what the application has not taken, or what still comes (a Pong
        cannot stand within a frame), the peer is gone.
        """
        if self._is_full or self._has_come:
            self._has_come = False
            return False
        trace(self.logger, self.transport, "WebSocket keepalive ping timeout")
        conn = cast("Connection", self._connection)
        self._take(conn.fail(CloseCode.INTERNAL_ERROR.value, "keepalive ping timeout"))
        return True

    # Output

    def _flush(self) -> None:
        self._flush_is_due = False
        conn = self._connection
        if conn is not None and not self._is_lost:
            buffers = conn.buffers_to_send()
            if len(buffers) == 1:
                self.transport.write(buffers[0])
            elif buffers:
                self.transport.writelines(buffers)

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self.loop.call_soon(self._flush)

    def _log(self, outcome: str) -> None:
        self.logger.info("%s %s", line_of(self.scope), outcome)
