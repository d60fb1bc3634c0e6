# cython: freethreading_compatible=True
"""One connection on the reactor: what is done for each message, and when the slower parts have their turn.

Decides nothing about RFC 6455, which is `Connection`'s, nor about what callers see, which is `Endpoint`'s and
`EndpointWebSocket`'s: it drives the codec's Reader and Writer itself as long as there are only messages, in whole, and
hands everything else to those. `websocket.py` puts both together into one class, in which this one comes first.

Flushing wakes no task (see `engine`); what it finds out waits for `attend`.

    received -> messages -> `items`, or `_on_message`                add -> Writer -> flush, once a tick
             -> anything else -> Connection.after_read -> _deliver   wrote, broke, room again -> attend
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.math cimport INFINITY
from libc.stdint cimport uint8_t

from outcome import Value
from trio import BusyResourceError, EndOfChannel, current_time
from trio.lowlevel import Abort, checkpoint, reschedule

from wscore.codec import CLIENT
from wscore.protocol.connection import State
from wscore.session.receiving import PATIENCE, TURN_BUDGET as _TURN_BUDGET
from wscore.transport.endpoint_face import EndpointWebSocket
from wscore.transport.offering import offer
from wscore.transport.records import Opening, fold, unfold
from wscore.transport.reserve import QUANTUM as _QUANTUM
from wscore.transport.sending import FRAME_HEADER as _FRAME_HEADER
from wscore.transport.trio_glue import YIELDING, trap_of

from wscore.codec.native.buffers cimport PY_SSIZE_T_MAX, discard_grown, grown_data
from wscore.codec.native.kernels cimport Kernels, kernels_in_use
from wscore.codec.native.reader cimport STOP_NEED_DATA, weight
from wscore.codec.native.text cimport utf8_size
from wscore.codec.native.writer cimport Shared, share
from wscore.transport.reactor.pace cimport this_thread
from wscore.transport.reactor.wire cimport Wire

__all__ = ["Link", "Terms", "iterate_fast", "offer_to_all"]

cdef extern from "Python.h":
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

cdef enum:
    # With so much to send, the end of the tick is not waited for.
    EARLY_FLUSH = 1 << 14
    # `_on_message` may take a microsecond or a millisecond: after so many calls the clock is looked at.
    CALLS_A_LOOK = 16
    BY_DEFAULT = -1

cdef const Kernels* kernels = kernels_in_use()
cdef Py_ssize_t TURN_BUDGET = _TURN_BUDGET
cdef Py_ssize_t FRAME_HEADER = _FRAME_HEADER
cdef Py_ssize_t QUANTUM = _QUANTUM
cdef object CLOSED = State.CLOSED
cdef object SUCCEEDED = Abort.SUCCEEDED


cdef inline Py_ssize_t size_of(object message) except -1:
    """The size of a message on the wire, before it is compressed."""
    if type(message) is bytes:
        return PyBytes_GET_SIZE(message)
    return utf8_size(kernels, message)


@cython.auto_pickle(False)
cdef class Terms:
    """What the connections of a server have in common: the pace of the run, the context of which each has a copy,
    `at_over(link, place)`, the limits of `options`.
    """

    def __cinit__(self, Pace pace not None, context, at_over, options):
        self.pace = pace
        self.context = context
        self.at_over = at_over
        self.max_queue = options.max_receive_queue
        self.max_unsent = options.max_send_buffer


@cython.auto_pickle(False)
cdef class Link(Wire):
    """See link.pxd for its state. `start` is called once everything is set up; before, it has no socket."""

    def __cinit__(self, connection, Terms terms not None, *_others):
        self.answer_by = INFINITY
        self.terms = terms
        self.reader = connection.reader
        self.writer = connection.writer
        if self.reader is None or self.writer is None:
            raise TypeError("a Connection on the compiled codec is wanted")

    def start(self, Wire other not None, place=None, context=None):
        """Take over the socket on which the opening handshake was; `at_over(self, place)` is called at the end.

        `context` is the connection's own, if it has one already; `_on_message` is called in it, and nobody else may
        have entered it then.
        """
        self.place = place
        self.context = context
        self.opening = fold(self.opening)
        self.is_open = True
        if self._options.pieces or self._options.strict_checkpoints:
            self.inbox = self._new_inbox()
        self.adopt(other)
        if self.backlog is not None:
            self._bytes_wait(0, self.backlog_size)
        _set_alarm(self)

    def begin(self, bytes rest):
        """Take what came after the head of the opening handshake, and read on."""
        self.set_reading(True)
        try:
            if rest:
                self.received(<const uint8_t*><char*>rest, len(rest))
            if self.fd >= 0 and self.tls is not None:
                self.drain_tls()
        except BaseException as error:
            self.failed(error)

    # Receiving

    cdef int received(self, const uint8_t* data, Py_ssize_t size) except -1:
        cdef list events = []
        cdef Py_ssize_t budget = _budget(self)
        cdef Py_ssize_t start, messages, weight_of_all
        self._bytes_received += size
        if self._answer is not None:
            self._heard()
        start = self.reader.read_bytes(data, size, events, budget)
        weight_of_all = self.reader.spent - self.reader.spent_on_frames
        if self.reader.pings_waiting:
            self._output_waits()
        if (
            self.reader.stop_code == STOP_NEED_DATA and self._on_message is None and self.inbox is None
            and self._throttle is None
        ):
            _queue(self, events, weight_of_all)
            return _account(self)
        if self.reader.stop_code != STOP_NEED_DATA:
            self._connection.after_read(PyBytes_FromStringAndSize(<char*>data + start, size - start), budget, events)
            weight_of_all = _weigh(events)
        messages = 0 if self._throttle is None else self._count(self._throttle, events)
        _take_events(self, events, weight_of_all)
        if self._throttle is not None:
            _slow_down(self, messages, size)
        _go_on(self)
        return _account(self)

    cdef int ended(self) except -1:
        self._lose()
        return _conclude(self)

    cdef bint has_message(self) noexcept:
        """Whether `receive` need not wait: what waits to be given to `_on_message` is not for it."""
        return self.items is not None and self._on_message is None

    cdef object take(self):
        """The next message, which there is; reading goes on if it has paused and there is room again."""
        cdef list items = self.items
        message = items[self.items_start]
        items[self.items_start] = None
        self.items_start += 1
        if self.items_start == len(items):
            self.items = None
            self.items_start = 0
            self.queued = 0
        else:
            self.queued -= weight(size_of(message))
        if self._held:
            _account(self)
        if self.is_paused and self.queued <= self.terms.max_queue >> 1:
            self.reactor.attend_to(self)
        return message

    def _receive_queue(self):
        """How many messages wait, and what they weigh."""
        if self.inbox is not None:
            return len(self.inbox.queue), self.inbox.queue.size
        return 0 if self.items is None else len(self.items) - self.items_start, self.queued

    def _forget_received(self):
        self.items = None
        self.items_start = 0
        self.queued = 0
        if self.inbox is not None:
            self.inbox.clear()

    def _deliver(self, event):
        if self.inbox is None and isinstance(event, (str, bytes)):
            _queue(self, [event], weight(size_of(event)))
        else:
            EndpointWebSocket._deliver(self, event)

    def receive(self):
        _stay_in_thread(self)
        if self.inbox is not None:
            return EndpointWebSocket.receive(self)
        return _new_receive(self, False)

    def __aiter__(self):
        return self

    def __anext__(self):
        _stay_in_thread(self)
        if self.inbox is not None:
            return EndpointWebSocket.__anext__(self)
        return _new_receive(self, True)

    def abort_receive(self, _raise_cancel):
        """Trio's abort function for the task that waits for a message."""
        self.receiver = None
        return SUCCEEDED

    cdef int stop_waiting(self) noexcept:
        self.receiver = None
        self.is_receiving = False
        return 0

    # Sending

    def send(self, message, *, compress=None):
        _stay_in_thread(self)
        if compress is not None:
            return EndpointWebSocket.send(self, message, compress=compress)
        return _new_send(self, message)

    def send_nowait(self, message, *, compress=None):
        _stay_in_thread(self)
        if compress is None and self.goes_at_once(message):
            self.add(message)
            return True
        return EndpointWebSocket.send_nowait(self, message, compress=compress)

    cdef Py_ssize_t goes_before(self) except -1:
        """How many bytes leave before a message that is sent now; PY_SSIZE_T_MAX if it cannot be sent now."""
        if not self.is_open:
            return PY_SSIZE_T_MAX
        if self.line is not None:
            if not self.line.is_idle:
                return PY_SSIZE_T_MAX
            self.line = None
        return self.backlog_size + self.writer.pending_bytes()

    cdef bint goes_at_once(self, object message) except -1:
        """Whether it is a message, and nothing is in its way."""
        cdef Py_ssize_t unsent
        if type(message) is not str and type(message) is not bytes:
            return False
        unsent = self.goes_before()
        return unsent == 0 or unsent <= self.terms.max_unsent - FRAME_HEADER - size_of(message)

    cdef int add(self, object message) except -1:
        self.writer.write_message(message, BY_DEFAULT)
        return self.added()

    cdef int added(self) except -1:
        self._messages_sent += 1
        if self.writer.pending_bytes() >= EARLY_FLUSH and self.backlog is None:
            return self.flush()
        return self.reactor.dirty(self)

    def _unsent(self):
        return self.backlog_size + self._connection.bytes_to_send

    cdef int flush(self) except -1:
        if self.fd < 0 or self.broke or self.lingers:
            return 0
        if self.backlog is not None:
            # What TLS says by itself may wait, too.
            if self._sending is not None:
                return 0
        elif self.tls is None and not self.says_more and self.writer.chunks is None:
            _flush_frames(self)
        else:
            _flush_all(self)
        if self.backlog is not None and self._sending is None:
            self._bytes_wait(0, self.backlog_size)
            _set_alarm(self)
        if self.backlog is not None or self._held:
            _account(self)
        return 0

    cdef int wrote(self, Py_ssize_t size) except -1:
        self._bytes_sent += size
        if self._sending is not None:
            self._bytes_wait(size, self.backlog_size)
        if self.backlog is None:
            if self.says_more or self.writer.pending_bytes() > 0:
                self.reactor.dirty(self)
        _account(self)
        return _note_written(self)

    cdef int cannot_send(self) except -1:
        self.broke = True
        self.is_open = False
        self._sending = None
        return self.reactor.attend_to(self)

    # What is found out in the course of it

    cdef int attend(self) except -1:
        if self.broke:
            _break_off(self)
        if self.has_written:
            self.has_written = False
            self._has_written()
        _account(self)
        if self.is_paused and self.fd >= 0:
            _resume(self)
        return _conclude(self)

    cdef int expired(self, double now) except -1:
        if self.lingers:
            self._look_at_the_clock()
        elif now >= _slow_until(self):
            self._throttle.slow_until = INFINITY
            _resume(self)
        elif now >= self.answer_by:
            self.answer_by = INFINITY
            _resume(self)
        else:
            self._look_at_the_clock()
        _set_alarm(self)
        return _conclude(self)

    cdef int closed(self) except -1:
        self.is_open = False
        self._lose()
        self.is_over = True
        self._leave_reserve()
        if self.over is not None:
            self.over.set()
        # It leads back here: what is over need not wait for the collector.
        self.receive_trap = None
        self.terms.at_over(self, self.place)
        return 0

    cdef int failed(self, object error) except -1:
        """Something that nobody foresaw, or that a hook raised and is no `Exception`: this connection ends."""
        self.crash = error
        self.items = None
        return self.finish()

    # What Endpoint asks for

    @property
    def _opening(self):
        if type(self.opening) is not Opening:
            self.opening = unfold(self.opening)
        return self.opening

    @_opening.setter
    def _opening(self, opening):
        self.opening = opening

    @property
    def _face(self):
        return self

    @property
    def _is_paused(self):
        return self.is_paused != 0

    def _has_written(self):
        if self.line is not None:
            self.line.advance()
        if self.progress is not None:
            self.progress.unpark_all()

    def _send_away(self):
        if self.line is not None:
            self.line.fail(self._why_shut)
        if self.pings is not None:
            self.pings.fail()
        if self.progress is not None:
            self.progress.unpark_all()
        if self.inbox is not None:
            self.inbox.wake()
        _wake_receiver(self)

    def _output_waits(self):
        self.says_more = True
        if self.fd >= 0:
            self.reactor.dirty(self)

    def _input_has_room(self):
        if self.is_paused:
            self.reactor.attend_to(self)

    def _deadline_changed(self):
        _set_alarm(self)

    def _closing_begins(self):
        self.is_open = False
        self.is_deaf = self._discards
        self._stop_keepalive()
        if self._end is not None:
            self.discards = True
        _set_alarm(self)
        if self.fd >= 0:
            self.reactor.attend_to(self)

    def _unacknowledged(self):
        return self.unacknowledged()

    def _give_up(self):
        if self.fd >= 0 and not self._has_said_all():
            self._end_with_reset()

    def _end_with_reset(self):
        self._has_reset = True
        self.reset()

    def _cut(self):
        self.finish()


include "receiving.pxi"
include "sending.pxi"


# Ends

cdef int _conclude(Link self) except -1:
    """Close, if the connection has ended and all has been said."""
    if self.fd < 0 or self.lingers:
        return 0
    if self._end is None:
        return 0 if self.is_open else _await_close(self)
    if self._end.origin == "lost" or self.at_end and (self.broke or self._has_said_all()):
        return self.finish()
    if self.broke or self.backlog is None and self._has_said_all():
        # A client lets its server be the first to end (RFC 6455 section 7.1.1).
        self.peer_first = self._connection.role is CLIENT and not self.broke
        self.linger()
        if self.fd >= 0:
            self._expect_end(self.peer_first)
    return 0


cdef int _await_close(Link self) except -1:
    """The peer's Close frame is due once all has left, or nothing leaves any more."""
    if self._answer is None and (self.broke or self.backlog is None and self._connection.bytes_to_send == 0):
        self._expect_close()
    return 0


cdef int _set_alarm(Link self) except -1:
    cdef double due
    if self.fd < 0:
        return 0
    due = self._next_deadline()
    if not self.lingers:
        due = min(due, min(self.answer_by, _slow_until(self)))
    return self.set_deadline(due)


include "awaiting.pxi"
