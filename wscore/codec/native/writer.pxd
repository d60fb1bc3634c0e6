"""The C face of writing: a reactor frames from its own memory, with the GIL held.

Without a GIL (PEP 703) whoever calls these methods holds `cython.critical_section(writer)`, as every public method
does, or is the only thread that uses the writer.
"""

from libc.stdint cimport uint8_t

from wscore.codec.native.buffers cimport Growing
from wscore.codec.native.deflate cimport Deflater

cdef class Writer:
    cdef readonly bint in_message
    cdef bint masks
    cdef bint text
    cdef bint compressed
    cdef Deflater deflater
    cdef Py_ssize_t threshold
    cdef Growing tail  # the last frames
    cdef list chunks  # what comes before them: earlier tails and large payloads; None if nothing does
    cdef Py_ssize_t chunks_size

    # As `write`; `compress` is -1 where `write` takes None.
    cdef int write_message(self, object message, int compress) except -1
    # One message of TEXT, which must be UTF-8, or BINARY.
    cdef int write_bytes(self, int opcode, const uint8_t* data, Py_ssize_t size, int compress) except -1
    # Close, Ping or Pong, of at most 125 bytes.
    cdef int write_control_bytes(self, int opcode, const uint8_t* data, Py_ssize_t size) except -1
    cdef Py_ssize_t pending_bytes(self) noexcept

cdef class Shared:
    # A prepared message on its way to many writers: the frame for one serves the next that wants it alike.
    cdef object message
    cdef Py_ssize_t size
    cdef int known  # the window bits that `frame` is for; 0 is uncompressed, -1 nothing yet
    cdef bytes frame

    # As `write_prepared`; not in the middle of a fragmented message, and False then.
    cdef bint put(self, Writer writer, int compress) except -1

cdef Shared share(object message)
