/* The operations on 32 bytes that the variants from AVX2 on share. */
#include "x86.h"

typedef __m256i V;
#define V_SIZE 32

WSCORE_INLINE V v_load(const uint8_t *src) { return _mm256_loadu_si256((const __m256i *)src); }
WSCORE_INLINE void v_store(uint8_t *dst, V v) { _mm256_storeu_si256((__m256i *)dst, v); }
WSCORE_INLINE V v_zero(void) { return _mm256_setzero_si256(); }
WSCORE_INLINE V v_splat_8(int c) { return _mm256_set1_epi8((char)c); }
WSCORE_INLINE V v_splat_32(uint32_t c) { return _mm256_set1_epi32((int)c); }
WSCORE_INLINE V v_and(V a, V b) { return _mm256_and_si256(a, b); }
WSCORE_INLINE V v_or(V a, V b) { return _mm256_or_si256(a, b); }
WSCORE_INLINE V v_xor(V a, V b) { return _mm256_xor_si256(a, b); }
WSCORE_INLINE int v_is_ascii(V v) { return !_mm256_movemask_epi8(v); }
WSCORE_INLINE int v_is_zero(V v) { return _mm256_testz_si256(v, v); }
/* AVX2 shifts each half by itself; the permutation brings the bytes that come over the middle. */
#define v_before(now, last, n) _mm256_alignr_epi8(now, _mm256_permute2x128_si256(last, now, 0x21), 16 - (n))
#define v_before_1(now, last) v_before(now, last, 1)
#define v_before_2(now, last) v_before(now, last, 2)
#define v_before_3(now, last) v_before(now, last, 3)
WSCORE_INLINE V v_lookup(const uint8_t *table, V indices) {
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(x_load(table)), indices);
}
WSCORE_INLINE V v_high_half(V v) { return _mm256_and_si256(_mm256_srli_epi16(v, 4), v_splat_8(0x0f)); }
WSCORE_INLINE V v_low_half(V v) { return _mm256_and_si256(v, v_splat_8(0x0f)); }
WSCORE_INLINE V v_subtract_saturating(V a, V b) { return _mm256_subs_epu8(a, b); }
WSCORE_INLINE V v_max_8(V a, V b) { return _mm256_max_epu8(a, b); }
/* These add 1 to the counters of the bytes that begin a character, or are not ASCII. */
WSCORE_INLINE V v_count_leads(V count, V v) {
    return _mm256_sub_epi8(count, _mm256_cmpgt_epi8(v, v_splat_8(0xbf)));
}
WSCORE_INLINE V v_count_high(V count, V v) { return _mm256_sub_epi8(count, _mm256_cmpgt_epi8(v_zero(), v)); }
WSCORE_INLINE size_t v_sum_8(V v) {
    V sums = _mm256_sad_epu8(v, v_zero());
    X both = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return (size_t)(_mm_cvtsi128_si32(both) + _mm_cvtsi128_si32(x_high_8(both)));
}
WSCORE_INLINE uint8_t v_greatest_8(V v) {
    return x_greatest_8(_mm_max_epu8(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
}
