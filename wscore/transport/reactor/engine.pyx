# cython: freethreading_compatible=True
"""The reactor: one poller, one receive buffer and one timer wheel for all connections of a Trio run.

Decides what happens in a turn, in which order, and when a turn is over: Trio waits for the poller's descriptor, then
everything between two waits happens here, without a task and without a Python frame for each connection. What is
written in a tick leaves when the tick ends, in one system call a connection, unless the source has it leave before:
after each look at the poller, and before Trio waits for input or output, whichever task wrote it. It refuses to know
what its sources are, and what bytes mean.

A turn ends after 256 events or a millisecond; events that it has not come to are seen first in the next one. Sources
that call what may take long look at the time themselves. Where events come within microseconds of waiting for them, the
next are looked out for, for as long, unless a task could run: to wait and be woken takes as long.

A reactor and all that is on it belong to the thread of its Trio run, and have no lock: where there is no GIL to hold
other threads off, a WebSocket that one of them calls says so.

The reactor is an instrument of Trio's, and has its turn after Trio has waited and before the tasks have theirs, so that
those that it wakes run at once. For that time it stands in for its own task. Where it is not known how to (see `pace`),
that task takes the turn, and nothing is looked out for. The flush before Trio waits must wake no task, since Trio has
made up by then how long it will wait: what is found out there, and needs more than the flush, waits for the next turn,
which an alarm brings about.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EBADF, errno
from libc.math cimport INFINITY
from libc.stdint cimport uint8_t, uint32_t, uint64_t

import os

from wscore.transport.reactor.pace cimport Pace, monotonic
from wscore.transport.reactor.wheel cimport Timed, Wheel, leave

__all__ = ["Reactor"]

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef enum:
    TURN_EVENTS = 256
    # With no more of them in a turn, one answer need not wait for the others: many are faster one after the other.
    FEW_EVENTS = 4

cdef double TURN_TIME = 1e-3
# Seconds: who answers as quickly is looked out for.
cdef double QUICK_ANSWER = 60e-6


@cython.auto_pickle(False)
cdef class Source(Timed):
    """Something with a descriptor: a listening socket, a connection."""

    def __cinit__(self):
        self.fd = -1

    cdef int ready(self, int events) except -1:
        raise NotImplementedError

    cdef int expired(self, double now) except -1:
        return 0

    cdef int flush(self) except -1:
        return 0

    cdef int attend(self) except -1:
        return 0

    cdef int failed(self, object error) except -1:
        self.close_fd()
        return 0

    cdef int open(self, Reactor reactor, int fd, int interest) except -1:
        """Join the reactor with a non-blocking descriptor, which belongs to this source from now on.

        If the system does not let it join, it belongs to the caller still.
        """
        if fd < 0:
            raise OSError(EBADF, os.strerror(EBADF))
        reactor.generation += 1
        self.reactor = reactor
        self.generation = reactor.generation
        self.fd = fd
        while len(reactor.sources) <= fd:
            reactor.sources.append(None)
        try:
            self.ask_for(interest)
        except BaseException:
            self.fd = -1
            raise
        reactor.sources[fd] = self
        reactor.count += 1
        return 0

    cdef int take_over(self, Source other) except -1:
        """Take the place of another source, and its descriptor."""
        if other.fd < 0:
            raise TypeError("there is no socket to take over")
        self.reactor = other.reactor
        self.generation = other.generation
        self.interest = other.interest
        self.fd = other.fd
        other.fd = -1
        leave(other)
        other.deadline = INFINITY
        self.reactor.sources[self.fd] = self
        return 0

    cdef int ask_for(self, int interest) except -1:
        cdef wscore_poller* poller = &self.reactor.poller
        cdef uint64_t token = <uint64_t>self.generation << 32 | <uint32_t>self.fd
        cdef int result
        if interest == self.interest or self.fd < 0:
            return 0
        if self.interest == 0:
            result = wscore_poller_add(poller, self.fd, interest, token)
        elif interest == 0:
            result = wscore_poller_remove(poller, self.fd, self.interest)
        else:
            result = wscore_poller_modify(poller, self.fd, self.interest, interest, token)
        if result < 0:
            raise OSError(errno, os.strerror(errno))
        self.interest = interest
        return 0

    cdef int set_deadline(self, double when) except -1:
        """Have `expired` called at `when`, on Trio's clock, or up to a slot later; INFINITY for never."""
        if when == self.deadline:
            return 0
        leave(self)
        self.deadline = when
        if when != INFINITY and self.fd >= 0 and self.reactor.wheel.join(self):
            self.reactor.deadline_changed = True
            if not self.reactor.in_turn:
                wscore_poller_wake(&self.reactor.poller)
        return 0

    cdef int close_fd(self) except -1:
        """Leave the reactor, and close the descriptor; nothing happens if that was done."""
        cdef Reactor reactor = self.reactor
        cdef int fd = self.fd
        if fd < 0:
            return 0
        if self.interest != 0:
            # Where that fails, the end of the descriptor does the same.
            wscore_poller_remove(&reactor.poller, fd, self.interest)
            self.interest = 0
        leave(self)
        self.fd = -1
        self.deadline = INFINITY
        close(fd)
        reactor.sources[fd] = None
        reactor.count -= 1
        if reactor.count == 0:
            _end(reactor)
        return 0


