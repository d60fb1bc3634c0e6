"""The C face of the pace: what a call that need not wait asks."""

cdef double monotonic() noexcept nogil

cdef extern from "Python.h":
    # Of this thread, and so as good as its number, at a quarter of the instructions.
    void* this_thread "PyThreadState_Get"() noexcept

cdef class Pace:
    cdef readonly object is_cancelled
    cdef bint by_attribute
    cdef dict run_context  # of this thread, in which Trio keeps the current task
    cdef object run_queue  # the tasks that Trio will let run next
    cdef bint knows_run  # whether we know where these two are; without, only `current_task` works
    cdef readonly unsigned long thread  # that the run is in
    cdef void* thread_state  # as `this_thread` has it
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
