/* The kernels: what the codec does to every byte, in one variant for each instruction set.
 *
 * A variant is one `struct kernels`; `dispatch.c` chooses the best that the processor has. Decides nothing about frames,
 * messages or Python; the contracts below are all that a variant has to keep. Lengths are in bytes or in characters (code
 * units of Python's compact strings), as said; every pointer may have any alignment.
 */
#ifndef WSCORE_KERNELS_H
#define WSCORE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define WIDEST_UCS1 0xc4 /* the least lead byte of characters from U+0100 on */
#define WIDEST_UCS2 0xf0 /* and of those from U+10000 on */
#define WSCORE_SLACK 64 /* bytes behind their result that the encoders may write */

struct kernels {
    const char *name;

    /* dst = src XOR key, the 4 bytes of `key` (in the order of memory) repeated. `dst` may be `src`, else they do not overlap.
     * Returns whether the result is all ASCII. */
    int (*mask)(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key);

    /* The length of a prefix that is valid UTF-8 and ends between characters: all of `src` but an incomplete character at its
     * end, unless something is wrong, which is then at most 67 bytes behind the prefix. */
    size_t (*utf8_scan)(const uint8_t *src, size_t size);

    /* Counts the characters of `src`, if it is valid UTF-8, and its greatest byte, which tells how wide they are. */
    void (*utf8_measure)(const uint8_t *src, size_t size, size_t *chars, uint8_t *widest);

    /* UTF-8 to `chars` characters of 1, 2 or 4 bytes, as `utf8_measure` counted them; returns whether it was valid. Needs `widest`
     * to be below WIDEST_UCS1 or WIDEST_UCS2 for the narrower ones. Writes nothing behind the last character. */
    int (*utf8_to_ucs1)(uint8_t *dst, size_t chars, const uint8_t *src, size_t size);
    int (*utf8_to_ucs2)(uint16_t *dst, size_t chars, const uint8_t *src, size_t size);
    int (*utf8_to_ucs4)(uint32_t *dst, size_t chars, const uint8_t *src, size_t size);

    /* What `chars` characters are in UTF-8, in bytes; SIZE_MAX if there is a surrogate among them. */
    size_t (*utf8_size_ucs1)(const uint8_t *src, size_t chars);
    size_t (*utf8_size_ucs2)(const uint16_t *src, size_t chars);
    size_t (*utf8_size_ucs4)(const uint32_t *src, size_t chars);

    /* Characters to UTF-8: returns the number of bytes written. There is room for WSCORE_SLACK bytes more. No surrogates. */
    size_t (*ucs1_to_utf8)(uint8_t *dst, const uint8_t *src, size_t chars);
    size_t (*ucs2_to_utf8)(uint8_t *dst, const uint16_t *src, size_t chars);
    size_t (*ucs4_to_utf8)(uint8_t *dst, const uint32_t *src, size_t chars);
};

/* Text that comes in parts: 0 is the state between characters. Returns the new state, UTF8_INVALID at the first wrong byte. */
#define UTF8_INVALID UINT32_MAX
uint32_t wscore_utf8_feed(const struct kernels *kernels, uint32_t state, const uint8_t *src, size_t size);

/* How many bytes at the end of `src` begin a character that is not complete: 0 to 3. */
size_t wscore_utf8_incomplete(const uint8_t *src, size_t size);

/* `key` as it is `offset` bytes further on. */
uint32_t wscore_rotate_key(uint32_t key, size_t offset);

/* The table of a variant, from the functions of these names in its file. */
#define WSCORE_VARIANT(variant)                                                                                        \
    const struct kernels wscore_##variant = {                                                                          \
        #variant,       mask,           utf8_scan,      utf8_measure, utf8_to_ucs1, utf8_to_ucs2, utf8_to_ucs4,        \
        utf8_size_ucs1, utf8_size_ucs2, utf8_size_ucs4, ucs1_to_utf8, ucs2_to_utf8, ucs4_to_utf8,                      \
    };

/* The variants that this build has, NULL at the end; those that this processor has come first in order of preference. */
extern const struct kernels wscore_scalar, wscore_ssse3, wscore_avx2, wscore_avx512, wscore_neon;
const struct kernels *wscore_kernels_best(void);
/* The variant called `name`, or the n-th; NULL if there is none or the processor lacks it. */
const struct kernels *wscore_kernels_named(const char *name);
const struct kernels *wscore_kernels_at(size_t index);

#if defined(__x86_64__) || defined(_M_X64)
#define WSCORE_X86 1
#elif (defined(__aarch64__) && !defined(__AARCH64EB__)) || defined(_M_ARM64)
#define WSCORE_NEON 1
#endif

/* Code between these is compiled for more than the build's baseline; which is why no file needs flags of its own. */
#if defined(__clang__)
#define WSCORE_PRAGMA(x) _Pragma(#x)
#define WSCORE_TARGET(features) WSCORE_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define WSCORE_TARGET_END _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#define WSCORE_PRAGMA(x) _Pragma(#x)
#define WSCORE_TARGET(features) _Pragma("GCC push_options") WSCORE_PRAGMA(GCC target(features))
#define WSCORE_TARGET_END _Pragma("GCC pop_options")
#else /* MSVC lets any function use any instruction */
#define WSCORE_TARGET(features)
#define WSCORE_TARGET_END
#endif

#if defined(_MSC_VER)
#define WSCORE_INLINE static __forceinline
#else
#define WSCORE_INLINE static inline __attribute__((always_inline))
#endif

#endif
