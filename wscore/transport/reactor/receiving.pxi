# What has come, as a part of link.pyx: where it goes, and when reading pauses and goes on.
#
# Of one connection no more than TURN_BUDGET is read at a time; a rest is read after others had their turn. What may be
# read, and when, is the session's to say; what is here is that for plain messages, without a call.

cdef inline Py_ssize_t _budget(Link self) noexcept:
    cdef Receiving receiving = self.session._receiving
    if self.terms.on_message is None:
        return min(receiving._limit - receiving.size, TURN_BUDGET)
    # What an answer would find no room for may wait where it is.
    return min(
        max(self.terms.max_unsent - self.backlog_size - self.writer.pending_bytes(), <Py_ssize_t>1), TURN_BUDGET
    )


cdef int _pause(Link self) except -1:
    self.session._receiving.is_paused = True
    return self.set_reading(False)


cdef int _wake_receiver(Link self) except -1:
    if self.receiver is not None:
        task, self.receiver = self.receiver, None
        reschedule(task, WAKE_UP)
    return 0


cdef int _hand_over(Link self) except -1:
    """Hand what has come to `on_message`, as long as an answer as large would fit into the send buffer, and the turn
    lasts.
    """
    cdef Receiving receiving = self.session._receiving
    if self.hands_over:
        return 0
    if self.context is None:
        self.context = self.terms.context.copy()
    self.hands_over = True
    PyContext_Enter(self.context)
    try:
        _call_on_message(self, receiving)
    finally:
        PyContext_Exit(self.context)
        self.hands_over = False
    if receiving.size == 0:
        receiving.is_answered = True
    elif not receiving.discards and not receiving.is_paused:
        _pause(self)
    if self.is_dirty and self.backlog is None:
        # Now its answers are in the caches; and if all were kept, the heap would grow and shrink with each turn.
        self.flush()
    return _account(self)


cdef int _call_on_message(Link self, Receiving receiving) except -1:
    cdef int until_a_look = CALLS_A_LOOK
    while receiving.size > 0 and self.session._phase < CLOSING:
        message = first_of(receiving)
        if not _has_room_for(self, message):
            return 0
        drop_quickly(receiving, receiving.size if has_one(receiving) else weight(size_of(message)))
        self._handed_over += 1
        try:
            self.terms.on_message(self, message)
        except Exception as error:
            self._handler_failed(error)
        until_a_look -= 1
        if until_a_look == 0:
            until_a_look = CALLS_A_LOOK
            if receiving.size > 0 and self.reactor.time_is_over():
                return self.reactor.attend_to(self)
    return 0


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


cdef int _account(Link self) except -1:
    """As `SessionWebSocket._account`; then, if the connections of the server hold too much together, read no more."""
    cdef Receiving receiving = self.session._receiving
    cdef Py_ssize_t held, change
    if self._reserve is None:
        return 0
    held = self.backlog_size + self.writer.pending_bytes() + receiving.size
    if receiving.is_paused:
        held += <Py_ssize_t>receiving.bytes_kept
        if self.tls is not None:
            held += <Py_ssize_t>self.tls.incoming.pending
    else:
        held += self.reader.message.size
    change = held - self._held
    if -QUANTUM < change < QUANTUM:
        return 0
    if self.reactor.wakes_nobody:
        # Somebody may wait for the sum of all.
        return self.reactor.attend_to(self)
    self._held = held
    self._reserve.change(change)
    if change > 0 and not receiving.discards:
        self._mind_the_reserve()
    return 0
