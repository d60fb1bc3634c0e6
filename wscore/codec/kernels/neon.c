/* 64-bit ARM: vectors of 16 bytes, always there. */
#include "kernels.h"

#if WSCORE_NEON
#include <arm_neon.h>
#include <string.h>

typedef uint8x16_t X;
typedef X V;
#define V_SIZE 16

#define as_16 vreinterpretq_u16_u8
#define as_32 vreinterpretq_u32_u8
#define as_s16 vreinterpretq_s16_u8
#define as_s32 vreinterpretq_s32_u8
#define from_16 vreinterpretq_u8_u16
#define from_32 vreinterpretq_u8_u32

WSCORE_INLINE X x_load(const uint8_t *src) { return vld1q_u8(src); }
WSCORE_INLINE void x_store(uint8_t *dst, X v) { vst1q_u8(dst, v); }
WSCORE_INLINE X x_load_8(const uint8_t *src) { return vcombine_u8(vld1_u8(src), vdup_n_u8(0)); }
WSCORE_INLINE void x_store_8(uint8_t *dst, X v) { vst1_u8(dst, vget_low_u8(v)); }
WSCORE_INLINE X x_high_8(X v) { return vcombine_u8(vget_high_u8(v), vget_high_u8(v)); }
WSCORE_INLINE X x_zero(void) { return vdupq_n_u8(0); }
WSCORE_INLINE X x_splat_8(int c) { return vdupq_n_u8((uint8_t)c); }
WSCORE_INLINE X x_splat_16(int c) { return from_16(vdupq_n_u16((uint16_t)c)); }
WSCORE_INLINE X x_splat_32(uint32_t c) { return from_32(vdupq_n_u32(c)); }
WSCORE_INLINE X x_and(X a, X b) { return vandq_u8(a, b); }
WSCORE_INLINE X x_and_not(X mask, X v) { return vbicq_u8(v, mask); }
WSCORE_INLINE X x_or(X a, X b) { return vorrq_u8(a, b); }
WSCORE_INLINE X x_xor(X a, X b) { return veorq_u8(a, b); }
WSCORE_INLINE X x_add_8(X a, X b) { return vaddq_u8(a, b); }
WSCORE_INLINE X x_subtract_saturating(X a, X b) { return vqsubq_u8(a, b); }
WSCORE_INLINE X x_equal_8(X a, X b) { return vceqq_u8(a, b); }
WSCORE_INLINE X x_equal_16(X a, X b) { return from_16(vceqq_u16(as_16(a), as_16(b))); }
WSCORE_INLINE X x_equal_32(X a, X b) { return from_32(vceqq_u32(as_32(a), as_32(b))); }
WSCORE_INLINE X x_add_16(X a, X b) { return from_16(vaddq_u16(as_16(a), as_16(b))); }
WSCORE_INLINE X x_sub_16(X a, X b) { return from_16(vsubq_u16(as_16(a), as_16(b))); }
WSCORE_INLINE X x_add_32(X a, X b) { return from_32(vaddq_u32(as_32(a), as_32(b))); }
WSCORE_INLINE X x_sub_32(X a, X b) { return from_32(vsubq_u32(as_32(a), as_32(b))); }
WSCORE_INLINE X x_negate_32(X v) { return vreinterpretq_u8_s32(vnegq_s32(as_s32(v))); }
WSCORE_INLINE X x_greater_16(X a, X b) { return from_16(vcgtq_s16(as_s16(a), as_s16(b))); }
WSCORE_INLINE X x_greater_32(X a, X b) { return from_32(vcgtq_s32(as_s32(a), as_s32(b))); }
#define x_shift_left_16(v, n) from_16(vshlq_n_u16(as_16(v), n))
#define x_shift_right_16(v, n) from_16(vshrq_n_u16(as_16(v), n))
#define x_shift_left_32(v, n) from_32(vshlq_n_u32(as_32(v), n))
#define x_shift_right_32(v, n) from_32(vshrq_n_u32(as_32(v), n))
WSCORE_INLINE X x_shuffle(X v, X indices) { return vqtbl1q_u8(v, indices); }
WSCORE_INLINE X x_before_1(X now, X last) { return vextq_u8(last, now, 15); }
/* The top bit of each byte, in order. */
WSCORE_INLINE unsigned x_mask(X v) {
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    X set = vandq_u8(vreinterpretq_u8_s8(vshrq_n_s8(vreinterpretq_s8_u8(v), 7)), vld1q_u8(bits));
    return vaddv_u8(vget_low_u8(set)) | (unsigned)vaddv_u8(vget_high_u8(set)) << 8;
}
/* One bit for each lane of 2, which is all ones or all zeros. */
WSCORE_INLINE unsigned x_mask_16(X v) { return x_mask(vcombine_u8(vmovn_u16(as_16(v)), vdup_n_u8(0))); }
WSCORE_INLINE int x_is_ascii(X v) { return vmaxvq_u8(v) < 0x80; }
WSCORE_INLINE int x_is_zero(X v) { return vmaxvq_u8(v) == 0; }
WSCORE_INLINE X x_continuations(X v) { return vcltq_s8(vreinterpretq_s8_u8(v), vdupq_n_s8(-0x40)); }
WSCORE_INLINE X x_leads(X v) { return vcgeq_u8(v, vdupq_n_u8(0xc0)); }
WSCORE_INLINE unsigned x_mask_continuations(X v) { return x_mask(x_continuations(v)); }
WSCORE_INLINE unsigned x_mask_leads(X v) { return x_mask(x_leads(v)); }
WSCORE_INLINE X x_widen_8_low(X v) { return from_16(vmovl_u8(vget_low_u8(v))); }
WSCORE_INLINE X x_widen_8_high(X v) { return from_16(vmovl_u8(vget_high_u8(v))); }
WSCORE_INLINE X x_widen_16_low(X v) { return from_32(vmovl_u16(vget_low_u16(as_16(v)))); }
WSCORE_INLINE X x_widen_16_high(X v) { return from_32(vmovl_u16(vget_high_u16(as_16(v)))); }
WSCORE_INLINE X x_narrow_32(X v) { return from_16(vcombine_u16(vmovn_u32(as_32(v)), vdup_n_u16(0))); }
/* The first eight bytes of both, and the last. */
WSCORE_INLINE X x_join_8(X a, X b) { return vcombine_u8(vget_low_u8(a), vget_low_u8(b)); }
WSCORE_INLINE X x_join_high_8(X a, X b) { return vcombine_u8(vget_high_u8(a), vget_high_u8(b)); }
/* In each lane of 2 the first byte + 64 * the second; in each of 4 the first half + 4096 * the second. */
WSCORE_INLINE X x_join_8_by_6(X v) {
    return x_or(x_and(v, x_splat_16(0xff)), x_and(x_shift_right_16(v, 2), x_splat_16(0x3fc0)));
}
WSCORE_INLINE X x_join_16(X v) {
    return x_or(x_and(v, x_splat_32(0xffff)), x_and(x_shift_right_32(v, 4), x_splat_32(0x0ffff000)));
}
/* low + 64 * high, in lanes of 2, for the first or last eight bytes. */
WSCORE_INLINE X x_join_low(X low, X high) {
    return from_16(vaddw_u8(vshll_n_u8(vget_low_u8(high), 6), vget_low_u8(low)));
}
WSCORE_INLINE X x_join_high(X low, X high) {
    return from_16(vaddw_u8(vshll_n_u8(vget_high_u8(high), 6), vget_high_u8(low)));
}
/* ASCII in lanes of 2, of 4 to lanes half as wide, of both one after the other. */
WSCORE_INLINE X x_narrow_16(X a, X b) { return vcombine_u8(vmovn_u16(as_16(a)), vmovn_u16(as_16(b))); }
WSCORE_INLINE X x_narrow_both_32(X a, X b) { return from_16(vcombine_u16(vmovn_u32(as_32(a)), vmovn_u32(as_32(b)))); }
/* The lowest byte of each of the four lanes. */
WSCORE_INLINE uint32_t x_lane_bytes(X v) {
    uint8x8_t bytes = vmovn_u16(vcombine_u16(vmovn_u32(as_32(v)), vdup_n_u16(0)));
    return vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
}
/* The sum of the eight lanes, each unsigned. */
WSCORE_INLINE size_t x_sum_16(X v) { return vaddlvq_u16(as_16(v)); }

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
#define v_subtract_saturating x_subtract_saturating
#define v_before_1 x_before_1
#define v_before_2(now, last) vextq_u8(last, now, 14)
#define v_before_3(now, last) vextq_u8(last, now, 13)
WSCORE_INLINE V v_lookup(const uint8_t *table, V indices) { return vqtbl1q_u8(vld1q_u8(table), indices); }
WSCORE_INLINE V v_high_half(V v) { return vshrq_n_u8(v, 4); }
WSCORE_INLINE V v_low_half(V v) { return vandq_u8(v, vdupq_n_u8(0x0f)); }
WSCORE_INLINE V v_max_8(V a, V b) { return vmaxq_u8(a, b); }
/* These add 1 to the counters of the bytes that begin a character, or are not ASCII. */
WSCORE_INLINE V v_count_leads(V count, V v) { return vaddq_u8(vaddq_u8(count, x_splat_8(1)), x_continuations(v)); }
WSCORE_INLINE V v_count_high(V count, V v) { return vsraq_n_u8(count, v, 7); }
WSCORE_INLINE size_t v_sum_8(V v) { return vaddlvq_u8(v); }
WSCORE_INLINE uint8_t v_greatest_8(V v) { return vmaxvq_u8(v); }

#include "vector.h"
#include "validate.h"
#include "decode.h"
#include "encode.h"

WSCORE_VARIANT(neon)
#endif
