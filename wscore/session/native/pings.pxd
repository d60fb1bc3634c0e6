cdef class Pings:
    cdef readonly dict _pending
    cdef public dict answered
    cdef public object latency

    cpdef add(self, object payload)
    cpdef forget(self, object payload)
    cpdef taken(self)
    cpdef left(self, double now)
    cpdef bint has_left(self, object payload) except -1
    cpdef bint pong(self, object payload, double now) except -1
    cpdef clear(self)
    cpdef _move(self, double before, double after)
