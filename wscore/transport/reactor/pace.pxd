"""The C face of the pace: what a call that need not wait asks."""

cdef double monotonic() noexcept nogil

cdef extern from *:
    """
    /* With a GIL it does no harm if another thread uses what belongs to a run. */
    #ifdef Py_GIL_DISABLED
    #include <pythread.h>
    #define wscore_this_thread() PyThread_get_thread_ident()
    #define wscore_is_another_thread(thread) (PyThread_get_thread_ident() != (thread))
    #else
    #define wscore_this_thread() 0UL
    #define wscore_is_another_thread(thread) 0
    #endif
    """
    unsigned long this_thread "wscore_this_thread"() noexcept
    bint is_another_thread "wscore_is_another_thread"(unsigned long thread) noexcept

cdef class Pace:
    cdef readonly object is_cancelled
    cdef bint by_attribute
    cdef dict run_context  # of this thread, in which Trio keeps the current task
    cdef object run_queue  # the tasks that Trio will let run next
    cdef bint knows_run  # whether we know where these two are; without, only `current_task` works
    cdef unsigned long thread  # that the run is in
    # Where a task has its cancel status, and that what we ask: -1 if they are not in slots.
    cdef type task_type
    cdef type status_type
    cdef Py_ssize_t status_at
    cdef Py_ssize_t cancelled_at
    cdef public object clock
    cdef int calls_until_a_look  # at the clock
    cdef bint is_over
    cdef double turned_at

    cdef bint due(self) except -1
    # Whether the current task is cancelled.
    cdef bint cancelled(self) except -1
    cdef object current_task(self)
    # How many tasks run next.
    cdef Py_ssize_t runnable(self) except -1
    # Between the steps of tasks, act in the place of this one; then no more.
    cdef int stand_in_for(self, object task) except -1
    cdef int step_back(self, object task) except -1
