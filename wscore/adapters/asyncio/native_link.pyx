# cython: freethreading_compatible=True
"""The compiled twin of `pure_link`: what happens with every message, between the transport and the user.

It decides what the twin does, in the same order. Beyond that it calls Reader and Writer at C level, and gives output to
a plain socket itself, as long as nothing waits in the transport: the loop would do the same one system call later.
Whatever the system does not take, errors included, is the transport's.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.contextvars cimport PyContext_Enter, PyContext_Exit
from cpython.buffer cimport PyBUF_READ, PyBUF_SIMPLE, PyBuffer_Release
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t

from wscore.adapters.asyncio.memory import long_read, receive_memory
from wscore.session import EMPTY, Phase
from wscore.session.queue import size_of

from wscore.codec.native.buffers cimport discard_grown, get_buffer, grown_data
from wscore.codec.native.kernels cimport Kernels, kernels_in_use
from wscore.codec.native.reader cimport STOP_NEED_DATA, Reader
from wscore.codec.native.text cimport PyUnicode_GET_LENGTH, PyUnicode_IS_COMPACT_ASCII, utf8_size
from wscore.codec.native.writer cimport Writer

__all__ = ["Link"]

cdef extern from *:
    """
    #ifdef _WIN32
    /* The loops of Windows have no transport that could be passed by. */
    static Py_ssize_t wscore_send(int fd, const void* data, size_t size) { return -1; }
    #else
    #include <sys/socket.h>
    #include <sys/types.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0 /* macOS: a socket option in its place, and Python ignores the signal */
    #endif
    static Py_ssize_t wscore_send(int fd, const void* data, size_t size)
    {
        return send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    #endif
    """
    Py_ssize_t wscore_send(int fd, const void* data, size_t size) nogil

cdef enum:
    # Output is handed on in the middle of a turn once so much has gathered.
    GATHERED = 1 << 16
    # So much is read in one go (`wscore.session.receiving`).
    TURN_BUDGET = 1 << 18
    # The most bytes that a frame has beside its payload (`wscore.session.sending`).
    FRAME_HEADER = 14
    # What is passed for `compress` where Python passes None: the threshold decides.
    BY_DEFAULT = -1
    NOBODY_ASKED = -1

cdef const Kernels* kernels = kernels_in_use()
cdef object OPEN = Phase.OPEN
cdef list nothing = []


@cython.auto_pickle(False)
cdef class Link:
    """The part of a `WebSocket` that runs once per message or per read."""

    cdef public object _loop
    cdef public object _context  # in which all code of users runs
    cdef public object _on_message
    cdef public object _transport
    cdef public object _life  # the session, as it was told
    cdef public bint _is_held  # messages that come have to wait for `on_message`
    cdef public bint _is_inside  # of what the loop has called: what is said leaves at the end of that
    cdef public bint _look_is_due  # in this turn of the loop
    cdef public object _receiver
    # What the session was not told yet, while it is plain.
    cdef bint is_plain  # never without Reader and Writer
    cdef long long received
    cdef long long came
    cdef long long sent
    cdef long long said
    cdef list read  # messages, of which those from `at` on nobody has received yet
    cdef Py_ssize_t at
    cdef int asked  # whether somebody has, and there was none; or NOBODY_ASKED
    # Of the session.
    cdef Reader reader
    cdef Writer writer
    cdef Py_ssize_t budget
    cdef Py_ssize_t max_unsent
    cdef object view  # the memory to receive into
    cdef const uint8_t* memory
    cdef Py_ssize_t memory_size
    cdef Py_ssize_t long_read
    cdef int fd

    def __init__(self, loop, on_message, context):
        self._loop = loop
        self._context = context
        self.view = receive_memory(loop)
        self.memory = <const uint8_t*>PyByteArray_AS_STRING(self.view.obj)
        self.memory_size = len(self.view)
        self.long_read = long_read(loop)
        self._on_message = on_message
        self.read = nothing
        self.asked = NOBODY_ASKED
        self.fd = -1

    def _attach(self, session, int fd):
        """Frames may come and go from now on. `fd` is the plain socket below, -1 if there is none to write to."""
        cdef Py_ssize_t room
        cdef Reader reader = session.connection.reader
        cdef Writer writer = session.connection.writer
        if reader is None or writer is None:
            raise TypeError("a WebSocket needs a connection on the compiled codec")
        self.reader = reader
        self.writer = writer
        room = session.options.max_receive_queue if self._on_message is None else session.options.max_send_buffer
        self.budget = min(room, <Py_ssize_t>TURN_BUDGET)
        self.max_unsent = session.options.max_send_buffer
        self.fd = fd
        self._life = session

    def _detach(self):
        """The transport is gone, and its descriptor may be another's."""
        self._transport = None
        self.fd = -1

    @property
    def _is_plain(self):
        """Whether messages are read and written here, of which the session is told later."""
        return self.is_plain

    @_is_plain.setter
    def _is_plain(self, bint is_plain):
        if is_plain and self.reader is None:
            raise TypeError("this WebSocket is not attached to a connection")
        self.is_plain = is_plain

    @property
    def _session(self):
        """The session, told of all that has passed; whatever is done to it, messages are no more all there is."""
        if self.is_plain:
            _tell(self)
        return self._life

    # Receiving

    def get_buffer(self, sizehint):
        """For asyncio: where the next bytes go."""
        return self.view

    def buffer_updated(self, Py_ssize_t nbytes):
        """For asyncio: `nbytes` have come."""
        if not 0 <= nbytes <= self.memory_size:
            raise ValueError("there is no room for so many bytes")
        _take(self, self.memory, nbytes)
        if nbytes >= self.long_read:
            self._end_turn()

    def _take(self, data):
        """Take bytes from the network."""
        cdef Py_buffer view
        get_buffer(data, &view, PyBUF_SIMPLE)
        try:
            _take(self, <const uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def _wake_receiver(self):
        _wake_receiver(self)

    def _hand_over(self):
        """Call `on_message` with what has come, unless that has to wait: until asked for, or for room for an answer."""
        session = self._session
        while not self._is_held and _may_receive(session):
            message = session.receive()
            if message is EMPTY:
                return
            _call(self, message)

    def _next_message(self):
        """The next message, or EMPTY. Raises as `receive`."""
        if self.is_plain:
            if self.at < len(self.read):
                return _next_read(self)
            self.asked = True
            return EMPTY
        return self._receive_from_session()

    # Sending

    def send_nowait(self, message, compress=None):
        """As `send`, without waiting: whether there was room. If not, nothing was sent, and `slow_consumer` decides
        whether the connection goes on. It goes before those who wait in `send`, where there is room.

        Raises as `send`.
        """
        if self.is_plain and _fits(self, message):
            _write_message(self, message, compress)
            _has_said(self)
            return True
        return self._send_by_session(message, compress)

    def _send_at_once(self, message, compress):
        """Send, if that need not wait for room, or for others to have their turn; whether so. Raises as `send`."""
        if self.is_plain and not _has_gathered(self) and _fits(self, message):
            _write_message(self, message, compress)
            if not self._is_inside:
                _look_soon(self)
            return True
        return self._send_at_once_by_session(message, compress)

    def _has_gathered(self):
        """Whether there is so much output that it should not wait for the end of this turn."""
        return _has_gathered(self)

    def _has_said(self):
        """There may be output, which leaves at the end of this read or of this turn of the loop; now, if it is much."""
        _has_said(self)

    def _look_soon(self):
        """In a moment: whoever calls this may be called by what it does, and others are to have their turn."""
        _look_soon(self)

    def _look_now(self):
        self._look_is_due = False
        if self.is_plain:
            _flush(self)
        elif self._life is not None:
            self._look_in_turn()

    def _flush(self):
        """Hand to the transport what there is to send, once all has left that it was given before."""
        _flush(self)


cdef int _tell(Link self) except -1:
    cdef list waiting = self.read[self.at:]
    self.is_plain = False
    self._life.passed(
        received=self.received,
        came=self.came,
        sent=self.sent,
        said=self.said,
        waiting=waiting,
        is_answered=None if self.asked == NOBODY_ASKED else self.asked == 1,
    )
    self.received = self.came = self.sent = self.said = 0
    self.read, self.at, self.asked = nothing, 0, NOBODY_ASKED
    return 0


cdef inline object _next_read(Link self):
    """The next message that nobody has received yet; there is one."""
    message = self.read[self.at]
    self.at += 1
    if self.at == len(self.read):
        self.read, self.at = nothing, 0
    return message


# Receiving

cdef int _take(Link self, const uint8_t* data, Py_ssize_t size) except -1:
    if self._life is None:
        self._receive_outside(data[:size])
    elif not self._is_inside and self.at == len(self.read) and (self.is_plain or _becomes_plain(self)):
        _pass(self, data, size)
    else:
        self._session.received(_view(data, size), self._now())
        self._look()
    return 0


cdef bint _becomes_plain(Link self) except -1:
    self._is_plain = self._life.is_plain
    return self.is_plain


cdef inline object _view(const uint8_t* data, Py_ssize_t size):
    return PyMemoryView_FromMemory(<char*>data, size, PyBUF_READ)


cdef int _pass(Link self, const uint8_t* data, Py_ssize_t size) except -1:
    """Read messages, and let them be received; the session does what else there is to do."""
    cdef list messages = []
    cdef Py_ssize_t taken
    cdef int stop
    taken = self.reader.read_bytes(data, size, messages, self.budget)
    stop = self.reader.stop_code
    self.received += size
    self.came += len(messages)
    if messages:
        _deliver(self, messages)
    if stop != STOP_NEED_DATA:
        self._session.read_on(_view(data + taken, size - taken), self.budget, self._now())
    if self.is_plain:
        _flush(self)
    else:
        self._look()
    return 0


cdef int _deliver(Link self, list messages) except -1:
    """Let messages be received."""
    self.read, self.at, self.asked = messages, 0, False
    if self._on_message is None:
        return _wake_receiver(self)
    self._is_inside = True
    try:
        while _call_some(self, messages):
            _flush(self)
    finally:
        self._is_inside = False
    if self.is_plain:
        _has_handed_over(self)
    return 0


@cython.boundscheck(False)
@cython.wraparound(False)
cdef bint _call_some(Link self, list messages) except -1:
    """Call `on_message` for one after the other; whether so much output has gathered that it should leave meanwhile."""
    cdef Py_ssize_t count = len(messages)
    cdef Py_ssize_t waits = self.writer.pending_bytes()
    PyContext_Enter(self._context)
    try:
        while self.at < count and waits < GATHERED and self.is_plain and not self._is_held:
            message = messages[self.at]
            if waits and waits + _size_of(message) + FRAME_HEADER > self.max_unsent:
                return False
            self.at += 1
            self._on_message(self, message)
            waits = self.writer.pending_bytes()
    except Exception as error:
        self._handler_failed(error)  # after that nothing is plain
    finally:
        PyContext_Exit(self._context)
    return self.is_plain and waits >= GATHERED


cdef inline int _has_handed_over(Link self) except -1:
    """What was read has gone to `on_message`, or has to wait."""
    if self.at < len(self.read):
        return _tell(self)
    self.read, self.at, self.asked = nothing, 0, True
    return 0


cdef inline int _wake_receiver(Link self) except -1:
    if self._receiver is not None and not self._receiver.done():
        self._receiver.set_result(None)
        if self.is_plain or self._life.phase is OPEN:
            _look_soon(self)  # what it sends in its next step leaves right after it
    return 0


cdef inline bint _may_receive(object session) except -1:
    """Whether there is room for an answer; after the end, whether there is anything left."""
    return session.has_room_for_answer() if session.phase is OPEN else session.receive_queue[0] > 0


cdef inline int _call(Link self, object message) except -1:
    PyContext_Enter(self._context)
    try:
        self._on_message(self, message)
    except Exception as error:
        self._handler_failed(error)
    finally:
        PyContext_Exit(self._context)
    if _has_gathered(self):
        _flush(self)
    return 0


# Sending

cdef inline int _write_message(Link self, object message, object compress) except -1:
    if type(message) is bytes or type(message) is str:
        self.writer.write_message(message, BY_DEFAULT if compress is None else bool(compress))
    else:
        self._life.connection.send(message, compress)
    self.said += 1
    return 0


cdef inline bint _fits(Link self, object message) except -1:
    """Whether there is room for a message, or for an answer as large, while the session is plain."""
    cdef Py_ssize_t unsent
    unsent = self.writer.pending_bytes()
    return unsent == 0 or unsent + _size_of(message) + FRAME_HEADER <= self.max_unsent


cdef inline Py_ssize_t _size_of(object message) except -1:
    if type(message) is bytes:
        return PyBytes_GET_SIZE(message)
    if type(message) is str:
        return PyUnicode_GET_LENGTH(message) if PyUnicode_IS_COMPACT_ASCII(message) else utf8_size(kernels, message)
    return size_of(message)


cdef inline bint _has_gathered(Link self) noexcept:
    return self.writer is not None and self.writer.pending_bytes() >= GATHERED


cdef inline int _has_said(Link self) except -1:
    if not self._is_inside:
        _look_soon(self)
        if _has_gathered(self):
            _flush(self)
    return 0


cdef inline int _look_soon(Link self) except -1:
    if not self._look_is_due:
        self._look_is_due = True
        self._loop.call_soon(self._look_now)
    return 0


cdef int _flush(Link self) except -1:
    cdef bytes data
    cdef Py_ssize_t size, taken
    if not self.is_plain:
        return _flush_session(self)
    if not self.reader.pings_waiting and self.writer.chunks is None:
        return _flush_tail(self)
    data = self._life.connection.data_to_send()
    size = PyBytes_GET_SIZE(data)
    taken = _write(self, <const uint8_t*>PyBytes_AS_STRING(data), size)
    return _leave_to_transport(self, data, taken) if taken < size else 0


cdef int _flush_session(Link self) except -1:
    cdef bytes data
    cdef Py_ssize_t size, taken
    if self._life is None or not (self.reader.pings_waiting or self.writer.pending_bytes()) or self._life.in_flight:
        return 0
    data = self._life.output()
    size = PyBytes_GET_SIZE(data)
    if size:
        taken = _send(self, <const uint8_t*>PyBytes_AS_STRING(data), size)
        if taken < size:
            self._give(data[taken:])
        self._life.sent(self._waiting(self._life) if taken < size else 0, self._now())
    return 0


cdef inline int _flush_tail(Link self) except -1:
    """Send from the Writer's own memory."""
    cdef Py_ssize_t size = self.writer.tail.size
    cdef Py_ssize_t taken = _write(self, grown_data(&self.writer.tail), size)
    if taken < size:
        return _leave_to_transport(self, self.writer.take(), taken)
    discard_grown(&self.writer.tail)
    return 0


cdef inline Py_ssize_t _write(Link self, const uint8_t* data, Py_ssize_t size) except -1:
    """Give to the socket what it takes, if it is for us to do so; how much that was."""
    cdef Py_ssize_t count = _send(self, data, size)
    self.sent += count
    return count


cdef inline Py_ssize_t _send(Link self, const uint8_t* data, Py_ssize_t size) noexcept:
    return max(wscore_send(self.fd, data, size), <Py_ssize_t>0) if size and self.fd >= 0 else 0


cdef int _leave_to_transport(Link self, bytes data, Py_ssize_t taken) except -1:
    """Give it what the system has not taken."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data) - taken
    cdef Py_ssize_t left
    self._give(data[taken:] if taken else data)
    self.sent += size
    left = min(<Py_ssize_t>self._in_transport(), size)
    if left:
        self.sent -= left
        self._session.fell_behind(left, self._now())
        _look_soon(self)
    return 0
