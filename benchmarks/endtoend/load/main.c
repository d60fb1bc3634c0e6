/* The command line. */
#include "load.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

options opt = {.host = "127.0.0.1", .path = "/", .connections = 100, .depth = 1, .concurrency = 64,
               .warm_connections = 100, .size = 20, .seconds = 3, .warmup = 0.5, .settle = 1, .limit = 60, .seed = 1};

static const mode *const modes[] = {&echo_mode, &fanout_mode, &handshakes_mode, &idle_mode};

static const char usage[] =
    "usage: load echo|fanout|handshakes|idle --port N [options]\n"
    "  --host 127.0.0.1  --path /  --tls AUTHORITY.pem      where\n"
    "  --connections 100 --size 20 --depth 1 --bursts       how much at once: a window of DEPTH, or bursts\n"
    "  --text --json --deflate --seed 1                     what; default: random bytes\n"
    "  --seconds 3 --warmup 0.5 --settle 1 --limit 60       how long; LIMIT ends it whatever happens\n"
    "  --concurrency 64 --warm-connections 100              handshakes at a time; connections before idle ones\n"
    "  --pid N                                              the server, whose CPU and memory are measured\n";

enum { HOST = 1, PORT, PATH, TLS, CONNECTIONS, SIZE, DEPTH, BURSTS, IS_TEXT, JSON, DEFLATE, SEED, SECONDS, WARMUP, SETTLE,
       LIMIT, CONCURRENCY, WARM_CONNECTIONS, PID };

static const struct option names[] = {
    {"host", 1, 0, HOST}, {"port", 1, 0, PORT}, {"path", 1, 0, PATH}, {"tls", 1, 0, TLS},
    {"connections", 1, 0, CONNECTIONS}, {"size", 1, 0, SIZE}, {"depth", 1, 0, DEPTH}, {"bursts", 0, 0, BURSTS},
    {"text", 0, 0, IS_TEXT}, {"json", 0, 0, JSON}, {"deflate", 0, 0, DEFLATE}, {"seed", 1, 0, SEED},
    {"seconds", 1, 0, SECONDS}, {"warmup", 1, 0, WARMUP}, {"settle", 1, 0, SETTLE}, {"limit", 1, 0, LIMIT},
    {"concurrency", 1, 0, CONCURRENCY}, {"warm-connections", 1, 0, WARM_CONNECTIONS}, {"pid", 1, 0, PID}, {0, 0, 0, 0}};

static void refuse(const char *why) {
    fprintf(stderr, "load: %s\n%s", why, usage);
    exit(2);
}

static double number(const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || !(value >= least && value <= most)) refuse("a number is out of range");
    return value;
}

static int whole(const char *text, int least, int most) { return (int)number(text, least, most); }

static void set(int name) {
    switch (name) {
    case HOST: opt.host = optarg; break;
    case PORT: opt.port = whole(optarg, 1, 65535); break;
    case PATH: opt.path = optarg; break;
    case TLS: opt.authority = optarg; break;
    case CONNECTIONS: opt.connections = whole(optarg, 1, 1000000); break;
    case SIZE: opt.size = (size_t)whole(optarg, 0, 1 << 26); break;
    case DEPTH: opt.depth = whole(optarg, 1, 4096); break;
    case BURSTS: opt.bursts = 1; break;
    case IS_TEXT: opt.text = 1; break;
    case JSON: opt.json = opt.text = 1; break;
    case DEFLATE: opt.deflate = 1; break;
    case SEED: opt.seed = (uint64_t)number(optarg, 0, 1e15); break;
    case SECONDS: opt.seconds = number(optarg, 0.01, 3600); break;
    case WARMUP: opt.warmup = number(optarg, 0, 60); break;
    case SETTLE: opt.settle = number(optarg, 0, 60); break;
    case LIMIT: opt.limit = number(optarg, 1, 7200); break;
    case CONCURRENCY: opt.concurrency = whole(optarg, 1, 65536); break;
    case WARM_CONNECTIONS: opt.warm_connections = whole(optarg, 1, 1000000); break;
    case PID: opt.pid = whole(optarg, 1, 1 << 30); break;
    default: refuse("an unknown option");
    }
}

static void give_up(int signal) {
    static const char words[] = "load: the time limit has passed\n";
    (void)signal;
    (void)!write(2, words, sizeof words - 1);
    _exit(3);
}

static void raise_descriptor_limit(int needed) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < (rlim_t)needed + 16) refuse("too few file descriptors");
}

static int most(int a, int b) { return a > b ? a : b; }

int main(int argc, char **argv) {
    if (argc < 2) refuse("a mode is missing");
    opt.mode = argv[1];
    for (int name; (name = getopt_long(argc - 1, argv + 1, "", names, NULL)) != -1;) set(name);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(modes[i]->name, opt.mode)) running = modes[i];
    if (!running) refuse("no such mode");
    if (!opt.port) refuse("--port is missing");
    if (optind < argc - 1) refuse("one argument too many");
    int count = most(most(opt.connections, opt.warm_connections), opt.concurrency);
    signal(SIGALRM, give_up);
    signal(SIGPIPE, SIG_IGN);
    alarm((unsigned)opt.limit + 1);
    raise_descriptor_limit(count);
    prepare_tls();
    make_content();
    prepare_peers(count);
    return running->run();
}
