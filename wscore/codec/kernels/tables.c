#include "tables.h"
#include <string.h>

uint8_t wscore_window_spreads[4096], wscore_window_sizes[4096];
struct spread wscore_spreads[SPREADS];
uint8_t wscore_drop[256][8];
uint8_t wscore_drop_16[256][16];
uint8_t wscore_kept[256];
struct pack wscore_pack_8[256];
struct pack wscore_pack_4[256];

/* The lengths of the characters that end within the 12 bytes, four at most; returns how many there are. */
static int lengths(unsigned ends, int *sizes) {
    int start = 0, found = 0;
    for (int at = 0; at < 12 && found < 4; at++)
        if (ends >> at & 1) sizes[found++] = at + 1 - start, start = at + 1;
    return found;
}

/* Where each combination of lengths is in the table: 0 where it was not seen yet. */
static uint8_t places[5 * 5 * 5 * 5];

static void fill_lane(struct spread *spread, int lane, int start, int size) {
    static const uint8_t marks[5] = {0, 0, 0xc0, 0xe0, 0xf0}, most[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    for (int byte = 0; byte < size; byte++) {
        int lead = byte == size - 1;
        spread->shuffle[lane + byte] = (uint8_t)(start + size - 1 - byte);
        spread->marks[lane + byte] = lead ? marks[size] : 0x80;
        spread->most[lane + byte] = lead ? most[size] : 0x3f;
    }
    memcpy(spread->least + lane, &least[size], 4);
}

static void fill_spread(struct spread *spread, int count, const int *sizes) {
    memset(spread->shuffle, 0xff, 16);
    for (int i = 0, at = 0; i < count; at += sizes[i++]) fill_lane(spread, 4 * i, at, sizes[i]);
}

static int place(int count, const int *sizes) {
    static int fours = 0, threes = SPREAD_THREE;
    int index = 0;
    for (int i = 0; i < count; i++) index = index * 5 + sizes[i];
    if (!places[index]) {
        places[index] = (uint8_t)(count == 4 ? ++fours : ++threes);
        fill_spread(&wscore_spreads[places[index] - 1], count, sizes);
    }
    return places[index] - 1;
}

static int is_possible(int count, const int *sizes, int size) {
    for (int i = 0; i < count; i++)
        if (sizes[i] > 4) return 0;
    return count == 4 || (count == 3 && size > 12 - 4);
}

static void fill_windows(void) {
    for (unsigned ends = 0; ends < 4096; ends++) {
        int sizes[4], count = lengths(ends, sizes), size = 0;
        for (int i = 0; i < count; i++) size += sizes[i];
        int possible = is_possible(count, sizes, size);
        wscore_window_spreads[ends] = (uint8_t)(possible ? place(count, sizes) : SPREAD_WRONG);
        wscore_window_sizes[ends] = (uint8_t)(possible ? size : 12);
    }
    /* Nothing that differs from a mark by 0 at most: not even nothing. */
    memset(wscore_spreads[SPREAD_WRONG].shuffle, 0xff, 16);
    memset(wscore_spreads[SPREAD_WRONG].marks, 0xff, 16);
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
