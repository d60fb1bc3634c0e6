# cython: freethreading_compatible=True
"""UTF-8 validation (RFC 3629; RFC 6455 section 8.1), whole and incremental, compiled.

Decides when text can no longer become valid: at the first byte that no continuation could mend, however the text is
split.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release
from libc.stdint cimport uint8_t

from wscore.codec.native.buffers cimport get_buffer
from wscore.codec.native.kernels cimport UTF8_INVALID, utf8_feed

__all__ = ["Utf8Validator", "is_valid_utf8"]


def is_valid_utf8(data):
    """Whether `data` is UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF, nothing cut short."""
    cdef Py_buffer view
    get_buffer(data, &view, PyBUF_SIMPLE)
    try:
        return utf8_feed(0, <const uint8_t*>view.buf, view.len) == 0
    finally:
        PyBuffer_Release(&view)


@cython.no_gc
@cython.auto_pickle(False)
cdef class Utf8Validator:
    """Validates text that comes in parts, and fails at the first byte that is wrong."""

    @cython.critical_section
    def validate(self, data):
        """Take the next part; False as soon as the text cannot be valid whatever follows, and for ever after."""
        cdef Py_buffer view
        if self.state == UTF8_INVALID:
            return False
        get_buffer(data, &view, PyBUF_SIMPLE)
        try:
            self.state = utf8_feed(self.state, <const uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        return self.state != UTF8_INVALID

    @cython.critical_section
    def complete(self):
        """Whether what came so far is valid and does not end inside a code point."""
        return self.state == 0

    @cython.critical_section
    def reset(self):
        """Begin anew, as for the next message."""
        self.state = 0