@cython.auto_pickle(False)
cdef class Reactor:
    """What the tasks in `running` drive. `at_deadline_change` is called when `next_deadline` has become earlier,
    `at_end` when the last source has gone, or at a `crash`, after which this reactor takes no more; `now` is on Trio's
    clock.
    """

    def __cinit__(self, at_deadline_change, at_end, double now):
        self.poller.fd = self.poller.alarm = -1
        self.buffer = <uint8_t*>PyMem_Malloc(RECEIVE_SIZE)
        self.plain = <uint8_t*>PyMem_Malloc(RECEIVE_SIZE)
        if self.buffer == NULL or self.plain == NULL:
            raise MemoryError
        if wscore_poller_open(&self.poller) < 0:
            raise OSError(errno, os.strerror(errno))
        self.sources = []
        self.dirty_ones = []
        self.waiting_ones = []
        self.failures = []
        self.at_deadline_change = at_deadline_change
        self.at_end = at_end
        self.wheel = Wheel(now)

    def __dealloc__(self):
        wscore_poller_close(&self.poller)
        PyMem_Free(self.buffer)
        PyMem_Free(self.plain)

    def fileno(self):
        """What to wait for: readable when there is something to do in a turn."""
        return self.poller.fd

    # Turns

    def belong_to(self, task, Pace pace not None):
        """Have turns before tasks have theirs, in the place of `task`, which is this reactor's."""
        if pace.knows_run:
            self.pace = pace
            self.task = task

    def turn(self):
        """Do what is to be done, unless that has happened before the tasks, and return whether there may be more
        already.
        """
        if self.task is None:
            _turn(self)
        return self.goes_on

    def after_io_wait(self, timeout):
        """Trio's instrument: the turn. What it raises ends this reactor, and is its `crash`."""
        self.trio_waits = False
        if self.task is None or self.is_over:
            return
        try:
            self.pace.stand_in_for(self.task)
            try:
                _turn(self)
            finally:
                self.pace.step_back(self.task)
        except BaseException as error:
            self.crash = error
            _end(self)
        if self.waiting_ones:
            # Our task may be asleep.
            wscore_poller_wake(&self.poller)

    def before_io_wait(self, timeout):
        """Trio's instrument: the tick ends, whoever has sent in it."""
        if self.dirty_ones:
            self.wakes_nobody = True
            try:
                _flush_dirty(self)
            finally:
                self.wakes_nobody = False
        if timeout > 0:
            self.trio_waits = True
            self.waits_since = monotonic()

    cdef bint time_is_over(self) noexcept:
        return monotonic() >= self.turn_ends_at

    cdef int dirty(self, Source source) except -1:
        if not source.is_dirty:
            source.is_dirty = True
            self.dirty_ones.append(source)
            if self.trio_waits:
                # Somebody outside of Trio has sent: the host of a guest run.
                wscore_poller_wake(&self.poller)
        return 0

    cdef int attend_to(self, Source source) except -1:
        if source.wants_attention:
            return 0
        source.wants_attention = True
        self.waiting_ones.append(source)
        if not self.in_turn:
            wscore_poller_wake(&self.poller)
        return 0

    # Time

    def next_deadline(self):
        """When `expire` is to be called next."""
        return self.wheel.next_deadline()

    def expire(self, double now):
        """Tell those whose deadline has come."""
        cdef Source source
        cdef list due = self.wheel.due_by(now)
        self.turn_ends_at = monotonic() + TURN_TIME
        self.in_turn = True
        try:
            for each in due:
                source = <Source>each
                if source.deadline <= now:
                    _expire_one(self, source, now)
            _end_tick(self)
        finally:
            self.in_turn = False
            self.deadline_changed = False
            if self.waiting_ones:
                wscore_poller_wake(&self.poller)

    # The end

    def fail(self, error):
        """Close everything: the reactor has come to its end, has failed, or Trio ends. It takes no more turns.

        What a source raises then can be raised nowhere; it is given to `sys.unraisablehook`.
        """
        self.crash = error
        self.is_over = True
        for source in list(self.sources):
            if source is not None:
                _fail_at_last(<Source>source, error)
        wscore_poller_close(&self.poller)


