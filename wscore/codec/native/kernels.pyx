# cython: freethreading_compatible=True
"""The one module that contains the kernels, and the choice between their variants.

Decides which instruction set is used: the best that the processor has, or the one that `WSCORE_KERNEL` names in the
environment when this is imported. `Kernel` calls any of them, for tests and measurements.
"""

import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from wscore.codec.native.buffers cimport get_buffer
from wscore.codec.native.text cimport decode_with, encode_with

__all__ = ["NAME", "Kernel", "available"]

cdef const Kernels* in_use = wscore_kernels_best()


def available():
    """The names of the variants that this processor can run, the best first; "scalar" is always the last."""
    cdef size_t index = 0
    names = []
    while wscore_kernels_at(index) != NULL:
        names.append(wscore_kernels_at(index).name.decode())
        index += 1
    return names


cdef const Kernels* _named(str name) except NULL:
    cdef bytes encoded = name.encode()
    cdef const Kernels* found = wscore_kernels_named(PyBytes_AS_STRING(encoded))
    if found == NULL:
        raise ValueError(f"there is no kernel {name!r} here, only {', '.join(available())}")
    return found


if os.environ.get("WSCORE_KERNEL"):
    in_use = _named(os.environ["WSCORE_KERNEL"])

NAME = in_use.name.decode()


cdef const Kernels* kernels_in_use() noexcept nogil:
    return in_use


cdef uint32_t utf8_feed(uint32_t state, const uint8_t* data, size_t size) noexcept nogil:
    if state == UTF8_INVALID:
        return state
    return wscore_utf8_feed(in_use, state, data, size)


cdef size_t utf8_incomplete(const uint8_t* data, size_t size) noexcept nogil:
    return wscore_utf8_incomplete(data, size)


cdef class Kernel:
    """One variant, by name. Raises ValueError if this processor lacks it."""

    cdef const Kernels* kernels

    def __cinit__(self, str name not None):
        self.kernels = _named(name)

    def mask_inplace(self, buffer, bytes key not None):
        """XOR `buffer`, which must be writable, with the 4 bytes of `key`; whether the result is all ASCII."""
        cdef Py_buffer view
        cdef uint32_t word
        if len(key) != 4:
            raise ValueError("a mask key has 4 bytes")
        memcpy(&word, PyBytes_AS_STRING(key), 4)
        get_buffer(buffer, &view, PyBUF_WRITABLE)
        try:
            return bool(self.kernels.mask(<uint8_t*>view.buf, <const uint8_t*>view.buf, view.len, word))
        finally:
            PyBuffer_Release(&view)

    def is_valid_utf8(self, *parts):
        """Whether `parts`, buffers that come one after the other, are UTF-8 together."""
        cdef Py_buffer view
        cdef uint32_t state = 0
        for part in parts:
            get_buffer(part, &view, PyBUF_SIMPLE)
            if state != UTF8_INVALID:
                state = wscore_utf8_feed(self.kernels, state, <const uint8_t*>view.buf, view.len)
            PyBuffer_Release(&view)
        return state == 0

    def decode(self, data):
        """The text that the buffer `data` holds as UTF-8, None if it is not valid."""
        # A copy of what may change between measuring and decoding.
        cdef bytes owned = data if type(data) is bytes else bytes(memoryview(data))
        return decode_with(self.kernels, <const uint8_t*>PyBytes_AS_STRING(owned), len(owned))

    def encode(self, str text not None):
        """`text` as UTF-8. Raises UnicodeEncodeError for lone surrogates."""
        return encode_with(self.kernels, text)
