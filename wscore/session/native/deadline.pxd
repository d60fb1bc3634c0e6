cdef class Deadline:
    cdef public double due
    cdef readonly double standstill
    cdef readonly double _timeout
    cdef readonly double _since
    cdef readonly bint _is_excused

    cpdef restart(self, double now)
    cpdef bint is_over(self, double now) except -1
    cpdef double seconds(self, double now) except? -1
