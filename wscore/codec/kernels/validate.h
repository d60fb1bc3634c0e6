/* Validation of UTF-8, 64 bytes at a time, over the operations that vector.h speaks of. */
#include "utf8_errors.h"

#define BLOCK 64

WSCORE_INLINE V errors_in(V now, V last) {
    V before = v_before_1(now, last);
    V pairs = v_and(v_and(v_lookup(first_high, v_high_half(before)), v_lookup(first_low, v_low_half(before))),
                    v_lookup(second_high, v_high_half(now)));
    /* The third and fourth byte of a character have to be the second of two continuations, and no other byte may. */
    V third = v_subtract_saturating(v_before_2(now, last), v_splat_8(0xe0 - 0x80));
    V fourth = v_subtract_saturating(v_before_3(now, last), v_splat_8(0xf0 - 0x80));
    return v_xor(v_and(v_or(third, fourth), v_splat_8(0x80)), pairs);
}

/* Takes 64 bytes; false if they are wrong, or the bytes before them, of which *last is the end, were cut short. */
WSCORE_INLINE int scan_block(V *last, const uint8_t *src) {
    V a = v_load(src), b = v_load(src + V_SIZE), errors;
#if V_SIZE == 16
    V c = v_load(src + 32), d = v_load(src + 48);
    if (v_is_ascii(v_or(v_or(a, b), v_or(c, d))) && v_is_ascii(*last)) return *last = d, 1;
    errors = v_or(v_or(errors_in(a, *last), errors_in(b, a)), v_or(errors_in(c, b), errors_in(d, c)));
    *last = d;
#else
    if (v_is_ascii(v_or(a, b)) && v_is_ascii(*last)) return *last = b, 1;
    errors = v_or(errors_in(a, *last), errors_in(b, a));
    *last = b;
#endif
    return v_is_zero(errors);
}

/* The last bytes of a text, with zeros behind them. */
WSCORE_INLINE void copy_end(uint8_t *block, const uint8_t *src, size_t size) {
    memset(block, 0, BLOCK);
    memcpy(block, src, size);
}

static size_t utf8_scan(const uint8_t *src, size_t size) {
    V last = v_zero();
    size_t at = 0;
    size -= wscore_utf8_incomplete(src, size);
    for (; at + BLOCK <= size && scan_block(&last, src + at); at += BLOCK) {}
    if (at + BLOCK > size && at < size) {
        uint8_t end[BLOCK];
        copy_end(end, src + at, size - at);
        if (scan_block(&last, end)) return size;
    }
    /* What is wrong may be in the character that lies across the end of the last good block. */
    return at - wscore_utf8_incomplete(src, at);
}
