from wscore.session.native.life cimport Life

cdef int OPEN, BROKEN, CLOSING, DRAINING, CLOSED
cdef int NOTHING, PONG, CLOSE, END
cdef int _RECEIVE, _SEND, _PING

cdef class Session(Life):
    cdef public long long held_below
    cdef public long long bytes_received
    cdef public long long messages_sent
    cdef readonly long long messages_dropped
    cdef public int senders_waiting
    cdef readonly bint _has_refused

    cpdef bint fits(self, long long size) except -1
    cpdef taken(self, Py_ssize_t size)
    cpdef _handle(self, list events, double now)
    cpdef double _next_ping(self) except? -1
    cpdef _settle(self, double now)
    cpdef bint _may_go_on(self, double now) except -1
    cpdef _go_on(self, double now)
