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

from collections import deque

from wscore.adapters.asyncio.memory import long_read, receive_memory

from wscore.codec.native.buffers cimport discard_grown, get_buffer, grown_data
from wscore.codec.native.kernels cimport Kernels, kernels_in_use
from wscore.codec.native.reader cimport STOP_NEED_DATA, Reader, weight
from wscore.codec.native.text cimport PyUnicode_GET_LENGTH, PyUnicode_IS_COMPACT_ASCII, utf8_size
from wscore.codec.native.writer cimport Writer

__all__ = ["TURN_BUDGET", "Link"]

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
    # So much is taken from one connection in a turn of the loop, counted as the receive queue counts, and one message.
    MOST_IN_A_TURN = 1 << 18
    # What is passed for `compress` where Python passes None: the threshold decides.
    BY_DEFAULT = -1

cdef const Kernels* kernels = kernels_in_use()

TURN_BUDGET = MOST_IN_A_TURN


@cython.auto_pickle(False)
cdef class Link:
    """The part of a `WebSocket` that runs once per message or per read."""

    cdef public object _loop
    cdef public object _context  # in which all code of users runs
    cdef public object _on_message
    cdef public object _transport
    cdef public object _connection
    cdef public bint _is_open  # what comes are frames
    cdef public bint _is_sendable
    cdef public bint _is_deaf  # messages that come are for nobody
    cdef public bint _is_held  # messages that come have to wait for `on_message`
    cdef public bint _is_behind  # the transport was given bytes that have not been seen to leave
    cdef public bint _writing_is_paused
    cdef public bint _flush_is_due  # it comes by itself: at the end of this read, or in this turn of the loop
    cdef public list _line  # those who wait to send
    cdef public object _queue
    cdef public Py_ssize_t _max_queue
    cdef public Py_ssize_t _queued  # what they weigh
    cdef public object _receiver
    cdef public long long _messages_received
    cdef public long long _messages_sent
    cdef public long long _bytes_received
    cdef public long long _bytes_sent
    cdef Reader reader
    cdef Writer writer
    cdef object view  # the memory to receive into
    cdef const uint8_t* memory
    cdef Py_ssize_t memory_size
    cdef Py_ssize_t long_read
    cdef int fd
    cdef bint says_more  # than messages: there may be Pongs
    cdef bint may_have_rest

    def __init__(self, loop, on_message, Py_ssize_t max_queue, context):
        self._loop = loop
        self._context = context
        self.view = receive_memory(loop)
        self.memory = <const uint8_t*>PyByteArray_AS_STRING(self.view.obj)
        self.memory_size = len(self.view)
        self.long_read = long_read(loop)
        self._on_message = on_message
        self._max_queue = max_queue
        self._line = []
        self._queue = deque()
        self.fd = -1

    def _attach(self, connection, transport, int fd):
        """Frames may come and go from now on. `fd` is the plain socket below, -1 if there is none to write to."""
        self._connection = connection
        self._transport = transport
        self.reader = connection.reader
        self.writer = connection.writer
        _check_attached(self)
        self.fd = fd
        self._is_open = self._is_sendable = True
        # What the opening handshake has sent may not have left yet.
        if _in_transport(self):
            self._fell_behind()

    def _detach(self):
        """The transport is gone, and its descriptor may be another's."""
        self._is_open = self._is_sendable = False
        self._transport = None
        self.fd = -1

    # Receiving

    def get_buffer(self, sizehint):
        """For asyncio: where the next bytes go."""
        return self.view

    def buffer_updated(self, Py_ssize_t nbytes):
        """For asyncio: `nbytes` have come."""
        if not 0 <= nbytes <= self.memory_size:
            raise ValueError("there is no room for so many bytes")
        if self._is_open:
            _receive(self, self.memory, nbytes)
        else:
            self._receive_outside(bytes(self.view[:nbytes]))
        if nbytes >= self.long_read:
            self._end_turn()

    def _take(self, data):
        """Take bytes from the network."""
        cdef Py_buffer view
        if not self._is_open:
            self._receive_outside(bytes(data))
            return
        get_buffer(data, &view, PyBUF_SIMPLE)
        try:
            _receive(self, <const uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def _budget(self):
        return _budget(self)

    def _deliver(self, list events not None):
        _deliver(self, events)

    def _put(self, message):
        self._queue.append(message)
        self._queued += _weight_of(message)

    def _pop(self):
        message = self._queue.popleft()
        self._queued -= _weight_of(message)
        return message

    def _wake_receiver(self):
        """What the receiver sends in its next step leaves right after it: in the same turn of the loop."""
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)
            _flush_in_this_turn(self)

    def _call(self, message):
        _call(self, message)

    # Sending

    def send_nowait(self, message, compress=None):
        """As `send`, without waiting: whether there was room. If not, nothing was sent, and `slow_consumer` decides
        whether the connection goes on. It goes before those who wait in `send`, where there is room.

        Raises as `send`.
        """
        if not self._is_sendable:
            self._refuse_sending()
        if self._writing_is_paused:
            self._has_no_room()
            return False
        _add(self, message, compress)
        if self.writer.pending_bytes() >= GATHERED:
            _flush(self)
        return True

    def _add(self, message, compress):
        _add(self, message, compress)

    def _has_gathered(self):
        """Whether there is so much output that it should not wait for the end of this turn."""
        _check_attached(self)
        return self.writer.pending_bytes() >= GATHERED

    def _output_waits(self):
        """The connection has something to send, which leaves at the end of this read or of this turn of the loop."""
        self.says_more = True
        _flush_in_this_turn(self)

    def _flush_now(self):
        self._flush_is_due = False
        _flush(self)

    def _flush(self):
        """Hand to the transport what there is to send."""
        _flush(self)

    def _in_transport(self):
        """How many bytes have not left yet that the transport was given."""
        return _in_transport(self)


