"""Between UTF-8 in memory and `str`, by the kernels: measure first, then one pass into the final object.

Nothing is cached in a string that was given to us.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from wscore.codec.native.kernels cimport SIZE_MAX, WIDEST_UCS1, WIDEST_UCS2, WSCORE_SLACK, Kernels
from wscore.codec.native.masking cimport xor_bytes

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 widest)
    str PyUnicode_FromOrdinal(int ordinal)
    bytes PyUnicode_AsUTF8String(object text)
    int PyUnicode_READY(object text) except -1
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    int PyUnicode_KIND(object text)
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bytes _new_bytes "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size)
    char* _bytes_data "PyBytes_AS_STRING"(object data)

cdef inline str _one_character(uint8_t byte):
    """Of these the interpreter has each once."""
    return PyUnicode_FromOrdinal(byte) if byte < 0x80 else None

cdef inline str decode_with(const Kernels* kernels, const uint8_t* data, Py_ssize_t size):
    """The text, or None if it is not UTF-8."""
    cdef size_t chars
    cdef uint8_t widest
    cdef bint valid
    if size == 0:  # and `data` may be NULL, which memcpy must not get
        return ""
    if size == 1:
        return _one_character(data[0])
    kernels.utf8_measure(data, size, &chars, &widest)
    if widest < 0x80:
        text = PyUnicode_New(size, 0x7F)
        memcpy(PyUnicode_DATA(text), data, size)
        return text
    if widest < WIDEST_UCS1:
        text = PyUnicode_New(chars, 0xFF)
        valid = kernels.utf8_to_ucs1(<uint8_t*>PyUnicode_DATA(text), chars, data, size)
    elif widest < WIDEST_UCS2:
        text = PyUnicode_New(chars, 0xFFFF)
        valid = kernels.utf8_to_ucs2(<uint16_t*>PyUnicode_DATA(text), chars, data, size)
    else:
        text = PyUnicode_New(chars, 0x10FFFF)
        valid = kernels.utf8_to_ucs4(<uint32_t*>PyUnicode_DATA(text), chars, data, size)
    return text if valid else None

cdef inline str unmask_text(const Kernels* kernels, const uint8_t* data, Py_ssize_t size, uint64_t words):
    """The text, unmasked into a string of ASCII; or None if it is not UTF-8.

    If there is more than ASCII in it, the string, which nobody has seen, was a place to unmask it.
    """
    if size == 1:
        return _one_character(data[0] ^ (<uint8_t*>&words)[0])
    text = PyUnicode_New(size, 0x7F)
    target = <uint8_t*>PyUnicode_DATA(text)
    if xor_bytes(target, data, size, words):
        return text
    return decode_with(kernels, target, size)

cdef inline Py_ssize_t utf8_size(const Kernels* kernels, object text) except -1:
    """How many bytes `text` has as UTF-8. Raises UnicodeEncodeError for lone surrogates."""
    cdef size_t size
    cdef int kind
    PyUnicode_READY(text)
    if PyUnicode_IS_COMPACT_ASCII(text):
        return PyUnicode_GET_LENGTH(text)
    kind = PyUnicode_KIND(text)
    if kind == 1:
        size = kernels.utf8_size_ucs1(<const uint8_t*>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
    elif kind == 2:
        size = kernels.utf8_size_ucs2(<const uint16_t*>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
    else:
        size = kernels.utf8_size_ucs4(<const uint32_t*>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
    if size == SIZE_MAX:
        PyUnicode_AsUTF8String(text)  # knows how to say which character cannot be encoded
    return <Py_ssize_t>size

cdef inline void encode_into(const Kernels* kernels, uint8_t* target, object text) noexcept:
    """Write `text`, which is ready and has no surrogates, where there is room for WSCORE_SLACK bytes more."""
    cdef int kind = PyUnicode_KIND(text)
    if kind == 1:
        kernels.ucs1_to_utf8(target, <const uint8_t*>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
    elif kind == 2:
        kernels.ucs2_to_utf8(target, <const uint16_t*>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
    else:
        kernels.ucs4_to_utf8(target, <const uint32_t*>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))

cdef inline bytes encode_with(const Kernels* kernels, object text):
    """`text` as UTF-8. Raises UnicodeEncodeError for lone surrogates."""
    cdef Py_ssize_t size = utf8_size(kernels, text)
    encoded = _new_bytes(NULL, size + WSCORE_SLACK)
    encode_into(kernels, <uint8_t*>_bytes_data(encoded), text)
    return encoded[:size]
