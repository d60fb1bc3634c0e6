cdef class Keepalive:
    cdef public object payload
    cdef readonly double _interval
    cdef readonly double _ping_at

    cpdef pinged(self, object payload, double now)
    cpdef answered(self, double now)
    cpdef stop(self)
