from wscore.session.native.answer cimport Answer
from wscore.session.native.pings cimport Pings
from wscore.session.native.receiving cimport Receiving
from wscore.session.native.sending cimport Sending

cdef extern from "<stdbool.h>":
    ctypedef bint flag "bool"

cdef int OPEN, BROKEN, CLOSING, DRAINING, CLOSED
cdef int NOTHING, PONG, CLOSE, END

cdef class Life:
    cdef readonly object connection
    cdef readonly object options
    cdef readonly Receiving _receiving
    cdef readonly Sending _sending
    cdef readonly Answer _answer
    cdef readonly Pings _pings
    cdef readonly object _ending
    cdef readonly bytes _ping_sent
    cdef readonly double _ping_at
    cdef readonly object latency
    cdef public long long bytes_sent
    cdef readonly Py_ssize_t in_flight
    cdef readonly long long _discarded
    cdef readonly int _phase
    cdef readonly int _wakeups
    cdef readonly flag resets
    cdef readonly flag shuts_sending
    cdef readonly flag wants_acknowledged
    cdef readonly flag is_broken

    cpdef check_sending(self)
    cpdef _conclude(self, list events)
    cpdef _enter(self, int phase, int wakeups=*)
    cpdef _heard(self, double now)
    cpdef Py_ssize_t _left(self, Py_ssize_t n_left, double now) except -1
    cpdef double _send_timeout(self) except? -1
    cpdef bint _is_to_hurry(self) except -1
    cpdef int _awaits(self) except -1
    cpdef bint _is_to_wait(self) except -1
    cpdef _wait_for_the_end(self, double now)
    cpdef _expect(self, int awaits, object timeout, double now)
    cpdef _owe_nothing(self)
    cpdef double _next_answer(self) except? -1
