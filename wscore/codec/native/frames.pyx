# cython: freethreading_compatible=True
"""Building frames (RFC 6455 section 5.2), compiled.

Decides how a header is written: lengths in the fewest bytes. Knows nothing of messages.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from wscore.codec.native.buffers cimport PY_SSIZE_T_MAX, Growing, clipped, get_buffer, reserve, take_grown
from wscore.codec.native.kernels cimport WSCORE_SLACK, Kernels, kernels_in_use
from wscore.codec.native.text cimport PyUnicode_DATA, PyUnicode_IS_COMPACT_ASCII, utf8_size

__all__ = ["encode_frame"]

cdef const Kernels* kernels = kernels_in_use()


def encode_frame(opcode, payload, *, bint fin=True, bint rsv1=False, key=None):
    """One frame, header and payload, as bytes (RFC 6455 section 5.2).

    The payload is any buffer, or a `str` of a text message, which is encoded on its way into the frame. With `key`,
    4 bytes, it is masked. Raises ValueError for an unknown opcode, a key that is not 4 bytes long, and for a control
    frame that is fragmented, compressed or carries more than 125 bytes (section 5.5); TypeError for a `str` in a frame
    that is neither text nor a continuation, UnicodeEncodeError for lone surrogates.
    """
    cdef Py_buffer view
    cdef Py_ssize_t code = clipped(opcode, NULL)
    if isinstance(payload, str):
        if code not in (TEXT, CONTINUATION):
            raise TypeError("only text is a str")
        return _text_frame(fin << 7 | rsv1 << 6 | <int>code, payload, key)
    get_buffer(payload, &view, PyBUF_SIMPLE)
    try:
        _check(code, view.len, fin, rsv1)
        return _frame(fin << 7 | rsv1 << 6 | <int>code, <const uint8_t*>view.buf, view.len, key)
    finally:
        PyBuffer_Release(&view)


cdef int _check(Py_ssize_t opcode, Py_ssize_t size, bint fin, bint rsv1) except -1:
    if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        raise ValueError("unknown opcode")
    if opcode & CONTROL_BIT and (not fin or rsv1 or size > MAX_CONTROL_PAYLOAD):
        raise ValueError("a control frame is one frame of at most 125 bytes, never compressed")
    return 0


cdef bytes _frame(int first, const uint8_t* payload, Py_ssize_t size, object key):
    cdef uint8_t copy[4]
    cdef Growing frame
    cdef const uint8_t* mask = _copied(key, copy)
    if size > PY_SSIZE_T_MAX - MAX_HEADER:
        raise MemoryError
    frame.store = NULL
    frame.size = 0
    frame.size = put_frame(reserve(&frame, header_size(size, mask != NULL) + size, 0), first, payload, size, mask)
    return take_grown(&frame)


cdef bytes _text_frame(int first, object text, object key):
    cdef Py_ssize_t size = utf8_size(kernels, text)
    cdef uint8_t copy[4]
    cdef Growing frame
    cdef const uint8_t* mask
    if PyUnicode_IS_COMPACT_ASCII(text):
        return _frame(first, <const uint8_t*>PyUnicode_DATA(text), size, key)
    if size > PY_SSIZE_T_MAX - MAX_HEADER - WSCORE_SLACK:
        raise MemoryError
    mask = _copied(key, copy)
    frame.store = NULL
    frame.size = 0
    frame.size = put_text_frame(kernels, reserve(&frame, size + MAX_HEADER + WSCORE_SLACK, 0), first, text, size, mask)
    return take_grown(&frame)


cdef const uint8_t* _copied(object key, uint8_t* target) except? NULL:
    """The mask key, copied to `target`; NULL for none."""
    cdef Py_buffer view
    if key is None:
        return NULL
    get_buffer(key, &view, PyBUF_SIMPLE)
    try:
        if view.len != 4:
            raise ValueError("a mask key has 4 bytes")
        memcpy(target, view.buf, 4)
    finally:
        PyBuffer_Release(&view)
    return target
