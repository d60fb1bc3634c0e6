"""The C face of a connection on the reactor, for what is awaited on it."""

from libc.stdint cimport uint8_t

from wscore.codec.native.reader cimport Reader
from wscore.codec.native.writer cimport Writer
from wscore.session.native._core cimport Session
from wscore.transport.reactor.pace cimport Pace
from wscore.transport.reactor.wire cimport Wire

cdef extern from "<stdbool.h>":
    ctypedef bint flag "bool"

cdef class Terms:
    # What the connections of a server have in common.
    cdef Pace pace
    cdef object context  # of whom connections have their own copies
    cdef object at_over  # called when a connection is over, once
    cdef object options
    cdef object manners
    cdef object on_message
    cdef object on_error
    cdef object reserve
    cdef object receive_trap  # what a call that waits for a message yields to Trio
    cdef Py_ssize_t max_unsent
    cdef bint is_plain  # messages come in whole, and calls give way as rarely as they may

cdef class Link(Wire):
    cdef Terms terms
    cdef Session session
    cdef Reader reader
    cdef Writer writer
    cdef object place
    cdef object context  # its own, in which `on_message` is called; None until something is
    cdef readonly object crash  # what could not be contained, and ended it
    cdef object __weakref__
    # What `SessionWebSocket` wants stored.
    cdef object opening  # folded, until somebody looks into it
    cdef public object _ended
    cdef public object _pingers
    cdef public object _receiver
    cdef public object _reserve
    cdef public object _room_to_ping
    cdef public object _senders
    cdef public Py_ssize_t _held
    cdef public long long _handed_over
    cdef public flag _failed
    cdef public flag _is_held_back
    cdef readonly flag _is_over
    # Of one byte each.
    cdef uint8_t says_more  # than messages: Pings, Pongs, Close frames
    cdef uint8_t hands_over  # to `on_message`, this very moment
    cdef uint8_t is_receiving  # somebody waits for a message, or was woken and has not run yet
    cdef object receiver  # the task that waits for a message

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
