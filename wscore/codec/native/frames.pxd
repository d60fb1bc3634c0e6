"""The C face of framing: headers and frames in any memory (RFC 6455 section 5.2)."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from wscore.codec.native.kernels cimport Kernels
from wscore.codec.native.masking cimport key_words, xor_bytes
from wscore.codec.native.text cimport encode_into

cdef enum:
    # First byte
    FIN = 0x80
    RSV1 = 0x40
    OPCODE_BITS = 0x0F
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
    LENGTH_BITS = 0x7F
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

cdef inline Py_ssize_t header_size(uint64_t size, bint is_masked) noexcept nogil:
    """How many bytes a header takes, with its mask key."""
    return (2 if size < 126 else 4 if size < 1 << 16 else 10) + (4 if is_masked else 0)

cdef inline Py_ssize_t put_header(uint8_t* target, int first, uint64_t size, const uint8_t* key) noexcept nogil:
    """Write a header with its mask key, which has 4 bytes or is NULL, for none; return how many bytes they take."""
    cdef Py_ssize_t end
    if key == NULL:
        return write_header(target, first, size, 0)
    end = write_header(target, first, size, MASK_BIT)
    memcpy(target + end, key, 4)
    return end + 4

cdef inline Py_ssize_t put_frame(
    uint8_t* target, int first, const uint8_t* payload, Py_ssize_t size, const uint8_t* key
) noexcept nogil:
    """Write a frame, masked if there is a `key`, where there is room for MAX_HEADER bytes beside the payload; return
    how many bytes it takes.
    """
    cdef Py_ssize_t end = put_header(target, first, size, key)
    if key == NULL:
        memcpy(target + end, payload, size)
    else:
        xor_bytes(target + end, payload, size, key_words(key, 0))
    return end + size

cdef inline Py_ssize_t put_text_frame(
    const Kernels* kernels, uint8_t* target, int first, object text, Py_ssize_t size, const uint8_t* key
) noexcept:
    """The same of text that has `size` bytes as UTF-8, encoded straight into its frame; there is room for WSCORE_SLACK
    bytes more.
    """
    cdef Py_ssize_t end = put_header(target, first, size, key)
    encode_into(kernels, target + end, text)
    if key != NULL:
        xor_bytes(target + end, target + end, size, key_words(key, 0))
    return end + size

# The rules that a header can break (sections 5.2, 5.4 and 5.5).
cdef enum Rule:
    NO_RULE = 0
    RULE_RESERVED_BITS = 1
    RULE_COMPRESSED_CONTINUATION = 2
    RULE_UNKNOWN_OPCODE = 3
    RULE_MASK_MISSING = 4
    RULE_MASK_UNEXPECTED = 5
    RULE_CONTROL_FRAGMENTED = 6
    RULE_CONTROL_TOO_LONG = 7
    RULE_MESSAGE_INTERRUPTED = 8
    RULE_CONTINUATION_WITHOUT_START = 9
    RULE_LENGTH_NOT_MINIMAL = 10
    RULE_LENGTH_TOP_BIT = 11

cdef struct Header:
    int rule  # the broken one
    int first
    uint64_t length
    uint64_t words  # the mask key; 0 is no mask

cdef inline int broken_rule(int first, int second, int mask_bit, bint deflates, bint in_message) noexcept nogil:
    """The first rule that the first two bytes break, in the order of the pure twin."""
    cdef int opcode = first & OPCODE_BITS
    cdef int reserved = first & 0x70
    cdef int control = opcode & CONTROL_BIT
    if reserved:
        if not deflates or reserved != RSV1 or control:
            return RULE_RESERVED_BITS
        if opcode == CONTINUATION:
            return RULE_COMPRESSED_CONTINUATION
    if opcode > (PONG if control else BINARY):
        return RULE_UNKNOWN_OPCODE
    if second & MASK_BIT != mask_bit:
        return RULE_MASK_MISSING if mask_bit else RULE_MASK_UNEXPECTED
    if control:
        if not first & FIN:
            return RULE_CONTROL_FRAGMENTED
        return RULE_CONTROL_TOO_LONG if second & LENGTH_BITS > MAX_CONTROL_PAYLOAD else NO_RULE
    if (opcode == CONTINUATION) != in_message:
        return RULE_MESSAGE_INTERRUPTED if in_message else RULE_CONTINUATION_WITHOUT_START
    return NO_RULE

cdef inline uint8_t read_once(const uint8_t* data, Py_ssize_t index) noexcept nogil:
    """One byte, as it was now: who else may write there cannot change it between its check and its use."""
    return (<const volatile uint8_t*>data)[index]

cdef inline uint64_t extended_length(const uint8_t* field, Py_ssize_t size) noexcept nogil:
    cdef uint64_t length = 0
    cdef Py_ssize_t i
    for i in range(size):
        length = length << 8 | read_once(field, i)
    return length

cdef inline int broken_length_rule(uint64_t length, Py_ssize_t end) noexcept nogil:
    """The rule that an extended length breaks whose field ends at `end`."""
    if length < (126 if end == 4 else 1 << 16):
        return RULE_LENGTH_NOT_MINIMAL
    return RULE_LENGTH_TOP_BIT if length >> 63 else NO_RULE

cdef inline Py_ssize_t parse_header(
    const uint8_t* data, Py_ssize_t size, int mask_bit, bint deflates, bint in_message, Header* header
) noexcept nogil:
    """Read a header from `size` bytes, and return its size; 0 if it is incomplete, or breaks a rule.

    `mask_bit` is what the peer's frames must have, `deflates` whether RSV1 has a meaning.
    """
    cdef Py_ssize_t end = 2
    cdef int second
    header.rule = NO_RULE
    if size < 2:
        return 0
    header.first = read_once(data, 0)
    second = read_once(data, 1)
    header.rule = broken_rule(header.first, second, mask_bit, deflates, in_message)
    if header.rule != NO_RULE:
        return 0
    header.length = second & LENGTH_BITS
    if header.length >= 126:
        end = 4 if header.length == 126 else 10
        if size < end:
            return 0
        header.length = extended_length(data + 2, end - 2)
        header.rule = broken_length_rule(header.length, end)
    if mask_bit:
        end += 4
    if header.rule != NO_RULE or size < end:
        return 0
    header.words = key_words(data + end - 4, 0) if mask_bit else 0
    return end
