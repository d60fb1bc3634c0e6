"""The C face of deflate (RFC 7692 section 7.2).

Streams are opaque here, so that whoever cimports this needs no header of zlib.

Without a GIL (PEP 703) whoever calls these methods holds `cython.critical_section(deflater)`, as every public method
does, or is the only thread that uses it. A pool may be shared all the same.
"""

from libc.stdint cimport uint8_t

from wscore.codec.native.buffers cimport Growing

cdef enum InflateResult:
    INFLATED = 0
    INFLATE_INVALID = 1
    INFLATE_TOO_MANY_FINAL_BLOCKS = 2

cdef class DeflatePool:
    cdef void* lock  # of all that follows; see `streams`
    cdef Py_ssize_t size
    cdef Py_ssize_t held
    # The contexts that are held, from the one not used for longest to the last used: a list through the streams, which
    # deflaters take off it before they die.
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
    # NULL unless it holds the context of a message; with a pool it is then on the pool's list, and under its lock.
    cdef void* stream

    # Compress the next part of a message into `output`, which is empty.
    cdef int deflate_bytes(self, const uint8_t* data, Py_ssize_t size, bint final, Growing* output) except -1
    cdef int forget(self) noexcept

cdef class Inflater:
    cdef int bits
    cdef bint context_takeover
    cdef DeflatePool pool
    cdef void* stream  # NULL if nothing is kept and no message is being read
    cdef int final_blocks

    # Append the output to `output`, which is the caller's alone, up to `limit` bytes in all. At the limit it may have
    # been cut short.
    cdef int inflate_bytes(self, const uint8_t* data, Py_ssize_t size, Growing* output, Py_ssize_t limit) except -1
    # The message has ended. INFLATE_INVALID if that was inside a block.
    cdef int finish_bytes(self, Growing* output, Py_ssize_t limit) except -1

# Memory to write into before it is known how much there will be, empty and the caller's alone until it gives it back.
cdef Growing borrow_scratch() noexcept
cdef void return_scratch(Growing* scratch) noexcept
