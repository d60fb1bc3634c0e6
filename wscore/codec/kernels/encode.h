/* Characters to UTF-8, for all vector variants; a part of vector.h, which says what the including file defines. */

/* Eight characters below 0x800 in lanes of 2; `both` has a bit for each that is not ASCII. */
WSCORE_INLINE size_t store_two_bytes(uint8_t *dst, X chars, X wide, unsigned both) {
    X lead = x_shift_right_16(chars, 6), trail = x_shift_left_16(x_and(chars, x_splat_16(0x3f)), 8);
    X pairs = x_or(x_or(lead, trail), x_splat_16(0x80c0));
    X lanes = x_or(x_and(wide, pairs), x_and_not(wide, chars));
    x_store(dst, x_shuffle(lanes, x_load(wscore_pack_8[both].shuffle)));
    return wscore_pack_8[both].size;
}

/* Four characters in lanes of 4. */
WSCORE_INLINE size_t store_any_bytes(uint8_t *dst, X chars) {
    X two = x_greater_32(chars, x_splat_32(0x7f)), three = x_greater_32(chars, x_splat_32(0x7ff));
    X four = x_greater_32(chars, x_splat_32(0xffff));
    X last = x_or(x_and(chars, x_splat_32(0x3f)), x_and(x_shift_left_32(chars, 2), x_splat_32(0x3f00)));
    X first = x_or(x_and(x_shift_left_32(chars, 4), x_splat_32(0x3f0000)),
                   x_and(x_shift_left_32(chars, 6), x_splat_32(0x07000000)));
    X marks = x_xor(x_xor(x_splat_32(0xc080), x_and(three, x_splat_32(0xe08080 ^ 0xc080))),
                    x_and(four, x_splat_32(0xf0808080 ^ 0xe08080)));
    X lanes = x_or(x_and(two, x_or(x_or(last, first), marks)), x_and_not(two, chars));
    /* A comparison that holds is -1 in its lane. */
    uint32_t sizes = x_lane_bytes(x_negate_32(x_add_32(two, x_add_32(three, four))));
    const struct pack *pack = &wscore_pack_4[(sizes | sizes >> 6 | sizes >> 12 | sizes >> 18) & 0xff];
    x_store(dst, x_shuffle(lanes, x_load(pack->shuffle)));
    return pack->size;
}

static const uint8_t three_pack[16] = {2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 0xff, 0xff, 0xff, 0xff};

/* Four characters of three bytes each, in lanes of 4. */
WSCORE_INLINE size_t store_three_bytes(uint8_t *dst, X chars) {
    X last = x_or(x_and(chars, x_splat_32(0x3f)), x_and(x_shift_left_32(chars, 2), x_splat_32(0x3f00)));
    X lanes = x_or(x_or(last, x_and(x_shift_left_32(chars, 4), x_splat_32(0x0f0000))), x_splat_32(0xe08080));
    x_store(dst, x_shuffle(lanes, x_load(three_pack)));
    return 12;
}

static size_t utf8_size_ucs1(const uint8_t *src, size_t chars) {
    size_t size = chars;
    while (chars >= V_SIZE) {
        V more = v_zero();
        for (int i = 0; i < 255 && chars >= V_SIZE; i++, src += V_SIZE, chars -= V_SIZE)
            more = v_count_high(more, v_load(src));
        size += v_sum_8(more);
    }
    for (; chars >= 8; src += 8, chars -= 8) size += ((load_8(src) & ASCII_8) >> 7) * 0x0101010101010101u >> 56;
    for (size_t i = 0; i < chars; i++) size += src[i] >> 7;
    return size;
}

/* A lane counts down by 1 for each byte of the three that its character does not need. */
WSCORE_INLINE X spared_by_eight(X now, X *surrogates) {
    X top = x_and(now, x_splat_16(0xf800));
    X one = x_equal_16(x_and(now, x_splat_16(0xff80)), x_zero()), two = x_equal_16(top, x_zero());
    *surrogates = x_or(*surrogates, x_equal_16(top, x_splat_16(0xd800)));
    return x_add_16(one, two);
}

static size_t utf8_size_ucs2(const uint16_t *src, size_t chars) {
    size_t size = 0;
    X surrogates = x_zero();
    while (chars >= 8) {
        X spared = x_zero();
        for (int i = 0; i < 16000 && chars >= 8; i++, src += 8, chars -= 8, size += 24)
            spared = x_add_16(spared, spared_by_eight(x_load((const uint8_t *)src), &surrogates));
        size -= x_sum_16(x_sub_16(x_zero(), spared));
    }
    size_t rest = utf8_size_rest_ucs2(src, chars);
    return !x_is_zero(surrogates) || rest == SIZE_MAX ? SIZE_MAX : size + rest;
}

/* What the four characters need beyond a byte each, counted down. */
WSCORE_INLINE X needed_by_four(X now, X *surrogates) {
    X two = x_greater_32(now, x_splat_32(0x7f)), three = x_greater_32(now, x_splat_32(0x7ff));
    *surrogates = x_or(*surrogates, x_equal_32(x_and(now, x_splat_32(0xfffff800)), x_splat_32(0xd800)));
    return x_add_32(two, x_add_32(three, x_greater_32(now, x_splat_32(0xffff))));
}

struct sixteen {
    X a, b, c, d;
};

