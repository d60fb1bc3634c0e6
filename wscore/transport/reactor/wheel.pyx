# cython: freethreading_compatible=True
"""The timer wheel: who is called by when, without a task or a heap.

A slot is a list of what waits, linked through its members, in which a deadline is found in no particular order: those
whose deadlines are in the same slot are called together, at its end. Those too far away for the wheel wait in the slot
that was last when they joined, and find another at its end. Decides when somebody has to look; refuses to know clocks,
who looks, and what is called. A wheel and all that waits on it belong to one thread.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport INFINITY, floor
from libc.stdint cimport int64_t
from libc.string cimport memset

__all__ = ["Timed", "Wheel"]

cdef enum:
    # A slot for each 32nd of a second, 64 seconds in all. What is farther away waits in the last slot.
    SLOTS_A_SECOND = 32
    SLOTS = 2048


@cython.auto_pickle(False)
cdef class Timed:
    """Something that has a deadline."""

    def __cinit__(self):
        self.deadline = INFINITY
        self.slot = NULL

    def __dealloc__(self):
        leave(self)


@cython.final
@cython.auto_pickle(False)
cdef class Wheel:
    """From the time `now` on, of any clock that never goes back."""

    def __cinit__(self, double now):
        self.slots = <void**>PyMem_Malloc(SLOTS * sizeof(void*))
        if self.slots == NULL:
            raise MemoryError
        memset(self.slots, 0, SLOTS * sizeof(void*))
        self.tick = _tick_of(now)
        self.wakes_at = INFINITY

    def __dealloc__(self):
        cdef int i
        if self.slots != NULL:
            for i in range(SLOTS):
                while self.slots[i] != NULL:
                    leave(<Timed>self.slots[i])
            PyMem_Free(self.slots)

    def put(self, Timed each not None, double when):
        """Let it wait for `when`, on this wheel and for nothing else; INFINITY takes it off. ValueError for what is no
        time.
        """
        if when != when:
            raise ValueError("a deadline is a time")
        leave(each)
        each.deadline = when
        if when != INFINITY:
            self.join(each)

    cpdef double next_deadline(self) noexcept:
        """When to look next: once that has come, `expire` has something to do. INFINITY if nothing waits."""
        cdef int64_t tick = self.tick
        while tick < self.tick + SLOTS and self.slots[tick % SLOTS] == NULL:
            tick += 1
        self.wakes_at = INFINITY if tick == self.tick + SLOTS else _due_by(self.slots[tick % SLOTS], tick + 1)
        return self.wakes_at

    def expire(self, double now):
        """Those whose deadline has come by `now`, taken off the wheel."""
        cdef list due = self.due_by(now)
        for each in due:
            leave(<Timed>each)
            (<Timed>each).deadline = INFINITY
        return due

    cdef bint join(self, Timed each) noexcept:
        cdef int64_t tick = min(max(_tick_of(each.deadline), self.tick), self.tick + SLOTS - 1)
        cdef void** slot = &self.slots[tick % SLOTS]
        cdef void* first = slot[0]
        each.slot = <void*>slot
        each.previous = NULL
        each.next = first
        if first != NULL:
            (<Timed>first).previous = <void*>each
        slot[0] = <void*>each
        if each.deadline >= self.wakes_at:
            return False
        self.wakes_at = each.deadline
        return True

    cdef list due_by(self, double now):
        cdef int64_t last = _tick_of(now)
        cdef int64_t tick = max(self.tick, last - SLOTS + 1)
        cdef list due = []
        self.tick = max(self.tick, last)
        while tick <= last:
            _collect(self, self.slots[tick % SLOTS], now, due)
            tick += 1
        return due


cdef inline int64_t _tick_of(double when) noexcept:
    return <int64_t>floor(max(min(when * SLOTS_A_SECOND, 1e18), 0.0))


cdef double _due_by(void* first, int64_t end) noexcept:
    """When a slot is looked at: at its end, for all that are in it together, or earlier for one that is alone. Never
    later, whatever waits there for a time beyond the wheel: the slots behind it are not looked at before.
    """
    cdef double at_end = <double>end / SLOTS_A_SECOND
    return min((<Timed>first).deadline, at_end) if (<Timed>first).next == NULL else at_end


cdef int _collect(Wheel self, void* first, double now, list due) except -1:
    """Add those of a slot that are due; the others, too far away for the wheel before, find a new slot."""
    cdef Timed timed
    cdef void* each = first
    while each != NULL:
        timed = <Timed>each
        each = timed.next
        if timed.deadline <= now:
            due.append(timed)
        else:
            leave(timed)
            self.join(timed)
    return 0
