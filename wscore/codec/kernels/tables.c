#include "tables.h"
#include <string.h>

struct window wscore_windows[4096];
uint8_t wscore_spreads[SPREADS][16];
uint8_t wscore_drop[256][8];
uint8_t wscore_drop_16[256][16];
uint8_t wscore_kept[256];
struct pack wscore_pack_8[256];
struct pack wscore_pack_4[256];

/* The lengths of the first `count` characters, if each has at most `most` bytes and all end within the 12 bytes. */
static int lengths(unsigned ends, int count, int most, int *sizes) {
    int start = 0, found = 0;
    for (int at = 0; at < 12 && found < count; at++) {
        if (at - start + 1 > most) return 0;
        if (ends >> at & 1) sizes[found++] = at + 1 - start, start = at + 1;
    }
    return found == count;
}

/* The shuffle for these lengths, and the number of bytes that it takes. */
static int fill_spread(uint8_t *spread, int count, int lane, const int *sizes) {
    int at = 0;
    memset(spread, 0xff, 16);
    for (int i = 0; i < count; at += sizes[i++])
        for (int byte = 0; byte < sizes[i]; byte++) spread[i * lane + byte] = (uint8_t)(at + sizes[i] - 1 - byte);
    return at;
}

static int try_spread(unsigned ends, int base, int count, int most, int lane) {
    int sizes[6], index = 0;
    if (!lengths(ends, count, most, sizes)) return 0;
    for (int i = 0; i < count; i++) index = index * most + sizes[i] - 1;
    wscore_windows[ends].spread = (uint8_t)(base + index);
    wscore_windows[ends].size = (uint8_t)fill_spread(wscore_spreads[base + index], count, lane, sizes);
    return 1;
}

static void fill_windows(void) {
    for (unsigned ends = 0; ends < 4096; ends++)
        if (!try_spread(ends, SPREAD_SIX, 6, 2, 2) && !try_spread(ends, SPREAD_FOUR, 4, 3, 4) &&
            !try_spread(ends, SPREAD_THREE, 3, 4, 4)) {
            /* No valid text looks so; the entry only has to be harmless. */
            wscore_windows[ends].spread = SPREAD_THREE;
            wscore_windows[ends].size = 12;
        }
}

static void fill_drop(void) {
    for (unsigned dropped = 0; dropped < 256; dropped++) {
        uint8_t kept = 0;
        memset(wscore_drop[dropped], 0xff, 8);
        memset(wscore_drop_16[dropped], 0xff, 16);
        for (uint8_t i = 0; i < 8; i++) {
            if (dropped >> i & 1) continue;
            wscore_drop_16[dropped][2 * kept] = (uint8_t)(2 * i);
            wscore_drop_16[dropped][2 * kept + 1] = (uint8_t)(2 * i + 1);
            wscore_drop[dropped][kept++] = i;
        }
        wscore_kept[dropped] = kept;
    }
}

static void fill_pack_8(void) {
    for (unsigned both = 0; both < 256; both++) {
        struct pack *pack = &wscore_pack_8[both];
        memset(pack->shuffle, 0xff, 16);
        for (uint8_t i = 0; i < 8; i++) {
            pack->shuffle[pack->size++] = (uint8_t)(2 * i);
            if (both >> i & 1) pack->shuffle[pack->size++] = (uint8_t)(2 * i + 1);
        }
    }
}

static void fill_pack_4(void) {
    for (unsigned sizes = 0; sizes < 256; sizes++) {
        struct pack *pack = &wscore_pack_4[sizes];
        memset(pack->shuffle, 0xff, 16);
        for (int i = 0; i < 4; i++)
            for (int byte = sizes >> 2 * i & 3; byte >= 0; byte--) pack->shuffle[pack->size++] = (uint8_t)(4 * i + byte);
    }
}

void wscore_fill_tables(void) {
    if (wscore_pack_8[0].size) return;
    fill_windows();
    fill_drop();
    fill_pack_4();
    fill_pack_8();
}
