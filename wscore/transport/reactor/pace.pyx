# cython: freethreading_compatible=True
"""The pace of a Trio run, compiled: `trio_glue.Pace` says what it is for, and is its twin."""

cimport cython
from cpython.object cimport PyObject

from threading import get_ident

from trio.lowlevel import current_task as ask_for_task

from wscore.transport.trio_glue import (
    CALLS_A_LOOK,
    READY_TIME,
    current_run_context,
    current_run_queue,
    is_cancelled_by_attribute,
)

__all__ = ["Pace"]

cdef extern from *:
    """
    #include <time.h>
    static double wscore_monotonic(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    }
    """
    double wscore_monotonic() nogil

cdef extern from *:
    """
    #include <structmember.h>
    /* Where instances of a class have what `descriptor`, from its `__slots__`, stands for; -1 for anything else. */
    static Py_ssize_t wscore_offset_of(PyObject *descriptor)
    {
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type))
            return -1;
        PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? member->offset : -1;
    }
    /* What stands there; None if nothing does. */
    static PyObject *wscore_slot(PyObject *object, Py_ssize_t offset)
    {
        PyObject *found = *(PyObject **)((char *)object + offset);
        return found == NULL ? Py_None : found;
    }
    """
    Py_ssize_t wscore_offset_of(object descriptor)
    PyObject* wscore_slot(object instance, Py_ssize_t offset)

cdef extern from "Python.h":
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

cdef int CALLS = CALLS_A_LOOK
cdef double MOST_TIME = READY_TIME


cdef double monotonic() noexcept nogil:
    return wscore_monotonic()


@cython.auto_pickle(False)
cdef class Pace:
    """How much one Trio run has done since its loop last turned. One for each run.

    `is_cancelled` tells whether the current task is; `clock` is for tests.
    """

    def __init__(self, is_cancelled, clock=None):
        self.is_cancelled = is_cancelled
        self.by_attribute = is_cancelled is is_cancelled_by_attribute
        self.run_context = current_run_context()
        self.run_queue = current_run_queue()
        self.knows_run = self.run_queue is not None
        self.thread = get_ident()
        self.thread_state = this_thread()
        self.status_at = self.cancelled_at = -1
        if self.by_attribute:
            _find_slots(self, self.current_task())
        self.clock = clock
        self.calls_until_a_look = CALLS
        self.turned_at = _now(self)

    def after_io_wait(self, timeout):
        """Trio's loop has turned: the time starts anew."""
        self.calls_until_a_look = CALLS
        self.is_over = False
        self.turned_at = _now(self)

    def is_due(self):
        """Count one call that need not wait; whether it has to give way all the same."""
        return self.due()

    cdef bint due(self) except -1:
        if self.is_over:
            return True
        self.calls_until_a_look -= 1
        if self.calls_until_a_look == 0:
            self.calls_until_a_look = CALLS
            self.is_over = _now(self) - self.turned_at >= MOST_TIME
        return self.is_over

    cdef bint cancelled(self) except -1:
        if not self.by_attribute:
            return self.is_cancelled()
        task = self.current_task()
        if self.cancelled_at < 0 or type(task) is not self.task_type:
            return task._cancel_status.effectively_cancelled
        status = <object>wscore_slot(task, self.status_at)
        if type(status) is not self.status_type:
            return status.effectively_cancelled
        return <object>wscore_slot(status, self.cancelled_at)

    cdef Py_ssize_t runnable(self) except -1:
        return len(self.run_queue)

    cdef int stand_in_for(self, object task) except -1:
        self.run_context["task"] = task
        try:
            return PyContext_Enter(task.context)
        except BaseException:
            del self.run_context["task"]
            raise

    cdef int step_back(self, object task) except -1:
        del self.run_context["task"]
        return PyContext_Exit(task.context)

    cdef object current_task(self):
        return self.run_context["task"] if self.run_context is not None else ask_for_task()


cdef int _find_slots(Pace self, object task) except -1:
    """Both classes have slots: reading them directly takes a fifth of the time of asking by name."""
    self.task_type, self.status_type = type(task), type(task._cancel_status)
    self.status_at = wscore_offset_of(self.task_type.__dict__.get("_cancel_status"))
    if self.status_at >= 0:
        self.cancelled_at = wscore_offset_of(self.status_type.__dict__.get("effectively_cancelled"))
    return 0


cdef inline double _now(Pace self) except? -1:
    return wscore_monotonic() if self.clock is None else self.clock()
