# cython: freethreading_compatible=True
"""One connection on the reactor: what is done for each message, and when the slower parts have their turn.

A pump around a `Session`, whose life it is, and whose fields it reads and writes: it drives the codec's Reader and
Writer itself as long as there are only messages, in whole, and hands everything else to the session. It decides nothing
about RFC 6455, about ends and deadlines, nor about what callers see, which is `SessionWebSocket`'s; `websocket.py` puts
both together into one class, in which this one comes first.

Flushing wakes no task (see `engine`); what it finds out waits for `attend`.

    received -> messages -> the session's queue -> `receive`, or `on_message`     add -> Writer -> flush, once a tick
             -> anything else -> session.read_on, session.received -> look        wrote, broke, room -> attend -> look
"""

cimport cython
from cpython.buffer cimport PyBUF_READ
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from libc.math cimport INFINITY
from libc.stdint cimport uint8_t

from outcome import Value
from trio import BusyResourceError, EndOfChannel, current_time
from trio.lowlevel import Abort, checkpoint, reschedule

from wscore.codec import CloseCode
from wscore.session.ends import Cause, Wakeup
from wscore.session.receiving import TURN_BUDGET as _TURN_BUDGET
from wscore.session.sending import FRAME_HEADER as _FRAME_HEADER
from wscore.transport.offering import offer
from wscore.transport.records import Opening, fold, unfold
from wscore.transport.reserve import QUANTUM as _QUANTUM
from wscore.transport.session_face import SessionWebSocket
from wscore.transport.trio_glue import YIELDING, manners_of_this_run, trap_of

from wscore.codec.native.buffers cimport PY_SSIZE_T_MAX, discard_grown, grown_data
from wscore.codec.native.kernels cimport Kernels, kernels_in_use
from wscore.codec.native.reader cimport STOP_NEED_DATA, weight
from wscore.codec.native.text cimport utf8_size
from wscore.codec.native.writer cimport Shared, share
from wscore.session.native._core cimport Session
from wscore.session.native.life cimport CLOSED, CLOSING, OPEN
from wscore.session.native.life cimport END as AN_END
from wscore.session.native.queue cimport drop_quickly, first_of, has_one, put_quickly
from wscore.session.native.receiving cimport Receiving
from wscore.transport.reactor.pace cimport this_thread
from wscore.transport.reactor.wire cimport Wire

__all__ = ["Link", "Terms", "iterate_fast", "offer_to_all"]

cdef extern from "Python.h":
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

cdef enum:
    # With so much to send, the end of the tick is not waited for.
    EARLY_FLUSH = 1 << 14
    # `on_message` may take a microsecond or a millisecond: after so many calls the clock is looked at.
    CALLS_A_LOOK = 16
    BY_DEFAULT = -1

cdef const Kernels* kernels = kernels_in_use()
cdef Py_ssize_t TURN_BUDGET = _TURN_BUDGET
cdef Py_ssize_t FRAME_HEADER = _FRAME_HEADER
cdef Py_ssize_t QUANTUM = _QUANTUM
cdef int RECEIVE = Wakeup.RECEIVE
cdef int ABNORMAL = CloseCode.ABNORMAL
cdef object SUCCEEDED = Abort.SUCCEEDED


cdef inline Py_ssize_t size_of(object message) except -1:
    """The size of a message on the wire, before it is compressed."""
    if type(message) is bytes:
        return PyBytes_GET_SIZE(message)
    return utf8_size(kernels, message)


@cython.auto_pickle(False)
cdef class Terms:
    """What the connections of a server have in common: the pace of the run, the context of which each has a copy,
    `at_over(link, place)`, the limits of `options`, the hooks, and the reserve, if there is one.
    """

    def __cinit__(self, Pace pace not None, context, at_over, options, on_message, on_error, reserve=None):
        self.pace = pace
        self.context = context
        self.at_over = at_over
        self.options = options
        self.manners = manners_of_this_run(options.strict_checkpoints)
        self.on_message = on_message
        self.on_error = on_error
        self.reserve = reserve
        self.max_unsent = options.max_send_buffer
        self.receive_trap = trap_of(None)
        self.is_plain = not (options.pieces or options.strict_checkpoints)


