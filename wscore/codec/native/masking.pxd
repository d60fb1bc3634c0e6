"""The C face of masking: XOR of any memory with a key, and keys.

A key is used as `words`: its four bytes twice over, in the order of memory, so that no byte order matters. Loads and
stores go through `memcpy`, which compilers turn into single instructions, so that no alignment matters.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

# Fills `key` with 4 bytes that no peer can predict (RFC 6455 section 10.3).
cdef int take_mask_key(uint8_t* key) except -1

cdef inline uint64_t key_words(const uint8_t* key, size_t position) noexcept nogil:
    """The key as it meets the payload from byte `position` on."""
    cdef uint8_t turned[8]
    cdef uint64_t words
    cdef size_t i
    for i in range(8):
        turned[i] = key[(position + i) & 3]
    memcpy(&words, turned, 8)
    return words

cdef inline void xor_tail(uint8_t* target, const uint8_t* source, size_t size, uint64_t words) noexcept nogil:
    """The last bytes, fewer than eight."""
    cdef const uint8_t* key = <const uint8_t*>&words
    cdef size_t i
    for i in range(size):
        target[i] = source[i] ^ key[i]

cdef inline void xor_copy(uint8_t* target, const uint8_t* source, size_t size, uint64_t words) noexcept nogil:
    """Unmask (or mask) into other memory, in one pass. The two must not overlap."""
    cdef uint64_t word
    cdef size_t i = 0
    while size - i >= 8:
        memcpy(&word, source + i, 8)
        word ^= words
        memcpy(target + i, &word, 8)
        i += 8
    xor_tail(target + i, source + i, size - i, words)

cdef inline bint xor_copy_ascii(uint8_t* target, const uint8_t* source, size_t size, uint64_t words) noexcept nogil:
    """As `xor_copy`; whether all that was written is ASCII."""
    cdef uint64_t word
    cdef uint64_t seen = 0
    cdef uint8_t last = 0
    cdef size_t i = 0
    while size - i >= 8:
        memcpy(&word, source + i, 8)
        word ^= words
        seen |= word
        memcpy(target + i, &word, 8)
        i += 8
    xor_tail(target + i, source + i, size - i, words)
    while i < size:
        last |= target[i]
        i += 1
    return not (seen & <uint64_t>0x8080808080808080 or last & 0x80)

cdef inline void xor_inplace(uint8_t* data, size_t size, uint64_t words) noexcept nogil:
    """Unmask (or mask) where the data is."""
    cdef uint64_t word
    cdef size_t i = 0
    while size - i >= 8:
        memcpy(&word, data + i, 8)
        word ^= words
        memcpy(data + i, &word, 8)
        i += 8
    xor_tail(data + i, data + i, size - i, words)

cdef inline void unmask_copy(uint8_t* target, const uint8_t* source, size_t size, uint64_t words) noexcept nogil:
    """As `xor_copy`; faster where there is no mask."""
    if words:
        xor_copy(target, source, size, words)
    else:
        memcpy(target, source, size)

cdef inline bytes unmask_bytes(const uint8_t* source, Py_ssize_t size, uint64_t words):
    """Unmask into a new object of just that size."""
    payload = PyBytes_FromStringAndSize(NULL, size)
    unmask_copy(<uint8_t*>PyBytes_AS_STRING(payload), source, size, words)
    return payload
