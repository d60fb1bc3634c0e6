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
    for (size_t i = 0; i < chars; i++) size += src[i] >> 7;
    return size;
}

/* A lane counts down by 1 for each byte of the three that its character does not need. */
static size_t utf8_size_ucs2(const uint16_t *src, size_t chars) {
    size_t size = 0;
    X surrogates = x_zero();
    while (chars >= 8) {
        X spared = x_zero();
        for (int i = 0; i < 16000 && chars >= 8; i++, src += 8, chars -= 8, size += 24) {
            X now = x_load((const uint8_t *)src), top = x_and(now, x_splat_16(0xf800));
            X one = x_equal_16(x_and(now, x_splat_16(0xff80)), x_zero()), two = x_equal_16(top, x_zero());
            spared = x_add_16(spared, x_add_16(one, two));
            surrogates = x_or(surrogates, x_equal_16(top, x_splat_16(0xd800)));
        }
        size -= x_sum_16(x_sub_16(x_zero(), spared));
    }
    size_t rest = utf8_size_rest_ucs2(src, chars);
    return !x_is_zero(surrogates) || rest == SIZE_MAX ? SIZE_MAX : size + rest;
}

static size_t utf8_size_ucs4(const uint32_t *src, size_t chars) {
    size_t size = 0;
    X surrogates = x_zero();
    while (chars >= 4) {
        X more = x_zero();
        for (int i = 0; i < 16000 && chars >= 4; i++, src += 4, chars -= 4, size += 4) {
            X now = x_load((const uint8_t *)src), two = x_greater_32(now, x_splat_32(0x7f));
            X three = x_greater_32(now, x_splat_32(0x7ff)), four = x_greater_32(now, x_splat_32(0xffff));
            more = x_add_32(more, x_negate_32(x_add_32(two, x_add_32(three, four))));
            surrogates = x_or(surrogates, x_equal_32(x_and(now, x_splat_32(0xfffff800)), x_splat_32(0xd800)));
        }
        /* No lane exceeds 48,000, so its low half is all of it. */
        size += x_sum_16(more);
    }
    size_t rest = utf8_size_rest_ucs4(src, chars);
    return !x_is_zero(surrogates) || rest == SIZE_MAX ? SIZE_MAX : size + rest;
}

static size_t ucs1_to_utf8(uint8_t *dst, const uint8_t *src, size_t chars) {
    uint8_t *start = dst;
    for (; chars >= 16; src += 16, chars -= 16) {
        X now = x_load(src);
        unsigned both = x_mask(now);
        if (!both) {
            x_store(dst, now);
            dst += 16;
            continue;
        }
        X low = x_widen_8_low(now), high = x_widen_8_high(now);
        dst += store_two_bytes(dst, low, x_greater_16(low, x_splat_16(0x7f)), both & 0xff);
        dst += store_two_bytes(dst, high, x_greater_16(high, x_splat_16(0x7f)), both >> 8);
    }
    for (size_t i = 0; i < chars; i++) dst += encode_one(dst, src[i]);
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
    for (size_t i = 0; i < chars; i++) dst += encode_one(dst, src[i]);
    return (size_t)(dst - start);
}

static size_t ucs4_to_utf8(uint8_t *dst, const uint32_t *src, size_t chars) {
    uint8_t *start = dst;
    while (chars >= 16) {
        X a = x_load((const uint8_t *)src), b = x_load((const uint8_t *)(src + 4));
        X c = x_load((const uint8_t *)(src + 8)), d = x_load((const uint8_t *)(src + 12));
        if (x_is_zero(x_and(x_or(x_or(a, b), x_or(c, d)), x_splat_32(0xffffff80)))) {
            x_store(dst, x_narrow_16(x_narrow_both_32(a, b), x_narrow_both_32(c, d)));
            src += 16, chars -= 16, dst += 16;
        } else {
            dst += store_any_bytes(dst, a);
            dst += store_any_bytes(dst, b);
            dst += store_any_bytes(dst, c);
            dst += store_any_bytes(dst, d);
            src += 16, chars -= 16;
        }
    }
    for (size_t i = 0; i < chars; i++) dst += encode_one(dst, src[i]);
    return (size_t)(dst - start);
}
