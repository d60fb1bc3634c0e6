/* The operations on 16 bytes that the x86 variants share; needs SSSE3. */
#include <immintrin.h>

typedef __m128i X;

WSCORE_INLINE X x_load(const uint8_t *src) { return _mm_loadu_si128((const __m128i *)src); }
WSCORE_INLINE void x_store(uint8_t *dst, X v) { _mm_storeu_si128((__m128i *)dst, v); }
WSCORE_INLINE X x_load_8(const uint8_t *src) { return _mm_loadl_epi64((const __m128i *)src); }
WSCORE_INLINE void x_store_8(uint8_t *dst, X v) { _mm_storel_epi64((__m128i *)dst, v); }
WSCORE_INLINE X x_high_8(X v) { return _mm_unpackhi_epi64(v, v); }
WSCORE_INLINE X x_zero(void) { return _mm_setzero_si128(); }
WSCORE_INLINE X x_splat_8(int c) { return _mm_set1_epi8((char)c); }
WSCORE_INLINE X x_splat_16(int c) { return _mm_set1_epi16((short)c); }
WSCORE_INLINE X x_splat_32(uint32_t c) { return _mm_set1_epi32((int)c); }
WSCORE_INLINE X x_and(X a, X b) { return _mm_and_si128(a, b); }
WSCORE_INLINE X x_and_not(X mask, X v) { return _mm_andnot_si128(mask, v); }
WSCORE_INLINE X x_or(X a, X b) { return _mm_or_si128(a, b); }
WSCORE_INLINE X x_xor(X a, X b) { return _mm_xor_si128(a, b); }
WSCORE_INLINE X x_add_8(X a, X b) { return _mm_add_epi8(a, b); }
WSCORE_INLINE X x_equal_16(X a, X b) { return _mm_cmpeq_epi16(a, b); }
WSCORE_INLINE X x_equal_32(X a, X b) { return _mm_cmpeq_epi32(a, b); }
WSCORE_INLINE X x_add_16(X a, X b) { return _mm_add_epi16(a, b); }
WSCORE_INLINE X x_sub_16(X a, X b) { return _mm_sub_epi16(a, b); }
WSCORE_INLINE X x_add_32(X a, X b) { return _mm_add_epi32(a, b); }
WSCORE_INLINE X x_sub_32(X a, X b) { return _mm_sub_epi32(a, b); }
WSCORE_INLINE X x_negate_32(X v) { return _mm_sub_epi32(_mm_setzero_si128(), v); }
WSCORE_INLINE X x_equal_8(X a, X b) { return _mm_cmpeq_epi8(a, b); }
WSCORE_INLINE X x_greater_16(X a, X b) { return _mm_cmpgt_epi16(a, b); }
WSCORE_INLINE X x_greater_32(X a, X b) { return _mm_cmpgt_epi32(a, b); }
#define x_shift_left_16(v, n) _mm_slli_epi16(v, n)
#define x_shift_right_16(v, n) _mm_srli_epi16(v, n)
#define x_shift_left_32(v, n) _mm_slli_epi32(v, n)
WSCORE_INLINE X x_subtract_saturating(X a, X b) { return _mm_subs_epu8(a, b); }
/* low + 64 * high, in lanes of 2, for the first or last eight bytes. */
WSCORE_INLINE X x_join_low(X low, X high) { return _mm_maddubs_epi16(_mm_unpacklo_epi8(low, high), x_splat_16(0x4001)); }
WSCORE_INLINE X x_join_high(X low, X high) { return _mm_maddubs_epi16(_mm_unpackhi_epi8(low, high), x_splat_16(0x4001)); }
/* The first eight bytes of both, and the last. */
WSCORE_INLINE X x_join_8(X a, X b) { return _mm_unpacklo_epi64(a, b); }
WSCORE_INLINE X x_join_high_8(X a, X b) { return _mm_unpackhi_epi64(a, b); }
/* In each lane of 2 the first byte + 64 * the second; in each of 4 the first half + 4096 * the second. */
WSCORE_INLINE X x_join_8_by_6(X v) { return _mm_maddubs_epi16(v, x_splat_16(0x4001)); }
WSCORE_INLINE X x_join_16(X v) { return _mm_madd_epi16(v, x_splat_32(0x10000001)); }
WSCORE_INLINE X x_shuffle(X v, X indices) { return _mm_shuffle_epi8(v, indices); }
WSCORE_INLINE X x_before_1(X now, X last) { return _mm_alignr_epi8(now, last, 15); }
WSCORE_INLINE unsigned x_mask(X v) { return (unsigned)_mm_movemask_epi8(v); }
WSCORE_INLINE unsigned x_mask_16(X v) { return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(v, _mm_setzero_si128())); }
WSCORE_INLINE int x_is_ascii(X v) { return !_mm_movemask_epi8(v); }
WSCORE_INLINE int x_is_zero(X v) { return _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_setzero_si128())) == 0xffff; }
/* As signed bytes, continuations are the least, and lead bytes come between them and ASCII. */
WSCORE_INLINE X x_continuations(X v) { return _mm_cmplt_epi8(v, x_splat_8(0xc0)); }
WSCORE_INLINE X x_leads(X v) { return _mm_cmpeq_epi8(_mm_max_epu8(v, x_splat_8(0xc0)), v); }
WSCORE_INLINE unsigned x_mask_continuations(X v) { return x_mask(x_continuations(v)); }
WSCORE_INLINE unsigned x_mask_leads(X v) { return x_mask(_mm_andnot_si128(x_continuations(v), v)); }
WSCORE_INLINE X x_widen_8_low(X v) { return _mm_unpacklo_epi8(v, _mm_setzero_si128()); }
WSCORE_INLINE X x_widen_8_high(X v) { return _mm_unpackhi_epi8(v, _mm_setzero_si128()); }
WSCORE_INLINE X x_widen_16_low(X v) { return _mm_unpacklo_epi16(v, _mm_setzero_si128()); }
WSCORE_INLINE X x_widen_16_high(X v) { return _mm_unpackhi_epi16(v, _mm_setzero_si128()); }
WSCORE_INLINE X x_narrow_32(X v) {
    return _mm_shuffle_epi8(v, _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1));
}
/* ASCII in lanes of 2, of 4 to lanes half as wide, of both one after the other. */
WSCORE_INLINE X x_narrow_16(X a, X b) { return _mm_packus_epi16(a, b); }
WSCORE_INLINE X x_narrow_both_32(X a, X b) { return _mm_packs_epi32(a, b); }
/* The lowest byte of each of the four lanes. */
WSCORE_INLINE uint32_t x_lane_bytes(X v) {
    return (uint32_t)_mm_cvtsi128_si32(_mm_shuffle_epi8(v, _mm_set1_epi32(0x0c080400)));
}
/* The sum of the eight lanes, each unsigned. */
WSCORE_INLINE size_t x_sum_16(X v) {
    v = _mm_add_epi32(x_widen_16_low(v), x_widen_16_high(v));
    v = _mm_add_epi32(v, _mm_srli_si128(v, 8));
    return (uint32_t)_mm_cvtsi128_si32(_mm_add_epi32(v, _mm_srli_si128(v, 4)));
}
WSCORE_INLINE uint8_t x_greatest_8(X v) {
    v = _mm_max_epu8(v, _mm_srli_si128(v, 8));
    v = _mm_max_epu8(v, _mm_srli_si128(v, 4));
    v = _mm_max_epu8(v, _mm_srli_si128(v, 2));
    return (uint8_t)_mm_cvtsi128_si32(_mm_max_epu8(v, _mm_srli_si128(v, 1)));
}
