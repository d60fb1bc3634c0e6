# cython: freethreading_compatible=True
"""Building frames (RFC 6455 section 5.2), compiled.

Decides how a header is written: lengths in the fewest bytes. Knows nothing of messages.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from wscore.codec.native.buffers cimport PY_SSIZE_T_MAX, clipped
from wscore.codec.native.masking cimport key_words, xor_bytes

__all__ = ["encode_frame"]


def encode_frame(opcode, payload, *, bint fin=True, bint rsv1=False, key=None):
    """One frame, header and payload, as bytes (RFC 6455 section 5.2).

    With `key`, 4 bytes, the payload is masked. Raises ValueError for an unknown opcode, a key that is not 4 bytes long,
    and for a control frame that is fragmented, compressed or carries more than 125 bytes (section 5.5).
    """
    cdef Py_buffer view
    cdef Py_ssize_t code = clipped(opcode, NULL)
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
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
    cdef uint8_t header[MAX_HEADER]
    cdef Py_ssize_t end = write_header(header, first, size, 0 if key is None else MASK_BIT)
    cdef Py_ssize_t key_size = 0
    if key is not None:
        _copy_key(key, header + end)
        key_size = 4
    if size > PY_SSIZE_T_MAX - MAX_HEADER:
        raise MemoryError
    frame = PyBytes_FromStringAndSize(NULL, end + key_size + size)
    target = <uint8_t*>PyBytes_AS_STRING(frame)
    memcpy(target, header, end + key_size)
    if key is None:
        memcpy(target + end, payload, size)
    else:
        xor_bytes(target + end + 4, payload, size, key_words(header + end, 0))
    return frame


cdef int _copy_key(object key, uint8_t* target) except -1:
    cdef Py_buffer view
    PyObject_GetBuffer(key, &view, PyBUF_SIMPLE)
    try:
        if view.len != 4:
            raise ValueError("a mask key has 4 bytes")
        memcpy(target, view.buf, 4)
    finally:
        PyBuffer_Release(&view)
    return 0
