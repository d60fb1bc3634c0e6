/* Shuffles that move the bytes of several characters at once, one for each combination of their lengths.
 *
 * Filled once, before any variant is used. 0xff in a shuffle yields a zero byte. Lanes are little-endian.
 */
#ifndef WSCORE_TABLES_H
#define WSCORE_TABLES_H

#include <stdint.h>

/* How to decode the next 12 bytes of UTF-8, by the bits of the bytes that end a character: four characters of 1 to 4 bytes,
 * or three if the fourth is not all there. There are 241 combinations of lengths, those of three characters last; and one that
 * is always wrong, for bits that no valid text has. */
#define SPREAD_THREE 221
#define SPREAD_WRONG 241
#define SPREADS 242
extern uint8_t wscore_window_spreads[4096], wscore_window_sizes[4096]; /* which spread, and how many bytes it takes */

/* The shuffle brings each character into a lane of 4, its last byte first; its bytes then differ from the marks in what
 * is the character, and by no more than `most`. `least` is, for each lane, the least character of this length. */
extern struct spread {
    uint8_t shuffle[16], marks[16], most[16], least[16];
} wscore_spreads[SPREADS];

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
