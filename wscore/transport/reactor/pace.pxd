"""The C face of the pace: what a call that need not wait asks."""

cdef double monotonic() noexcept

cdef class Pace:
    cdef readonly object is_cancelled
    cdef bint by_attribute
    cdef dict run_context  # of this thread, in which Trio keeps the current task
    cdef public object clock
    cdef int ready_calls
    cdef bint is_over
    cdef double turned_at

    cdef bint due(self) except -1
    # Whether the current task is cancelled.
    cdef bint cancelled(self) except -1
    cdef object current_task(self)
