"""UTF-8 validation (RFC 3629; RFC 6455 section 8.1), whole and incremental, compiled.

Decides when text can no longer become valid: at the first byte that no continuation could mend, however the text is
split.

The automaton: a state is a bit offset, and each byte has one 64-bit word that holds, at the offset of each state, the
next state. A step is a shift and an AND, without a branch.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

__all__ = ["Utf8Validator", "is_valid_utf8"]

# What may follow, each 6 bits wide. The last four stand for first bytes that narrow the range of the second one.
cdef enum:
    ONE_MORE = 12
    TWO_MORE = 18
    THREE_MORE = 24
    AFTER_E0 = 30
    AFTER_ED = 36
    AFTER_F0 = 42
    AFTER_F4 = 48
    LAST_STATE = AFTER_F4

cdef uint64_t steps[256]


cdef uint64_t _after_first_byte(int byte) noexcept:
    if byte < 0x80:
        return UTF8_START
    if byte in (0xE0, 0xED, 0xF0, 0xF4):
        return AFTER_E0 if byte == 0xE0 else AFTER_ED if byte == 0xED else AFTER_F0 if byte == 0xF0 else AFTER_F4
    if byte < 0xC2 or byte > 0xF4:
        return UTF8_FAILED
    return ONE_MORE if byte < 0xE0 else TWO_MORE if byte < 0xF0 else THREE_MORE


cdef uint64_t _after_continuation(int byte, int state) noexcept:
    if not 0x80 <= byte <= 0xBF:
        return UTF8_FAILED
    if state == AFTER_E0:
        return ONE_MORE if byte >= 0xA0 else UTF8_FAILED
    if state == AFTER_ED:
        return ONE_MORE if byte <= 0x9F else UTF8_FAILED
    if state == AFTER_F0:
        return TWO_MORE if byte >= 0x90 else UTF8_FAILED
    if state == AFTER_F4:
        return TWO_MORE if byte <= 0x8F else UTF8_FAILED
    return UTF8_START if state == ONE_MORE else ONE_MORE if state == TWO_MORE else TWO_MORE


cdef void _fill_steps() noexcept:
    cdef int byte, state
    for byte in range(256):
        steps[byte] = _after_first_byte(byte) | <uint64_t>UTF8_FAILED << UTF8_FAILED
        for state in range(ONE_MORE, LAST_STATE + 1, 6):
            steps[byte] |= _after_continuation(byte, state) << state


_fill_steps()


cdef uint64_t utf8_advance(uint64_t state, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef uint64_t word
    cdef Py_ssize_t i = 0
    cdef int step
    while size - i >= 8:
        memcpy(&word, data + i, 8)
        if state != UTF8_START or word & <uint64_t>0x8080808080808080:
            for step in range(8):
                state = steps[data[i + step]] >> state & 63
        i += 8
    while i < size:
        state = steps[data[i]] >> state & 63
        i += 1
    return state


def is_valid_utf8(data):
    """Whether `data` is UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF, nothing cut short."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return utf8_advance(UTF8_START, <const uint8_t*>view.buf, view.len) == UTF8_START
    finally:
        PyBuffer_Release(&view)


@cython.no_gc
@cython.auto_pickle(False)
cdef class Utf8Validator:
    """Validates text that comes in parts, and fails at the first byte that is wrong."""

    def validate(self, data):
        """Take the next part; False as soon as the text cannot be valid whatever follows, and for ever after."""
        cdef Py_buffer view
        if self.state == UTF8_FAILED:
            return False
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.state = utf8_advance(self.state, <const uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        return self.state != UTF8_FAILED

    def complete(self):
        """Whether what came so far is valid and does not end inside a code point."""
        return self.state == UTF8_START

    def reset(self):
        """Begin anew, as for the next message."""
        self.state = UTF8_START
