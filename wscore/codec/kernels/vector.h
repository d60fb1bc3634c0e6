/* The algorithms of all vector variants, written once over the operations that each instruction set names.
 *
 * The including file defines V, the widest vector, of V_SIZE bytes, with its v_ operations, and X, a vector of 16 bytes, with its
 * x_ operations; then NAME, the variant's name. UTF-8 is validated by the lookup algorithm of Keiser and Lemire ("Validating
 * UTF-8 in less than one instruction per byte", 2021): three tables of 16 bytes, looked up with the halves of a byte and of the one
 * before it, say which errors the pair may be part of.
 */
#include "scalar.h"
#include "tables.h"

/* Masking */

/* The first and the last vector are loaded before anything is stored, and stored last: so the aligned ones between them may overlap
 * both, in place too, and no byte is left for a loop of its own. */
static int mask(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    if (size < V_SIZE) return mask_short(dst, src, size, key);
    uint8_t *end = dst + size - V_SIZE;
    V first = v_xor(v_load(src), v_splat_32(key));
    V last = v_xor(v_load(src + size - V_SIZE), v_splat_32(turned(key, size - V_SIZE)));
    V seen = v_or(first, last);
    size_t head = V_SIZE - ((uintptr_t)dst & (V_SIZE - 1));
    uint8_t *at = dst + head;
    V wide = v_splat_32(turned(key, head));
    src += head;
    for (; at + 4 * V_SIZE <= end; at += 4 * V_SIZE, src += 4 * V_SIZE) {
        V a = v_xor(v_load(src), wide), b = v_xor(v_load(src + V_SIZE), wide);
        V c = v_xor(v_load(src + 2 * V_SIZE), wide), d = v_xor(v_load(src + 3 * V_SIZE), wide);
        v_store(at, a), v_store(at + V_SIZE, b), v_store(at + 2 * V_SIZE, c), v_store(at + 3 * V_SIZE, d);
        seen = v_or(seen, v_or(v_or(a, b), v_or(c, d)));
    }
    for (; at < end; at += V_SIZE, src += V_SIZE) {
        V a = v_xor(v_load(src), wide);
        v_store(at, a);
        seen = v_or(seen, a);
    }
    v_store(end, last), v_store(end - (size - V_SIZE), first);
    return v_is_ascii(seen);
}

/* Validation */

enum {
    TOO_SHORT = 1 << 0,      /* a lead byte without what it announces */
    TOO_LONG = 1 << 1,       /* a continuation after ASCII */
    OVERLONG_3 = 1 << 2,     /* e0 80..9f */
    TOO_LARGE = 1 << 3,      /* f4 90..bf, f5..ff */
    SURROGATE = 1 << 4,      /* ed a0..bf */
    OVERLONG_2 = 1 << 5,     /* c0, c1 */
    TOO_LARGE_1000 = 1 << 6, /* f5..ff 80..8f */
    OVERLONG_4 = 1 << 6,     /* f0 80..8f */
    TWO_CONTS = 1 << 7,      /* two continuations: an error unless the lead byte is further ahead */
    CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS,
    BIG = CARRY | TOO_LARGE | TOO_LARGE_1000,
    AFTER = TOO_LONG | OVERLONG_2 | TWO_CONTS
};

static const uint8_t first_high[16] = {
    TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
    TWO_CONTS, TWO_CONTS, TWO_CONTS, TWO_CONTS,
    TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
    TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4,
};
static const uint8_t first_low[16] = {
    CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4, CARRY | OVERLONG_2, CARRY, CARRY, CARRY | TOO_LARGE,
    BIG, BIG, BIG, BIG, BIG, BIG, BIG, BIG, BIG | SURROGATE, BIG, BIG,
};
static const uint8_t second_high[16] = {
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
    AFTER | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4, AFTER | OVERLONG_3 | TOO_LARGE,
    AFTER | SURROGATE | TOO_LARGE, AFTER | SURROGATE | TOO_LARGE,
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
};

#define BLOCK 64
#define VECTORS (BLOCK / V_SIZE)

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
#ifndef copy_end
WSCORE_INLINE void copy_end(uint8_t *block, const uint8_t *src, size_t size) {
    memset(block, 0, BLOCK);
    memcpy(block, src, size);
}
#endif

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
