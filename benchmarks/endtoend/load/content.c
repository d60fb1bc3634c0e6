/* What is sent: frames with random payloads and masks, the upgrade request. All of it follows from the seed. */
#include "load.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CIRCLE_BYTES = 1 << 16, LEAST_FRAMES = 4, MOST_FRAMES = 256 };

uint8_t *circle;
size_t circle_frames, frame_length;
static uint8_t *payloads;
static uint64_t random_state;

/* splitmix64 */
uint64_t random_bits(void) {
    uint64_t z = random_state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static size_t put_head(uint8_t *out, int opcode, uint64_t size, int masked) {
    int bit = masked ? 0x80 : 0, wide = size < 126 ? 0 : size < 65536 ? 2 : 8;
    out[0] = (uint8_t)(FIN | opcode);
    out[1] = (uint8_t)(bit | (wide == 0 ? (int)size : wide == 2 ? 126 : 127));
    for (int i = 0; i < wide; i++) out[2 + i] = (uint8_t)(size >> (8 * (wide - 1 - i)));
    return (size_t)(2 + wide);
}

static size_t put_masked(uint8_t *out, int opcode, const uint8_t *payload, size_t size) {
    size_t head = put_head(out, opcode, size, 1);
    uint64_t bits = random_bits();
    const uint8_t *key = memcpy(out + head, &bits, 4);
    for (size_t i = 0; i < size; i++) out[head + 4 + i] = payload[i] ^ key[i & 3];
    return head + 4 + size;
}

size_t make_control(uint8_t *out, int opcode, const uint8_t *payload, size_t length) {
    return put_masked(out, opcode, payload, length);
}

static void fill_random(uint8_t *into, size_t size) {
    for (size_t i = 0; i < size; i++) into[i] = (uint8_t)random_bits();
}

static void fill_text(uint8_t *into, size_t size) {
    for (size_t i = 0; i < size; i++) into[i] = (uint8_t)(' ' + random_bits() % 95);
}

/* Objects as real feeds send them: the same keys, other numbers. */
static void fill_json(uint8_t *into, size_t size) {
    static const char *names[] = {"alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"};
    char one[192];
    for (size_t at = 0; at < size;) {
        int length = snprintf(one, sizeof one, "{\"id\":%u,\"name\":\"%s\",\"price\":%u.%02u,\"volume\":%u,\"side\":\"%s\"}",
                              (unsigned)(random_bits() % 1000000), names[random_bits() % 8], (unsigned)(random_bits() % 1000),
                              (unsigned)(random_bits() % 100), (unsigned)(random_bits() % 10000), random_bits() & 1 ? "buy" : "sell");
        size_t part = (size_t)length < size - at ? (size_t)length : size - at;
        memcpy(into + at, one, part);
        at += part;
    }
}

static void *reserve(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    if (!memory) {
        fputs("load: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

static size_t choose_frames(void) {
    size_t frames = CIRCLE_BYTES / (opt.size + 1);
    if (frames < LEAST_FRAMES) frames = LEAST_FRAMES;
    if (frames > MOST_FRAMES) frames = MOST_FRAMES;
    return frames < (size_t)opt.depth ? (size_t)opt.depth : frames;
}

void make_content(void) {
    random_state = opt.seed;
    circle_frames = choose_frames();
    payloads = reserve(circle_frames * opt.size);
    circle = reserve(2 * circle_frames * (opt.size + HEAD_ROOM));
    for (size_t i = 0; i < circle_frames; i++) {
        uint8_t *payload = payloads + i * opt.size;
        (opt.json ? fill_json : opt.text ? fill_text : fill_random)(payload, opt.size);
        frame_length = put_masked(circle + i * frame_length, opt.text ? TEXT : BINARY, payload, opt.size);
    }
    memcpy(circle + circle_frames * frame_length, circle, circle_frames * frame_length);
}

const uint8_t *payload_of(const peer *p, uint64_t index) {
    return payloads + (p->phase + index) % circle_frames * opt.size;
}

uint64_t checked(void) { return opt.depth * 2 > CHECKED_AT_LEAST ? (uint64_t)opt.depth * 2 : CHECKED_AT_LEAST; }

void make_request(peer *p) {
    uint64_t nonce[2] = {random_bits(), random_bits()};
    char key[32], joined[80];
    uint8_t digest[SHA_DIGEST_LENGTH];
    EVP_EncodeBlock((uint8_t *)key, (const uint8_t *)nonce, sizeof nonce);
    int length = snprintf(joined, sizeof joined, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    SHA1((const uint8_t *)joined, (size_t)length, digest);
    EVP_EncodeBlock((uint8_t *)p->accept, digest, sizeof digest);
    p->request = reserve(512);
    p->request_length = (size_t)snprintf(
        p->request, 512,
        "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: %s\r\n%s\r\n",
        opt.path, opt.host, opt.port, key,
        opt.deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
}
