# What is sent, as a part of link.pyx: one message for many, what leaves when a tick ends, and when too little does.
#
# Frames leave from the Writer's own memory as long as there are only messages, without TLS and without large ones.

cdef inline int _stay_in_thread(Link self) except -1:
    if this_thread() != self.terms.pace.thread_state:
        self._manners.stay_in_thread()
    return 0


def offer_to_all(websockets, message):
    """`send_nowait` of what `wscore.prepare` made, for each of `websockets`, on whatever transport; how many took it.

    Those that are closing, or lost, go without. It is framed once for all that are on the reactor.
    """
    cdef Shared shared = share(message)
    cdef Py_ssize_t count = 0
    for ws in websockets:
        if isinstance(ws, Link) and not (<Link>ws).is_open:
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
    self._bytes_sent += count
    if count == size:
        discard_grown(&self.writer.tail)
        return _note_written(self)
    self.backlog = self.writer.take_buffers()
    self.backlog_start = count
    self.backlog_size = size - count
    return self.set_reading(self.reading)


cdef int _flush_all(Link self) except -1:
    cdef list buffers = self._connection.buffers_to_send() if self.says_more else self.writer.take_buffers()
    if buffers:
        self.push_all(buffers)
    if self.fd >= 0 and self.backlog is None and self.says_more:
        self.says_more = False
        if self.pings is not None:
            self._has_flushed()
        if self.is_deaf:
            self.reactor.attend_to(self)
    return 0


cdef int _break_off(Link self) except -1:
    """The peer takes nothing any more. It may have said why before it went: what has come is still read."""
    if self._sending_broke or self.fd < 0:
        return 0
    self._sending_broke = True
    self._end_unanswered()
    self._connection.data_to_send()
    self._shut()
    return 0
