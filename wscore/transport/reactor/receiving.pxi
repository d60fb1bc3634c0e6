# What has come, as a part of link.pyx: where it goes, and when reading pauses and goes on.
#
# Of one connection no more than TURN_BUDGET is read at a time; a rest is read after others had their turn. Reading
# pauses while too much waits to be received, while an answer as large as the next message for `_on_message` would not
# fit into the send buffer, while a rate or all buffers of the server are used up, and for answers to what came before
# an end; what was read by then, and not taken, stays where it is.

cdef inline Py_ssize_t _budget(Link self) except? -1:
    cdef Py_ssize_t budget
    if self.is_deaf:
        return TURN_BUDGET
    if self._on_message is not None:
        # What an answer would find no room for may wait where it is.
        budget = max(self.terms.max_unsent - self.backlog_size - self.writer.pending_bytes(), <Py_ssize_t>1)
    else:
        budget = self.terms.max_queue - self.queued if self.inbox is None else self.inbox.queue.budget
    if self._throttle is not None:
        by_rate = self._budget_by_rate(self._throttle)
        if by_rate is not None:
            return min(budget, <Py_ssize_t>by_rate)
    return min(budget, TURN_BUDGET)


cdef inline bint _is_full(Link self) except -1:
    if self.is_deaf:
        return False
    if self.inbox is not None:
        return self.inbox.queue.is_full
    return self.queued >= self.terms.max_queue


cdef int _queue(Link self, list messages, Py_ssize_t weight_of_all) except -1:
    """Put messages where `receive` finds them."""
    if self.is_deaf or not messages:
        return 0
    self._messages_received += len(messages)
    if self.items is None:
        self.items = messages
    else:
        _append(self, messages)
    self.queued += weight_of_all
    _wake_receiver(self)
    return _pause(self) if self.queued >= self.terms.max_queue else 0


cdef int _append(Link self, list events) except -1:
    """Those that were taken leave their places when they are the half: a queue need never be empty."""
    if self.items_start > len(self.items) >> 1:
        del self.items[:self.items_start]
        self.items_start = 0
    self.items.extend(events)
    return 0


cdef int _note_written(Link self) except -1:
    """Those who wait for room are told in a task."""
    if self.line is not None or self.progress is not None or self.is_paused:
        self.has_written = True
        return self.reactor.attend_to(self)
    return 0


cdef int _wake_receiver(Link self) except -1:
    if self.receiver is not None:
        task, self.receiver = self.receiver, None
        reschedule(task, WAKE_UP)
    return 0


cdef int _take_events(Link self, list events, Py_ssize_t weight_of_all) except -1:
    if self._on_message is None:
        for event in events:
            self._deliver(event)
        return 0
    if not events:
        return 0
    if self.items is None:
        self.items = events
    else:
        _append(self, events)
    self.queued += weight_of_all
    return _call(self)


cdef Py_ssize_t _weigh(list events) except -1:
    """What the messages among them weigh."""
    cdef Py_ssize_t sum_of_all = 0
    for event in events:
        if type(event) is bytes or type(event) is str:
            sum_of_all += weight(size_of(event))
    return sum_of_all


cdef int _call(Link self) except -1:
    """Hand what has come to `_on_message`, as long as an answer as large would fit into the send buffer, and the turn
    lasts.
    """
    cdef int until_a_look = CALLS_A_LOOK
    if self.context is None:
        self.context = self.terms.context.copy()
    PyContext_Enter(self.context)
    try:
        while self.items is not None and _hand_over(self, self.items[self.items_start]):
            until_a_look -= 1
            if until_a_look == 0 and self.items is not None:
                until_a_look = CALLS_A_LOOK
                if self.reactor.time_is_over():
                    _pause(self)
                    return self.reactor.attend_to(self)
    finally:
        PyContext_Exit(self.context)
    # Now its answers are in the caches; and if those of all were kept, the heap would grow and shrink with each turn.
    return self.flush() if self.is_dirty and self.backlog is None else 0


cdef bint _hand_over(Link self, object event) except -1:
    cdef bint is_message = type(event) is bytes or type(event) is str
    if is_message and not self.is_deaf and not _has_room_for(self, event):
        _pause(self)
        return False
    self.items_start += 1
    if self.items_start == len(self.items):
        self.items = None
        self.items_start = 0
    if not is_message:
        self._deliver(event)
        return True
    self.queued -= weight(size_of(event))
    if not self.is_deaf:
        self._messages_received += 1
        try:
            self._on_message(self, event)
        except Exception as error:
            self._handler_failed(error)
    return True


cdef bint _has_room_for(Link self, object message) except -1:
    cdef Py_ssize_t unsent = self.backlog_size + self.writer.pending_bytes()
    cdef Py_ssize_t size
    if unsent == 0:
        return True
    size = size_of(message) + FRAME_HEADER
    if unsent + size > self.terms.max_unsent and self.backlog is None:
        self.flush()
        unsent = self.backlog_size + self.writer.pending_bytes()
    return unsent == 0 or unsent + size <= self.terms.max_unsent


