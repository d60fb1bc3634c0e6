"""The C face of UTF-8 validation.

A state is 0 between code points, `UTF8_FAILED` for ever after a byte that cannot continue, and something else inside
a code point.
"""

from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    UTF8_START = 0
    UTF8_FAILED = 6

# The state after `size` more bytes.
cdef uint64_t utf8_advance(uint64_t state, const uint8_t* data, Py_ssize_t size) noexcept nogil

cdef class Utf8Validator:
    cdef uint64_t state
