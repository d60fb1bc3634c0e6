/* What is measured: time, latencies, and the processor time and memory of the server's processes. */
#include "load.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Latencies in nanoseconds, 64 slots for each power of two: 1.6 % wide. */
enum { PARTS = 64, SLOTS = 60 * PARTS };
static uint64_t histogram[SLOTS], noted;

static uint64_t clock_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint64_t now(void) { return clock_of(CLOCK_MONOTONIC); }

double own_cpu(void) { return (double)clock_of(CLOCK_PROCESS_CPUTIME_ID) / 1e9; }

static unsigned slot_of(uint64_t ns) {
    if (ns < PARTS) return (unsigned)ns;
    int shift = 63 - __builtin_clzll(ns) - 6;
    return (unsigned)((shift + 1) * PARTS + (int)((ns >> shift) - PARTS));
}

static double middle_of(unsigned slot) {
    if (slot < PARTS) return slot;
    int shift = (int)(slot / PARTS) - 1;
    return ((double)(PARTS + slot % PARTS) + 0.5) * (double)(1ull << shift);
}

void note(uint64_t ns) {
    histogram[slot_of(ns)]++;
    noted++;
}

void forget(void) {
    memset(histogram, 0, sizeof histogram);
    noted = 0;
}

double percentile(double part) {
    double before = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        before += (double)histogram[slot];
        if (noted && before >= part * (double)noted) return middle_of(slot) / 1e3;
    }
    return 0;
}

static size_t read_file(const char *path, char *into, size_t room) {
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    size_t length = fread(into, 1, room - 1, file);
    fclose(file);
    into[length] = 0;
    return length;
}

/* schedstat counts nanoseconds; where the kernel lacks it, stat counts ticks. */
static double thread_cpu(int pid, const char *thread) {
    char path[96], text[1024];
    unsigned long long ns;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, thread);
    if (read_file(path, text, sizeof text) && sscanf(text, "%llu", &ns) == 1) return (double)ns / 1e9;
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/stat", pid, thread);
    if (!read_file(path, text, sizeof text)) return 0;
    char *after = strrchr(text, ')');
    if (after) sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static double rss_of(int pid) {
    char path[64], text[256];
    long total, resident;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    if (!read_file(path, text, sizeof text) || sscanf(text, "%ld %ld", &total, &resident) != 2) return 0;
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

typedef struct { double cpu, rss; } usage;

static usage tree_usage(int pid);

static usage children_usage(int pid, const char *thread) {
    char path[96], text[4096], *rest = text;
    usage sum = {0, 0};
    snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, thread);
    read_file(path, text, sizeof text) || (text[0] = 0);
    for (int child; (child = (int)strtol(rest, &rest, 10)) > 0;) {
        usage one = tree_usage(child);
        sum.cpu += one.cpu;
        sum.rss += one.rss;
    }
    return sum;
}

static usage tree_usage(int pid) {
    char path[64];
    usage sum = {0, rss_of(pid)};
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads) return sum;
    for (struct dirent *entry; (entry = readdir(threads));) {
        if (entry->d_name[0] == '.') continue;
        usage below = children_usage(pid, entry->d_name);
        sum.cpu += thread_cpu(pid, entry->d_name) + below.cpu;
        sum.rss += below.rss;
    }
    closedir(threads);
    return sum;
}

double tree_cpu(int pid) { return pid ? tree_usage(pid).cpu : 0; }

double tree_rss(int pid) { return pid ? tree_usage(pid).rss : 0; }

mark take_mark(void) { return (mark){now(), tree_cpu(opt.pid), own_cpu()}; }

void print_since(mark from, double units, const char *unit) {
    mark to = take_mark();
    double seconds = (double)(to.at - from.at) / 1e9, each = units > 0 ? units : 1;
    printf(", \"seconds\": %.3f, \"count\": %.0f, \"rate\": %.1f", seconds, units, units / seconds);
    printf(", \"load_busy\": %.3f, \"load_cpu_us\": %.4f", (to.own - from.own) / seconds, (to.own - from.own) / each * 1e6);
    if (opt.pid)
        printf(", \"busy\": %.3f, \"cpu_us\": %.4f", (to.server - from.server) / seconds,
               (to.server - from.server) / each * 1e6);
    printf(", \"unit\": \"%s\"", unit);
}

void print_latency(const char *what) {
    printf(", \"latency_of\": \"%s\", \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f", what,
           percentile(0.5), percentile(0.9), percentile(0.99), percentile(0.999));
}
