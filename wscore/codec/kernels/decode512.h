/* UTF-8 to characters 64 bytes at a time, with AVX-512; a part of avx512.c.
 *
 * For each byte that ends a character, what the character is is put together from it and the three before it, where it stands, in
 * planes of a byte each: bits 0 to 7, 8 to 15, 16 to 20. Then the planes are compressed, which leaves the bytes of those that
 * end one, and interleaved. What is wrong shows in the masks of bytes of each kind, and in the planes. */

/* Which bytes are not ASCII, and which begin a character of two, three or four bytes. */
struct kinds {
    uint64_t high, twos, threes, fours;
};

/* `widest` is how many bytes a character has at most: 3 or 4. */
WSCORE_INLINE struct kinds kinds_of(W now, int widest) {
    uint64_t leads = _mm512_cmpge_epu8_mask(now, w_splat_8(0xc0)), threes = _mm512_cmpge_epu8_mask(now, w_splat_8(0xe0));
    uint64_t fours = widest == 4 ? _mm512_cmpge_epu8_mask(now, w_splat_8(0xf0)) : 0;
    struct kinds kinds = {_mm512_movepi8_mask(now), leads & ~threes, threes & ~fours, fours};
    return kinds;
}

/* A text, up to the end of a block. */
struct decoded {
    W last;
    struct kinds kinds;
    uint64_t wrong; /* not 0 if something is */
};

/* Whether it ends within a character. */
WSCORE_INLINE int is_cut(const struct decoded *text) {
    uint64_t fours = text->kinds.fours, threes = text->kinds.threes | fours, twos = text->kinds.twos | threes;
    return (twos >> 63 | threes >> 62 | fours >> 61) != 0;
}

/* The bytes `n` behind those whose bits are in `now`, or were in `last`. */
WSCORE_INLINE uint64_t bits_behind(uint64_t now, uint64_t last, int n) { return now << n | last >> (64 - n); }

/* The bytes that end a character of two, three or four bytes. */
WSCORE_INLINE struct kinds ends_of(const struct kinds *now, const struct kinds *last) {
    struct kinds ends = {0, bits_behind(now->twos, last->twos, 1), bits_behind(now->threes, last->threes, 2),
                         bits_behind(now->fours, last->fours, 3)};
    return ends;
}

/* The bytes that have to continue a character. */
WSCORE_INLINE uint64_t continuations(const struct kinds *now, const struct kinds *last, const struct kinds *ends) {
    return ends->twos | ends->threes | ends->fours | bits_behind(now->fours, last->fours, 2) |
           bits_behind(now->threes | now->fours, last->threes | last->fours, 1);
}

struct planes {
    W low, middle, high;
    uint64_t ends;
};

/* Bits 16 to 20, which only characters of four bytes have, from their first and second byte. */
WSCORE_INLINE W high_plane(W first, W second, uint64_t ends) {
    W bits = w_select(w_splat_8(0x03), _mm512_srli_epi16(second, 4), w_and(_mm512_slli_epi16(first, 2), w_splat_8(0x1c)));
    return _mm512_maskz_mov_epi8(ends, bits);
}

/* What two bytes could hold, and surrogates. */
WSCORE_INLINE uint64_t wrong_threes(W middle, uint64_t ends) {
    W top = w_and(middle, w_splat_8(0xf8));
    return ends & (_mm512_testn_epi8_mask(top, top) | _mm512_cmpeq_epi8_mask(top, w_splat_8(0xd8)));
}

/* What three bytes could hold, and what is above U+10FFFF: the high plane is not from 1 to 16, or a lead byte too great. */
WSCORE_INLINE uint64_t wrong_fours(W now, W high, uint64_t ends) {
    return _mm512_mask_cmpge_epu8_mask(ends, _mm512_add_epi8(high, w_splat_8(-1)), w_splat_8(16)) |
           _mm512_cmpgt_epu8_mask(now, w_splat_8(0xf4));
}

/* The next block, in which bytes that are 0 are ASCII. */
WSCORE_INLINE struct planes next_planes(struct decoded *text, W now, int widest) {
    struct kinds kinds = kinds_of(now, widest), ends = ends_of(&kinds, &text->kinds);
    uint64_t continued = continuations(&kinds, &text->kinds, &ends);
    W before = _mm512_alignr_epi32(now, text->last, 12);
    W one = _mm512_maskz_alignr_epi8(continued, now, before, 15);
    W two = _mm512_maskz_alignr_epi8(ends.threes | ends.fours, now, before, 14);
    struct planes planes = {w_or(w_and(now, w_splat_8(0x7f)), w_and(_mm512_slli_epi16(one, 6), w_splat_8(0xc0))),
                            w_select(w_splat_8(0x0f), _mm512_srli_epi16(one, 2), _mm512_slli_epi16(two, 4)), w_zero(),
                            ~kinds.high | ends.twos | ends.threes | ends.fours};
    text->wrong |= continued ^ (kinds.high & ~(kinds.twos | kinds.threes | kinds.fours));
    text->wrong |= _mm512_mask_cmplt_epu8_mask(kinds.twos, now, w_splat_8(0xc2)) | wrong_threes(planes.middle, ends.threes);
    if (widest == 4) {
        planes.high = high_plane(_mm512_alignr_epi8(now, before, 13), two, ends.fours);
        text->wrong |= wrong_fours(now, planes.high, ends.fours);
    }
    text->last = now, text->kinds = kinds;
    return planes;
}

