"""The C face of a connected socket."""

from libc.stdint cimport uint8_t

from wscore.transport.reactor.engine cimport Source

cdef class Tls:
    cdef readonly object ssl_object
    cdef object incoming
    cdef object outgoing
    cdef bint is_up

cdef class Wire(Source):
    cdef Tls tls
    cdef list backlog  # what the system has not taken yet; None if there is nothing
    cdef Py_ssize_t backlog_start  # of its first buffer, so much has left
    cdef Py_ssize_t backlog_size
    cdef uint8_t reading
    cdef uint8_t drains  # TLS, this very moment
    cdef uint8_t discards  # what still comes is for nobody
    cdef uint8_t shuts  # our side is to end once all has left
    cdef uint8_t has_shut
    cdef uint8_t at_end  # of what the peer sends

    # For subclasses to implement.
    cdef int received(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int passed_over(self, const uint8_t* data, Py_ssize_t size) except -1  # encrypted, where there is TLS
    cdef int ended(self) except -1  # no more will come
    cdef int broken(self) except -1  # the same, for an error of the system's
    cdef int cannot_send(self) except -1
    cdef int wrote(self, Py_ssize_t size) except -1
    cdef int closed(self) except -1
    cdef int tls_is_up(self) except -1
    cdef int tls_failed(self, object error) except -1

    cdef int encrypt(self, Tls tls, bytes rest) except -1
    cdef int adopt(self, Wire other) except -1
    cdef int set_reading(self, bint reading) except -1
    cdef Py_ssize_t push(self, const uint8_t* data, Py_ssize_t size) except -2
    cdef int push_all(self, list buffers) except -1
    cdef int end_sending(self, bint shuts) except -1
    cdef int reset(self) except -1
    cdef int finish(self) except -1
    cdef int drain_tls(self) except -1
    cdef Py_ssize_t unacknowledged(self) noexcept
