/* The variant that runs everywhere: words of 8 bytes where text is ASCII, one character at a time elsewhere. Also the home of
 * what needs no variant: turning keys, and the state of text that comes in parts. */
#include "scalar.h"

uint32_t wscore_rotate_key(uint32_t key, size_t offset) {
    uint8_t bytes[4], turned[4];
    memcpy(bytes, &key, 4);
    for (size_t i = 0; i < 4; i++) turned[i] = bytes[(i + offset) & 3];
    memcpy(&key, turned, 4);
    return key;
}

static int mask(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) { return mask_short(dst, src, size, key); }

size_t wscore_utf8_incomplete(const uint8_t *src, size_t size) {
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        uint8_t byte = src[size - back];
        if (byte < 0x80) return 0;
        if (byte >= 0xc0) return back < (byte < 0xe0 ? 2u : byte < 0xf0 ? 3u : 4u) ? back : 0;
    }
    return 0;
}

static size_t utf8_scan(const uint8_t *src, size_t size) {
    size_t at = 0, end = 0;
    uint32_t state = 0;
    while (at < size) {
        if (!state && size - at >= 8 && !(load_8(src + at) & ASCII_8)) {
            at += 8, end = at;
            continue;
        }
        if ((state = next_state(state, src[at])) == UTF8_INVALID) break;
        at++;
        if (!state) end = at;
    }
    return end;
}

uint32_t wscore_utf8_feed(const struct kernels *kernels, uint32_t state, const uint8_t *src, size_t size) {
    size_t at = 0;
    for (; state && at < size; at++)
        if ((state = next_state(state, src[at])) == UTF8_INVALID) return state;
    at += kernels->utf8_scan(src + at, size - at);
    for (; at < size; at++)
        if ((state = next_state(state, src[at])) == UTF8_INVALID) return state;
    return state;
}

static void utf8_measure(const uint8_t *src, size_t size, size_t *chars, uint8_t *widest) {
    size_t count = 0;
    uint8_t most = 0;
    for (size_t i = 0; i < size; i++) {
        count += (src[i] & 0xc0) != 0x80;
        most = src[i] > most ? src[i] : most;
    }
    *chars = count, *widest = most;
}

#define DECODER(name, rest, type)                                                                                      \
    static int name(type *dst, size_t chars, const uint8_t *src, size_t size) {                                        \
        type *end = dst + chars;                                                                                       \
        while (size >= 8 && end - dst >= 8) {                                                                          \
            size_t step = 8;                                                                                           \
            if (!(load_8(src) & ASCII_8)) {                                                                            \
                for (int i = 0; i < 8; i++) *dst++ = src[i];                                                           \
            } else {                                                                                                   \
                uint32_t c;                                                                                            \
                if (!(step = decode_one(&c, src, size))) return 0;                                                     \
                *dst++ = (type)c;                                                                                      \
            }                                                                                                          \
            src += step, size -= step;                                                                                 \
        }                                                                                                              \
        return rest(dst, end, src, size);                                                                              \
    }

DECODER(utf8_to_ucs1, decode_rest_ucs1, uint8_t)
DECODER(utf8_to_ucs2, decode_rest_ucs2, uint16_t)
DECODER(utf8_to_ucs4, decode_rest_ucs4, uint32_t)

#define ENCODER(name, type)                                                                                            \
    static size_t name(uint8_t *dst, const type *src, size_t chars) {                                                  \
        uint8_t *start = dst;                                                                                          \
        for (size_t i = 0; i < chars; i++) dst += encode_one(dst, src[i]);                                             \
        return (size_t)(dst - start);                                                                                  \
    }

ENCODER(ucs1_to_utf8, uint8_t)
ENCODER(ucs2_to_utf8, uint16_t)
ENCODER(ucs4_to_utf8, uint32_t)

static size_t utf8_size_ucs1(const uint8_t *src, size_t chars) { return utf8_size_rest_ucs1(src, chars); }
static size_t utf8_size_ucs2(const uint16_t *src, size_t chars) { return utf8_size_rest_ucs2(src, chars); }
static size_t utf8_size_ucs4(const uint32_t *src, size_t chars) { return utf8_size_rest_ucs4(src, chars); }

WSCORE_VARIANT(scalar)
