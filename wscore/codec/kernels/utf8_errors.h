/* What can be wrong about two bytes of UTF-8 that follow each other.
 *
 * By the lookup algorithm of Keiser and Lemire ("Validating UTF-8 in less than one instruction per byte", 2021): three tables of 16
 * bytes, looked up with the halves of a byte and of the one before it, say which errors the pair may be part of. */
#include <stdint.h>

enum {
    TOO_SHORT = 1 << 0,      /* a lead byte without what it announces */
    TOO_LONG = 1 << 1,       /* a continuation after ASCII */
    OVERLONG_3 = 1 << 2,     /* e0 80..9f */
    TOO_LARGE = 1 << 3,      /* f4 90..bf, f5..ff */
    SURROGATE = 1 << 4,      /* ed a0..bf */
    OVERLONG_2 = 1 << 5,     /* c0, c1 */
    TOO_LARGE_1000 = 1 << 6, /* f5..ff 80..8f */
    OVERLONG_4 = 1 << 6,     /* f0 80..8f */
    TWO_CONTS = 1 << 7,      /* two continuations: an error unless the lead byte is further ahead */
    CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS,
    BIG = CARRY | TOO_LARGE | TOO_LARGE_1000,
    AFTER = TOO_LONG | OVERLONG_2 | TWO_CONTS
};

static const uint8_t first_high[16] = {
    TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
    TWO_CONTS, TWO_CONTS, TWO_CONTS, TWO_CONTS,
    TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
    TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4,
};
static const uint8_t first_low[16] = {
    CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4, CARRY | OVERLONG_2, CARRY, CARRY, CARRY | TOO_LARGE,
    BIG, BIG, BIG, BIG, BIG, BIG, BIG, BIG, BIG | SURROGATE, BIG, BIG,
};
static const uint8_t second_high[16] = {
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
    AFTER | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4, AFTER | OVERLONG_3 | TOO_LARGE,
    AFTER | SURROGATE | TOO_LARGE, AFTER | SURROGATE | TOO_LARGE,
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
};
