from wscore.session.native._core cimport Session

cdef class PassingSession(Session):
    pass
