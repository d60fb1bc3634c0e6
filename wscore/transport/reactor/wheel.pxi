# The timer wheel, as a part of engine.pyx: who is called by when, without a task or a heap.
#
# A slot is a list of sources, linked through them, in which a deadline is found in no particular order: sources whose
# deadlines are in the same slot are called together. Those too far away for the wheel wait in the slot that was last
# when they joined, and find another at its end. How often somebody looks is the engine's.

cdef int _join_wheel(Reactor reactor, Source source) except -1:
    cdef int64_t tick = <int64_t>floor(min(source.deadline * SLOTS_A_SECOND, 1e18))
    cdef void** slot
    cdef void* first
    tick = min(max(tick, reactor.tick), reactor.tick + SLOTS - 1)
    slot = &reactor.wheel[tick % SLOTS]
    first = slot[0]
    source.wheel_slot = <void*>slot
    source.wheel_previous = NULL
    source.wheel_next = first
    if first != NULL:
        (<Source>first).wheel_previous = <void*>source
    slot[0] = <void*>source
    if source.deadline < reactor.wakes_at:
        reactor.wakes_at = source.deadline
        reactor.deadline_changed = True
        if not reactor.in_turn:
            wscore_poller_wake(&reactor.poller)
    return 0


cdef void _leave_wheel(Source source) noexcept:
    if source.wheel_slot == NULL:
        return
    if source.wheel_previous != NULL:
        (<Source>source.wheel_previous).wheel_next = source.wheel_next
    else:
        (<void**>source.wheel_slot)[0] = source.wheel_next
    if source.wheel_next != NULL:
        (<Source>source.wheel_next).wheel_previous = source.wheel_previous
    source.wheel_slot = NULL


cdef double _due_by(void* first, int64_t end) noexcept:
    """When a slot is looked at: at its end, for all that are in it together, or earlier for one that is alone. Never
    later, whatever waits there for a time beyond the wheel: the slots behind it are not looked at before.
    """
    cdef double at_end = <double>end / SLOTS_A_SECOND
    return min((<Source>first).deadline, at_end) if (<Source>first).wheel_next == NULL else at_end


cdef int _collect_due(Reactor reactor, void* first, double now, list due) except -1:
    """Add those of a slot that are due; the others, too far away for the wheel before, find a new slot."""
    cdef Source source
    cdef void* each = first
    while each != NULL:
        source = <Source>each
        each = source.wheel_next
        if source.deadline <= now:
            due.append(source)
        else:
            _leave_wheel(source)
            _join_wheel(reactor, source)
    return 0
