from wscore.session.native.deadline cimport Deadline

cdef class Sending(Deadline):
    cpdef hurry(self, double timeout, double now)
