"""The C face of the reactor, for the modules beside it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wscore.transport.reactor.pace cimport Pace
from wscore.transport.reactor.wheel cimport Timed, Wheel

cdef extern from "poller.h" nogil:
    enum:
        WSCORE_READ
        WSCORE_WRITE
        WSCORE_BROKEN
        WSCORE_EXCLUSIVE
    const uint64_t WSCORE_ALARM
    ctypedef struct wscore_ready:
        uint64_t token
        int events
    ctypedef struct wscore_poller:
        int fd
        int alarm
    int wscore_poller_open(wscore_poller* poller)
    void wscore_poller_close(wscore_poller* poller)
    int wscore_poller_add(wscore_poller* poller, int fd, int events, uint64_t token)
    int wscore_poller_modify(wscore_poller* poller, int fd, int before, int events, uint64_t token)
    int wscore_poller_remove(wscore_poller* poller, int fd, int before)
    int wscore_poller_wake(wscore_poller* poller)
    int wscore_poller_look(wscore_poller* poller, wscore_ready* ready, int most)

cdef enum:
    RECEIVE_SIZE = 1 << 16

# What is on the wheel has a descriptor, and is owned for that.
cdef class Source(Timed):
    cdef Reactor reactor
    cdef readonly int fd  # -1 once it is closed
    cdef int interest  # what the poller was asked for; 0 is not to be in it
    cdef uint32_t generation
    cdef uint8_t is_dirty
    cdef uint8_t wants_attention

    # For subclasses to implement. What they raise ends this source by `failed`.
    cdef int ready(self, int events) except -1
    cdef int expired(self, double now) except -1  # `deadline` has come; it is no deadline any more
    cdef int flush(self) except -1  # the tick ends: after `reactor.dirty`; wakes no task
    cdef int attend(self) except -1  # after `reactor.attend_to`: in a task
    cdef int failed(self, object error) except -1

    cdef int open(self, Reactor reactor, int fd, int interest) except -1
    cdef int take_over(self, Source other) except -1
    cdef int ask_for(self, int interest) except -1
    cdef int set_deadline(self, double when) except -1
    cdef int close_fd(self) except -1

cdef class Reactor:
    cdef wscore_poller poller
    cdef wscore_ready events[256]
    cdef int events_seen
    cdef int events_found
    cdef uint8_t* buffer  # where everybody receives, RECEIVE_SIZE bytes
    cdef uint8_t* plain  # where what came encrypted is decrypted, as large
    cdef list sources  # by descriptor
    cdef uint32_t generation
    cdef readonly Py_ssize_t count  # of sources
    cdef list dirty_ones
    cdef list waiting_ones
    cdef list failures  # while flushing: sources, and what they raised
    cdef bint in_turn
    cdef uint64_t turns  # so many so far, with this one
    cdef double turn_ends_at
    cdef double waits_since  # Trio, for whatever comes
    cdef bint is_quick  # what came last came within microseconds of that
    cdef int events_of_turn  # so many so far
    cdef bint is_calm  # there were few in the last
    cdef bint goes_on  # the last turn was followed by this one at once
    cdef Pace pace
    cdef object task  # in whose place it has its turns; None if they are left to the task
    cdef bint trio_waits
    cdef bint wakes_nobody  # Trio waits next, and has made up for how long
    cdef Wheel wheel
    cdef bint deadline_changed
    cdef object at_deadline_change
    cdef object at_end
    cdef readonly object crash
    cdef readonly bint is_over

    # Whether this turn has lasted long enough.
    cdef bint time_is_over(self) noexcept
    # `source` has something to send: flush it when the tick ends.
    cdef int dirty(self, Source source) except -1
    # `source` has something to do that needs a task: it is called soon.
    cdef int attend_to(self, Source source) except -1
