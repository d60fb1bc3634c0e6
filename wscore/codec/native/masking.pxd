"""The C face of masking: XOR of any memory with a key, and keys.

A key is used as `words`: its four bytes twice over, in the order of memory, so that no byte order matters. Loads and
stores go through `memcpy`, which compilers turn into single instructions, so that no alignment matters.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

# Fills `key` with 4 bytes that no peer can predict (RFC 6455 section 10.3).
cdef int take_mask_key(uint8_t* key) except -1

cdef extern from *:
    """
    /* The words as they meet the payload `position` bytes further on. */
    static inline uint64_t wscore_turned_words(uint64_t words, size_t position) {
        unsigned bits = 8 * (position & 3);
    #if PY_BIG_ENDIAN
        return words << bits | words >> (-bits & 63);
    #else
        return words >> bits | words << (-bits & 63);
    #endif
    }
    """
    uint64_t turned_words "wscore_turned_words"(uint64_t words, size_t position) noexcept nogil

cdef inline uint64_t key_words(const uint8_t* key, size_t position) noexcept nogil:
    """The key as it meets the payload from byte `position` on."""
    cdef uint32_t word
    memcpy(&word, key, 4)
    return turned_words(<uint64_t>word << 32 | word, position)

# Longer ones go to the kernels: from here on they are worth the call.
cdef enum:
    SHORT = 64

# XOR into other memory, or the same; whether the result is all ASCII.
cdef bint xor_long(uint8_t* target, const uint8_t* source, size_t size, uint64_t words) noexcept nogil

cdef inline bint xor_short(uint8_t* target, const uint8_t* source, size_t size, uint64_t words) noexcept nogil:
    """As `xor_long`, for fewer than 64 bytes."""
    cdef uint64_t word, last
    cdef uint64_t seen = 0
    cdef size_t i = 0
    if size >= 8:
        # The last word may overlap the one before it: so it is read before anything is written, and no byte is left.
        memcpy(&last, source + size - 8, 8)
        last ^= turned_words(words, size)
        while i + 8 < size:
            memcpy(&word, source + i, 8)
            word ^= words
            seen |= word
            memcpy(target + i, &word, 8)
            i += 8
        memcpy(target + size - 8, &last, 8)
        return not (seen | last) & <uint64_t>0x8080808080808080
    while i < size:
        target[i] = source[i] ^ (<const uint8_t*>&words)[i]
        seen |= target[i]
        i += 1
    return not seen & 0x80

cdef inline bint xor_bytes(uint8_t* target, const uint8_t* source, size_t size, uint64_t words) noexcept nogil:
    """Unmask (or mask) into other memory, or where the data is, in one pass; whether the result is all ASCII."""
    if size < SHORT:
        return xor_short(target, source, size, words)
    return xor_long(target, source, size, words)

cdef inline void unmask_copy(uint8_t* target, const uint8_t* source, size_t size, uint64_t words) noexcept nogil:
    """As `xor_bytes` into other memory; faster where there is no mask."""
    if words:
        xor_bytes(target, source, size, words)
    else:
        memcpy(target, source, size)

cdef inline bytes unmask_bytes(const uint8_t* source, Py_ssize_t size, uint64_t words):
    """Unmask into an object of just that size: a new one, unless it is empty or one byte, which exist once."""
    cdef uint8_t first
    if size == 1:
        first = source[0] ^ (<uint8_t*>&words)[0]
        return PyBytes_FromStringAndSize(<char*>&first, 1)
    payload = PyBytes_FromStringAndSize(NULL, size)
    unmask_copy(<uint8_t*>PyBytes_AS_STRING(payload), source, size, words)
    return payload
