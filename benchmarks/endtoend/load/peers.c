/* Connections: from nothing to open, then bytes in and out, and the loop that serves them all. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, READ_BYTES = 1 << 18, RESPONSE_BYTES = 4096, SHOWN_ERRORS = 5 };

peer *peers;
long errors, pings;
uint64_t clock_ns;
int enough;

static uint8_t received[READ_BYTES];
static int poller = -1, wanted, started, opened;

void prepare_peers(int count) {
    poller = epoll_create1(EPOLL_CLOEXEC);
    peers = calloc((size_t)count, sizeof *peers);
    uint64_t *since = calloc((size_t)count * (size_t)opt.depth, sizeof *since);
    if (poller < 0 || !peers || !since) {
        fputs("load: out of memory\n", stderr);
        exit(2);
    }
    for (int i = 0; i < count; i++) peers[i].since = since + (size_t)i * (size_t)opt.depth;
}

void shut(peer *p) {
    if (p->stage == SHUT) return;
    p->stage = SHUT;
    SSL_free(p->ssl);
    p->ssl = NULL;
    close(p->fd);
    free(p->request);
    free(p->response);
    p->request = p->response = NULL;
    forget_frame(p);
}

void fail(peer *p, const char *what) {
    if (errors++ < SHOWN_ERRORS)
        fprintf(stderr, "load: connection %ld: %s, after %llu replies\n", (long)(p - peers), what, (unsigned long long)p->got);
    shut(p);
    enough = 1;
}

void start(peer *p) {
    uint64_t *since = p->since;
    memset(p, 0, sizeof *p);
    p->since = since;
    p->need = 2;
    p->begun = now();
    p->phase = running == &fanout_mode ? 0 : (uint64_t)(p - peers) * 7;
    p->stage = CONNECTING;
    make_request(p);
    if (!link_connect(p)) {
        fail(p, "cannot connect");
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = p};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, p->fd, &event)) fail(p, "cannot be polled");
}

/* Control frames go between messages, which is where `sent` stands once all that was asked for is out. */
void flush(peer *p) {
    uint64_t circle_bytes = circle_frames * frame_length, due = p->asked * frame_length;
    while (p->sent < due) {
        uint64_t at = (p->phase * frame_length + p->sent) % circle_bytes, length = due - p->sent;
        if (length > 2 * circle_bytes - at) length = 2 * circle_bytes - at;
        ssize_t sent = link_write(p, circle + at, length);
        if (sent <= 0) {
            if (sent != -1) fail(p, "the connection broke while sending");
            return;
        }
        p->sent += (uint64_t)sent;
    }
    while (p->extra_length) {
        ssize_t sent = link_write(p, p->extra, p->extra_length);
        if (sent <= 0) return;
        p->extra_length -= (size_t)sent;
        memmove(p->extra, p->extra + sent, p->extra_length);
    }
}

void ask(peer *p, int messages) {
    for (int i = 0; i < messages; i++) p->since[p->asked++ % (uint64_t)opt.depth] = clock_ns;
}

void send_control(peer *p, int opcode, const uint8_t *payload, size_t length) {
    if (p->extra_length + length + HEAD_ROOM > sizeof p->extra) return;
    p->extra_length += make_control(p->extra + p->extra_length, opcode, payload, length);
}

static void be_open(peer *p, const char *rest, size_t length) {
    p->compressed = strcasestr(p->response, "permessage-deflate") != NULL;
    p->takeover = strcasestr(p->response, "server_no_context_takeover") == NULL;
    if (opt.deflate && !p->compressed) {
        fail(p, "the server does not compress");
        return;
    }
    p->stage = OPEN;
    opened++;
    running->opened(p);
    if (length && p->stage == OPEN) scan(p, (const uint8_t *)rest, length);
    free(p->request);
    free(p->response);
    p->request = p->response = NULL;
}

static void take_response(peer *p) {
    for (char *end; !(end = strstr(p->response, "\r\n\r\n")) || !strstr(p->response, p->accept) || strncmp(p->response + 8, " 101 ", 5);) {
        if (end) {
            fail(p, p->response);
            return;
        }
        ssize_t got = link_read(p, p->response + p->response_got, RESPONSE_BYTES - 1 - p->response_got);
        if (got == -1) return;
        if (got <= 0) {
            fail(p, "the connection broke in the handshake");
            return;
        }
        p->response_got += (size_t)got;
    }
    char *rest = strstr(p->response, "\r\n\r\n") + 4;
    be_open(p, rest, p->response_got - (size_t)(rest - p->response));
}

static void upgrade(peer *p) {
    while (p->request_sent < p->request_length) {
        ssize_t sent = link_write(p, p->request + p->request_sent, p->request_length - p->request_sent);
        if (sent == -1) return;
        if (sent <= 0) {
            fail(p, "the connection broke in the handshake");
            return;
        }
        p->request_sent += (size_t)sent;
    }
    if (!p->response) p->response = calloc(1, RESPONSE_BYTES);
    take_response(p);
}

static void advance(peer *p, uint32_t events) {
    int error = 0;
    socklen_t length = sizeof error;
    if (p->stage == CONNECTING) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
        getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) {
            fail(p, strerror(error));
            return;
        }
        p->stage = p->ssl ? SECURING : UPGRADING;
    }
    if (p->stage == SECURING) {
        int done = link_secure(p);
        if (done < 0) fail(p, "no TLS");
        if (done <= 0) return;
        p->stage = UPGRADING;
    }
    upgrade(p);
}

static void receive(peer *p, int to_the_end) {
    while (p->stage == OPEN) {
        ssize_t got = link_read(p, received, sizeof received);
        if (got == -1) return;
        if (got <= 0) {
            if (running->ended)
                running->ended(p);
            else
                fail(p, "the connection was lost");
            return;
        }
        clock_ns = now();
        scan(p, received, (size_t)got);
        /* A short read has emptied the socket; what comes later is another event, but for an end that came with it. */
        if (!to_the_end && (size_t)got < sizeof received) return;
    }
}

static void serve(peer *p, uint32_t events) {
    if (p->stage == SHUT) return;
    if (p->stage != OPEN)
        advance(p, events);
    else if (p->ssl || events & ~(uint32_t)EPOLLOUT)
        receive(p, p->ssl || events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    if (p->stage == OPEN) flush(p);
}

void turn(uint64_t until) {
    struct epoll_event events[EVENTS];
    while ((clock_ns = now()) < until && !enough) {
        uint64_t left = (until - clock_ns) / 1000000 + 1;
        int count = epoll_wait(poller, events, EVENTS, left > 100 ? 100 : (int)left);
        clock_ns = now();
        for (int i = 0; i < count; i++) serve(events[i].data.ptr, events[i].events);
    }
}

int open_all(int count) {
    wanted = count;
    started = opened = 0;
    while (opened < wanted && !errors) {
        while (started < wanted && started - opened < opt.concurrency && !errors) start(&peers[started++]);
        int before = opened;
        while (opened == before && !errors) turn(now() + 1000000);
        enough = 0;
    }
    return !errors;
}
