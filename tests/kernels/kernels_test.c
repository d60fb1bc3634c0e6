/* Every variant of the kernels against plain code, with each buffer ending where the next page cannot be read or written.
 *
 * A program of its own, so that it also runs under sanitizers, and on other processors under an emulator; exits with 1 at the first
 * difference. The tests in Python compare the same variants with the pure twin. Usage: kernels_test [rounds]. */
#include "kernels.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROOM (1 << 16)

static const struct kernels *kernels;
static uint64_t seed = 20261122;

static uint32_t random_below(uint32_t bound) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % bound);
}

static void fail(const char *what, size_t size) {
    printf("%s: %s differs at size %zu\n", kernels->name, what, size);
    exit(1);
}

/* Memory whose end is the end of a page before one that must not be touched. */
static uint8_t *guarded(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *memory = mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + ROOM, page, PROT_NONE)) abort();
    return memory + ROOM;
}

static uint8_t *source_end, *target_end;

/* Masking */

static void check_mask(size_t size, size_t offset, int ascii) {
    uint8_t expected[512], *src = source_end - size - offset, *dst = target_end - size;
    const uint8_t key_bytes[4] = {0x81, 0x42, 0x24, 0x18};
    uint32_t key;
    int all_ascii = 1;
    memcpy(&key, key_bytes, 4);
    for (size_t i = 0; i < size; i++) {
        expected[i] = (uint8_t)random_below(ascii ? 128 : 256);
        src[i] = expected[i] ^ key_bytes[i & 3];
        all_ascii &= expected[i] < 128;
    }
    if (kernels->mask(dst, src, size, key) != all_ascii || memcmp(dst, expected, size)) fail("mask", size);
    if (kernels->mask(src, src, size, key) != all_ascii || memcmp(src, expected, size)) fail("mask in place", size);
}

static void check_masks(void) {
    for (size_t size = 0; size <= 257; size++)
        for (size_t offset = 0; offset < 64; offset++) check_mask(size, offset, (int)(offset & 1));
}

/* Text: the reference decodes by the definition, one character at a time. */

static int reference_decode(const uint8_t *src, size_t size, uint32_t *out, size_t *chars) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t count = 0, at = 0;
    while (at < size) {
        uint32_t c = src[at];
        size_t length = c < 0x80 ? 1 : c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf8 ? 4 : 0;
        if (!length || at + length > size) return 0;
        c &= length == 1 ? 0x7f : 0x7fu >> length;
        for (size_t i = 1; i < length; i++) {
            if ((src[at + i] & 0xc0) != 0x80) return 0;
            c = c << 6 | (src[at + i] & 0x3f);
        }
        if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
        out[count++] = c, at += length;
    }
    *chars = count;
    return 1;
}

static uint32_t random_char(int width) {
    uint32_t c = 0;
    switch (width) {
    case 0: return 32 + random_below(96);
    case 1: return 0xa0 + random_below(96);
    case 2: return 0x400 + random_below(0x100);
    case 3: do c = 0x800 + random_below(0xf800); while (c >= 0xd800 && c < 0xe000); return c;
    default: return 0x10000 + random_below(0x100000);
    }
}

static size_t put(uint8_t *dst, uint32_t c) {
    if (c < 0x80) return dst[0] = (uint8_t)c, 1;
    size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; c >>= 6) dst[i] = (uint8_t)(0x80 | (c & 0x3f));
    dst[0] = (uint8_t)((0xf00 >> length & 0xff) | c);
    return length;
}

/* Text with runs of one width, as people write it, up to `widest`. */
static size_t random_text(uint8_t *dst, size_t size, int widest) {
    size_t at = 0;
    int width = 0;
    while (at + 4 <= size) {
        if (!random_below(6)) width = (int)random_below((uint32_t)widest + 1);
        at += put(dst + at, random_char(width));
    }
    return at;
}

static void check_encode(const char *what, const void *src, size_t chars, const uint8_t *text, size_t size, int width) {
    static uint8_t out[ROOM];
    size_t measured, written;
    memset(out, 0xee, size + WSCORE_SLACK + 1);
    if (width == 1) measured = kernels->utf8_size_ucs1(src, chars), written = kernels->ucs1_to_utf8(out, src, chars);
    else if (width == 2) measured = kernels->utf8_size_ucs2(src, chars), written = kernels->ucs2_to_utf8(out, src, chars);
    else measured = kernels->utf8_size_ucs4(src, chars), written = kernels->ucs4_to_utf8(out, src, chars);
    if (measured != size || written != size || memcmp(out, text, size)) fail(what, size);
    if (out[size + WSCORE_SLACK] != 0xee) fail("more than the slack is written by an encoder", size);
}

