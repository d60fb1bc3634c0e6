"""One connection of the load: a socket that never waits, and the `Connection` above it.

Decides how bytes are moved: a turn reads what is there, and answers with one write. There is no task for a connection,
and no `WebSocket`, whose queues and deadlines would cost more than the messages. TLS is the standard library's
`SSLSocket`, which encrypts straight into the socket, for the same reason.

Decides, too, what becomes of a reply: it is compared with the message that was sent, in the order of sending, and what
differs, or was never asked for, is counted.

Refuses to know when messages are sent: that is a `Load`.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector

from wscore.cli.bench.payloads import Payloads
from wscore.cli.bench.tally import Tally
from wscore.codec import CloseCode
from wscore.protocol.connection import Connection
from wscore.protocol.events import Close, Event

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

# All connections receive into the same memory: what is read is taken apart before the next one's turn.
_room = memoryview(bytearray(1 << 18))


def _nobody(*_: object) -> None:
    """Nobody wants to know."""


@dataclass(slots=True)
class Shared:
    """What all connections of a run have in common."""

    selector: BaseSelector
    payloads: Payloads
    tally: Tally
    check: bool
    """Whether replies are compared."""
    on_replies: Callable[[Line, int, int], None] = _nobody
    """Called with a connection, how many replies have come, and when; they are counted already."""
    on_end: Callable[[Line], None] = _nobody
    """Called when a connection has ended, for whatever reason."""


class Line:
    """One connection, open from the start; its `number` says at which of the payloads it begins."""

    __slots__ = (
        "_check",
        "_clock",
        "_connection",
        "_different",
        "_is_closing",
        "_is_mute",
        "_messages",
        "_on_replies",
        "_rest",
        "_shared",
        "_socket",
        "answered",
        "first_slot",
        "is_open",
        "number",
        "sent",
        "times",
    )

    def __init__(self, number: int, connection: Connection, connected: socket.socket, shared: Shared) -> None:
        self.number = number
        self.sent = 0
        self.answered = 0
        self.is_open = True
        # For a load to remember when what is in flight was sent, and how many each time; or where its schedule begins.
        self.times: deque[tuple[int, int]] = deque()
        self.first_slot = 0
        self._connection = connection
        self._socket = connected
        self._shared = shared
        # What each message needs is looked up once.
        self._check = shared.check
        self._messages = shared.payloads.messages
        self._different = shared.payloads.different
        self._clock = shared.tally.clock
        self._on_replies = shared.on_replies
        self._rest: bytes | memoryview = b""
        self._is_closing = False
        self._is_mute = False
        shared.selector.register(connected, EVENT_READ, self)

    @property
    def in_flight(self) -> int:
        """How many messages wait for their replies."""
        return self.sent - self.answered

    @property
    def is_blocked(self) -> bool:
        """Whether the socket has not taken everything yet; what is sent now waits behind it."""
        return bool(self._rest)

    # Sending

    def put(self, count: int) -> None:
        """Frame the next messages; they go out with the next `flush`."""
        send = self._connection.send
        first = (self.number + self.sent) % self._different
        for message in self._messages[first : first + count]:
            send(message)
        self.sent += count

    def flush(self) -> None:
        """Write as much as the socket takes; if that is not all, the selector says when it takes more."""
        if self._rest or not (data := self._connection.data_to_send()):
            return
        count = self._write(data)
        if count < len(data):
            self._rest = memoryview(data)[count:]
            self._shared.selector.modify(self._socket, EVENT_READ | EVENT_WRITE, self)

    def go_on(self) -> None:
        """Write what had to wait, now that the socket takes more, and then what came after it."""
        self._rest = self._rest[self._write(self._rest) :]
        if not self._rest:
            self._shared.selector.modify(self._socket, EVENT_READ, self)
            self.flush()

    def _write(self, data: bytes | memoryview) -> int:
        if self._is_mute:
            return len(data)
        try:
            return self._socket.send(data)
        except WOULD_BLOCK:
            return 0
        except OSError:
            # The end is seen by reading: a Close frame that says why may be waiting there.
            self._is_mute = True
            return len(data)

    def close(self) -> None:
        """Start the closing handshake, if it is open; messages still come until the server answers."""
        if self.is_open:
            self._is_closing = True
            self._connection.close(CloseCode.NORMAL)
            self.flush()

    def drop(self) -> None:
        """Close the socket without another word, if it is open."""
        if self.is_open:
            self.is_open = False
            self._shared.selector.unregister(self._socket)
            self._socket.close()
            self._shared.on_end(self)

    # Receiving

    def receive(self) -> None:
        """Read once what has come, and say so."""
        try:
            size = self._socket.recv_into(_room)
        except WOULD_BLOCK:
            return
        except OSError:
            size = 0
        now = self._clock()
        self.take(self._connection.receive_data(_room[:size]) if size else self._connection.receive_eof(), now)

    def take(self, events: list[Event], now: int) -> None:
        """Compare replies with what was sent. All being as it should be, that is one comparison of two lists."""
        count = len(events)
        first = (self.number + self.answered) % self._different
        usual = self._check and count <= self.sent - self.answered
        if not usual or events != self._messages[first : first + count]:
            count = self._sort_out(events)
        self.answered += count
        if count:
            self._on_replies(self, count, now)

    def _sort_out(self, events: list[Event]) -> int:
        """Look at each event by itself; return how many are replies, wrong ones among them."""
        count = 0
        for event in events:
            if isinstance(event, Close):
                self._end(event)
            elif not isinstance(event, str | bytes):
                self.flush()  # a Pong
            elif count == self.in_flight:
                self._shared.tally.unasked += 1
            else:
                self._compare(event, self.answered + count)
                count += 1
        return count

    def _compare(self, reply: str | bytes, number: int) -> None:
        expected = self._messages[(self.number + number) % self._different]
        if self._check and reply != expected:
            self._shared.tally.count_wrong(reply, expected)

    def _end(self, close: Close) -> None:
        if not self._is_closing:
            self._shared.tally.count_early_close(close)
        self.flush()
        self.drop()


class TlsLine(Line):
    """One connection with TLS; a record that is in OpenSSL already wakes no selector."""

    __slots__ = ()

    def receive(self) -> None:
        super().receive()
        while self.is_open and self._socket.pending():  # type: ignore[attr-defined]
            super().receive()
