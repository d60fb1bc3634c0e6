/* x86-64 since 2019 (Ice Lake, Zen 4): vectors of 64 bytes. Where a text ends within one, a mask says which bytes are there: what
 * it leaves out is neither read nor written, so no end has code of its own. */
#include "kernels.h"

#if WSCORE_X86
#include <immintrin.h>
#include <string.h>

WSCORE_TARGET("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi2,popcnt")
#include "avx2.h"

typedef __m512i W;

WSCORE_INLINE W w_load(const void *src) { return _mm512_loadu_si512(src); }
WSCORE_INLINE void w_store(void *dst, W w) { _mm512_storeu_si512(dst, w); }
WSCORE_INLINE W w_zero(void) { return _mm512_setzero_si512(); }
WSCORE_INLINE W w_splat_8(int c) { return _mm512_set1_epi8((char)c); }
WSCORE_INLINE W w_splat_16(int c) { return _mm512_set1_epi16((short)c); }
WSCORE_INLINE W w_splat_32(uint32_t c) { return _mm512_set1_epi32((int)c); }
WSCORE_INLINE W w_and(W a, W b) { return _mm512_and_si512(a, b); }
WSCORE_INLINE W w_or(W a, W b) { return _mm512_or_si512(a, b); }
/* The bits of `a` where `mask` has them, of `b` elsewhere. */
WSCORE_INLINE W w_select(W mask, W a, W b) { return _mm512_ternarylogic_epi32(mask, a, b, 0xca); }
/* What a mask of fewer than 64 bits is in a wider integer. GCC 12 takes the bits above it for zeros even where it has spilled the
 * mask and nothing else, unless it does not see where they come from. */
WSCORE_INLINE uint32_t w_bits(uint32_t mask) {
#if defined(__GNUC__) && !defined(__clang__)
    __asm__("" : "+r"(mask));
#endif
    return mask;
}
WSCORE_INLINE size_t w_count(uint64_t bits) { return (size_t)_mm_popcnt_u64(bits); }
/* A bit for each of the first `size` of 64, or for all of them if there are more. */
WSCORE_INLINE uint64_t w_first(size_t size) { return _bzhi_u64(~(uint64_t)0, (unsigned)(size < 64 ? size : 64)); }
/* The first `size` bytes, with zeros behind them. */
WSCORE_INLINE W w_load_part(const void *src, size_t size) { return _mm512_maskz_loadu_epi8(w_first(size), src); }
WSCORE_INLINE X w_quarter(W w, int i) {
    return i < 2 ? i ? _mm512_extracti32x4_epi32(w, 1) : _mm512_castsi512_si128(w)
                 : i == 2 ? _mm512_extracti32x4_epi32(w, 2) : _mm512_extracti32x4_epi32(w, 3);
}

#include "scalar.h"
#include "tables.h"

#include "mask512.h"

static void utf8_measure(const uint8_t *src, size_t size, size_t *chars, uint8_t *widest) {
    W most = w_zero();
    size_t continuations = 0;
    for (size_t at = 0; at < size; at += 64) {
        W now = w_load_part(src + at, size - at);
        continuations += w_count(_mm512_cmplt_epi8_mask(now, w_splat_8(0xc0)));
        most = _mm512_max_epu8(most, now);
    }
    *chars = size - continuations;
    *widest = v_greatest_8(_mm256_max_epu8(_mm512_castsi512_si256(most), _mm512_extracti64x4_epi64(most, 1)));
}

#include "validate512.h"
#include "decode512.h"
#include "encode512.h"

WSCORE_VARIANT(avx512)
WSCORE_TARGET_END
#endif