#define EIGHT_OF(what, i) what(i), what(i + 1), what(i + 2), what(i + 3), what(i + 4), what(i + 5), what(i + 6), what(i + 7)
/* Two planes in turn: 0 to 63 are the bytes of the first, those from 64 on of the second. */
#define PAIR(i) i, 64 + i
static const uint8_t pairs[2][64] = {
    {EIGHT_OF(PAIR, 0), EIGHT_OF(PAIR, 8), EIGHT_OF(PAIR, 16), EIGHT_OF(PAIR, 24)},
    {EIGHT_OF(PAIR, 32), EIGHT_OF(PAIR, 40), EIGHT_OF(PAIR, 48), EIGHT_OF(PAIR, 56)},
};

/* For each character its bytes in two planes, and in the third one. */
#define QUADRUPLE(i) i, 64 + i, i, 0
static const uint8_t quadruples[64] = {EIGHT_OF(QUADRUPLE, 0), EIGHT_OF(QUADRUPLE, 8)};

WSCORE_INLINE void store_ucs2(uint16_t *dst, size_t count, struct planes planes) {
    for (size_t at = 0; at < count; at += 32) {
        W lanes = _mm512_permutex2var_epi8(planes.low, w_load(pairs[at / 32]), planes.middle);
        _mm512_mask_storeu_epi16(dst + at, (uint32_t)w_first(count - at), lanes);
    }
}

WSCORE_INLINE void store_ucs4(uint32_t *dst, size_t count, struct planes planes) {
    for (size_t at = 0; at < count; at += 16) {
        W order = _mm512_add_epi8(w_load(quadruples), w_splat_8((int)at));
        W lanes = _mm512_maskz_permutex2var_epi8(0x3333333333333333, planes.low, order, planes.middle);
        lanes = _mm512_mask_permutexvar_epi8(lanes, 0x4444444444444444, order, planes.high);
        _mm512_mask_storeu_epi32(dst + at, (uint16_t)w_first(count - at), lanes);
    }
}

/* 64 characters of ASCII. */
WSCORE_INLINE void store_ascii_ucs2(uint16_t *dst, W now) {
    w_store(dst, _mm512_cvtepu8_epi16(_mm512_castsi512_si256(now)));
    w_store(dst + 32, _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(now, 1)));
}

WSCORE_INLINE void store_ascii_ucs4(uint32_t *dst, W now) {
    for (int i = 0; i < 4; i++) w_store(dst + 16 * i, _mm512_cvtepu8_epi32(w_quarter(now, i)));
}

/* Three bytes each: where the two that continue a character are, the last one first, and its lead byte, from 96 bytes. */
#define TRAILS(i) 3 * (i) + 2, 3 * (i) + 1
#define LEAD(i) 3 * (i), 3 * (i)
static const uint8_t trails_of_triples[64] = {EIGHT_OF(TRAILS, 0), EIGHT_OF(TRAILS, 8), EIGHT_OF(TRAILS, 16), EIGHT_OF(TRAILS, 24)};
static const uint8_t leads_of_triples[64] = {EIGHT_OF(LEAD, 0), EIGHT_OF(LEAD, 8), EIGHT_OF(LEAD, 16), EIGHT_OF(LEAD, 24)};

/* As long as the next 96 bytes are 32 characters of three bytes each, all of them right; returns how many characters there are. */
WSCORE_INLINE size_t triples_to_ucs2(uint16_t *dst, size_t chars, const uint8_t *src, size_t size) {
    size_t done = 0;
    for (; chars - done >= 32 && size - 3 * done >= 96; done += 32) {
        W a = w_load(src + 3 * done), b = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(src + 3 * done + 64)));
        W trails = _mm512_permutex2var_epi8(a, w_load(trails_of_triples), b);
        W leads = _mm512_permutex2var_epi8(a, w_load(leads_of_triples), b);
        uint64_t shape = _mm512_cmpeq_epi8_mask(w_and(trails, w_splat_8(0xc0)), w_splat_8(0x80)) &
                         _mm512_cmpeq_epi8_mask(w_and(leads, w_splat_8(0xf0)), w_splat_8(0xe0));
        W lanes = w_or(_mm512_maddubs_epi16(w_and(trails, w_splat_8(0x3f)), w_splat_16(0x4001)), _mm512_slli_epi16(leads, 12));
        W top = w_and(lanes, w_splat_16(0xf800));
        uint32_t wrong = _mm512_testn_epi16_mask(top, top) | _mm512_cmpeq_epi16_mask(top, w_splat_16(0xd800));
        if (~shape || wrong) break;
        w_store(dst + done, lanes);
    }
    return done;
}