WSCORE_INLINE struct sixteen load_sixteen(const uint32_t *src) {
    struct sixteen all = {x_load((const uint8_t *)src), x_load((const uint8_t *)(src + 4)),
                          x_load((const uint8_t *)(src + 8)), x_load((const uint8_t *)(src + 12))};
    return all;
}

WSCORE_INLINE int are_ascii(struct sixteen all) {
    return x_is_zero(x_and(x_or(x_or(all.a, all.b), x_or(all.c, all.d)), x_splat_32(0xffffff80)));
}

static size_t utf8_size_ucs4(const uint32_t *src, size_t chars) {
    size_t size = chars;
    X surrogates = x_zero();
    while (chars >= 4) {
        X needed = x_zero();
        for (int i = 0; i < 4000 && chars >= 16; i++, src += 16, chars -= 16) {
            struct sixteen all = load_sixteen(src);
            if (are_ascii(all)) continue;
            X first = x_add_32(needed_by_four(all.a, &surrogates), needed_by_four(all.b, &surrogates));
            X last = x_add_32(needed_by_four(all.c, &surrogates), needed_by_four(all.d, &surrogates));
            needed = x_sub_32(needed, x_add_32(first, last));
        }
        for (; chars >= 4 && chars < 16; src += 4, chars -= 4)
            needed = x_sub_32(needed, needed_by_four(x_load((const uint8_t *)src), &surrogates));
        /* No lane exceeds 48,009, so its low half is all of it. */
        size += x_sum_16(needed);
    }
    size_t rest = utf8_size_rest_ucs4(src, chars);
    return !x_is_zero(surrogates) || rest == SIZE_MAX ? SIZE_MAX : size - chars + rest;
}

/* The first `size` bytes, with zeros behind them. To branch on each of the last characters would take longer. */
WSCORE_INLINE X x_load_part(const void *src, size_t size) {
    uint8_t padded[16] = {0};
    memcpy(padded, src, size);
    return x_load(padded);
}

/* Sixteen characters of one byte, of which the last eight may not be wanted. */
WSCORE_INLINE size_t encode_sixteen(uint8_t *dst, X now, int whole) {
    unsigned both = x_mask(now);
    X low = x_widen_8_low(now), high = x_widen_8_high(now);
    size_t size = store_two_bytes(dst, low, x_greater_16(low, x_splat_16(0x7f)), both & 0xff);
    return whole ? size + store_two_bytes(dst + size, high, x_greater_16(high, x_splat_16(0x7f)), both >> 8) : size;
}

static size_t ucs1_to_utf8(uint8_t *dst, const uint8_t *src, size_t chars) {
    uint8_t *start = dst;
    for (; chars >= 16; src += 16, chars -= 16) {
        X now = x_load(src);
        if (x_is_ascii(now)) x_store(dst, now), dst += 16;
        else dst += encode_sixteen(dst, now, 1);
    }
    if (chars > 8) dst += encode_sixteen(dst, x_load_part(src, chars), 1) - (16 - chars);
    else if (chars) dst += encode_sixteen(dst, x_load_part(src, chars), 0) - (8 - chars);
    return (size_t)(dst - start);
}

/* Eight characters in lanes of 2. */
WSCORE_INLINE size_t encode_eight(uint8_t *dst, X now) {
    X two = x_equal_16(x_and(now, x_splat_16(0xf800)), x_zero());
    unsigned three = x_mask_16(two) ^ 0xff;
    if (!three) {
        X wide = x_greater_16(now, x_splat_16(0x7f));
        return store_two_bytes(dst, now, wide, x_mask_16(wide));
    }
    X low = x_widen_16_low(now), high = x_widen_16_high(now);
    size_t size = three == 0xff ? store_three_bytes(dst, low) : store_any_bytes(dst, low);
    return size + (three == 0xff ? store_three_bytes(dst + size, high) : store_any_bytes(dst + size, high));
}

static size_t ucs2_to_utf8(uint8_t *dst, const uint16_t *src, size_t chars) {
    uint8_t *start = dst;
    while (chars >= 16) {
        X now = x_load((const uint8_t *)src), next = x_load((const uint8_t *)(src + 8));
        if (x_is_zero(x_and(x_or(now, next), x_splat_16(0xff80)))) {
            x_store(dst, x_narrow_16(now, next));
            src += 16, chars -= 16, dst += 16;
        } else {
            dst += encode_eight(dst, now);
            dst += encode_eight(dst, next);
            src += 16, chars -= 16;
        }
    }
    if (chars >= 8) {
        dst += encode_eight(dst, x_load((const uint8_t *)src));
        src += 8, chars -= 8;
    }
    for (size_t i = 0; i < chars; i++) dst += encode_one(dst, src[i]);
    return (size_t)(dst - start);
}

static size_t ucs4_to_utf8(uint8_t *dst, const uint32_t *src, size_t chars) {
    uint8_t *start = dst;
    for (; chars >= 16; src += 16, chars -= 16) {
        struct sixteen all = load_sixteen(src);
        if (are_ascii(all)) {
            x_store(dst, x_narrow_16(x_narrow_both_32(all.a, all.b), x_narrow_both_32(all.c, all.d)));
            dst += 16;
        } else {
            dst += store_any_bytes(dst, all.a);
            dst += store_any_bytes(dst, all.b);
            dst += store_any_bytes(dst, all.c);
            dst += store_any_bytes(dst, all.d);
        }
    }
    for (size_t i = 0; i < chars; i++) dst += encode_one(dst, src[i]);
    return (size_t)(dst - start);
}
