from wscore.session.native._core cimport Session

cdef int OPEN

cdef class PassingSession(Session):
    pass
