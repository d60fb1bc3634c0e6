/* Characters to UTF-8 with AVX-512, 16 or 32 at a time; a part of avx512.c.
 *
 * Each character is spread over a lane that is as wide as its longest form. Bytes that it does not need are then 0, which none
 * that it needs is but U+0000, and are squeezed out. */

/* Writes the bytes of `lanes` that are set in `used`, or not 0. */
WSCORE_INLINE size_t store_used(uint8_t *dst, W lanes, uint64_t used) {
    used |= _mm512_test_epi8_mask(lanes, lanes);
    w_store(dst, _mm512_maskz_compress_epi8(used, lanes));
    return w_count(used);
}

/* 32 characters below 0x800, in lanes of 2; those that are wanted have a bit. */
WSCORE_INLINE size_t store_two_bytes(uint8_t *dst, W chars, uint32_t wanted) {
    uint32_t wide = _mm512_cmpgt_epu16_mask(chars, w_splat_16(0x7f));
    W trails = w_and(_mm512_slli_epi16(chars, 8), w_splat_16(0x3f00));
    W both = w_or(w_or(trails, _mm512_srli_epi16(chars, 6)), w_splat_16(0x80c0));
    return store_used(dst, _mm512_mask_mov_epi16(chars, wide, both), _pdep_u64(wanted, 0x5555555555555555u));
}

/* Where the four bytes of a character of any width have their six bits from, the last one first in memory. */
static const uint8_t fields[8] = {18, 12, 6, 0, 50, 44, 38, 32};

/* 16 characters in lanes of 4; those that are wanted have a bit. */
WSCORE_INLINE size_t store_any_bytes(uint8_t *dst, W chars, uint32_t wanted) {
    uint64_t order;
    memcpy(&order, fields, 8);
    W marks = _mm512_mask_mov_epi32(w_splat_32(0x80c00000), _mm512_cmpgt_epu32_mask(chars, w_splat_32(0x7ff)),
                                    w_splat_32(0x8080e000));
    marks = _mm512_mask_mov_epi32(marks, _mm512_cmpgt_epu32_mask(chars, w_splat_32(0xffff)), w_splat_32(0x808080f0));
    W spread = _mm512_multishift_epi64_epi8(_mm512_set1_epi64((long long)order), chars);
    W lanes = w_or(w_and(spread, w_splat_8(0x3f)), marks);
    lanes = _mm512_mask_slli_epi32(lanes, _mm512_cmplt_epu32_mask(chars, w_splat_32(0x80)), chars, 24);
    return store_used(dst, lanes, _pdep_u64(wanted, 0x8888888888888888u));
}

static size_t utf8_size_ucs1(const uint8_t *src, size_t chars) {
    size_t size = chars;
    for (size_t left = chars; left;) {
        size_t step = left < 64 ? left : 64;
        size += w_count(_mm512_movepi8_mask(w_load_part(src, step)));
        src += step, left -= step;
    }
    return size;
}

static size_t utf8_size_ucs2(const uint16_t *src, size_t chars) {
    size_t size = chars;
    uint32_t surrogates = 0;
    for (size_t left = chars; left;) {
        size_t step = left < 32 ? left : 32;
        W now = w_load_part(src, 2 * step);
        surrogates |= _mm512_cmpeq_epi16_mask(w_and(now, w_splat_16(0xf800)), w_splat_16(0xd800));
        size += w_count(w_bits(_mm512_cmpgt_epu16_mask(now, w_splat_16(0x7f))));
        size += w_count(w_bits(_mm512_cmpgt_epu16_mask(now, w_splat_16(0x7ff))));
        src += step, left -= step;
    }
    return surrogates ? SIZE_MAX : size;
}

/* Up to 64 characters of four bytes, zeros behind them. */
struct block {
    W a, b, c, d;
};

WSCORE_INLINE struct block load_block(const uint32_t *src) {
    struct block now = {w_load(src), w_load(src + 16), w_load(src + 32), w_load(src + 48)};
    return now;
}

WSCORE_INLINE struct block load_part_of_block(const uint32_t *src, size_t chars) {
    uint64_t wanted = w_first(chars);
    struct block now = {
        _mm512_maskz_loadu_epi32((__mmask16)wanted, src),
        _mm512_maskz_loadu_epi32((__mmask16)(wanted >> 16), src + 16),
        _mm512_maskz_loadu_epi32((__mmask16)(wanted >> 32), src + 32),
        _mm512_maskz_loadu_epi32((__mmask16)(wanted >> 48), src + 48),
    };
    return now;
}

WSCORE_INLINE int is_ascii_block(struct block now) {
    return !_mm512_test_epi32_mask(w_or(w_or(now.a, now.b), w_or(now.c, now.d)), w_splat_32(0xffffff80));
}

/* 64 characters of ASCII. To narrow each quarter by itself would take twice as long. */
WSCORE_INLINE void store_ascii_block(uint8_t *dst, struct block now) {
    W order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    W mixed = _mm512_packus_epi16(_mm512_packs_epi32(now.a, now.b), _mm512_packs_epi32(now.c, now.d));
    w_store(dst, _mm512_permutexvar_epi32(order, mixed));
}

