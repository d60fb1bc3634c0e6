/* Validation of UTF-8 with AVX-512, 64 bytes at a time; a part of avx512.c.
 *
 * The bytes before each byte are loaded from where they are: to bring them there from the vectors on both sides would keep the one
 * unit busy that does the lookups, too. */
#include "utf8_errors.h"

enum { BLOCK = 64, BLOCKS = 4 };

/* The table is looked up with four bits of each index, whatever the others are. */
WSCORE_INLINE W w_lookup(const uint8_t *table, W indices) {
    return _mm512_permutexvar_epi8(indices, _mm512_broadcast_i32x4(x_load(table)));
}

/* Not 0 where something is wrong with `now`, or with what the one, two or three bytes before each byte have begun. */
WSCORE_INLINE W errors_in(W now, W before, W two_before, W three_before) {
    W high = w_lookup(first_high, _mm512_srli_epi16(before, 4)), low = w_lookup(first_low, before);
    W second = w_lookup(second_high, _mm512_srli_epi16(now, 4));
    W pairs = _mm512_ternarylogic_epi32(high, low, second, 0x80);
    /* The third and fourth byte of a character have to be the second of two continuations, and no other byte may. */
    W third = _mm512_subs_epu8(two_before, w_splat_8(0xe0 - 0x80));
    W fourth = _mm512_subs_epu8(three_before, w_splat_8(0xf0 - 0x80));
    return w_xor(w_and(w_or(third, fourth), w_splat_8(0x80)), pairs);
}

/* Of bytes within the text, of which there are three before them. */
WSCORE_INLINE W errors_at(const uint8_t *src) {
    return errors_in(w_load(src), w_load(src - 1), w_load(src - 2), w_load(src - 3));
}

WSCORE_INLINE int is_zero(W w) { return !_mm512_test_epi8_mask(w, w); }
WSCORE_INLINE int is_ascii(W w) { return !_mm512_movepi8_mask(w); }

/* Whether up to 64 bytes that begin a text are right. Zeros behind them show whether they are cut short; 64 bytes have none. */
WSCORE_INLINE int is_right_start(W now) {
    W lanes = _mm512_alignr_epi64(now, w_zero(), 6);
    if (is_ascii(now)) return 1;
    return is_zero(errors_in(now, _mm512_alignr_epi8(now, lanes, 15), _mm512_alignr_epi8(now, lanes, 14),
                             _mm512_alignr_epi8(now, lanes, 13)));
}

/* Whether up to 64 bytes that end one are. */
WSCORE_INLINE int is_right_end(const uint8_t *src, size_t size) {
    W now = w_load_part(src, size), three_before = w_load_part(src - 3, size + 3);
    if (is_ascii(w_or(now, three_before))) return 1;
    return is_zero(errors_in(now, w_load_part(src - 1, size + 1), w_load_part(src - 2, size + 2), three_before));
}

/* Takes blocks, several at a time, as long as nothing is wrong; returns where that ends. */
WSCORE_INLINE size_t scan_blocks(const uint8_t *src, size_t at, size_t size) {
    for (; at + BLOCKS * BLOCK <= size; at += BLOCKS * BLOCK) {
        const uint8_t *now = src + at;
        W first = w_or(w_load(now), w_load(now + BLOCK)), rest = w_or(w_load(now + 2 * BLOCK), w_load(now + 3 * BLOCK));
        if (is_ascii(w_or(w_or(first, rest), w_load(now - 3)))) continue;
        first = w_or(errors_at(now), errors_at(now + BLOCK));
        rest = w_or(errors_at(now + 2 * BLOCK), errors_at(now + 3 * BLOCK));
        if (!is_zero(w_or(first, rest))) break;
    }
    while (at + BLOCK <= size && is_zero(errors_at(src + at))) at += BLOCK;
    return at;
}

/* Where to go on behind the first block: in a long text where a cache line begins, since to load parts of two takes twice as long. */
WSCORE_INLINE size_t second_block(const uint8_t *src, size_t size) {
    size_t line = BLOCK - ((uintptr_t)src & (BLOCK - 1));
    return size < 8 * BLOCK || line < 3 ? BLOCK : line;
}

static size_t utf8_scan(const uint8_t *src, size_t size) {
    size -= wscore_utf8_incomplete(src, size);
    if (!is_right_start(w_load_part(src, size))) return 0;
    if (size < BLOCK) return size;
    size_t at = scan_blocks(src, second_block(src, size), size);
    if (at + BLOCK > size && at < size && is_right_end(src + at, size - at)) return size;
    /* What is wrong may be in the character that lies across the end of the last good block, which nothing in it shows. */
    return at - wscore_utf8_incomplete(src, at);
}
