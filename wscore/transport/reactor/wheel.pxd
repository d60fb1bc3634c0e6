"""The C face of the timer wheel, for the reactor."""

from libc.stdint cimport int64_t

cdef class Timed:
    cdef readonly double deadline  # INFINITY for never
    # Its place: unowned, and left by whichever goes first, this or the wheel.
    cdef void* slot
    cdef void* next
    cdef void* previous

cdef inline void leave(Timed self) noexcept:
    """Wait on no wheel any more."""
    if self.slot == NULL:
        return
    if self.previous != NULL:
        (<Timed>self.previous).next = self.next
    else:
        (<void**>self.slot)[0] = self.next
    if self.next != NULL:
        (<Timed>self.next).previous = self.previous
    self.slot = NULL

cdef class Wheel:
    cdef void** slots
    cdef int64_t tick  # the first slot that was not looked through
    cdef double wakes_at  # what `next_deadline` has said last, or an earlier deadline that was put on since

    cpdef double next_deadline(self) noexcept
    # Put on what waits on no wheel, for its `deadline`; whether that is earlier than when somebody looks next.
    cdef bint join(self, Timed each) noexcept
    # Those whose deadline has come by `now`; they stay until they leave.
    cdef list due_by(self, double now)
