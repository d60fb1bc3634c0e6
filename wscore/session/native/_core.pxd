from wscore.session.native.answer cimport Answer
from wscore.session.native.keepalive cimport Keepalive
from wscore.session.native.pings cimport Pings
from wscore.session.native.receiving cimport Receiving
from wscore.session.native.sending cimport Sending

cdef class Session:
    cdef readonly object connection
    cdef readonly object options
    cdef readonly object phase
    cdef readonly bint resets
    cdef readonly bint shuts_sending
    cdef readonly bint wants_acknowledged
    cdef readonly Pings pings
    cdef public long long senders_waiting
    cdef public long long held_below
    cdef readonly long long messages_sent
    cdef readonly long long messages_dropped
    cdef readonly long long bytes_received
    cdef readonly Sending _sending
    cdef readonly Receiving _receiving
    cdef readonly Keepalive _keepalive
    cdef readonly Answer _answer
    cdef readonly object _ending
    cdef readonly int _wakeups
    cdef readonly long long _discarded

    cpdef bint fits(self, long long size) except -1
    cpdef _handle(self, list events, double now)
    cpdef _settle(self, double now)
    cpdef bint _may_go_on(self, double now) except -1
    cpdef _go_on(self, double now)
    cpdef bint _is_to_hurry(self) except -1
    cpdef bint _is_to_wait(self) except -1
    cpdef _wait_for_the_end(self, double now)
    cpdef _conclude(self, list events)
    cpdef _enter(self, object phase, int wakeups=*)
    cpdef double _next_answer(self) except? -1
    cpdef check_sending(self)
