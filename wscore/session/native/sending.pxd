from wscore.session.native.deadline cimport Deadline

cdef class Sending(Deadline):
    cdef public Py_ssize_t in_flight
    cdef public long long bytes_sent
    cdef public bint is_broken

    cpdef taken(self, Py_ssize_t size)
    cpdef Py_ssize_t sent(self, Py_ssize_t n_left, double now) except -1
    cpdef hurry(self, double timeout, double now)
    cpdef breaks(self)