static void check_decode(const uint8_t *text, size_t size) {
    static uint32_t expected[ROOM];
    size_t chars = 0, measured;
    uint8_t widest;
    int valid = reference_decode(text, size, expected, &chars);
    size_t scanned = kernels->utf8_scan(text, size);
    if (scanned > size || (valid && scanned != size)) fail("scan", size);
    if ((wscore_utf8_feed(kernels, 0, text, size) == 0) != valid) fail("feed", size);
    for (size_t split = 0; split <= size; split += 1 + random_below(40)) {
        uint32_t state = wscore_utf8_feed(kernels, 0, text, split);
        if (state != UTF8_INVALID) state = wscore_utf8_feed(kernels, state, text + split, size - split);
        if ((state == 0) != valid) fail("feed in two parts", size);
    }
    kernels->utf8_measure(text, size, &measured, &widest);
    if (valid && measured != chars) fail("measure", size);
    if (widest < WIDEST_UCS1) {
        uint8_t *out = target_end - measured;
        if (kernels->utf8_to_ucs1(out, measured, text, size) != valid) fail("decode to 1 byte", size);
        for (size_t i = 0; valid && i < chars; i++) if (out[i] != expected[i]) fail("decode to 1 byte", size);
        if (valid) check_encode("encode from 1 byte", out, chars, text, size, 1);
    }
    if (widest < WIDEST_UCS2) {
        uint16_t *out = (uint16_t *)target_end - measured;
        if (kernels->utf8_to_ucs2(out, measured, text, size) != valid) fail("decode to 2 bytes", size);
        for (size_t i = 0; valid && i < chars; i++) if (out[i] != expected[i]) fail("decode to 2 bytes", size);
        if (valid) check_encode("encode from 2 bytes", out, chars, text, size, 2);
    }
    uint32_t *out = (uint32_t *)target_end - measured;
    if (kernels->utf8_to_ucs4(out, measured, text, size) != valid) fail("decode to 4 bytes", size);
    if (valid && memcmp(out, expected, chars * 4)) fail("decode to 4 bytes", size);
    if (valid) check_encode("encode from 4 bytes", out, chars, text, size, 4);
}

/* Whatever follows a text, and whatever becomes of one of its bytes. */
static void check_text(size_t limit, int widest) {
    uint8_t text[1024];
    size_t size = random_text(text, limit, widest);
    uint8_t *src = source_end - size;
    memcpy(src, text, size);
    check_decode(src, size);
    for (int i = 0; size && i < 8; i++) {
        size_t at = random_below((uint32_t)size);
        uint8_t before = src[at];
        src[at] = (uint8_t)random_below(256);
        check_decode(src, size);
        src[at] = before;
    }
    for (size_t cut = 1; cut <= 4 && cut <= size; cut++) {
        memmove(source_end - (size - cut), text, size - cut);
        check_decode(source_end - (size - cut), size - cut);
    }
}

/* Every sequence of bytes that starts a character, up to its third byte and some of its fourth, in the middle of a vector. */
static void check_sequences(void) {
    uint8_t *src = source_end - 80;
    for (uint32_t first = 0x7f; first < 256; first++)
        for (uint32_t second = 0; second < 256; second += first < 0xe0 ? 1 : 1)
            for (uint32_t third = 0x40; third < 256; third += first >= 0xe0 ? 0x1f : 0x3f) {
                memset(src, 'x', 80);
                size_t at = 10 + (first + second) % 60;
                src[at] = (uint8_t)first, src[at + 1] = (uint8_t)second, src[at + 2] = (uint8_t)third;
                src[at + 3] = (uint8_t)(second & 1 ? 0x80 : 'x');
                check_decode(src, 80);
            }
}

static void check_surrogates(void) {
    uint16_t two[40];
    uint32_t four[40];
    for (size_t at = 0; at < 40; at++)
        for (uint32_t c = 0xd7ff; c <= 0xe000; c += 0x801 / 3) {
            int surrogate = c >= 0xd800 && c < 0xe000;
            for (size_t i = 0; i < 40; i++) two[i] = (uint16_t)(four[i] = i == at ? c : 0x3042);
            if ((kernels->utf8_size_ucs2(two, 40) == SIZE_MAX) != surrogate) fail("surrogate in 2 bytes", at);
            if ((kernels->utf8_size_ucs4(four, 40) == SIZE_MAX) != surrogate) fail("surrogate in 4 bytes", at);
        }
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 300;
    source_end = guarded(), target_end = guarded();
    for (size_t i = 0; (kernels = wscore_kernels_at(i)) != NULL; i++) {
        check_masks();
        check_sequences();
        check_surrogates();
        for (int round = 0; round < rounds; round++)
            for (int widest = 0; widest <= 4; widest++) check_text(random_below(round & 1 ? 40 : 400), widest);
        printf("%s: ok\n", kernels->name);
    }
    return 0;
}
