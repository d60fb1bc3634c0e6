/* One character at a time, for the scalar variant and for the ends of the others. */
#ifndef WSCORE_SCALAR_H
#define WSCORE_SCALAR_H

#include "kernels.h"
#include <string.h>

WSCORE_INLINE uint64_t load_8(const uint8_t *src) {
    uint64_t word;
    memcpy(&word, src, 8);
    return word;
}

WSCORE_INLINE void store_8(uint8_t *dst, uint64_t word) { memcpy(dst, &word, 8); }

#define ASCII_8 0x8080808080808080u

/* Masking by words of 8 bytes; whether the result is all ASCII. */
WSCORE_INLINE int mask_short(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    uint64_t wide = (uint64_t)key << 32 | key, seen = 0;
    uint8_t bytes[4], last = 0;
    for (; size >= 8; dst += 8, src += 8, size -= 8) {
        uint64_t word = load_8(src) ^ wide;
        store_8(dst, word);
        seen |= word;
    }
    memcpy(bytes, &key, 4);
    for (size_t i = 0; i < size; i++) last |= dst[i] = src[i] ^ bytes[i & 3];
    return !(seen & ASCII_8) & !(last & 0x80);
}

/* `key` as it is `offset` bytes further on, where the first byte of memory is the lowest. */
WSCORE_INLINE uint32_t turned(uint32_t key, size_t offset) {
    unsigned bits = 8 * (offset & 3);
    return key >> bits | key << (-bits & 31);
}

/* A state is 0 between characters, else how many bytes are missing, and the least and greatest that the next may be
 * (RFC 3629 section 4, the table of well-formed byte sequences). */
#define STATE(missing, least, greatest) ((uint32_t)(missing) << 16 | (uint32_t)(least) << 8 | (greatest))

WSCORE_INLINE uint32_t start_character(uint8_t lead) {
    if (lead < 0x80) return 0;
    if (lead < 0xc2) return UTF8_INVALID;
    if (lead < 0xe0) return STATE(1, 0x80, 0xbf);
    if (lead < 0xf0) return STATE(2, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf);
    if (lead < 0xf5) return STATE(3, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf);
    return UTF8_INVALID;
}

WSCORE_INLINE uint32_t next_state(uint32_t state, uint8_t byte) {
    if (!state) return start_character(byte);
    if (byte < (state >> 8 & 0xff) || byte > (state & 0xff)) return UTF8_INVALID;
    return state >> 16 == 1 ? 0 : STATE((state >> 16) - 1, 0x80, 0xbf);
}

/* The character at the start of `src`, whose size it returns; 0 if it is not valid or not complete. */
WSCORE_INLINE size_t decode_one(uint32_t *c, const uint8_t *src, size_t size) {
    uint32_t lead = src[0];
    if (lead < 0x80) return *c = lead, 1;
    uint32_t state = start_character(src[0]);
    if (state == UTF8_INVALID || size <= state >> 16) return 0;
    size_t length = (state >> 16) + 1;
    lead &= 0x3fu >> (length - 1);
    for (size_t i = 1; i < length; i++) {
        if ((state = next_state(state, src[i])) == UTF8_INVALID) return 0;
        lead = lead << 6 | (src[i] & 0x3f);
    }
    return *c = lead, length;
}

/* The rest of a text: false if it is not valid, or has not just as many characters as are missing. */
#define DECODE_REST(name, type)                                                                                        \
    WSCORE_INLINE int name(type *dst, type *end, const uint8_t *src, size_t size) {                                    \
        while (size && dst < end) {                                                                                    \
            uint32_t c;                                                                                                \
            size_t step = decode_one(&c, src, size);                                                                   \
            if (!step) return 0;                                                                                       \
            *dst++ = (type)c;                                                                                          \
            src += step, size -= step;                                                                                 \
        }                                                                                                              \
        return !size && dst == end;                                                                                    \
    }

DECODE_REST(decode_rest_ucs1, uint8_t)
DECODE_REST(decode_rest_ucs2, uint16_t)
DECODE_REST(decode_rest_ucs4, uint32_t)

/* Writes `c` and returns how many bytes it has; may write 4. */
WSCORE_INLINE size_t encode_one(uint8_t *dst, uint32_t c) {
    if (c < 0x80) return dst[0] = (uint8_t)c, 1;
    if (c < 0x800) return dst[0] = (uint8_t)(0xc0 | c >> 6), dst[1] = (uint8_t)(0x80 | (c & 0x3f)), 2;
    if (c < 0x10000) {
        dst[0] = (uint8_t)(0xe0 | c >> 12);
        dst[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        dst[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    dst[0] = (uint8_t)(0xf0 | c >> 18);
    dst[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    dst[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    dst[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* What `chars` characters are in UTF-8, in bytes; SIZE_MAX if there is a surrogate among them. */
#define UTF8_SIZE(name, type)                                                                                          \
    WSCORE_INLINE size_t name(const type *src, size_t chars) {                                                         \
        size_t size = chars;                                                                                           \
        int surrogates = 0;                                                                                            \
        for (size_t i = 0; i < chars; i++) {                                                                           \
            uint32_t c = src[i];                                                                                       \
            size += (size_t)(c > 0x7f) + (c > 0x7ff) + (c > 0xffff);                                                   \
            surrogates |= (c & 0xfffff800) == 0xd800;                                                                  \
        }                                                                                                              \
        return surrogates ? SIZE_MAX : size;                                                                           \
    }

UTF8_SIZE(utf8_size_rest_ucs1, uint8_t)
UTF8_SIZE(utf8_size_rest_ucs2, uint16_t)
UTF8_SIZE(utf8_size_rest_ucs4, uint32_t)

#endif
