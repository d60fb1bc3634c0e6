/* x86-64 since 2006: vectors of 16 bytes. */
#include "kernels.h"

#if WSCORE_X86
#include <immintrin.h>
#include <string.h>

WSCORE_TARGET("ssse3")
#include "x86.h"

typedef X V;
#define V_SIZE 16

#define v_load x_load
#define v_store x_store
#define v_zero x_zero
#define v_splat_8 x_splat_8
#define v_splat_32 x_splat_32
#define v_and x_and
#define v_or x_or
#define v_xor x_xor
#define v_is_ascii x_is_ascii
#define v_is_zero x_is_zero
#define v_before_1(now, last) _mm_alignr_epi8(now, last, 15)
#define v_before_2(now, last) _mm_alignr_epi8(now, last, 14)
#define v_before_3(now, last) _mm_alignr_epi8(now, last, 13)
WSCORE_INLINE V v_lookup(const uint8_t *table, V indices) { return _mm_shuffle_epi8(x_load(table), indices); }
WSCORE_INLINE V v_high_half(V v) { return _mm_and_si128(_mm_srli_epi16(v, 4), x_splat_8(0x0f)); }
WSCORE_INLINE V v_low_half(V v) { return _mm_and_si128(v, x_splat_8(0x0f)); }
WSCORE_INLINE V v_subtract_saturating(V a, V b) { return x_subtract_saturating(a, b); }
WSCORE_INLINE V v_max_8(V a, V b) { return _mm_max_epu8(a, b); }
/* These add 1 to the counters of the bytes that begin a character, or are not ASCII. */
WSCORE_INLINE V v_count_leads(V count, V v) { return _mm_sub_epi8(count, _mm_cmpgt_epi8(v, x_splat_8(0xbf))); }
WSCORE_INLINE V v_count_high(V count, V v) { return _mm_sub_epi8(count, _mm_cmplt_epi8(v, x_zero())); }
WSCORE_INLINE size_t v_sum_8(V v) {
    V sums = _mm_sad_epu8(v, x_zero());
    return (size_t)(_mm_cvtsi128_si32(sums) + _mm_cvtsi128_si32(x_high_8(sums)));
}
#define v_greatest_8 x_greatest_8

#include "vector.h"
#include "validate.h"
#include "decode.h"
#include "encode.h"

WSCORE_VARIANT(ssse3)
WSCORE_TARGET_END
#endif
