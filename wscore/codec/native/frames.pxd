"""The C face of framing: headers into any memory (RFC 6455 section 5.2)."""

from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    # First byte
    FIN = 0x80
    RSV1 = 0x40
    # Opcodes
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10
    CONTROL_BIT = 0x08
    # Second byte
    MASK_BIT = 0x80
    # Sizes
    MAX_HEADER = 14
    MAX_CONTROL_PAYLOAD = 125

cdef inline Py_ssize_t write_header(uint8_t* header, int first, uint64_t size, int mask_bit) noexcept nogil:
    """Write a header without its mask key, at most 10 bytes, and return its size; the length takes the fewest bytes.
    """
    cdef Py_ssize_t end = 2
    cdef Py_ssize_t i
    header[0] = <uint8_t>first
    if size < 126:
        header[1] = <uint8_t>(mask_bit | <int>size)
        return end
    header[1] = <uint8_t>(mask_bit | (126 if size < 1 << 16 else 127))
    end = 4 if size < 1 << 16 else 10
    for i in range(2, end):
        header[i] = <uint8_t>(size >> (8 * (end - 1 - i)))
    return end
