/* From the bytes of a server to messages, and whether they are the right ones (RFC 6455 section 5, RFC 7692). */
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static int is_control(const peer *p) { return p->head[0] & 8; }

static int is_first_of_all(const peer *p) { return running == &fanout_mode && p->got == 0; }

static int is_collected(const peer *p) {
    return is_control(p) || is_first_of_all(p) || (p->head[0] & RSV1 && p->got < checked());
}

static uint64_t length_in(const uint8_t *head) {
    int code = head[1] & 127, wide = code < 126 ? 0 : code == 126 ? 2 : 8;
    uint64_t length = wide ? 0 : (uint64_t)code;
    for (int i = 0; i < wide; i++) length = length << 8 | head[2 + i];
    return length;
}

static const char *defect_of(const peer *p) {
    int first = p->head[0], data = opt.text ? TEXT : BINARY;
    if (p->head[1] & 0x80) return "a masked frame";
    if (is_control(p)) return (first & 0xf0) != FIN || p->length > CONTROL_ROOM ? "a bad control frame" : NULL;
    if ((first & ~RSV1) != (FIN | data)) return "a reply of the wrong kind";
    if (first & RSV1) return !p->compressed ? "a compressed reply, not agreed on" : p->length > 2 * opt.size + 64 ? "a long reply" : NULL;
    return p->length != opt.size ? "a reply of the wrong length" : NULL;
}

void forget_frame(peer *p) {
    p->have = p->in_frame = 0;
    p->need = 2;
    free(p->collected);
    p->collected = NULL;
}

static int begin_frame(peer *p) {
    p->length = p->left = length_in(p->head);
    p->in_frame = 1;
    const char *defect = defect_of(p);
    if (defect) {
        fail(p, defect);
        return 0;
    }
    if (is_collected(p)) p->collected = malloc(p->length + 4);
    return 1;
}

static size_t take_head(peer *p, const uint8_t *data, size_t length) {
    size_t used = 0;
    while (used < length && p->have < p->need) {
        p->head[p->have++] = data[used++];
        if (p->have != 2) continue;
        int code = p->head[1] & 127;
        p->need = (uint8_t)(2 + (code == 126 ? 2 : code == 127 ? 8 : 0) + (p->head[1] & 0x80 ? 4 : 0));
    }
    return used;
}

static void take_payload(peer *p, const uint8_t *data, size_t length) {
    uint64_t at = p->length - p->left;
    if (p->collected)
        memcpy(p->collected + at, data, length);
    else if (p->got < checked() && !(p->head[0] & RSV1) && memcmp(payload_of(p, p->got) + at, data, length))
        fail(p, "a reply with wrong bytes");
}

/* Connections that came late have missed what was sent before, and begin with a later message. */
static int is_right(peer *p, const uint8_t *content) {
    if (!is_first_of_all(p)) return !memcmp(content, payload_of(p, p->got), opt.size);
    uint64_t latest = p == peers ? 1 : peers->asked;
    for (; p->missed < latest; p->missed++, p->phase++)
        if (!memcmp(content, payload_of(p, 0), opt.size)) return 1;
    return 0;
}

/* One message out of the stream of all; without takeover each of them is a stream of its own. */
static int inflates_to_the_right(peer *p) {
    z_stream *z = p->inflater;
    if (!z) {
        z = p->inflater = calloc(1, sizeof *z);
        inflateInit2(z, -15);
    }
    uint8_t *room = malloc(opt.size + 1);
    memcpy(p->collected + p->length, "\0\0\xff\xff", 4);
    z->next_in = p->collected;
    z->avail_in = (uInt)p->length + 4;
    z->next_out = room;
    z->avail_out = (uInt)opt.size + 1;
    int ended = inflate(z, Z_SYNC_FLUSH);
    int right = (ended == Z_OK || ended == Z_STREAM_END) && z->avail_out == 1 && is_right(p, room);
    if (!p->takeover || ended == Z_STREAM_END) inflateReset(z);
    free(room);
    return right;
}

static void end_inflating(peer *p) {
    if (!p->inflater) return;
    inflateEnd(p->inflater);
    free(p->inflater);
    p->inflater = NULL;
}

static void end_message(peer *p) {
    if (p->collected && !(p->head[0] & RSV1 ? inflates_to_the_right(p) : is_right(p, p->collected))) {
        fail(p, "a whole reply with wrong bytes");
        return;
    }
    p->got++;
    if (p->got >= checked()) end_inflating(p);
    forget_frame(p);
    if (p->got > p->asked && running != &fanout_mode)
        fail(p, "a reply to nothing");
    else
        running->message(p);
}

static void end_control(peer *p) {
    int opcode = p->head[0] & 15;
    if (opcode == PING) {
        pings++;
        send_control(p, PONG, p->collected, p->length);
    }
    forget_frame(p);
    if (opcode != CLOSE) return;
    if (running->closing)
        running->closing(p);
    else
        fail(p, "a Close frame");
}

void scan(peer *p, const uint8_t *data, size_t length) {
    while (length && p->stage == OPEN) {
        if (!p->in_frame) {
            size_t used = take_head(p, data, length);
            data += used;
            length -= used;
            if (p->have < p->need || !begin_frame(p)) return;
        }
        size_t part = length < p->left ? length : p->left;
        take_payload(p, data, part);
        if (p->stage != OPEN) return;
        data += part;
        length -= part;
        p->left -= part;
        if (!p->left) (is_control(p) ? end_control : end_message)(p);
    }
}
