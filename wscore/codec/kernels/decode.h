/* UTF-8 to characters, for all vector variants; a part of vector.h, which says what the including file defines. */

#define EIGHT(byte) byte, byte, byte, byte, byte, byte, byte, byte
static const uint8_t keep_last[64] = {EIGHT(0),    EIGHT(0),    EIGHT(0),    EIGHT(0),
                                      EIGHT(0xff), EIGHT(0xff), EIGHT(0xff), EIGHT(0xff)};

static void utf8_measure(const uint8_t *src, size_t size, size_t *chars, uint8_t *widest) {
    V most = v_zero();
    size_t count = 0, left = size;
    while (left >= V_SIZE) {
        V leads = v_zero();
        for (int i = 0; i < 255 && left >= V_SIZE; i++, src += V_SIZE, left -= V_SIZE) {
            V now = v_load(src);
            leads = v_count_leads(leads, now);
            most = v_max_8(most, now);
        }
        count += v_sum_8(leads);
    }
    if (left && size >= V_SIZE) {
        /* The last vector again, but for what was counted: that is 0, which counts as ASCII. */
        V now = v_load(src + left - V_SIZE);
        count += v_sum_8(v_count_leads(v_zero(), v_and(now, v_load(keep_last + 32 - V_SIZE + left)))) - (V_SIZE - left);
        most = v_max_8(most, now);
        left = 0;
    }
    uint8_t greatest = v_greatest_8(most);
    for (size_t i = 0; i < left; i++) {
        count += (src[i] & 0xc0) != 0x80;
        greatest = src[i] > greatest ? src[i] : greatest;
    }
    *chars = count, *widest = greatest;
}

/* A text is decoded by the way that fits its next bytes: ASCII, characters of three bytes, characters of one or two bytes, or
 * windows, which hold anything. All of them check what they decode. */
#define AHEAD 8 /* blocks of which windows know at a time where characters begin */

struct text {
    const uint8_t *src;
    size_t size;
    const uint8_t *blocks; /* where they begin, between characters */
    size_t known;          /* how many bytes they have */
    uint64_t starts[AHEAD + 1]; /* a bit for each of the bytes that begins a character */
};

/* What windows have found so far; not a part of `struct text`, so that it stays in registers. */
struct faults {
    X wrong, excess;
};

WSCORE_INLINE void advance(struct text *text, size_t size) { text->src += size, text->size -= size; }

WSCORE_INLINE int is_faultless(const struct faults *faults) {
    return x_is_zero(x_or(faults->wrong, x_and(faults->excess, x_splat_32(0xfff00000))));
}

#define ROOM 16 /* characters that one step may write */

WSCORE_INLINE void ascii_to_ucs2(uint16_t *dst, X bytes) {
    x_store((uint8_t *)dst, x_widen_8_low(bytes)), x_store((uint8_t *)(dst + 8), x_widen_8_high(bytes));
}

WSCORE_INLINE void ascii_to_ucs4(uint32_t *dst, X bytes) {
    X low = x_widen_8_low(bytes), high = x_widen_8_high(bytes);
    x_store((uint8_t *)dst, x_widen_16_low(low)), x_store((uint8_t *)(dst + 4), x_widen_16_high(low));
    x_store((uint8_t *)(dst + 8), x_widen_16_low(high)), x_store((uint8_t *)(dst + 12), x_widen_16_high(high));
}

/* As long as the next 16 bytes are ASCII. */
#define DECODE_ASCII(name, type, decode)                                                                               \
    WSCORE_INLINE void name(struct text *text, type **out, type *end) {                                                \
        const uint8_t *src = text->src, *stop = src + text->size - 16;                                                 \
        type *dst = *out;                                                                                              \
        for (; src <= stop && end - dst >= ROOM; src += 16, dst += 16) {                                               \
            X now = x_load(src);                                                                                       \
            if (!x_is_ascii(now)) break;                                                                               \
            decode(dst, now);                                                                                          \
        }                                                                                                              \
        advance(text, (size_t)(src - text->src));                                                                      \
        *out = dst;                                                                                                    \
    }

DECODE_ASCII(ascii_run_to_ucs2, uint16_t, ascii_to_ucs2)
DECODE_ASCII(ascii_run_to_ucs4, uint32_t, ascii_to_ucs4)

WSCORE_INLINE uint64_t starts_of_characters(const uint8_t *src) {
    uint64_t continuations = 0;
    for (int i = 0; i < 4; i++) continuations |= (uint64_t)x_mask_continuations(x_load(src + 16 * i)) << 16 * i;
    return ~continuations;
}