@cython.auto_pickle(False)
cdef class Link(Wire):
    """See link.pxd for its state. `start` is called once everything is set up; before, it has no socket."""

    def __cinit__(self, connection, Terms terms not None, opening):
        self.reader = connection.reader
        self.writer = connection.writer
        if self.reader is None or self.writer is None:
            raise TypeError("a Connection on the compiled codec is wanted")
        self.terms = terms
        self.session = Session(
            connection, terms.options, current_time(), answers_at_once=terms.on_message is not None
        )
        self.opening = opening
        self._reserve = terms.reserve
        if self._reserve is not None:
            self._reserve.join()

    def start(self, Wire other not None, place=None, context=None):
        """Take over the socket on which the opening handshake was; `at_over(self, place)` is called at the end.

        `context` is the connection's own, if it has one already; `on_message` is called in it, and nobody else may
        have entered it then.
        """
        self.place = place
        self.context = context
        self.opening = fold(self.opening)
        self.adopt(other)
        if self.backlog is not None:
            _mind_the_backlog(self, 0)
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
        cdef Session session = self.session
        cdef Receiving receiving = session._receiving
        cdef list events
        cdef Py_ssize_t budget, start
        if not self.terms.is_plain or receiving.discards or receiving.is_paused or receiving._throttle is not None:
            session.received(PyMemoryView_FromMemory(<char*>data, size, PyBUF_READ), current_time())
            return _look(self)
        session.bytes_received += size
        if session._answer is not None:
            session._heard(current_time())
        events = []
        budget = _budget(self)
        start = self.reader.read_bytes(data, size, events, budget)
        if events:
            receiving.messages += len(events)
            receiving.is_answered = False
            put_quickly(receiving, events, self.reader.spent - self.reader.spent_on_frames)
        if self.reader.stop_code != STOP_NEED_DATA:
            session.read_on(
                PyMemoryView_FromMemory(<char*>data + start, size - start, PyBUF_READ), budget, current_time()
            )
            return _look(self)
        if self.reader.pings_waiting:
            self._output_waits()
        if not events:
            return _account(self)
        if self.terms.on_message is not None:
            return _hand_over(self)
        _wake_receiver(self)
        if receiving.size >= receiving._limit:
            _pause(self)
        return _account(self)

    cdef int passed_over(self, const uint8_t* data, Py_ssize_t size) except -1:
        self.session.received(PyMemoryView_FromMemory(<char*>data, size, PyBUF_READ), current_time())
        return _look(self)

    cdef int ended(self) except -1:
        self.session.received_eof(current_time())
        return _look(self)

    cdef int broken(self) except -1:
        self.session.cannot_send(current_time())
        return self.ended()

    cdef bint has_message(self) noexcept:
        """Whether `receive` need not wait: what waits to be given to `on_message` is not for it."""
        return self.session._receiving.size > 0 and self.terms.on_message is None

    cdef object take(self):
        """The next message, which there is; reading goes on if it has paused and there is room again."""
        cdef Receiving receiving = self.session._receiving
        message = first_of(receiving)
        drop_quickly(receiving, receiving.size if has_one(receiving) else weight(size_of(message)))
        if self._held:
            _account(self)
        if receiving.is_paused and receiving.size <= receiving._limit >> 1:
            self.reactor.attend_to(self)
        return message

    def receive(self):
        _stay_in_thread(self)
        if not self.terms.is_plain:
            return SessionWebSocket.receive(self)
        return _new_receive(self, False)

    def __aiter__(self):
        return self

    def __anext__(self):
        _stay_in_thread(self)
        if not self.terms.is_plain:
            return SessionWebSocket.__anext__(self)
        return _new_receive(self, True)

    cdef int stop_waiting(self) noexcept:
        self.receiver = None
        self.is_receiving = False
        return 0

    # Sending

    def send(self, message, *, compress=None):
        _stay_in_thread(self)
        if compress is not None:
            return SessionWebSocket.send(self, message, compress=compress)
        return _new_send(self, message)

    def send_nowait(self, message, *, compress=None):
        _stay_in_thread(self)
        if compress is None and self.goes_at_once(message):
            self.add(message)
            return True
        return SessionWebSocket.send_nowait(self, message, compress=compress)

    cdef Py_ssize_t goes_before(self) except -1:
        """How many bytes leave before a message that is sent now; PY_SSIZE_T_MAX if it cannot be sent now."""
        if self.session._phase != OPEN:
            return PY_SSIZE_T_MAX
        if self._senders is not None:
            if not self._senders.is_idle:
                return PY_SSIZE_T_MAX
            self._senders = None
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
        self.session.messages_sent += 1
        if self.writer.pending_bytes() >= EARLY_FLUSH and self.backlog is None:
            return self.flush()
        return self.reactor.dirty(self)

    cdef int flush(self) except -1:
        if self.fd < 0 or self.session.is_broken:
            return 0
        if self.backlog is None:
            if self.tls is None and not self.says_more and self.writer.chunks is None:
                _flush_frames(self)
            else:
                _flush_all(self)
        if self.backlog is not None or self._held:
            _account(self)
        return 0

    cdef int wrote(self, Py_ssize_t size) except -1:
        _mind_the_backlog(self, size)
        if self.backlog is None and (self.says_more or self.writer.pending_bytes() > 0):
            self.reactor.dirty(self)
        _account(self)
        return _note_written(self)

    cdef int cannot_send(self) except -1:
        self.session.cannot_send(current_time())
        return self.reactor.attend_to(self)

    # What is found out in the course of it

    cdef int attend(self) except -1:
        if self.fd < 0:
            return 0
        if self._is_held_back:
            self._mind_the_reserve()
        if self.session._receiving.size > 0 and self.terms.on_message is not None:
            _hand_over(self)
        if self.session._receiving.is_paused:
            self.session.time_is(current_time())
        return _look(self)

    cdef int expired(self, double now) except -1:
        self.session.time_is(now)
        return _look(self)

    cdef int closed(self) except -1:
        self.session.broken(current_time(), Cause.ABORT)  # unless it has ended: we were cancelled, or have failed
        _wake(self)
        self._is_over = True
        self._leave_reserve()
        if self._ended is not None:
            self._ended.set()
        self.terms.at_over(self, self.place)
        return 0

    cdef int failed(self, object error) except -1:
        """Something that nobody foresaw, or that a hook raised and is no `Exception`: this connection ends."""
        self.crash = error
        self.session._receiving.clear()
        return self.finish()

    # What SessionWebSocket asks for

    @property
    def _session(self):
        return self.session

    @property
    def _opening(self):
        if type(self.opening) is not Opening:
            self.opening = unfold(self.opening)
        return self.opening

    @property
    def _options(self):
        return self.terms.options

    @property
    def _manners(self):
        return self.terms.manners

    @property
    def _on_message(self):
        return self.terms.on_message

    @property
    def _on_error(self):
        return self.terms.on_error

    def _look(self):
        if self.fd >= 0 and self.reactor.in_turn:
            # From inside of a hook: all that is to be called comes after it.
            self._output_waits()
            self.reactor.attend_to(self)
        else:
            _look(self)

    def _output_waits(self):
        self.says_more = True
        if self.fd >= 0:
            self.reactor.dirty(self)

    def _input_has_room(self):
        if self.fd >= 0:
            self.reactor.attend_to(self)

    def _undecrypted(self):
        return 0 if self.tls is None else self.tls.incoming.pending