/* What 16 characters need beyond a byte each. */
WSCORE_INLINE size_t needed_by_sixteen(W now, uint32_t *surrogates) {
    *surrogates |= w_bits(_mm512_cmpeq_epi32_mask(w_and(now, w_splat_32(0xfffff800)), w_splat_32(0xd800)));
    return w_count(w_bits(_mm512_cmpgt_epu32_mask(now, w_splat_32(0x7f)))) +
           w_count(w_bits(_mm512_cmpgt_epu32_mask(now, w_splat_32(0x7ff)))) +
           w_count(w_bits(_mm512_cmpgt_epu32_mask(now, w_splat_32(0xffff))));
}

/* What a block needs beyond a byte for each of its characters. */
WSCORE_INLINE size_t needed_by_block(struct block now, uint32_t *surrogates) {
    if (is_ascii_block(now)) return 0;
    return needed_by_sixteen(now.a, surrogates) + needed_by_sixteen(now.b, surrogates) +
           needed_by_sixteen(now.c, surrogates) + needed_by_sixteen(now.d, surrogates);
}

/* The processor looks ahead by itself, but no further than its page of 4 KiB. Where the text ends, this does no harm. */
WSCORE_INLINE void look_ahead(const uint32_t *src) {
    for (uintptr_t i = 0; i < 256; i += 64) _mm_prefetch((const char *)((uintptr_t)src + 8192 + i), _MM_HINT_T0);
}

static size_t utf8_size_ucs4(const uint32_t *src, size_t chars) {
    size_t size = chars;
    uint32_t surrogates = 0;
    for (; chars >= 64; src += 64, chars -= 64) {
        look_ahead(src);
        size += needed_by_block(load_block(src), &surrogates);
    }
    if (chars <= 16) size += needed_by_sixteen(w_load_part(src, 4 * chars), &surrogates);
    else size += needed_by_block(load_part_of_block(src, chars), &surrogates);
    return surrogates ? SIZE_MAX : size;
}

static size_t ucs1_to_utf8(uint8_t *dst, const uint8_t *src, size_t chars) {
    uint8_t *start = dst;
    while (chars) {
        size_t step = chars < 64 ? chars : 64;
        W now = w_load_part(src, step);
        if (step == 64 && !_mm512_movepi8_mask(now)) {
            w_store(dst, now), dst += 64;
        } else {
            uint64_t wanted = w_first(step);
            dst += store_two_bytes(dst, _mm512_cvtepu8_epi16(_mm512_castsi512_si256(now)), (uint32_t)wanted);
            if (step > 32)
                dst += store_two_bytes(dst, _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(now, 1)), (uint32_t)(wanted >> 32));
        }
        src += step, chars -= step;
    }
    return (size_t)(dst - start);
}

static size_t ucs2_to_utf8(uint8_t *dst, const uint16_t *src, size_t chars) {
    uint8_t *start = dst;
    while (chars) {
        size_t step = chars < 32 ? chars : 32;
        uint32_t wanted = (uint32_t)w_first(step);
        W now = w_load_part(src, 2 * step);
        if (!_mm512_test_epi16_mask(now, w_splat_16(0xff80))) {
            _mm256_storeu_si256((__m256i *)dst, _mm512_cvtepi16_epi8(now)), dst += step;
        } else if (!_mm512_test_epi16_mask(now, w_splat_16(0xf800))) {
            dst += store_two_bytes(dst, now, wanted);
        } else {
            dst += store_any_bytes(dst, _mm512_cvtepu16_epi32(_mm512_castsi512_si256(now)), wanted & 0xffff);
            if (step > 16)
                dst += store_any_bytes(dst, _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(now, 1)), wanted >> 16);
        }
        src += step, chars -= step;
    }
    return (size_t)(dst - start);
}

/* 16 characters; those that are wanted have a bit. */
WSCORE_INLINE size_t store_sixteen(uint8_t *dst, W now, uint32_t wanted) {
    if (_mm512_test_epi32_mask(now, w_splat_32(0xffffff80))) return store_any_bytes(dst, now, wanted);
    x_store(dst, _mm512_cvtepi32_epi8(now));
    return w_count(wanted);
}

static size_t ucs4_to_utf8(uint8_t *dst, const uint32_t *src, size_t chars) {
    uint8_t *start = dst;
    for (; chars >= 64; src += 64, chars -= 64) {
        struct block now = load_block(src);
        if (is_ascii_block(now)) {
            store_ascii_block(dst, now), dst += 64;
        } else {
            dst += store_sixteen(dst, now.a, 0xffff);
            dst += store_sixteen(dst, now.b, 0xffff);
            dst += store_sixteen(dst, now.c, 0xffff);
            dst += store_sixteen(dst, now.d, 0xffff);
        }
    }
    for (; chars >= 16; src += 16, chars -= 16) dst += store_sixteen(dst, w_load(src), 0xffff);
    if (chars) dst += store_sixteen(dst, w_load_part(src, 4 * chars), (uint32_t)w_first(chars));
    return (size_t)(dst - start);
}
