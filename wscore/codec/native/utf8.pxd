"""The C face of UTF-8 validation."""

from libc.stdint cimport uint32_t

cdef class Utf8Validator:
    cdef uint32_t state  # as `kernels.utf8_feed` returns it