# Receiving

cdef int _receive(Link self, const uint8_t* data, Py_ssize_t size) except -1:
    cdef bint was_due = self._flush_is_due
    _check_attached(self)
    self._bytes_received += size
    self._flush_is_due = True
    try:
        _deliver(self, _read(self, data, size))
        if self.reader is not None and self.reader.pings_waiting:
            self.says_more = True
    finally:
        self._flush_is_due = was_due
    _flush(self)
    if self.may_have_rest and self._connection.has_rest:
        self._rest_waits()
    return 0


cdef inline Py_ssize_t _budget(Link self) noexcept:
    return MOST_IN_A_TURN if self._is_deaf else min(<Py_ssize_t>MOST_IN_A_TURN, max(self._max_queue - self._queued, 0))


cdef list _read(Link self, const uint8_t* data, Py_ssize_t size):
    cdef list events = []
    cdef Py_ssize_t budget = _budget(self)
    cdef Py_ssize_t taken
    if self.may_have_rest:
        events = self._connection.receive_data(_view(data, size), budget)
        self.may_have_rest = self._connection.has_rest
        return events
    taken = self.reader.read_bytes(data, size, events, budget)
    if self.reader.stop_code != STOP_NEED_DATA:
        self._connection.after_read(_view(data + taken, size - taken), budget, events)
        self.may_have_rest = self._connection.has_rest
    return events


cdef inline object _view(const uint8_t* data, Py_ssize_t size):
    return PyMemoryView_FromMemory(<char*>data, size, PyBUF_READ)


cdef int _deliver(Link self, list events) except -1:
    if self._on_message is None:
        return _keep(self, events)
    for event in events:
        if type(event) is bytes or type(event) is str:
            _hand_over(self, event)
        else:
            self._handle(event)
    return 0


cdef int _keep(Link self, list events) except -1:
    """Put messages where `receive` finds them, and pause reading if there are too many."""
    for event in events:
        if type(event) is not bytes and type(event) is not str:
            self._handle(event)
        elif not self._is_deaf:
            self._queue.append(event)
            self._queued += _weight_of(event)
            self._messages_received += 1
    if self._queued and self._receiver is not None:
        self._wake_receiver()
    if self._queued >= self._max_queue:
        self._pause()
    return 0


