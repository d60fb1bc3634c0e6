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

/* From here on stores that cross no cache line are worth a few bytes by themselves. */
#define WORTH_ALIGNING 256

static int mask(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    int ascii = 1;
    if (size >= WORTH_ALIGNING) {
        size_t head = (0 - (uintptr_t)dst) & (V_SIZE - 1);
        ascii = mask_short(dst, src, head, key);
        dst += head, src += head, size -= head, key = wscore_rotate_key(key, head);
    }
    V wide = v_splat_32(key), seen = v_zero();
    for (; size >= 4 * V_SIZE; dst += 4 * V_SIZE, src += 4 * V_SIZE, size -= 4 * V_SIZE) {
        V a = v_xor(v_load(src), wide), b = v_xor(v_load(src + V_SIZE), wide);
        V c = v_xor(v_load(src + 2 * V_SIZE), wide), d = v_xor(v_load(src + 3 * V_SIZE), wide);
        v_store(dst, a), v_store(dst + V_SIZE, b), v_store(dst + 2 * V_SIZE, c), v_store(dst + 3 * V_SIZE, d);
        seen = v_or(seen, v_or(v_or(a, b), v_or(c, d)));
    }
    for (; size >= V_SIZE; dst += V_SIZE, src += V_SIZE, size -= V_SIZE) {
        V a = v_xor(v_load(src), wide);
        v_store(dst, a);
        seen = v_or(seen, a);
    }
    return mask_short(dst, src, size, key) & ascii & v_is_ascii(seen);
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

static size_t utf8_scan(const uint8_t *src, size_t size) {
    V last = v_zero();
    size_t at = 0;
    size -= wscore_utf8_incomplete(src, size);
    for (; at + BLOCK <= size && scan_block(&last, src + at); at += BLOCK) {}
    if (at + BLOCK > size && at < size) {
        uint8_t end[BLOCK] = {0};
        memcpy(end, src + at, size - at);
        if (scan_block(&last, end)) return size;
    }
    /* What is wrong may be in the character that lies across the end of the last good block. */
    return at - wscore_utf8_incomplete(src, at);
}

/* Decoding */

/* The bytes that end a character among 64, a bit each; the last one is not known, and left out. */
WSCORE_INLINE uint64_t ends_of_characters(const uint8_t *src) {
    uint64_t continuations = 0;
    for (int i = 0; i < 4; i++) continuations |= (uint64_t)x_mask_continuations(x_load(src + 16 * i)) << 16 * i;
    return ~continuations >> 1;
}

/* Six characters of 1 or 2 bytes, in lanes of 2. */
WSCORE_INLINE X join_six(X spread) {
    return x_or(x_and(spread, x_splat_16(0x7f)), x_shift_right_16(x_and(spread, x_splat_16(0x1f00)), 2));
}

/* Four characters of 1 to 3 bytes, in lanes of 4. */
WSCORE_INLINE X join_four(X spread) {
    X low = x_and(spread, x_splat_32(0x7f)), middle = x_shift_right_32(x_and(spread, x_splat_32(0x3f00)), 2);
    return x_or(x_or(low, middle), x_shift_right_32(x_and(spread, x_splat_32(0x0f0000)), 4));
}

/* Three characters of 1 to 4 bytes, in lanes of 4. */
WSCORE_INLINE X join_three(X spread) {
    X low = x_and(spread, x_splat_32(0x7f)), second = x_shift_right_32(x_and(spread, x_splat_32(0x3f00)), 2);
    /* Where the third byte from behind is a lead byte, 1110xxxx, its bit 5 is not part of the character. */
    X lead = x_shift_right_32(x_and(spread, x_splat_32(0x400000)), 1);
    X third = x_shift_right_32(x_xor(x_and(spread, x_splat_32(0x3f0000)), lead), 4);
    X fourth = x_shift_right_32(x_and(spread, x_splat_32(0x07000000)), 6);
    return x_or(x_or(low, second), x_or(third, fourth));
}

#define WINDOW_CHARS 8 /* lanes that one window may write */

WSCORE_INLINE size_t window_to_ucs2(uint16_t *dst, X bytes, uint8_t index) {
    X spread = x_shuffle(bytes, x_load(wscore_spreads[index]));
    if (index < SPREAD_FOUR) return x_store((uint8_t *)dst, join_six(spread)), 6;
    /* Three-byte characters at most, so never three in a window. */
    return x_store((uint8_t *)dst, x_narrow_32(join_four(spread))), 4;
}

WSCORE_INLINE size_t window_to_ucs4(uint32_t *dst, X bytes, uint8_t index) {
    X spread = x_shuffle(bytes, x_load(wscore_spreads[index]));
    if (index < SPREAD_FOUR) {
        X six = join_six(spread);
        x_store((uint8_t *)dst, x_widen_16_low(six)), x_store((uint8_t *)(dst + 4), x_widen_16_high(six));
        return 6;
    }
    if (index < SPREAD_THREE) return x_store((uint8_t *)dst, join_four(spread)), 4;
    return x_store((uint8_t *)dst, join_three(spread)), 3;
}

WSCORE_INLINE void ascii_to_ucs2(uint16_t *dst, X bytes) {
    x_store((uint8_t *)dst, x_widen_8_low(bytes)), x_store((uint8_t *)(dst + 8), x_widen_8_high(bytes));
}

WSCORE_INLINE void ascii_to_ucs4(uint32_t *dst, X bytes) {
    X low = x_widen_8_low(bytes), high = x_widen_8_high(bytes);
    x_store((uint8_t *)dst, x_widen_16_low(low)), x_store((uint8_t *)(dst + 4), x_widen_16_high(low));
    x_store((uint8_t *)(dst + 8), x_widen_16_low(high)), x_store((uint8_t *)(dst + 12), x_widen_16_high(high));
}

static void utf8_measure(const uint8_t *src, size_t size, size_t *chars, uint8_t *widest) {
    V most = v_zero();
    size_t count = 0;
    while (size >= V_SIZE) {
        V leads = v_zero();
        for (int i = 0; i < 255 && size >= V_SIZE; i++, src += V_SIZE, size -= V_SIZE) {
            V now = v_load(src);
            leads = v_count_leads(leads, now);
            most = v_max_8(most, now);
        }
        count += v_sum_8(leads);
    }
    uint8_t greatest = v_greatest_8(most);
    for (size_t i = 0; i < size; i++) {
        count += (src[i] & 0xc0) != 0x80;
        greatest = src[i] > greatest ? src[i] : greatest;
    }
    *chars = count, *widest = greatest;
}

/* A text is decoded by the way that fits its next bytes: ASCII, characters of one size, characters of one or two bytes, or
 * anything. The last way needs valid text, so the first time all that is left is scanned; the others check as they go. */
struct text {
    const uint8_t *src;
    size_t size;
    int scanned;
};

WSCORE_INLINE int ready_for_windows(struct text *text) {
    return text->scanned = text->scanned || utf8_scan(text->src, text->size) == text->size;
}

WSCORE_INLINE void advance(struct text *text, size_t size) { text->src += size, text->size -= size; }

#define ROOM 16 /* characters that one step may write */

/* Decodes windows from 64 readable bytes. The bits of all 64 are found first, so that from one window to the next there is
 * only a table and a shift. */
#define WINDOWS(name, type, decode)                                                                                    \
    WSCORE_INLINE size_t name(type **out, type *end, const uint8_t *src) {                                             \
        type *dst = *out;                                                                                              \
        uint64_t ends = ends_of_characters(src);                                                                       \
        size_t at = 0;                                                                                                 \
        while (at <= BLOCK - 16 && end - dst >= ROOM) {                                                                \
            struct window next = wscore_windows[ends & 0xfff];                                                         \
            dst += decode(dst, x_load(src + at), next.spread);                                                         \
            at += next.size, ends >>= next.size;                                                                       \
        }                                                                                                              \
        *out = dst;                                                                                                    \
        return at;                                                                                                     \
    }

WINDOWS(windows_to_ucs2, uint16_t, window_to_ucs2)
WINDOWS(windows_to_ucs4, uint32_t, window_to_ucs4)

/* Characters of one or two bytes. Each byte that is not a lead byte becomes a character, together with the one before it if that is
 * a lead byte; then the lanes of the lead bytes are dropped. So nothing depends on where the last step ended. */
WSCORE_INLINE int pairs_to_ucs2(struct text *text, uint16_t **out, uint16_t *end) {
    X last = x_zero(), wrong = x_zero();
    const uint8_t *src = text->src, *stop = src + text->size - 16;
    uint16_t *dst = *out;
    for (; src <= stop && end - dst >= ROOM; src += 16) {
        X now = x_load(src);
        if (!x_is_zero(x_subtract_saturating(now, x_splat_8(0xdf)))) break;
        X before = x_before_1(now, last), continues = x_continuations(now);
        unsigned leads = x_mask_leads(now);
        wrong = x_or(wrong, x_xor(continues, x_leads(before)));
        wrong = x_or(wrong, x_equal_8(x_and(now, x_splat_8(0xfe)), x_splat_8(0xc0)));
        X low = x_and(now, x_splat_8(0x7f)), high = x_and(x_and(before, x_splat_8(0x1f)), continues);
        x_store((uint8_t *)dst, x_shuffle(x_join_low(low, high), x_load(wscore_drop_16[leads & 0xff])));
        dst += wscore_kept[leads & 0xff];
        x_store((uint8_t *)dst, x_shuffle(x_join_high(low, high), x_load(wscore_drop_16[leads >> 8])));
        dst += wscore_kept[leads >> 8];
        last = now;
    }
    /* A lead byte at the end of the last step is for the next. */
    if (src > text->src && src[-1] >= 0xc0) src--;
    advance(text, (size_t)(src - text->src));
    *out = dst;
    return x_is_zero(wrong);
}

#define TRIPLE_MASK 0xf0, 0xc0, 0xc0
#define TRIPLE_SHAPE 0xe0, 0x80, 0x80
static const uint8_t triple_masks[] = {TRIPLE_MASK, TRIPLE_MASK, TRIPLE_MASK, TRIPLE_MASK, TRIPLE_MASK, TRIPLE_MASK};
static const uint8_t triple_shapes[] = {TRIPLE_SHAPE, TRIPLE_SHAPE, TRIPLE_SHAPE,
                                        TRIPLE_SHAPE, TRIPLE_SHAPE, TRIPLE_SHAPE};
static const uint8_t triple_spread[16] = {2, 1, 0, 0xff, 5, 4, 3, 0xff, 8, 7, 6, 0xff, 11, 10, 9, 0xff};
static const uint8_t triple_spread_8[16] = {6, 5, 4, 0xff, 9, 8, 7, 0xff, 12, 11, 10, 0xff, 15, 14, 13, 0xff};

/* Eight characters of three bytes each, in 24 bytes; 0 if there is something else, -1 if they are wrong. */
WSCORE_INLINE int triples_to_ucs2(uint16_t *dst, const uint8_t *src) {
    X a = x_load(src), b = x_load(src + 8);
    X shape_a = x_and(a, x_load(triple_masks)), shape_b = x_and(b, x_load(triple_masks + 2));
    X same = x_and(x_equal_8(shape_a, x_load(triple_shapes)), x_equal_8(shape_b, x_load(triple_shapes + 2)));
    if (x_mask(same) != 0xffff) return 0;
    X first = x_narrow_32(join_four(x_shuffle(a, x_load(triple_spread))));
    X second = x_narrow_32(join_four(x_shuffle(b, x_load(triple_spread_8))));
    X eight = x_join_8(first, second), top = x_and(eight, x_splat_16(0xf800));
    x_store((uint8_t *)dst, eight);
    return x_is_zero(x_or(x_equal_16(top, x_zero()), x_equal_16(top, x_splat_16(0xd800)))) ? 1 : -1;
}

static const uint8_t quad_spread[16] = {3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12};

/* Four characters of four bytes each, in 16 bytes; 0 if there is something else, -1 if they are wrong. */
WSCORE_INLINE int quads_to_ucs4(uint32_t *dst, X now) {
    if (x_mask(x_equal_32(x_and(now, x_splat_32(0xc0c0c0f8)), x_splat_32(0x808080f0))) != 0xffff) return 0;
    X four = join_three(x_shuffle(now, x_load(quad_spread)));
    X right = x_and_not(x_greater_32(four, x_splat_32(0x10ffff)), x_greater_32(four, x_splat_32(0xffff)));
    x_store((uint8_t *)dst, four);
    return x_mask(right) == 0xffff ? 1 : -1;
}

static int utf8_to_ucs2(uint16_t *dst, size_t chars, const uint8_t *src, size_t size) {
    struct text text = {src, size, 0};
    uint16_t *end = dst + chars;
    while (text.size >= 24 && end - dst >= 8) {
        X now = x_load(text.src);
        int triples = triples_to_ucs2(dst, text.src);
        if (triples) {
            if (triples < 0) return 0;
            advance(&text, 24), dst += 8;
        } else if (end - dst < ROOM) {
            break;
        } else if (x_is_ascii(now)) {
            ascii_to_ucs2(dst, now);
            advance(&text, 16), dst += 16;
        } else if (x_is_zero(x_subtract_saturating(now, x_splat_8(0xdf)))) {
            if (!pairs_to_ucs2(&text, &dst, end)) return 0;
        } else if (text.size < BLOCK) {
            break;
        } else {
            if (!ready_for_windows(&text)) return 0;
            advance(&text, windows_to_ucs2(&dst, end, text.src));
        }
    }
    return decode_rest_ucs2(dst, end, text.src, text.size);
}

static int utf8_to_ucs4(uint32_t *dst, size_t chars, const uint8_t *src, size_t size) {
    struct text text = {src, size, 0};
    uint32_t *end = dst + chars;
    while (text.size >= 16 && end - dst >= 4) {
        X now = x_load(text.src);
        int quads = quads_to_ucs4(dst, now);
        if (quads) {
            if (quads < 0) return 0;
            advance(&text, 16), dst += 4;
        } else if (end - dst < ROOM) {
            break;
        } else if (x_is_ascii(now)) {
            ascii_to_ucs4(dst, now);
            advance(&text, 16), dst += 16;
        } else if (text.size < BLOCK) {
            break;
        } else {
            if (!ready_for_windows(&text)) return 0;
            advance(&text, windows_to_ucs4(&dst, end, text.src));
        }
    }
    return decode_rest_ucs4(dst, end, text.src, text.size);
}

/* Characters below 256 have two bytes at most: a lead byte c2 or c3, which is dropped, and one that is the character, but for the
 * 0x40 that c3 stands for. */
static int utf8_to_ucs1(uint8_t *dst, size_t chars, const uint8_t *src, size_t size) {
    uint8_t *end = dst + chars;
    const uint8_t *start = src;
    X last = x_zero(), wrong = x_zero();
    for (; size >= 16 && end - dst >= ROOM; src += 16, size -= 16) {
        X now = x_load(src), before = x_before_1(now, last);
        unsigned leads = x_mask_leads(now);
        X values = x_add_8(now, x_and(x_equal_8(before, x_splat_8(0xc3)), x_splat_8(0x40)));
        wrong = x_or(wrong, x_xor(x_continuations(now), x_leads(before)));
        wrong = x_or(wrong, x_equal_8(x_and(now, x_splat_8(0xfe)), x_splat_8(0xc0)));
        last = now;
        x_store_8(dst, x_shuffle(values, x_load_8(wscore_drop[leads & 0xff])));
        dst += wscore_kept[leads & 0xff];
        x_store_8(dst, x_shuffle(x_high_8(values), x_load_8(wscore_drop[leads >> 8])));
        dst += wscore_kept[leads >> 8];
    }
    /* A lead byte at the end of the last step is for the rest. */
    if (src > start && src[-1] >= 0xc0) src--, size++;
    return x_is_zero(wrong) && decode_rest_ucs1(dst, end, src, size);
}

#include "encode.h"