cdef int _pause(Link self) except -1:
    """Do not read: too much waits. No Pong is due meanwhile."""
    if not self.is_paused and self.fd >= 0:
        self.is_paused = True
        self.set_reading(False)
        if self._throttle is not None:
            self._throttle.pause(current_time())
    return 0


cdef int _slow_down(Link self, Py_ssize_t messages, Py_ssize_t size) except -1:
    """Hold the peer to its rates: if it sends too fast, take nothing more for a while."""
    cdef double wait = self._charge(self._throttle, messages, size)
    if wait > 0 and self.fd >= 0:
        self._throttle.slow_until = current_time() + wait
        _pause(self)
        _set_alarm(self)
    return 0


cdef inline double _slow_until(Link self) except? -1:
    return INFINITY if self._throttle is None else self._throttle.slow_until


cdef int _go_on(Link self) except -1:
    """After anything but plain messages: is there a rest, which has to wait, or an end that waits for answers?"""
    if self.fd < 0 or self._end is not None:
        return 0
    if self._connection.has_rest:
        _pause(self)
        _be_patient(self)
        if self.items is None or not self._connection.is_ending and not _is_full(self):
            self.reactor.attend_to(self)
    elif _is_full(self):
        _pause(self)
    return 0


cdef int _resume(Link self) except -1:
    """Read on, beginning with what is left of what was read before, if there is room for it now."""
    if self._on_message is not None and self.items is not None:
        _call(self)
        if self.items is not None:
            return 0
    if self._throttle is not None:
        if self.is_deaf:
            self._throttle.slow_until = INFINITY
        elif _slow_until(self) != INFINITY:
            return 0
        # What a peer has sent since we paused is not too fast.
        self._throttle.excuse(current_time())
    if self._connection.has_rest:
        if _must_wait(self):
            return 0
        _take_rest(self, self._connection.receive_data(b"", _budget(self)))
        if _slow_until(self) != INFINITY:
            return 0
        if self._on_message is not None and self.items is not None:
            return 0
        if self._connection.has_rest:
            # Others have their turn, too, before there is more of this.
            return 0 if _must_wait(self) else self.reactor.attend_to(self)
    if _is_full(self) or self.fd < 0:
        return 0
    _account(self)
    if not self.is_deaf and self._is_short():
        return 0
    self.is_paused = False
    self.answer_by = INFINITY
    if self._answer is not None:
        self._heard()  # it may stand behind much else that comes only now
    _set_alarm(self)
    self.set_reading(not self.at_end)
    if self.tls is not None and not self.at_end:
        self.drain_tls()
    return 0


cdef int _take_rest(Link self, list events) except -1:
    cdef Py_ssize_t messages = 0 if self._throttle is None else self._count(self._throttle, events)
    if self.reader.pings_waiting:
        self._output_waits()
    _take_events(self, events, _weigh(events))
    _account(self)
    return 0 if self._throttle is None else _slow_down(self, messages, 0)


cdef bint _must_wait(Link self) except -1:
    """Whether what is left has to wait, for room or, if it is the end, for what came before to be answered."""
    if self.is_deaf:
        return False
    if not self._connection.is_ending:
        _account(self)
        return _is_full(self) or self._is_short()
    _be_patient(self)
    if self.answer_by == INFINITY or self._on_message is not None:
        return False
    if self._receive_queue()[0] > 0 or self.line is not None and len(self.line):
        self.last_taken_by = 0
        return True
    if self.last_taken_by == 0:
        self.last_taken_by = self.reactor.turns
    elif self.reactor.turns >= self.last_taken_by + 2:
        return False
    # Whoever has received the last message sends the answer in this step, or in the next if it has to give way, which
    # may come after our next turn.
    self.reactor.attend_to(self)
    return True


cdef int _be_patient(Link self) except -1:
    """If what is left is the end, answers to what came before have their time, from now on."""
    if self._connection.is_ending and not self.is_patient:
        self.is_patient = True
        self.answer_by = current_time() + <double>self._options.close_timeout * PATIENCE
        _set_alarm(self)
    return 0


cdef int _account(Link self) except -1:
    """As `Endpoint._account`; then, if the connections of the server hold too much together, read no more."""
    cdef Py_ssize_t held, change
    if self._reserve is None:
        return 0
    held = self.backlog_size + self.writer.pending_bytes() + self.reader.message.size
    if self.inbox is None:
        held += self.queued
    else:
        held += <Py_ssize_t>self.inbox.queue.size
    if self.is_paused:
        held += <Py_ssize_t>self._connection.bytes_kept - self.reader.message.size
        if self.tls is not None:
            held += <Py_ssize_t>self.tls.incoming.pending
    change = held - self._held
    if self.reactor.wakes_nobody:
        # Somebody may wait for the sum of all.
        return self.reactor.attend_to(self) if change >= QUANTUM or -change >= QUANTUM else 0
    if change >= QUANTUM or -change >= QUANTUM:
        self._held = held
        self._reserve.change(change)
    if change > 0 and not self.is_deaf and not self.is_paused and self._is_short():
        _pause(self)
    return 0
