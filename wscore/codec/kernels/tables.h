/* Shuffles that move the bytes of several characters at once, one for each combination of their lengths.
 *
 * Filled once, before any variant is used. 0xff in a shuffle yields a zero byte. Lanes are little-endian.
 */
#ifndef WSCORE_TABLES_H
#define WSCORE_TABLES_H

#include <stdint.h>

/* Which shuffle the next 12 bytes of UTF-8 need, by the bits of the bytes that end a character. The first 64 shuffles spread six
 * characters of 1 or 2 bytes into lanes of 2, the next 81 four characters of 1 to 3 bytes into lanes of 4, the last 64
 * three characters of 1 to 4 bytes into lanes of 4; the last byte of a character comes first in its lane. */
#define SPREAD_SIX 0
#define SPREAD_FOUR 64
#define SPREAD_THREE 145
#define SPREADS 209
struct window {
    uint8_t spread, size; /* which shuffle, and how many bytes it takes */
};
extern struct window wscore_windows[4096];
extern uint8_t wscore_spreads[SPREADS][16];

/* Drops the bytes, or the lanes of 2, whose bit is set out of 8, and how many stay. */
extern uint8_t wscore_drop[256][8];
extern uint8_t wscore_drop_16[256][16];
extern uint8_t wscore_kept[256];

/* Packs 8 lanes of 2 bytes: both where the bit is set, the first elsewhere. */
struct pack {
    uint8_t shuffle[16], size;
};
extern struct pack wscore_pack_8[256];

/* Packs 4 lanes of 4 bytes, the last byte of a character first in its lane: by the lengths less 1, 2 bits each. */
extern struct pack wscore_pack_4[256];

void wscore_fill_tables(void);

#endif
