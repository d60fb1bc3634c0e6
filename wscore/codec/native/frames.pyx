# cython: freethreading_compatible=True
"""Building frames (RFC 6455 section 5.2), compiled.

Decides how a header is written: lengths in the fewest bytes. Knows nothing of messages.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from wscore.codec.native.buffers cimport PY_SSIZE_T_MAX, Growing, clipped, get_buffer, reserve, take_grown
from wscore.codec.native.kernels cimport WSCORE_SLACK, Kernels, kernels_in_use
from wscore.codec.native.masking cimport key_words, xor_bytes
from wscore.codec.native.text cimport PyUnicode_DATA, PyUnicode_IS_COMPACT_ASCII, encode_into, utf8_size

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
    cdef uint8_t header[MAX_HEADER]
    cdef Py_ssize_t end = _header(header, first, size, key)
    if size > PY_SSIZE_T_MAX - MAX_HEADER:
        raise MemoryError
    frame = PyBytes_FromStringAndSize(NULL, end + size)
    target = <uint8_t*>PyBytes_AS_STRING(frame)
    memcpy(target, header, end)
    if key is None:
        memcpy(target + end, payload, size)
    else:
        xor_bytes(target + end, payload, size, key_words(target + end - 4, 0))
    return frame


cdef bytes _text_frame(int first, object text, object key):
    cdef Py_ssize_t size = utf8_size(kernels, text)
    cdef uint8_t header[MAX_HEADER]
    cdef Py_ssize_t end
    cdef Growing frame
    if PyUnicode_IS_COMPACT_ASCII(text):
        return _frame(first, <const uint8_t*>PyUnicode_DATA(text), size, key)
    if size > PY_SSIZE_T_MAX - MAX_HEADER - WSCORE_SLACK:
        raise MemoryError
    end = _header(header, first, size, key)
    frame.store = NULL
    frame.size = 0
    target = reserve(&frame, end + size + WSCORE_SLACK, 0)
    memcpy(target, header, end)
    encode_into(kernels, target + end, text)
    if key is not None:
        xor_bytes(target + end, target + end, size, key_words(target + end - 4, 0))
    frame.size = end + size
    return take_grown(&frame)


cdef Py_ssize_t _header(uint8_t* header, int first, Py_ssize_t size, object key) except -1:
    """Write the header, the mask key with it; return its size."""
    cdef Py_ssize_t end
    if key is None:
        return write_header(header, first, size, 0)
    end = write_header(header, first, size, MASK_BIT)
    _copy_key(key, header + end)
    return end + 4


cdef int _copy_key(object key, uint8_t* target) except -1:
    cdef Py_buffer view
    get_buffer(key, &view, PyBUF_SIMPLE)
    try:
        if view.len != 4:
            raise ValueError("a mask key has 4 bytes")
        memcpy(target, view.buf, 4)
    finally:
        PyBuffer_Release(&view)
    return 0