/* Needs 64 readable bytes. */
WSCORE_INLINE void look_ahead(struct text *text) {
    if (text->blocks && text->src + BLOCK <= text->blocks + text->known) return;
    text->blocks = text->src, text->known = 0;
    for (int i = 0; i < AHEAD && text->size - text->known >= BLOCK; i++, text->known += BLOCK)
        text->starts[i] = starts_of_characters(text->src + text->known);
    text->starts[text->known / BLOCK] = 0;
}

/* The bytes that end a character from `at` on, at least 48 of them: those before one that begins one. */
WSCORE_INLINE uint64_t ends_from(const struct text *text, size_t at) {
    return load_8((const uint8_t *)text->starts + ((at + 1) >> 3)) >> ((at + 1) & 7);
}

/* Up to four characters of 1 to 4 bytes, in lanes of 4. What is wrong with them is noted: a first byte that does not announce
 * as many as there are, a character that fewer bytes could hold or that is above U+10FFFF, a surrogate. */
WSCORE_INLINE X join_window(struct faults *faults, X bytes, const struct spread *spread) {
    X bits = x_xor(x_shuffle(bytes, x_load(spread->shuffle)), x_load(spread->marks));
    X four = x_join_16(x_join_8_by_6(bits));
    X surrogates = x_equal_32(x_and(four, x_splat_32(0xfffff800)), x_splat_32(0xd800));
    faults->wrong = x_or(faults->wrong, x_or(x_subtract_saturating(bits, x_load(spread->most)), surrogates));
    faults->excess = x_or(faults->excess, x_sub_32(four, x_load(spread->least)));
    return four;
}

WSCORE_INLINE void store_to_ucs2(uint16_t *dst, X four) { x_store_8((uint8_t *)dst, x_narrow_32(four)); }
WSCORE_INLINE void store_to_ucs4(uint32_t *dst, X four) { x_store((uint8_t *)dst, four); }

#define WINDOW 12 /* bytes that one takes at most */
#define WINDOWS 3 /* that are decoded at a time */

/* Decodes one window, at *dst from src[*at], whose bits are the first of `ends`. From one to the next there is only a table and a
 * shift, whatever the text is. */
#define DECODE_WINDOW(name, type, store)                                                                               \
    WSCORE_INLINE unsigned name(struct faults *faults, type **dst, const uint8_t *src, size_t *at, uint64_t ends) {    \
        unsigned spread = wscore_window_spreads[ends & 0xfff], size = wscore_window_sizes[ends & 0xfff];               \
        store(*dst, join_window(faults, x_load(src + *at), &wscore_spreads[spread]));                                  \
        *dst += spread < SPREAD_THREE ? 4 : 3;                                                                         \
        *at += size;                                                                                                   \
        return size;                                                                                                   \
    }

DECODE_WINDOW(window_to_ucs2, uint16_t, store_to_ucs2)
DECODE_WINDOW(window_to_ucs4, uint32_t, store_to_ucs4)

/* Decodes windows, at least one round of them, up to 16 characters of ASCII or the end of what is known. The bits for a round
 * are fetched while its first window is decoded with those that the last round has left. */
#define DECODE_WINDOWS(name, type, window)                                                                             \
    WSCORE_INLINE void name(struct text *text, struct faults *faults, type **out, type *end) {                         \
        struct faults found = *faults;                                                                                 \
        type *dst = *out;                                                                                              \
        const uint8_t *src = text->blocks;                                                                             \
        size_t at = (size_t)(text->src - src), start = at;                                                             \
        uint64_t ends = ends_from(text, at);                                                                           \
        do {                                                                                                           \
            uint64_t fresh = ends_from(text, at);                                                                      \
            ends = fresh >> window(&found, &dst, src, &at, ends);                                                      \
            for (int i = 1; i < WINDOWS; i++) ends >>= window(&found, &dst, src, &at, ends);                           \
        } while (at + WINDOWS * WINDOW + 16 <= text->known && end - dst >= ROOM && (ends & 0xffff) != 0xffff);         \
        advance(text, at - start);                                                                                     \
        *faults = found;                                                                                               \
        *out = dst;                                                                                                    \
    }

DECODE_WINDOWS(windows_to_ucs2, uint16_t, window_to_ucs2)
DECODE_WINDOWS(windows_to_ucs4, uint32_t, window_to_ucs4)

#define WORTH_WINDOWS 24 /* bytes; fewer are decoded one character at a time */

