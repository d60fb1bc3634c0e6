# What is sent, as a part of link.pyx: one message for many, what leaves when a tick ends, and when too little does.
#
# Frames leave from the Writer's own memory as long as there are only messages, without TLS and without large ones.

cdef inline int _stay_in_thread(Link self) except -1:
    if this_thread() != self.terms.pace.thread_state:
        self.terms.manners.stay_in_thread()
    return 0


def offer_to_all(websockets, message):
    """`send_nowait` of what `wscore.prepare` made, for each of `websockets`, on whatever transport; how many took it.

    Those that are closing, or lost, go without. It is framed once for all that are on the reactor.
    """
    cdef Shared shared = share(message)
    cdef Py_ssize_t count = 0
    for ws in websockets:
        if isinstance(ws, Link) and (<Link>ws).session._phase != OPEN:
            _stay_in_thread(<Link>ws)
        else:
            count += isinstance(ws, Link) and _offer(<Link>ws, shared) or offer(ws, message)
    return count


cdef bint _offer(Link self, Shared shared) except -1:
    cdef Py_ssize_t unsent
    _stay_in_thread(self)
    unsent = self.goes_before()
    if unsent != 0 and unsent > self.terms.max_unsent - FRAME_HEADER - shared.size:
        return False
    if not shared.put(self.writer, BY_DEFAULT):
        return False
    self.added()
    return True


cdef int _flush_frames(Link self) except -1:
    """Send from the Writer's own memory."""
    cdef Py_ssize_t size = self.writer.tail.size
    cdef Py_ssize_t count
    if size == 0:
        return 0
    count = self.push(grown_data(&self.writer.tail), size)
    if count < 0:
        return 0
    if count == size:
        discard_grown(&self.writer.tail)
    else:
        self.backlog = self.writer.take_buffers()
        self.backlog_start = count
        self.backlog_size = size - count
        self.set_reading(self.reading)
    _mind_the_backlog(self, count)
    return _note_written(self)


cdef int _flush_all(Link self) except -1:
    cdef list buffers = self.session.connection.buffers_to_send() if self.says_more else self.writer.take_buffers()
    self.session.taken(0)
    self.says_more = False
    if buffers:
        self.push_all(buffers)
    if self.fd >= 0 and self.session._phase != OPEN:
        self.reactor.attend_to(self)
    return 0


cdef int _mind_the_backlog(Link self, Py_ssize_t count) except -1:
    """Tell the session that `count` bytes have left just now, and that the backlog has not."""
    cdef Session session = self.session
    if (
        self.backlog is None and session.in_flight == 0 and session._phase == OPEN and session._pings is None
        and session.senders_waiting == 0
    ):
        session.bytes_sent += count
        return 0
    if count == 0 and session.in_flight == self.backlog_size:
        return 0
    session.in_flight = count + self.backlog_size  # TLS says something by itself, too
    session.sent(self.backlog_size, current_time())
    if session._phase != OPEN or session._wakeups or not self.reading:
        return self.reactor.attend_to(self)  # it may be time to read on, or to end our side
    return _set_alarm(self)


cdef int _set_alarm(Link self) except -1:
    cdef double due = self.session.deadline
    return self.set_deadline(due) if due != -INFINITY else 0


cdef int _note_written(Link self) except -1:
    """Those who wait for room are told in a task."""
    if self.session._wakeups or self._senders is not None or self.session._receiving.is_paused:
        return self.reactor.attend_to(self)
    return 0
