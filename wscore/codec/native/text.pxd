"""From UTF-8 in memory to `str`."""

from libc.stdint cimport uint8_t, uint64_t

from wscore.codec.native.masking cimport xor_copy_ascii
from wscore.codec.native.utf8 cimport UTF8_FAILED, UTF8_START, utf8_advance

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 widest)
    uint8_t* PyUnicode_1BYTE_DATA(object text)
    str PyUnicode_DecodeUTF8(const char* data, Py_ssize_t size, const char* errors)
    str PyUnicode_DecodeUTF8Stateful(
        const char* data, Py_ssize_t size, const char* errors, Py_ssize_t* used
    )

cdef inline str decode_text(const uint8_t* data, Py_ssize_t size):
    """The text, or None if it is not UTF-8."""
    try:
        return PyUnicode_DecodeUTF8(<const char*>data, size, NULL)
    except UnicodeDecodeError:
        return None

cdef inline str decode_text_part(const uint8_t* data, Py_ssize_t size, Py_ssize_t* used):
    """The text up to its last whole code point, the bytes it takes in `used`; or None if it cannot become UTF-8."""
    try:
        text = PyUnicode_DecodeUTF8Stateful(<const char*>data, size, NULL, used)
    except UnicodeDecodeError:
        return None
    # Python's decoder waits for the third byte of a surrogate.
    if utf8_advance(UTF8_START, data + used[0], size - used[0]) == UTF8_FAILED:
        return None
    return text

cdef inline str unmask_text(const uint8_t* data, Py_ssize_t size, uint64_t words):
    """The text, unmasked into a string of ASCII; or None if it is not UTF-8.

    If there is more than ASCII in it, the string, which nobody has seen, was a place to unmask it.
    """
    text = PyUnicode_New(size, 127)
    target = PyUnicode_1BYTE_DATA(text)
    if xor_copy_ascii(target, data, size, words):
        return text
    return decode_text(target, size)
