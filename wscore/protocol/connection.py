"""The state of one WebSocket connection, after the opening handshake (RFC 6455 sections 5 to 7, RFC 7692 section 7).

Decides all about control frames, states and closing; messages are the codec's, which it drives: it runs once per
call of `receive_data` and once per control frame that is an event, never once per message. It knows nothing of sockets,
clocks, threads or logs.

The states, by the Close frames that have been seen:

    OPEN             none      close -> LOCAL_CLOSING
                               the peer's Close frame -> CLOSED,
                               or, without auto_close, REMOTE_CLOSING
    LOCAL_CLOSING    ours      still receives; the peer's Close frame -> CLOSED
    REMOTE_CLOSING   theirs    still sends; close -> CLOSED
    CLOSED           any       neither; output not taken yet is still to be sent

From each of them a broken rule, `fail` or the end of the bytes leads to CLOSED.

Exactly one `Close` event ends every connection, and nothing is read after it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from ..codec import (
    SERVER,
    CloseCode,
    DeflatePool,
    Deflater,
    Inflater,
    LocalProtocolError,
    Opcode,
    Reader,
    Role,
    Stop,
    Writer,
    encode_frame,
    new_mask_key,
    write_to_all,
)
from ..codec.errors import Defect, DefectError
from ..codec.messages import PINGS_KEPT
from .closing import close_payload, is_of_failure, parse_close
from .compression import LEVEL, CompressionPolicy
from .events import Close, Event, Ping, Pong
from .prepared import PreparedMessage, prepare

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from typing_extensions import Buffer

    from .extensions import DeflateParameters

__all__ = ["Connection", "State", "broadcast"]

# A message below this size does not gain from compression that starts anew each time.
SHARED_THRESHOLD = 1024


class State(enum.Enum):
    """Which Close frames have been seen; the table stands at the top of this module."""

    OPEN = "open"
    LOCAL_CLOSING = "local closing"
    REMOTE_CLOSING = "remote closing"
    CLOSED = "closed"


# Members of an enumeration are slow to find by name, and these are asked for with each message or each call.
_OPEN = State.OPEN
_NEED_DATA, _BUDGET, _DEFECT = Stop.NEED_DATA, Stop.BUDGET, Stop.DEFECT
_CLOSE, _PING, _PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG


class Connection:
    """One end of a WebSocket connection, without I/O (RFC 6455).

    Feed it what came from the network with `receive_data` (or `get_buffer` and `buffer_updated`), which returns
    events: `str` and `bytes` are messages, the others are `Piece`, `Ping`, `Pong` and, once and last, `Close`. Call
    `send`, `ping`, `close`, and after each call of any method send what `data_to_send` returns. Not for use from
    several threads at once.

    `role` is SERVER or CLIENT. `max_message_size` is in bytes after inflating, text counts as UTF-8; a larger
    message closes with 1009, one of more than `max_fragments` with 1008. With `pieces=True` messages come as
    `Piece`s and neither limit binds. Without `auto_pong` and `auto_close` the caller answers Pings and the peer's
    Close frame.

    `deflate` is what the handshake agreed on permessage-deflate (RFC 7692), None for nothing; `compression` is the
    policy: "takeover" keeps its compressor in `compression_pool` (one of its own, of size 1, without), "shared"
    keeps nothing between messages, "dedicated" keeps a compressor and an inflater of its own. Messages smaller than
    `compression_threshold` bytes are not compressed (1,024 under "shared", else 0).
    """

    __slots__ = (
        "_buffer",
        "_deflater",
        "_pongs",
        "_rest",
        "auto_close",
        "auto_pong",
        "close_event",
        "defect",
        "is_ending",
        "reader",
        "role",
        "state",
        "writer",
    )

    def __init__(
        self,
        role: Role,
        *,
        max_message_size: int = 1 << 20,
        max_fragments: int = 4096,
        pieces: bool = False,
        auto_pong: bool = True,
        auto_close: bool = True,
        compression: str | None = None,
        compression_threshold: int | None = None,
        compression_pool: DeflatePool | None = None,
        deflate: DeflateParameters | None = None,
    ) -> None:
        if not isinstance(role, Role):
            raise TypeError("role must be wscore.SERVER or wscore.CLIENT")
        if max_message_size < 1 or max_fragments < 1:
            raise ValueError("max_message_size and max_fragments must be at least 1")
        self.role = role
        self.auto_pong = auto_pong
        self.auto_close = auto_close
        self.state = State.OPEN
        self.close_event: Close | None = None
        self.defect: Defect | None = None  # what it was failed for
        self.is_ending = False  # the next `receive_data` acts on a Close frame or a broken rule
        self._deflater, inflater, threshold = _compression(role, compression, compression_pool, deflate)
        if compression_threshold is not None:
            threshold = compression_threshold
        self.reader = Reader(
            role, max_message_size=max_message_size, max_fragments=max_fragments, pieces=pieces, inflater=inflater
        )
        self.writer = Writer(role, deflater=self._deflater, compression_threshold=threshold)
        self._pongs: list[bytes] | None = None  # made when there is one
        self._rest: bytes | memoryview = b""
        self._buffer: bytearray | None = None

    # Receiving

    def receive_data(self, data: Buffer, budget: int | None = None) -> list[Event]:
        """Take the next bytes from the peer, and return what they mean. `data` is never written to, nor kept.

        A broken rule raises nothing: it puts our Close frame in the output and ends the events with a `Close`. With
        a `budget`, of which each message and each control frame takes its `wscore.codec.weight`, reading stops after
        the one that uses it up, and before a Close frame or a broken rule takes effect, so that what came before can
        be answered first (`is_ending` tells the latter; a peer that has failed the connection reads no answer);
        `has_rest` is then true, and `receive_data(b"", budget)` goes on. After a `Close` event all bytes are ignored.
        """
        events: list[Event] = []
        if self.is_ending:
            self._act_on_end(events)
        if self.close_event is not None:
            return events
        if self._rest:
            if memoryview(data).nbytes:
                self._rest = b"".join((self._rest, data))
            data = self._rest
        self._read(data, 0, budget, events)
        return events

    def expect_pongs(self, payloads: Container[bytes]) -> None:
        """From now on, let Pings, and Pongs that nobody waits for, be no events.

        Pings are answered all the same; of Pongs, those are events that have one of `payloads`, a container that is
        asked each time. Whoever floods us with either then costs no more than empty messages would. Raises
        LocalProtocolError without `auto_pong`.
        """
        if not self.auto_pong:
            raise LocalProtocolError("without auto_pong each Ping has to be an event")
        self.reader.expect_pongs(payloads)

    def discard_messages(self) -> None:
        """From now on, let messages be no events: they are for nobody. Their payloads are passed over, neither unmasked
        nor inflated, and no limit binds what is not kept.
        """
        self.reader.discard_messages()

    @property
    def has_rest(self) -> bool:
        """Whether something is left that a budget kept from being read, or from taking effect."""
        return self.is_ending or bool(self._rest)

    @property
    def bytes_kept(self) -> int:
        """How many bytes have come that no event tells of yet: of a message that is not complete, and of a rest."""
        return self.reader.kept + len(self._rest)

    def get_buffer(self, hint: int = 1 << 16) -> memoryview:
        """Memory to receive into, of at least `hint` bytes: write to its start, then call `buffer_updated`."""
        if self._buffer is None or len(self._buffer) < hint:
            self._buffer = bytearray(max(hint, 1))
        return memoryview(self._buffer)

    def buffer_updated(self, size: int, budget: int | None = None) -> list[Event]:
        """As `receive_data`, for the first `size` bytes of the memory that `get_buffer` returned last.

        That memory must not be used any more. Raises LocalProtocolError if there is none, or less.
        """
        if self._buffer is None or not 0 <= size <= len(self._buffer):
            raise LocalProtocolError("call get_buffer first, and do not report more bytes than it has room for")
        # An idle connection owns no buffer.
        buffer, self._buffer = self._buffer, None
        return self.receive_data(memoryview(buffer)[:size], budget)

    def receive_eof(self) -> list[Event]:
        """Say that the peer sends no more: without its Close frame this is a loss, 1006 (RFC 6455 section 7.1.5).

        What `has_rest` tells of is dropped, but for a Close frame or a broken rule that is still to take effect.
        """
        events: list[Event] = []
        if self.is_ending:
            self._act_on_end(events)
        elif self.close_event is None:
            self._end(Close(CloseCode.ABNORMAL, "", "lost"), events)
        self.state = State.CLOSED
        return events

    def after_read(self, data: Buffer, budget: int | None, events: list[Event]) -> None:
        """For a transport that calls `reader` itself: it has stopped, and not for want of data; `data` is what follows.

        Appends to `events` what `receive_data` would return. `budget` is what was left before the Reader's call.
        """
        if self._goes_on(data, 0, budget, events):
            self._read(data, 0, None if budget is None else budget - self.reader.spent, events)

    def _read(self, data: Buffer, offset: int, budget: int | None, events: list[Event]) -> None:
        reader = self.reader
        while True:
            # Reader appends messages only; the list is one of events.
            offset = reader.read(data, events, budget, offset)  # type: ignore[arg-type]
            if reader.stop is _NEED_DATA:
                break
            if not self._goes_on(data, offset, budget, events):
                return
            if budget is not None:
                budget -= reader.spent
        self._rest = b""

    def _goes_on(self, data: Buffer, offset: int, budget: int | None, events: list[Event]) -> bool:
        """Do what the Reader stopped for, which is not want of data; whether to read on."""
        if self.reader.stop is _BUDGET:
            self._keep_rest(data, offset)
            return False
        if self._receive_control(events):
            return True
        # Once we have closed ourselves, or the peer has failed the connection, there is nothing left to answer.
        self.is_ending = budget is not None and self.state is _OPEN and not self._is_failed_by_peer()
        if not self.is_ending:
            self._act_on_end(events)
        self._rest = b""
        return False

    def _keep_rest(self, data: Buffer, offset: int) -> None:
        rest = memoryview(data).cast("B")[offset:]
        # What is kept already is ours, and is not copied again.
        self._rest = rest if data is self._rest else bytes(rest)

    def _receive_control(self, events: list[Event]) -> bool:
        """Take a Ping or Pong; False if the Reader stopped at a Close frame or a broken rule."""
        if self.reader.stop is _DEFECT:
            return False
        assert self.reader.control is not None
        opcode, payload = self.reader.control
        if opcode == _PING:
            events.append(Ping(payload))
            # Our own Close frame does not excuse us (section 5.5.2): only the peer's would.
            if self.auto_pong:
                self._queue_pong(payload)
        elif opcode == _PONG:
            events.append(Pong(payload))
        return opcode != _CLOSE

    def _is_failed_by_peer(self) -> bool:
        control = self.reader.control
        return self.reader.stop is not _DEFECT and control is not None and is_of_failure(control[1])

    def _act_on_end(self, events: list[Event]) -> None:
        """The Reader stopped at a Close frame or a broken rule, which takes effect now."""
        if self.reader.stop is _DEFECT:
            assert self.reader.defect is not None
            self._fail(self.reader.defect, events)
        else:
            assert self.reader.control is not None
            self._receive_close(self.reader.control[1], events)

    def _queue_pong(self, payload: bytes) -> None:
        if self._pongs is None:
            self._pongs = []
        self._pongs.append(payload)
        if len(self._pongs) > PINGS_KEPT:
            del self._pongs[0]

    def _receive_close(self, payload: bytes, events: list[Event]) -> None:
        """The peer's Close frame (RFC 6455 section 5.5.1): answer it, or know that it answers ours."""
        try:
            code, reason = parse_close(payload)
        except DefectError as error:
            self._fail(error.defect, events)
            return
        if self.state is State.LOCAL_CLOSING:
            self._end(Close(code, reason, "local"), events)
            return
        self._end(Close(code, reason, "peer"), events)
        if self.auto_close:
            # The answer echoes the code that came, and no reason, which was meant for us.
            self.writer.write_control(_CLOSE, payload[:2])
        else:
            self.state = State.REMOTE_CLOSING

    def _fail(self, defect: Defect, events: list[Event]) -> None:
        """_Fail the WebSocket Connection_ (RFC 6455 section 7.1.7)."""
        self.defect = defect
        if self.state is _OPEN:
            self.writer.write_control(_CLOSE, close_payload(defect.code, defect.sentence))
        self._end(Close(int(defect.code), defect.sentence, "local"), events)

    def _end(self, close: Close, events: list[Event]) -> None:
        self.state = State.CLOSED
        self.close_event = close
        self.is_ending = False
        # Nothing is read any more: whoever goes on while there is a rest must come to an end.
        self._rest = b""
        self.reader.discard_messages()
        events.append(close)

    # Sending

    def send(self, message: str | Buffer | PreparedMessage, compress: bool | None = None) -> None:
        """Send one message: `str` as text, any buffer as binary, or what `prepare` made of either.

        `compress=False` sends it uncompressed, True compresses it even if it is smaller than the threshold; without
        permessage-deflate neither has an effect. Raises LocalProtocolError after `close`, after the end, and while
        a fragmented message is being sent; UnicodeEncodeError for lone surrogates; TypeError for other types.
        Nothing is sent then.
        """
        if self.state is not _OPEN:
            self._check_sending()
        if isinstance(message, PreparedMessage):
            self.writer.write_prepared(message, compress)
        else:
            self.writer.write(message, compress)

    def send_fragment(self, data: str | Buffer, *, fin: bool, compress: bool | None = None) -> None:
        """Send the next fragment of a message, the last one with `fin=True` (RFC 6455 section 5.4).

        The first fragment decides whether the message is text or binary, and whether it is compressed. Raises as
        `send`, and LocalProtocolError if text and binary are mixed.
        """
        self._check_sending()
        self.writer.write_fragment(data, fin, compress)

    @property
    def sending_message(self) -> bool:
        """Whether a fragmented message has begun and not ended."""
        return self.writer.in_message

    def ping(self, payload: Buffer = b"") -> None:
        """Ask the peer for a Pong with the same payload, at most 125 bytes (RFC 6455 section 5.5.2).

        Raises LocalProtocolError for a longer payload, after `close` and after the end.
        """
        self._send_control(_PING, payload)

    def pong(self, payload: Buffer = b"") -> None:
        """Send a Pong, for those who switched `auto_pong` off, or as a heartbeat (section 5.5.3). Raises as `ping`."""
        self._send_control(_PONG, payload)

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """Start the closing handshake, or answer the peer's without `auto_close` (RFC 6455 section 7.1.2).

        `code` is 1000 to 1003, 1007 to 1014 or 3000 to 4999, or None for a Close frame without a code; `reason` has
        at most 123 bytes of UTF-8. Messages still come until the `Close` event. Raises LocalProtocolError for other
        codes, longer reasons, and if a Close frame was sent already; TypeError for a code that is no int and a reason
        that is no str.
        """
        payload = close_payload(code, reason)
        if self.state is _OPEN:
            self.state = State.LOCAL_CLOSING
        elif self.state is State.REMOTE_CLOSING:
            self.state = State.CLOSED
        else:
            raise LocalProtocolError("the connection is closing or closed already")
        self.writer.write_control(_CLOSE, payload)

    def fail(self, code: int, reason: str = "") -> list[Event]:
        """Break the connection off: send a Close frame unless one was sent, read no more, and return the `Close` event.

        For what this class cannot see, such as a peer that no longer answers. Returns nothing after the `Close` event.
        Raises as `close` does for a wrong code or reason.
        """
        if code is None:
            raise TypeError("breaking a connection off needs a code")
        close_payload(code, reason)
        events: list[Event] = []
        if self.close_event is None:
            self._fail(Defect(code, reason), events)
        elif self.state is State.REMOTE_CLOSING:
            self.close(code, reason)
        return events

    def _check_sending(self) -> None:
        if self.state is not _OPEN and self.state is not State.REMOTE_CLOSING:
            raise LocalProtocolError("the connection is closing or closed: nothing can be sent any more")

    def _send_control(self, opcode: Opcode, payload: Buffer) -> None:
        self._check_sending()
        try:
            self.writer.write_control(opcode, payload)
        except ValueError:
            raise LocalProtocolError("the payload of a Ping or Pong has at most 125 bytes") from None

    # Output

    @property
    def has_pongs(self) -> bool:
        """Whether Pongs wait to be sent."""
        return bool(self._pongs or self.reader.pings_size)

    @property
    def bytes_to_send(self) -> int:
        """How many bytes `data_to_send` would return."""
        pongs = self._size_of_pongs(self._pongs) if self._pongs else 0
        return self.writer.pending + pongs + self.reader.pings_size

    def _size_of_pongs(self, pongs: list[bytes]) -> int:
        header = 2 if self.role is SERVER else 6
        return sum(header + len(payload) for payload in pongs)

    def data_to_send(self) -> bytes:
        """All output that was not taken yet, to be sent in this order; b"" if there is none. Pongs go first."""
        if self._pongs or self.reader.pings_size:
            return self._take_pongs() + self.writer.take()
        return self.writer.take()

    def buffers_to_send(self) -> list[bytes]:
        """As `data_to_send`, as a list for a gathering write: large unmasked payloads are not copied."""
        if self._pongs or self.reader.pings_size:
            return [self._take_pongs(), *self.writer.take_buffers()]
        return self.writer.take_buffers()

    def _take_pongs(self) -> bytes:
        """The frames of the Pongs that wait; control frames may stand before any frame (section 5.4)."""
        pongs, self._pongs = self._pongs or [], None
        pongs += self.reader.take_pings()
        return b"".join(
            encode_frame(_PONG, payload, key=None if self.role is SERVER else new_mask_key()) for payload in pongs
        )


