"""The C face of a connection on the reactor, for what is awaited on it."""

from libc.stdint cimport uint8_t, uint64_t

from wscore.codec.native.reader cimport Reader
from wscore.codec.native.writer cimport Writer
from wscore.transport.reactor.pace cimport Pace
from wscore.transport.reactor.wire cimport Wire

cdef extern from "<stdbool.h>":
    ctypedef bint flag "bool"

cdef class Terms:
    # What the connections of a server have in common.
    cdef Pace pace
    cdef object context  # of whom connections have their own copies
    cdef object at_over  # called when a connection is over, once
    cdef Py_ssize_t max_queue
    cdef Py_ssize_t max_unsent

cdef class Link(Wire):
    # What `Endpoint` and `Deadlines` want stored.
    cdef public object _connection
    cdef public object _options
    cdef object opening  # folded, until somebody looks into it
    cdef public object _manners
    cdef public object _on_message
    cdef public object _on_error
    cdef public object _leaving
    cdef public object _end
    cdef public object _schedule
    cdef public object _answer
    cdef public object _sending
    cdef public object _throttle  # with the time until which nothing is taken, since the peer sends too fast
    cdef public object _reserve
    cdef public Py_ssize_t _held
    cdef public long long _messages_received
    cdef public long long _messages_sent
    cdef public long long _messages_dropped
    cdef public long long _bytes_received
    cdef public long long _bytes_sent
    # Made when somebody waits for them; None until then.
    cdef public object inbox  # from the start, if pieces or strict checkpoints are wanted
    cdef public object line
    cdef public object progress
    cdef public object pings  # and no more once none is under way
    cdef public object _latency
    cdef public object over
    cdef object place
    cdef object context  # its own, in which `_on_message` is called; None until something is
    cdef readonly object crash  # what could not be contained, and ended it
    cdef object __weakref__

    cdef Reader reader
    cdef Writer writer
    cdef Terms terms
    # Of one byte each.
    cdef public flag _closed_here
    cdef public flag _has_reset
    cdef public flag _failed
    cdef public flag _sending_broke
    cdef readonly flag is_over
    cdef uint8_t is_open  # messages may be sent
    cdef uint8_t is_deaf  # messages that come are for nobody
    cdef uint8_t is_paused
    cdef uint8_t says_more  # than messages: Pings, Pongs, Close frames
    cdef uint8_t has_written
    cdef uint8_t broke  # while sending; nobody was told yet
    cdef uint8_t is_patient  # an end waits, until `answer_by`, for answers to what came before
    cdef uint8_t is_receiving  # somebody waits for a message, or was woken and has not run yet
    cdef uint64_t last_taken_by  # the turn in which all of that was seen to be taken
    cdef double answer_by
    # What came and was not taken yet: messages, or with `_on_message` events; from `items_start` on.
    cdef list items
    cdef Py_ssize_t items_start
    cdef Py_ssize_t queued  # what they weigh
    cdef object receiver  # the task that waits for a message
    cdef object receive_trap

    cdef bint has_message(self) noexcept
    cdef object take(self)
    cdef Py_ssize_t goes_before(self) except -1
    cdef bint goes_at_once(self, object message) except -1
    cdef int add(self, object message) except -1
    cdef int added(self) except -1
    cdef int stop_waiting(self) noexcept

cdef class Awaited:
    cdef Link link
    cdef int stage
    cdef object result
    cdef object inner
    # Of the two subclasses, which have nothing of their own, so that a free one can become either.
    cdef object message
    cdef bint iterating
    cdef int begin(self) except -1
    cdef int go_on(self, object sent) except -1
    cdef int passed(self) except -1
    cdef int step(self, object sent) except -1

cdef class Receive(Awaited):
    pass

cdef class Send(Awaited):
    pass
