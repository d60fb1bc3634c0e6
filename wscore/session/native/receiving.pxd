from wscore.session.native.queue cimport ReceiveQueue

cdef class Receiving:
    cdef readonly ReceiveQueue queue
    cdef readonly long long messages
    cdef readonly bint discards
    cdef readonly bint at_eof
    cdef readonly bint is_paused
    cdef public bint is_answered
    cdef readonly object _connection
    cdef readonly object _throttle
    cdef readonly long long _controls
    cdef readonly bint _is_held_back
    cdef readonly bytes _unread
    cdef readonly bint answers_at_once
    cdef readonly Py_ssize_t _max_unsent
    cdef readonly double _patience
    cdef readonly double _patience_by
    cdef readonly double _slow_until

    cpdef discard(self)
    cpdef expect_no_answer(self)
    cpdef hold_back(self, bint is_held_back, double now)
    cpdef time_is(self, double now)
    cpdef list _sort(self, object events, Py_ssize_t size, double now)
    cpdef bint _must_pause(self) except -1
    cpdef _pause(self, double now)