/* A character of four bytes makes it unlikely that the others have three. */
WSCORE_INLINE size_t triples_to_ucs4(uint32_t *dst, size_t chars, const uint8_t *src, size_t size) {
    return (void)dst, (void)chars, (void)src, (void)size, 0;
}

/* The next block becomes characters, as many as are returned; SIZE_MAX if there are more than `chars`. */
#define DECODE_BLOCK(name, type, widest, store)                                                                        \
    WSCORE_INLINE size_t name(type *dst, size_t chars, struct decoded *text, W now, size_t size) {                     \
        struct planes planes = next_planes(text, now, widest);                                                         \
        uint64_t ends = planes.ends & w_first(size);                                                                   \
        size_t count = w_count(ends);                                                                                  \
        if (count > chars) return SIZE_MAX;                                                                            \
        planes.low = _mm512_maskz_compress_epi8(ends, planes.low);                                                     \
        planes.middle = _mm512_maskz_compress_epi8(ends, planes.middle);                                               \
        if (widest == 4) planes.high = _mm512_maskz_compress_epi8(ends, planes.high);                                  \
        store(dst, count, planes);                                                                                     \
        return count;                                                                                                  \
    }

DECODE_BLOCK(block_to_ucs2, uint16_t, 3, store_ucs2)
DECODE_BLOCK(block_to_ucs4, uint32_t, 4, store_ucs4)

#define DECODER(name, type, triples, block, store_ascii)                                                               \
    static int name(type *dst, size_t chars, const uint8_t *src, size_t size) {                                        \
        struct decoded text = {w_zero(), {0, 0, 0, 0}, 0};                                                             \
        while (size) {                                                                                                 \
            size_t step = size < 64 ? size : 64, count = 64;                                                           \
            int cut = is_cut(&text);                                                                                   \
            W now = w_load_part(src, step);                                                                            \
            if (!cut && step == 64 && chars >= 64 && !_mm512_movepi8_mask(now))                                        \
                store_ascii(dst, now);                                                                                 \
            else if (!cut && *src >= 0xe0 && (count = triples(dst, chars, src, size)) != 0)                            \
                step = 3 * count;                                                                                      \
            else if ((count = block(dst, chars, &text, now, step)) == SIZE_MAX)                                        \
                return 0;                                                                                              \
            dst += count, chars -= count, src += step, size -= step;                                                   \
        }                                                                                                              \
        return !chars && !text.wrong && !is_cut(&text);                                                                \
    }

DECODER(utf8_to_ucs2, uint16_t, triples_to_ucs2, block_to_ucs2, store_ascii_ucs2)
DECODER(utf8_to_ucs4, uint32_t, triples_to_ucs4, block_to_ucs4, store_ascii_ucs4)

/* Characters below 256 have two bytes at most: a lead byte c2 or c3, which is dropped, and one that is the character, but for the
 * 0x40 that c3 stands for. */
static int utf8_to_ucs1(uint8_t *dst, size_t chars, const uint8_t *src, size_t size) {
    uint64_t last = 0, last_c3 = 0, wrong = 0;
    while (size) {
        size_t step = size < 64 ? size : 64;
        W now = w_load_part(src, step);
        uint64_t leads = _mm512_cmpge_epu8_mask(now, w_splat_8(0xc0)), c3 = _mm512_cmpeq_epi8_mask(now, w_splat_8(0xc3));
        uint64_t kept = ~leads & w_first(step);
        size_t count = w_count(kept);
        if (count > chars) return 0;
        wrong |= bits_behind(leads, last, 1) ^ (_mm512_movepi8_mask(now) & ~leads);
        wrong |= _mm512_mask_cmplt_epu8_mask(leads, now, w_splat_8(0xc2));
        W values = _mm512_mask_add_epi8(now, bits_behind(c3, last_c3, 1), now, w_splat_8(0x40));
        _mm512_mask_storeu_epi8(dst, w_first(count), _mm512_maskz_compress_epi8(kept, values));
        last = leads, last_c3 = c3;
        dst += count, chars -= count, src += step, size -= step;
    }
    return !chars && !wrong && !(last >> 63);
}
