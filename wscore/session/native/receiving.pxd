from wscore.session.native.queue cimport ReceiveQueue

cdef extern from "<stdbool.h>":
    ctypedef bint flag "bool"

cdef class Receiving(ReceiveQueue):
    cdef readonly object _connection
    cdef readonly object _throttle
    cdef readonly bytes _unread
    cdef public long long messages
    cdef readonly Py_ssize_t _max_unsent
    cdef readonly double _patience
    cdef readonly double _patience_by
    cdef readonly flag answers_at_once
    cdef readonly flag discards
    cdef readonly flag at_eof
    cdef public flag is_answered
    cdef readonly flag is_paused
    cdef readonly flag _is_held_back

    cpdef discard(self)
    cpdef expect_no_answer(self)
    cpdef hold_back(self, bint is_held_back, double now)
    cpdef time_is(self, double now)
    cpdef list _sort(self, object events, Py_ssize_t size, double now)
    cpdef bint _is_slowed_down(self) except -1
    cpdef bint _must_pause(self) except -1
    cpdef _pause(self, double now)
