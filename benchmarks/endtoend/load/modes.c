/* What the clients do: echo, fan-out, handshakes, and nothing. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const mode *running;

static uint64_t done;
static int answered;

static uint64_t after(double seconds) { return now() + (uint64_t)(seconds * 1e9); }

static void wait_for(peer *p) { (void)p; }

/* From a time when all has begun: a slow server may need long for the first answer to everybody. */
static mark measured_from(int answers) {
    turn(after(opt.warmup));
    while (answered < answers && !errors) turn(after(0.01));
    forget();
    done = 0;
    return take_mark();
}

static int say_errors(void) {
    printf(", \"pings\": %ld, \"errors\": %ld}\n", pings, errors);
    return errors != 0;
}

/* echo: every connection keeps `depth` messages in flight, in bursts that are awaited whole, or each on its own */

static void echo_message(peer *p) {
    uint64_t index = (p->got - 1) % (uint64_t)opt.depth;
    answered += p->got == 1;
    done++;
    if (!opt.bursts) {
        note(clock_ns - p->since[index]);
        ask(p, 1);
    } else if (p->got == p->asked) {
        note(clock_ns - p->since[index]);
        ask(p, opt.depth);
    }
}

static int echo_run(void) {
    if (!open_all(opt.connections)) return 1;
    clock_ns = now();
    for (int i = 0; i < opt.connections; i++) {
        ask(&peers[i], opt.depth);
        flush(&peers[i]);
    }
    mark from = measured_from(opt.connections);
    turn(after(opt.seconds));
    printf("{\"mode\": \"echo\"");
    print_since(from, (double)done, "message");
    print_latency(opt.bursts ? "burst" : "message");
    return say_errors();
}

const mode echo_mode = {"echo", echo_run, wait_for, echo_message, NULL, NULL};

/* fanout: what the first connection sends goes to all; `depth` messages are on their way */

enum { ROLL_CALLS = 20 };

static uint64_t *delivered;
static int sending, calling;

static void fanout_message(peer *p) {
    uint64_t slot = (p->missed + p->got - 1) % (uint64_t)opt.depth;
    if (calling) return;
    done++;
    if (++delivered[slot] < (uint64_t)opt.connections) return;
    delivered[slot] = 0;
    note(clock_ns - peers[0].since[slot]);
    if (sending) {
        ask(&peers[0], 1);
        if (p != &peers[0]) flush(&peers[0]);
    } else if (p->missed + p->got == peers[0].asked)
        enough = 1;
}

static int has_all(const peer *p) { return p->got && p->missed + p->got == peers[0].asked; }

static int all_have_all(void) {
    for (int i = 0; i < opt.connections; i++)
        if (!has_all(&peers[i])) return 0;
    return 1;
}

static void check_all_have_all(void) {
    for (int i = 0; i < opt.connections; i++)
        if (peers[i].stage == OPEN && !has_all(&peers[i])) fail(&peers[i], "messages are missing");
}

static void send_to_all(int messages) {
    clock_ns = now();
    ask(&peers[0], messages);
    flush(&peers[0]);
}

/* Who has been accepted may not be on the server's list yet: call until everybody has answered. */
static int call_roll(void) {
    calling = 1;
    for (int i = 0; i < ROLL_CALLS && !errors && !all_have_all(); i++) {
        send_to_all(1);
        for (uint64_t until = after(1); now() < until && !errors && !all_have_all();) turn(after(0.01));
    }
    calling = 0;
    if (!errors) check_all_have_all();
    return !errors;
}

static int fanout_run(void) {
    delivered = calloc((size_t)opt.depth, sizeof *delivered);
    if (!open_all(opt.connections) || !call_roll()) return 1;
    sending = 1;
    send_to_all(opt.depth);
    mark from = measured_from(0);
    turn(after(opt.seconds));
    printf("{\"mode\": \"fanout\"");
    print_since(from, (double)done, "delivery");
    print_latency("message to all");
    sending = 0;
    turn(after(10));
    check_all_have_all();
    return say_errors();
}

const mode fanout_mode = {"fanout", fanout_run, wait_for, fanout_message, NULL, NULL};

/* handshakes: connect, upgrade, close, again */

static void handshakes_opened(peer *p) {
    static const uint8_t normal[2] = {1000 >> 8, 1000 & 255};
    note(now() - p->begun);
    send_control(p, CLOSE, normal, sizeof normal);
}

/* The server closes first (RFC 6455 section 7.1.1). */
static void handshakes_ended(peer *p) {
    done++;
    answered++;
    shut(p);
    start(p);
}

static int handshakes_run(void) {
    for (int i = 0; i < opt.concurrency; i++) start(&peers[i]);
    mark from = measured_from(1);
    turn(after(opt.seconds));
    printf("{\"mode\": \"handshakes\"");
    print_since(from, (double)done, "handshake");
    print_latency("connect to upgraded");
    return say_errors();
}

const mode handshakes_mode = {"handshakes", handshakes_run, handshakes_opened, wait_for, wait_for, handshakes_ended};

/* idle: one echo each, then nothing but answers to pings */

static int echoed, idle_wanted;

static void idle_message(peer *p) {
    (void)p;
    if (++echoed == idle_wanted) enough = 1;
}

static int echo_once(int count) {
    echoed = 0;
    idle_wanted = count;
    if (!open_all(count)) return 0;
    clock_ns = now();
    for (int i = 0; i < count; i++) {
        ask(&peers[i], 1);
        flush(&peers[i]);
    }
    turn(after(opt.limit));
    enough = 0;
    return !errors;
}

/* The first connections make the server allocate what it needs once, and go. */
static int warm_up(void) {
    if (!echo_once(opt.warm_connections)) return 0;
    for (int i = 0; i < opt.warm_connections; i++) shut(&peers[i]);
    turn(after(opt.settle));
    return 1;
}

static int idle_run(void) {
    if (!warm_up()) return 1;
    double before = tree_rss(opt.pid);
    uint64_t began = now();
    if (!echo_once(opt.connections)) return 1;
    double opening = (double)(now() - began) / 1e9;
    turn(after(opt.settle));
    double grown = tree_rss(opt.pid) - before;
    pings = 0;
    mark from = take_mark();
    turn(after(opt.seconds));
    double seconds = (double)(now() - from.at) / 1e9;
    printf("{\"mode\": \"idle\", \"opening_seconds\": %.3f, \"rss_bytes\": %.1f", opening, grown / opt.connections);
    print_since(from, opt.connections * seconds, "connection second");
    return say_errors();
}

const mode idle_mode = {"idle", idle_run, wait_for, idle_message, NULL, NULL};