def _compression(
    role: Role, name: str | None, pool: DeflatePool | None, agreed: DeflateParameters | None
) -> tuple[Deflater | None, Inflater | None, int]:
    """The compressor, the inflater and the threshold of a connection."""
    policy = None if name is None else CompressionPolicy.named(name)
    if agreed is None:
        return None, None, 0
    if policy is None:
        raise ValueError("permessage-deflate was agreed: say which compression policy to use")
    if pool is None:
        pool = DeflatePool(1)
    bits = (agreed.server_max_window_bits, agreed.client_max_window_bits)
    takeover = (not agreed.server_no_context_takeover, not agreed.client_no_context_takeover)
    ours, theirs = (0, 1) if role is SERVER else (1, 0)
    dedicated = policy is CompressionPolicy.DEDICATED
    deflater = Deflater(
        min(bits[ours], policy.window_bits),
        context_takeover=takeover[ours] and policy is not CompressionPolicy.SHARED,
        level=LEVEL,
        mem_level=policy.mem_level,
        pool=None if dedicated else pool,
    )
    inflater = Inflater(bits[theirs], context_takeover=takeover[theirs], pool=None if dedicated else pool)
    return deflater, inflater, SHARED_THRESHOLD if policy is CompressionPolicy.SHARED else 0


def broadcast(
    message: str | Buffer | PreparedMessage, connections: Iterable[Connection], compress: bool | None = None
) -> int:
    """`Connection.send` for many connections at the price of framing, and compressing, once; how many took it.

    Those that are closing or closed, or in the middle of a fragmented message, go without. Raises UnicodeEncodeError
    for lone surrogates, TypeError for other types; nothing is sent then.
    """
    prepared = message if isinstance(message, PreparedMessage) else prepare(message)
    open_ones = [connection.writer for connection in connections if connection.state is _OPEN]
    return write_to_all(open_ones, prepared, compress)