include "receiving.pxi"
include "sending.pxi"


# What the session wants

cdef int _look(Link self) except -1:
    """Do it; to be called after each call of the session that may have changed that. It may wake tasks, and close."""
    cdef Session session = self.session
    cdef double due
    cdef bint reads
    while self.fd >= 0:
        if session.wants_acknowledged:
            session.acknowledged(self.unacknowledged(), current_time())
        _wake(self)
        if session._phase == CLOSED:
            return _close(self)
        if not self.discards and (session.shuts_sending or session._awaits() == AN_END):
            self.end_sending(session.shuts_sending)
            continue
        _account(self)
        reads = session.wants_read
        due = session.deadline
        if due != -INFINITY:
            self.set_deadline(due)
        elif session.is_broken:
            session.output()  # it throws that away
            session.time_is(current_time())
            continue
        elif session.wants_write:
            self._output_waits()
        elif session._receiving.is_paused and not session.connection.is_ending:
            # There is more of what was read before, and others have their turn first.
            self.reactor.attend_to(self)
        else:
            session.time_is(current_time())
            continue
        if reads != self.reading:
            self.set_reading(reads)
            if reads and self.tls is not None and not self.discards:
                return self.drain_tls()
        return 0
    return 0


cdef int _wake(Link self) except -1:
    """Wake who waits for what has happened, and let `on_message` have what has come."""
    cdef Session session = self.session
    cdef int wakeups = session._wakeups
    if wakeups == 0:
        return 0
    session._wakeups = 0
    if wakeups & RECEIVE:
        _wake_receiver(self)
    self._wake(wakeups)
    if wakeups & RECEIVE and self.terms.on_message is not None and session._phase < CLOSING:
        _hand_over(self)
    return 0


cdef int _close(Link self) except -1:
    if self.session.resets:
        return self.reset()
    if self.tls is not None and self.at_end and self.session.end.code != ABNORMAL:
        # The peer is to know that it has all, even if it has ended first: nothing else tells.
        self.end_sending(True)
    return self.finish()


include "awaiting.pxi"
