"""`wscore connect`: a WebSocket client for a person at a terminal, and for a pipe.

Decides when a conversation is over: when the peer closes; when the user asks (Ctrl-C, SIGTERM; asking twice ends it
at once); and some time after the input has ended (Ctrl-D). Before our Close frame goes out then, two things are waited
for, because many servers drop what they still had to say as soon as they see one: the pong to a ping, which tells that
the peer has read everything, and then `--wait` seconds in which no message comes.

Refuses to know WebSocket (that is `wscore.connect`) and terminals (that is `wscore.cli.terminal`).
"""

import contextlib
import itertools
import math
import signal
import ssl
import statistics
import sys
from collections.abc import AsyncIterator

import trio

from wscore.cli import Failure, complain, reason
from wscore.cli.options import Settings
from wscore.cli.reaching import failure_of, tls_of
from wscore.cli.terminal import read_lines, show, write_line
from wscore.client.connect import connect
from wscore.codec import CloseCode, LocalProtocolError
from wscore.protocol.handshake import HandshakeError
from wscore.server.logs import escape
from wscore.transport.errors import ConnectionClosed, ConnectionLost
from wscore.transport.websocket import WebSocket

_INTERRUPTED = 130
_PING_EVERY = 1.0
_USUAL_ENDS = (CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.NO_STATUS)


def run(url: str, settings: Settings) -> int:
    """Talk to `url` until either side ends it; return the exit status. Raises `Failure` if it cannot, or is cut off."""
    return trio.run(_Conversation(url, settings, tls_of(settings)).run)


class _Conversation:
    """One connection: a task that reads the input and one that prints what comes, which decides when it is over."""

    def __init__(self, url: str, settings: Settings, tls: ssl.SSLContext | None) -> None:
        self._url = url
        self._settings = settings
        self._tls = tls
        self._failure: Failure | None = None
        self._status = 0
        self._patience = math.inf  # how long to wait for the next message
        self._waiting = trio.CancelScope()  # in which it is waited for
        self._connected = False
        self._times: list[float] = []

    async def run(self) -> int:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals, nursery.cancel_scope)
                try:
                    await self._connect_and_talk()
                except Failure as failure:
                    self._failure = failure
                nursery.cancel_scope.cancel()
        if self._failure:
            raise self._failure
        return self._status

    async def _obey(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        async for _ in signals:
            if not self._connected or self._patience == 0:
                self._status = _INTERRUPTED
                scope.cancel()
            self._end_after(0)

    async def _connect_and_talk(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            ws = await self._open(stack)
            self._connected = True
            if sys.stdin.isatty():
                complain(f"connected{f', subprotocol {escape(ws.subprotocol)}' if ws.subprotocol else ''}")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ping if self._settings["ping"] else self._send_input, ws)
                await self._print_messages(ws)
                nursery.cancel_scope.cancel()
            await ws.aclose()
        self._report(ws)

    async def _open(self, stack: contextlib.AsyncExitStack) -> WebSocket:
        settings = self._settings
        try:
            return await stack.enter_async_context(
                connect(
                    self._url,
                    ssl_context=self._tls,
                    headers=settings["header"],
                    subprotocols=settings["subprotocol"],
                    compression=settings["compression"],
                    max_message_size=settings["max_message_size"],
                )
            )
        except (HandshakeError, OSError, ValueError, LocalProtocolError, trio.TooSlowError) as error:
            raise failure_of(error) from None

    # The two tasks of a conversation.

    async def _print_messages(self, ws: WebSocket) -> None:
        """Print what comes (nothing while we ping) until the peer closes, the connection is lost, or patience ends."""
        try:
            while (message := await self._next(ws)) is not None:
                if not self._settings["ping"]:
                    await self._print(show(message))
        except ConnectionClosed:
            pass
        except ConnectionLost as error:
            self._failure = Failure(f"the connection was lost: {_close(error.code, error.reason)}")

    async def _next(self, ws: WebSocket) -> str | bytes | None:
        with trio.move_on_after(self._patience) as self._waiting:
            return await ws.receive()
        return None

    async def _send_input(self, ws: WebSocket) -> None:
        with contextlib.suppress(trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError):
            try:
                async for line in read_lines(sys.stdin.fileno()):
                    await ws.send(line)
            except Failure as failure:
                self._failure = failure
            await ws.ping()
            self._end_after(self._settings["wait"])

    async def _ping(self, ws: WebSocket) -> None:
        with contextlib.suppress(trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError):
            for number in itertools.count(1):
                begin = trio.current_time()
                self._times.append(await ws.ping())
                await self._print(f"pong {number}: {_milliseconds(self._times[-1])}")
                await trio.sleep_until(begin + _PING_EVERY)

    async def _print(self, line: str) -> None:
        try:
            await write_line(sys.stdout.fileno(), line)
        except BrokenPipeError:  # as after `| head`: nobody reads any more
            self._status = 1
            self._end_after(0)
        except OSError as error:
            self._failure = Failure(f"cannot write to standard output: {reason(error)}")
            self._end_after(0)

    def _end_after(self, seconds: float) -> None:
        self._patience = seconds
        self._waiting.deadline = trio.current_time() + seconds

    def _report(self, ws: WebSocket) -> None:
        """Say how it ended, unless all is as usual and nobody is there to read it."""
        if self._times:
            middle = statistics.median(self._times)
            parts = ("fastest", min(self._times)), ("median", middle), ("slowest", max(self._times))
            complain(f"{len(self._times)} pings: " + ", ".join(f"{name} {_milliseconds(time)}" for name, time in parts))
        as_usual = ws.close_code in _USUAL_ENDS
        if self._failure is None and (sys.stdin.isatty() or not as_usual):
            complain(f"closed: {_close(ws.close_code, ws.close_reason)}")
        self._status = self._status if as_usual else 1


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms"


def _close(code: int | None, text: str | None) -> str:
    return f"{code} {escape(text)}" if text else f"{code}"
