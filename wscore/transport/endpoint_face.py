"""`EndpointWebSocket`: the calls of a `WebSocket` over an `Endpoint`, as long as the reactor has no `Session`.

Decides what waits and for how long it counts, when a call gives way to other tasks, who may send. What is promised to
callers stands in `websocket`, all about ends in `endpoint`.
"""

from __future__ import annotations

from functools import partial

import trio
from trio.lowlevel import enable_ki_protection

from ..codec import CloseCode, LocalProtocolError
from ..protocol.events import Close
from ..protocol.prepared import PreparedMessage
from ..session.ends import Cause, End
from .endpoint import Endpoint
from .records import Incoming, Statistics
from .sending import Sendable, weight_of
from .websocket import WebSocket

__all__ = ["EndpointWebSocket"]


class EndpointWebSocket(Endpoint, WebSocket):
    """A `WebSocket` whose state is an `Endpoint`'s."""

    __slots__ = ()

    @property
    def latency(self) -> float | None:
        return self._pings.latency

    @property
    def end(self) -> End | None:
        """Without numbers, and with no more of a cause than can be seen, as long as there is no session."""
        close = self._end
        return None if close is None else End(close.code, close.reason, close.origin == "peer", self._cause_of(close))

    def _cause_of(self, close: Close) -> Cause:
        if close.origin == "lost":
            return Cause.RESET if self._sending_broke else Cause.UNCLOSED if self._has_reset else Cause.EOF
        if self._connection.defect is None:
            return Cause.CLOSE
        causes: dict[int, Cause] = {
            CloseCode.INTERNAL_ERROR: Cause.FAILED if self._failed else Cause.SILENT,
            CloseCode.MESSAGE_TOO_BIG: Cause.LIMIT,
            CloseCode.POLICY_VIOLATION: Cause.LIMIT,
            CloseCode.TRY_AGAIN_LATER: Cause.LIMIT,
        }
        return causes.get(close.code, Cause.RULE)

    def statistics(self) -> Statistics:
        messages_waiting, receive_queue = self._receive_queue()
        return Statistics(
            messages_received=self._messages_received,
            messages_sent=self._messages_sent,
            messages_dropped=self._messages_dropped,
            bytes_received=self._bytes_received,
            bytes_sent=self._bytes_sent,
            messages_waiting=messages_waiting,
            receive_queue=receive_queue,
            send_buffer=self._unsent(),
            senders_waiting=self._senders_waiting(),
            latency=self.latency,
            reset=self._has_reset,
            failed=self._failed,
        )

    @enable_ki_protection
    async def send(self, message: Sendable, *, compress: bool | None = None) -> None:
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

    @enable_ki_protection
    def send_nowait(self, message: Sendable, *, compress: bool | None = None) -> bool:
        self._manners.stay_in_thread()
        self._check_sending()
        if self._goes_at_once(message):
            self._add(message, compress)
            return True
        weight_of(message)
        if self._options.slow_consumer != "wait" and not self._line.is_held:
            self._refuse_to_wait()
        return False

    @enable_ki_protection
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

    @enable_ki_protection
    async def ping(self, payload: bytes | bytearray | memoryview | None = None) -> float:
        await self._manners.enter()
        key = self._pings.new_payload() if payload is None else memoryview(payload).tobytes()
        self._check_sending()
        while self._unsent() > self._options.max_send_buffer:
            await self._progress.park()
            self._check_sending()
        if key in self._pings:
            raise LocalProtocolError("a Ping with this payload is under way: take another, or none")
        self._connection.ping(key)
        pings = self._pings
        ping = pings.add(key, trio.current_time())
        self._output_waits()
        try:
            await ping.done.wait()
        finally:
            pings.forget(key)
        if ping.seconds is None:
            raise self._why_shut()
        return ping.seconds

    @enable_ki_protection
    async def aclose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        self._manners.stay_in_thread()
        if not self._closed_here:
            self._start_closing(code, reason)
            self._closed_here = True
            self._forget_received()
            self._shut()
        try:
            await self._over.wait()
        except BaseException:
            self._cut()
            with trio.CancelScope(shield=True):
                await self._over.wait()
            raise

    @enable_ki_protection
    def close_nowait(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        self._manners.stay_in_thread()
        if self._start_closing(code, reason):
            self._leaving = (CloseCode.NO_STATUS if code is None else code, reason)
            self._shut()

    @enable_ki_protection
    def abort(self) -> None:
        self._manners.stay_in_thread()
        if not self._over.is_set():
            self._closed_here = True
            self._forget_received()
            self._shut()
            self._cut()

    def _message_under_way(self) -> Incoming | None:
        kept = 0 if self._end is not None else self._connection.bytes_kept
        return Incoming(self._messages_received, kept, self._is_paused) if kept else None
