"""The C face of the pace: what a call that need not wait asks."""

cdef double monotonic() noexcept

cdef class Pace:
    cdef readonly object is_cancelled
    cdef bint by_attribute
    cdef dict run_context  # of this thread, in which Trio keeps the current task
    # Where a task has its cancel status, and that what we ask: -1 if they are not in slots.
    cdef type task_type
    cdef type status_type
    cdef Py_ssize_t status_at
    cdef Py_ssize_t cancelled_at
    cdef public object clock
    cdef int ready_calls
    cdef bint is_over
    cdef double turned_at

    cdef bint due(self) except -1
    # Whether the current task is cancelled.
    cdef bint cancelled(self) except -1
    cdef object current_task(self)