cdef inline int _hand_over(Link self, object message) except -1:
    """Call `on_message`, unless that has to wait: until asked for, or for room for an answer."""
    if self._is_deaf:
        return 0
    if self._is_held or self._queued or self._writing_is_paused:
        self._put(message)
        self._pause()
        return 0
    return _call(self, message)


cdef inline int _call(Link self, object message) except -1:
    self._messages_received += 1
    PyContext_Enter(self._context)
    try:
        self._on_message(self, message)
    except Exception as error:
        self._handler_failed(error)
    finally:
        PyContext_Exit(self._context)
    return 0


cdef inline Py_ssize_t _weight_of(object message) except -1:
    if type(message) is bytes:
        return weight(PyBytes_GET_SIZE(message))
    if not isinstance(message, str):
        raise TypeError("a message is str or bytes")
    if PyUnicode_IS_COMPACT_ASCII(message):
        return weight(PyUnicode_GET_LENGTH(message))
    return weight(utf8_size(kernels, message))


# Sending

cdef inline int _check_attached(Link self) except -1:
    """Who was made without `_attach`, or with what is no Connection on the compiled codec, has nothing to work with."""
    if self.reader is None or self.writer is None:
        raise TypeError("this WebSocket is not attached to a connection")
    return 0


cdef inline int _add(Link self, object message, object compress) except -1:
    _check_attached(self)
    if type(message) is bytes or type(message) is str:
        self.writer.write_message(message, BY_DEFAULT if compress is None else bool(compress))
    else:
        self._connection.send(message, compress)
    self._messages_sent += 1
    return _flush_in_this_turn(self)


cdef inline int _flush_in_this_turn(Link self) except -1:
    if not self._flush_is_due:
        self._flush_is_due = True
        self._loop.call_soon(self._flush_now)
    return 0


cdef int _flush(Link self) except -1:
    cdef bytes data
    cdef Py_ssize_t size, taken
    if self._transport is None:
        return 0
    _check_attached(self)
    if not self.says_more and self.writer.chunks is None:
        return _flush_tail(self)
    self.says_more = False
    data = self._connection.data_to_send()
    size = PyBytes_GET_SIZE(data)
    taken = _write(self, <const uint8_t*>PyBytes_AS_STRING(data), size)
    return _leave_to_transport(self, data, taken) if taken < size else 0


cdef inline int _flush_tail(Link self) except -1:
    """Send from the Writer's own memory."""
    cdef Py_ssize_t size = self.writer.tail.size
    cdef Py_ssize_t taken = _write(self, grown_data(&self.writer.tail), size)
    if taken < size:
        return _leave_to_transport(self, self.writer.take(), taken)
    discard_grown(&self.writer.tail)
    return 0


cdef int _leave_to_transport(Link self, bytes data, Py_ssize_t taken) except -1:
    """Give it what the system has not taken."""
    self._bytes_sent += PyBytes_GET_SIZE(data) - taken
    self._transport.write(data[taken:] if taken else data)
    if not self._is_behind:
        self._is_behind = True
        self._fell_behind()
    return 0


cdef inline Py_ssize_t _write(Link self, const uint8_t* data, Py_ssize_t size) except -1:
    """Give to the socket what it takes, if it is for us to do so; how much that was."""
    cdef Py_ssize_t count
    if size == 0 or self.fd < 0 or (self._is_behind and _in_transport(self)):
        return 0
    count = max(wscore_send(self.fd, data, size), <Py_ssize_t>0)
    self._bytes_sent += count
    return count


cdef Py_ssize_t _in_transport(Link self) except -1:
    cdef Py_ssize_t size = 0 if self._transport is None else self._transport.get_write_buffer_size()
    self._is_behind = size > 0
    return size
