from wscore.session.native.deadline cimport Deadline

cdef class Answer(Deadline):
    cdef readonly int awaits
    cdef readonly double _look
    cdef readonly double _patience
    cdef readonly long long _position
    cdef readonly long long _acked

    cpdef double _limit(self) except? -1
    cpdef double _limit(self) except? -1
    cpdef bint acknowledged(self, long long acked, double now) except -1
