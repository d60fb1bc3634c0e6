"""The C face of deflate (RFC 7692 section 7.2).

Streams are opaque here, so that whoever cimports this needs no header of zlib.
"""

from libc.stdint cimport uint8_t

from wscore.codec.native.buffers cimport Growing

cdef enum InflateResult:
    INFLATED = 0
    INFLATE_INVALID = 1
    INFLATE_TOO_MANY_FINAL_BLOCKS = 2

cdef class DeflatePool:
    cdef Py_ssize_t size
    cdef Py_ssize_t held
    # The contexts that are held, from the one not used for longest to the last used: a list through the deflaters,
    # which take themselves off it before they die.
    cdef void* oldest
    cdef void* newest
    # Streams without a context, ready for anybody whose settings they have.
    cdef void* idle_compressors
    cdef void* idle_inflaters

cdef class Deflater:
    cdef int bits
    cdef int level
    cdef int mem_level
    cdef bint context_takeover
    cdef DeflatePool pool
    cdef void* stream  # NULL unless it holds the context of a message, or is in use
    cdef bint pooled  # the stream is on the pool's list
    cdef void* older
    cdef void* newer

    # Compress the next part of a message; `output` is valid until any deflater is called. Returns its size.
    cdef Py_ssize_t deflate_bytes(
        self, const uint8_t* data, Py_ssize_t size, bint final, const uint8_t** output
    ) except -1
    cdef int forget(self) except -1

cdef class Inflater:
    cdef int bits
    cdef bint context_takeover
    cdef DeflatePool pool
    cdef void* stream  # NULL if nothing is kept and no message is being read
    cdef int final_blocks

    # Append the output to `output`, up to `limit` bytes in all, more than there are already. At the limit it may have
    # been cut short.
    cdef int inflate_bytes(self, const uint8_t* data, Py_ssize_t size, Growing* output, Py_ssize_t limit) except -1
    # The message has ended. INFLATE_INVALID if that was inside a block.
    cdef int finish_bytes(self, Growing* output, Py_ssize_t limit) except -1
