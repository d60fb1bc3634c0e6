/* bare: the least that a server could do, as a bound for the others. `bare [--fanout]` prints {"port": N} and serves.
 *
 * It answers the handshake, unmasks, and sends: what came back, or in a bare loop of send() to all. No limits, no checks,
 * no fragments, no TLS, and it trusts the load generator. Its time is that of the system calls, and little else.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 1 << 21, EVENTS = 512, MOST = 1 << 20 };

typedef struct { uint8_t *kept; size_t length; int open, place; } client;

static client clients[MOST]; /* by descriptor */
static int all[MOST], count, poller, is_fanout;
static uint8_t in[ROOM], out[ROOM];
static size_t out_length;

static void send_all(int fd, const uint8_t *data, size_t length) {
    while (length) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return;
        if (sent < 0) {
            struct pollfd writable = {fd, POLLOUT, 0};
            poll(&writable, 1, 1000);
            continue;
        }
        data += sent;
        length -= (size_t)sent;
    }
}

static void drop(int fd) {
    client *c = &clients[fd];
    if (c->open) {
        all[c->place] = all[--count];
        clients[all[c->place]].place = c->place;
    }
    free(c->kept);
    *c = (client){0};
    close(fd);
}

static void answer(int fd, const char *request) {
    char key[64] = "", joined[128], accept[32], response[256];
    uint8_t digest[SHA_DIGEST_LENGTH];
    const char *at = strcasestr(request, "Sec-WebSocket-Key: ");
    if (at) sscanf(at + 19, "%24s", key);
    int length = snprintf(joined, sizeof joined, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    SHA1((uint8_t *)joined, (size_t)length, digest);
    EVP_EncodeBlock((uint8_t *)accept, digest, sizeof digest);
    length = snprintf(response, sizeof response,
                      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    send_all(fd, (uint8_t *)response, (size_t)length);
    clients[fd].open = 1;
    clients[fd].place = count;
    all[count++] = fd;
}

static size_t put_head(uint8_t *to, uint8_t first, uint64_t size) {
    int wide = size < 126 ? 0 : size < 65536 ? 2 : 8;
    to[0] = first;
    to[1] = (uint8_t)(wide == 0 ? size : wide == 2 ? 126 : 127);
    for (int i = 0; i < wide; i++) to[2 + i] = (uint8_t)(size >> (8 * (wide - 1 - i)));
    return (size_t)(2 + wide);
}

/* Replies of a read leave together; a message to all leaves at once. */
static void reply(int fd, uint8_t first, const uint8_t *masked, const uint8_t *key, size_t size) {
    if (out_length + size + 10 > sizeof out) {
        send_all(fd, out, out_length);
        out_length = 0;
    }
    out_length += put_head(out + out_length, first, size);
    uint32_t four;
    memcpy(&four, key, 4);
    uint64_t wide, word = (uint64_t)four << 32 | four;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&wide, masked + i, 8);
        wide ^= word;
        memcpy(out + out_length + i, &wide, 8);
    }
    for (; i < size; i++) out[out_length + i] = masked[i] ^ key[i & 3];
    out_length += size;
    if (!is_fanout || first == 0x88) return;
    for (int k = 0; k < count; k++) send_all(all[k], out, out_length);
    out_length = 0;
}

/* The length of the whole frame at `data`, 0 if it is not all there. */
static size_t frame_at(const uint8_t *data, size_t length, size_t *head) {
    if (length < 2) return 0;
    int code = data[1] & 127, wide = code < 126 ? 0 : code == 126 ? 2 : 8;
    uint64_t size = wide ? 0 : (uint64_t)code;
    if (length < (size_t)(2 + wide)) return 0;
    for (int i = 0; i < wide; i++) size = size << 8 | data[2 + i];
    *head = (size_t)(2 + wide + 4);
    return *head + size <= length ? *head + size : 0;
}

static size_t take(int fd, const uint8_t *data, size_t length) {
    size_t used = 0, whole, head;
    if (!clients[fd].open) {
        uint8_t *end = memmem(data, length, "\r\n\r\n", 4);
        if (!end) return 0;
        answer(fd, (const char *)data);
        used = (size_t)(end - data) + 4;
    }
    while ((whole = frame_at(data + used, length - used, &head))) {
        reply(fd, data[used], data + used + head, data + used + head - 4, whole - head);
        if (data[used] == 0x88) {
            send_all(fd, out, out_length);
            out_length = 0;
            drop(fd);
            return length;
        }
        used += whole;
    }
    return used;
}

static void receive(int fd) {
    client *c = &clients[fd];
    memcpy(in, c->kept, c->length);
    ssize_t got = recv(fd, in + c->length, sizeof in - 1 - c->length, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        drop(fd);
        return;
    }
    size_t length = c->length + (size_t)got;
    in[length] = 0;
    size_t used = take(fd, in, length);
    free(c->kept);
    c->kept = NULL;
    c->length = length - used;
    if (c->length) c->kept = memcpy(malloc(c->length), in + used, c->length);
    if (out_length) send_all(fd, out, out_length);
    out_length = 0;
}

static void accept_all(int listener) {
    for (int fd, yes = 1; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listen_somewhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(fd, (void *)&address, sizeof address) || listen(fd, 4096)) exit(2);
    getsockname(fd, (void *)&address, &length);
    printf("{\"port\": %d, \"versions\": {\"bare\": \"%s\"}}\n", ntohs(address.sin_port), __VERSION__);
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    struct rlimit limit;
    is_fanout = argc > 1 && !strcmp(argv[1], "--fanout");
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_somewhere();
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) (events[i].data.fd == listener ? accept_all : receive)(events[i].data.fd);
    }
}
