/* Masking with AVX-512, 64 bytes at a time, which are a cache line where they are stored; a part of avx512.c. */

WSCORE_INLINE W w_xor(W a, W b) { return _mm512_xor_si512(a, b); }

/* Up to 64 bytes. */
WSCORE_INLINE int mask_part(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    uint64_t wanted = w_first(size);
    W now = w_xor(_mm512_maskz_loadu_epi8(wanted, src), w_splat_32(key));
    _mm512_mask_storeu_epi8(dst, wanted, now);
    return !(_mm512_movepi8_mask(now) & wanted);
}

/* As in vector.h: what overlaps, in place too, is loaded before and stored after what lies between. */
static int mask(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    if (size <= 64) return mask_part(dst, src, size, key);
    uint8_t *end = dst + size - 64;
    W first = w_xor(w_load(src), w_splat_32(key));
    W last = w_xor(w_load(src + size - 64), w_splat_32(turned(key, size - 64)));
    W seen = w_or(first, last);
    size_t head = 64 - ((uintptr_t)dst & 63);
    uint8_t *at = dst + head;
    W wide = w_splat_32(turned(key, head));
    src += head;
    for (; at + 4 * 64 <= end; at += 4 * 64, src += 4 * 64) {
        W a = w_xor(w_load(src), wide), b = w_xor(w_load(src + 64), wide);
        W c = w_xor(w_load(src + 128), wide), d = w_xor(w_load(src + 192), wide);
        w_store(at, a), w_store(at + 64, b), w_store(at + 128, c), w_store(at + 192, d);
        seen = w_or(seen, w_or(w_or(a, b), w_or(c, d)));
    }
    for (; at < end; at += 64, src += 64) {
        W a = w_xor(w_load(src), wide);
        w_store(at, a);
        seen = w_or(seen, a);
    }
    w_store(end, last), w_store(end - (size - 64), first);
    return !_mm512_movepi8_mask(seen);
}