# Turns

cdef int _turn(Reactor self) except -1:
    cdef double now = monotonic()
    if not self.goes_on:
        self.is_quick = self.task is not None and now < self.waits_since + QUICK_ANSWER
    self.turn_ends_at = now + TURN_TIME
    self.turns += 1
    self.events_of_turn = 0
    self.in_turn = True
    try:
        self.goes_on = _take_turn(self)
    finally:
        self.in_turn = False
        self.is_calm = self.events_of_turn <= FEW_EVENTS
        if self.deadline_changed:
            self.deadline_changed = False
            self.at_deadline_change()
    return 0


cdef bint _take_turn(Reactor self) except -1:
    """Whether the next turn is to come at once, which it does after other tasks."""
    while True:
        if self.events_seen == self.events_found:
            _look(self)
            if self.events_found == 0:
                _end_tick(self)
                if self.waiting_ones:
                    return True
                if not self.is_quick or self.events_of_turn == 0 and not self.goes_on:
                    return False
                if self.pace.runnable() > 1:
                    return True
                self.is_quick = _wait_shortly(self)
                if not self.is_quick:
                    return False
        while self.events_seen < self.events_found:
            if self.events_of_turn == TURN_EVENTS or self.time_is_over():
                _end_tick(self)
                return True
            self.events_of_turn += 1
            self.events_seen += 1
            _dispatch(self, &self.events[self.events_seen - 1])
        _end_tick(self)
        if self.waiting_ones:
            return True


cdef int _look(Reactor self) except -1:
    self.events_seen = 0
    self.events_found = wscore_poller_look(&self.poller, self.events, TURN_EVENTS)
    if self.events_found < 0:
        self.events_found = 0
        raise OSError(errno, os.strerror(errno))
    return 0


cdef bint _wait_shortly(Reactor self) except -1:
    """Events have come in quick succession: look out for the next, while other threads may run. Whether there are any.
    """
    cdef int found
    self.events_seen = self.events_found = 0
    with nogil:
        found = _look_out(&self.poller, self.events, monotonic() + QUICK_ANSWER)
    if found < 0:
        raise OSError(errno, os.strerror(errno))
    self.events_found = found
    return found > 0


cdef int _look_out(wscore_poller* poller, wscore_ready* events, double until) noexcept nogil:
    cdef int found = 0
    while found == 0 and monotonic() < until:
        found = wscore_poller_look(poller, events, TURN_EVENTS)
    return found


cdef int _dispatch(Reactor self, wscore_ready* event) except -1:
    cdef uint32_t fd = <uint32_t>(event.token & 0xFFFFFFFF)
    cdef Source source
    if event.token == WSCORE_ALARM or fd >= <uint32_t>len(self.sources):
        return 0
    source = <Source>self.sources[fd]
    if source is None or source.generation != event.token >> 32:
        return 0
    try:
        source.ready(event.events)
    except BaseException as error:
        source.failed(error)
    return 0


cdef int _end_tick(Reactor self) except -1:
    if self.dirty_ones:
        _flush_dirty(self)
    if self.waiting_ones:
        _attend_all(self)
        if self.dirty_ones:
            _flush_dirty(self)
    if self.failures:
        _fail_some(self)
    return 0


cdef int _flush_dirty(Reactor self) except -1:
    cdef list ones = self.dirty_ones
    cdef Source source
    self.dirty_ones = []
    for each in ones:
        source = <Source>each
        source.is_dirty = False
        try:
            source.flush()
        except BaseException as error:
            # That closes it, and tells those who wait: not before a task has its turn.
            self.failures.append((source, error))
            if not self.in_turn:
                wscore_poller_wake(&self.poller)
    return 0


cdef int _fail_some(Reactor self) except -1:
    cdef list failures = self.failures
    self.failures = []
    for source, error in failures:
        (<Source>source).failed(error)
    return 0


cdef void _fail_at_last(Source source, object error) noexcept:
    try:
        source.failed(error)
    finally:
        source.close_fd()


cdef int _attend_all(Reactor self) except -1:
    cdef list ones = self.waiting_ones
    cdef Source source
    self.waiting_ones = []
    for each in ones:
        source = <Source>each
        source.wants_attention = False
        try:
            source.attend()
        except BaseException as error:
            source.failed(error)
    return 0


cdef int _expire_one(Reactor self, Source source, double now) except -1:
    leave(source)
    source.deadline = INFINITY
    try:
        source.expired(now)
    except BaseException as error:
        source.failed(error)
    return 0


cdef int _end(Reactor self) except -1:
    self.is_over = True
    self.at_end()
    return 0