/* The rest of a text, fewer than 64 bytes unless it is wrong: windows with zeros behind them. */
#define DECODE_LAST(name, type, window, decode_rest)                                                                   \
    WSCORE_INLINE int name(struct text *text, struct faults *faults, type *dst, type *end) {                           \
        uint8_t padded[BLOCK + 16] = {0};                                                                              \
        size_t at = 0;                                                                                                 \
        if (text->size >= BLOCK) return 0;                                                                             \
        if (text->size >= WORTH_WINDOWS) {                                                                             \
            memcpy(padded, text->src, text->size);                                                                     \
            uint64_t ends = starts_of_characters(padded) >> 1;                                                         \
            while (at < text->size && end - dst >= 4) ends >>= window(faults, &dst, padded, &at, ends);                \
        }                                                                                                              \
        if (!is_faultless(faults) || at > text->size) return 0;                                                        \
        return decode_rest(dst, end, text->src + at, text->size - at);                                                 \
    }

DECODE_LAST(last_to_ucs2, uint16_t, window_to_ucs2, decode_rest_ucs2)
DECODE_LAST(last_to_ucs4, uint32_t, window_to_ucs4, decode_rest_ucs4)

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

/* Four characters of three bytes: first the two that continue, the last one first, in lanes of 2, then the lead bytes above 0s. */
static const uint8_t triples_at_0[16] = {2, 1, 5, 4, 8, 7, 11, 10, 0xff, 0, 0xff, 3, 0xff, 6, 0xff, 9};
static const uint8_t triples_at_4[16] = {6, 5, 9, 8, 12, 11, 15, 14, 0xff, 4, 0xff, 7, 0xff, 10, 0xff, 13};

/* As long as the next 24 bytes are eight characters of three bytes each. */
WSCORE_INLINE int triples_to_ucs2(struct text *text, uint16_t **out, uint16_t *end) {
    X wrong = x_zero();
    const uint8_t *src = text->src, *stop = src + text->size - 24;
    uint16_t *dst = *out;
    for (; src <= stop && end - dst >= 8; src += 24, dst += 8) {
        X a = x_shuffle(x_load(src), x_load(triples_at_0)), b = x_shuffle(x_load(src + 8), x_load(triples_at_4));
        X trails = x_join_8(a, b), leads = x_join_high_8(a, b);
        X shape = x_and(x_equal_8(x_and(trails, x_splat_8(0xc0)), x_splat_8(0x80)),
                        x_equal_16(x_and(leads, x_splat_16(0xf000)), x_splat_16(0xe000)));
        if (x_mask(shape) != 0xffff) break;
        X eight = x_or(x_join_8_by_6(x_and(trails, x_splat_8(0x3f))), x_shift_left_16(leads, 4));
        X top = x_and(eight, x_splat_16(0xf800));
        x_store((uint8_t *)dst, eight);
        wrong = x_or(wrong, x_or(x_equal_16(top, x_zero()), x_equal_16(top, x_splat_16(0xd800))));
    }
    advance(text, (size_t)(src - text->src));
    *out = dst;
    return x_is_zero(wrong);
}

static int utf8_to_ucs2(uint16_t *dst, size_t chars, const uint8_t *src, size_t size) {
    struct text text;
    struct faults faults = {x_zero(), x_zero()};
    uint16_t *end = dst + chars;
    text.src = src, text.size = size, text.blocks = NULL;
    while (text.size >= 24) {
        if (!triples_to_ucs2(&text, &dst, end)) return 0;
        if (text.size < 24 || end - dst < ROOM) break;
        X now = x_load(text.src);
        if (x_is_ascii(now)) {
            ascii_run_to_ucs2(&text, &dst, end);
        } else if (x_is_zero(x_subtract_saturating(now, x_splat_8(0xdf)))) {
            if (!pairs_to_ucs2(&text, &dst, end)) return 0;
        } else if (text.size < BLOCK) {
            break;
        } else {
            look_ahead(&text);
            windows_to_ucs2(&text, &faults, &dst, end);
        }
    }
    return last_to_ucs2(&text, &faults, dst, end);
}

static int utf8_to_ucs4(uint32_t *dst, size_t chars, const uint8_t *src, size_t size) {
    struct text text;
    struct faults faults = {x_zero(), x_zero()};
    uint32_t *end = dst + chars;
    text.src = src, text.size = size, text.blocks = NULL;
    while (text.size >= 16 && end - dst >= ROOM) {
        X now = x_load(text.src);
        if (x_is_ascii(now)) {
            ascii_run_to_ucs4(&text, &dst, end);
        } else if (text.size < BLOCK) {
            break;
        } else {
            look_ahead(&text);
            windows_to_ucs4(&text, &faults, &dst, end);
        }
    }
    return last_to_ucs4(&text, &faults, dst, end);
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
