# cython: freethreading_compatible=True, binding=False, embedsignature=True, embedsignature.format=clinic
"""Masking (RFC 6455 section 5.3) and the keys for it (section 10.3), compiled.

Decides how keys stay unpredictable at the price of a copy: they come from a pool per thread that the operating
system's generator fills a block at a time. Knows nothing of frames.
"""

import os

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from wscore.codec.native.buffers cimport get_buffer
from wscore.codec.native.kernels cimport Kernels, kernels_in_use
from wscore.codec.native.masking cimport key_words, xor_bytes

# Without `binding` these are functions of C as CPython makes them, which cost a sixth less to call.
__all__ = ["mask", "mask_inplace", "new_mask_key"]

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #define WSCORE_THREAD_LOCAL __declspec(thread)
    #else
    #define WSCORE_THREAD_LOCAL __thread
    #endif

    /* One call of the operating system's generator fills this many bytes; more makes no key cheaper, and more would
       lie about. */
    #define WSCORE_KEY_BLOCK 4096

    /* Unused key bytes of this thread. */
    static WSCORE_THREAD_LOCAL unsigned char wscore_keys[WSCORE_KEY_BLOCK];
    static WSCORE_THREAD_LOCAL Py_ssize_t wscore_keys_left = 0;
    """
    Py_ssize_t KEY_BLOCK "WSCORE_KEY_BLOCK"
    uint8_t* keys "wscore_keys"
    Py_ssize_t keys_left "wscore_keys_left"


cdef const Kernels* kernels = kernels_in_use()


cdef bint xor_long(uint8_t* target, const uint8_t* source, size_t size, uint64_t words) noexcept nogil:
    cdef uint32_t key
    memcpy(&key, &words, 4)
    return kernels.mask(target, source, size, key)


def mask(data, key, Py_ssize_t offset=0):
    """XOR `data` with the 4 bytes of `key`, repeated, and return the result as new bytes (RFC 6455 section 5.3).

    `offset` is the position of `data` in the payload, in bytes; masking twice gives back the data.
    Raises ValueError if `key` is not 4 bytes long, TypeError if `data` is no buffer.
    """
    cdef Py_buffer view
    if type(data) is bytes:
        return _masked(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), _words(key, offset))
    get_buffer(data, &view, PyBUF_SIMPLE)
    try:
        return _masked(<const uint8_t*>view.buf, view.len, _words(key, offset))
    finally:
        PyBuffer_Release(&view)


cdef inline bytes _masked(const uint8_t* data, Py_ssize_t size, uint64_t words):
    masked = PyBytes_FromStringAndSize(NULL, size)
    xor_bytes(<uint8_t*>PyBytes_AS_STRING(masked), data, size, words)
    return masked


def mask_inplace(buffer, key, Py_ssize_t offset=0):
    """XOR `buffer`, which must be writable, with the 4 bytes of `key`, repeated (RFC 6455 section 5.3).

    Raises TypeError if `buffer` is read-only, else as `mask`.
    """
    cdef Py_buffer view
    cdef uint64_t words
    cdef uint8_t* inside
    if type(buffer) is bytearray:
        # A view would cost more than masking a few bytes. The key comes first: to get it may run any code.
        words = _words(key, offset)
        with cython.critical_section(buffer):
            inside = <uint8_t*>PyByteArray_AS_STRING(buffer)
            xor_bytes(inside, inside, PyByteArray_GET_SIZE(buffer), words)
        return
    get_buffer(buffer, &view, PyBUF_WRITABLE)
    try:
        xor_bytes(<uint8_t*>view.buf, <const uint8_t*>view.buf, view.len, _words(key, offset))
    finally:
        PyBuffer_Release(&view)


cdef uint64_t _words(object key, Py_ssize_t offset) except? 0:
    cdef Py_buffer view
    if type(key) is bytes and PyBytes_GET_SIZE(key) == 4:
        return key_words(<const uint8_t*>PyBytes_AS_STRING(key), <size_t>offset)
    get_buffer(key, &view, PyBUF_SIMPLE)
    try:
        if view.len != 4:
            raise ValueError("a mask key has 4 bytes")
        return key_words(<const uint8_t*>view.buf, <size_t>offset)
    finally:
        PyBuffer_Release(&view)


def new_mask_key():
    """4 bytes that no peer can predict (RFC 6455 section 10.3), never handed out before."""
    cdef uint8_t key[4]
    take_mask_key(key)
    return PyBytes_FromStringAndSize(<const char*>key, 4)


cdef int take_mask_key(uint8_t* key) except -1:
    global keys_left
    if keys_left == 0:
        _fill_keys()
    keys_left -= 4
    memcpy(key, keys + keys_left, 4)
    memset(keys + keys_left, 0, 4)
    return 0


cdef int _fill_keys() except -1:
    # Another thread, or a signal handler that takes a key of this one, may run inside `urandom`.
    global keys_left
    cdef bytes block = os.urandom(KEY_BLOCK)
    memcpy(keys, PyBytes_AS_STRING(block), KEY_BLOCK)
    # Nobody else has seen this object: its copy of the keys is erased, too.
    memset(PyBytes_AS_STRING(block), 0, KEY_BLOCK)
    keys_left = KEY_BLOCK
    return 0


def _forget_keys():
    # A forked child would otherwise use the very keys that its parent uses.
    global keys_left
    keys_left = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_keys)
